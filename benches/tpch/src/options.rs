//! The command line.

use crate::engine::EngineKind;
use clap::Parser;
use damson_tests::tpch::QUERIES;
use std::path::PathBuf;
use std::time::Duration;

/// Compares Damson with DataFusion and DuckDB on the 22 queries of TPC-H.
#[derive(Clone, Debug, Parser)]
#[command(name = "damson-tpch", version)]
pub struct Options {
    /// Scale factor: about so many gigabytes of text.
    #[arg(long, default_value_t = 1.0, value_parser = scale_factor)]
    pub sf: f64,
    /// Which engines run.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = EngineKind::DEFAULT)]
    pub engines: Vec<EngineKind>,
    /// Which queries run; all without it.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=QUERIES as i64))]
    pub queries: Vec<u8>,
    /// Measured runs of each query, after one that is not; the best counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// Cores that each engine is given; all without it. Damson has a segment for each.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub segments: Option<u16>,
    /// Memory that each engine may use, such as 8GiB; the engine's own default without it.
    #[arg(long, value_parser = bytes)]
    pub memory: Option<u64>,
    /// A query that takes longer has failed.
    #[arg(long, default_value_t = 600)]
    pub timeout_s: u64,
    /// Where the results go.
    #[arg(long, default_value = "bench-results")]
    pub out: PathBuf,
    /// Where generated data and clusters are kept; ~/.cache/damson without it.
    #[arg(long)]
    pub cache_dir: Option<PathBuf>,
    /// A Python that has the duckdb package.
    #[arg(long, env = "DAMSON_DUCKDB_PYTHON")]
    pub duckdb_python: Option<PathBuf>,
    /// Takes the tables of the last run instead of loading them again.
    #[arg(long)]
    pub reuse: bool,
    /// Repeats this query in this process, for a profiler, on the first of the engines.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=QUERIES as i64))]
    pub profile_query: Option<u8>,
    /// How long.
    #[arg(long, default_value_t = 20)]
    pub profile_s: u64,
    /// Serves one engine on stdin and stdout: how this program starts itself.
    #[arg(long, hide = true, value_enum)]
    pub worker: Option<EngineKind>,
}

impl Options {
    /// Cores of every engine.
    pub fn cores(&self) -> usize {
        self.segments.map_or_else(damson_bench_report::machine::cores, usize::from)
    }

    /// In rising order.
    pub fn queries(&self) -> Vec<usize> {
        let mut queries: Vec<usize> = self.queries.iter().map(|&q| usize::from(q)).collect();
        if queries.is_empty() {
            queries.extend(1..=QUERIES);
        }
        queries.sort_unstable();
        queries.dedup();
        queries
    }

    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s)
    }

    /// Where generated data and clusters are kept.
    pub fn cache(&self) -> PathBuf {
        self.cache_dir.clone().unwrap_or_else(|| {
            let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
            home.join(".cache/damson")
        })
    }

    /// The tables as Parquet files, `<table>/part-*.parquet`: what every engine reads or loads.
    pub fn parquet_dir(&self) -> PathBuf {
        self.cache().join(format!("tpch/sf{}", self.sf))
    }

    /// Where `engine` keeps its own copy.
    pub fn engine_dir(&self, engine: EngineKind) -> PathBuf {
        self.cache().join(format!("bench/sf{}/{engine}-{}", self.sf, self.cores()))
    }

    /// The options that a worker must have in common with this process.
    pub fn for_worker(&self) -> Vec<String> {
        let mut arguments = vec![format!("--sf={}", self.sf), format!("--segments={}", self.cores())];
        arguments.extend(self.memory.map(|bytes| format!("--memory={bytes}")));
        arguments.extend(self.cache_dir.as_ref().map(|dir| format!("--cache-dir={}", dir.display())));
        arguments.extend(self.reuse.then(|| "--reuse".to_string()));
        arguments
    }
}

fn scale_factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(sf) if sf > 0.0 && sf.is_finite() => Ok(sf),
        _ => Err("a number above 0".to_string()),
    }
}

/// `8GiB`, `8GB` (both 2^30 bytes), `512MB`, `1000`.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        unit => return Err(format!("{unit} is not a unit: kB, MB or GB")),
    };
    let number: u64 = digits.trim().parse().map_err(|_| "a number with a unit, such as 8GB".to_string())?;
    number.checked_mul(1 << shift).filter(|&bytes| bytes > 0).ok_or_else(|| "too little, or too much".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_a_unit() {
        assert_eq!(bytes("8GiB"), Ok(8 << 30));
        assert_eq!(bytes("8GB"), Ok(8 << 30));
        assert_eq!(bytes("512mb"), Ok(512 << 20));
        assert_eq!(bytes("1000"), Ok(1000));
        for wrong in ["", "GB", "8TB", "0", "99999999999GB", "1.5GB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_worker_understands_what_it_is_given() {
        let line = ["damson-tpch", "--sf=0.01", "--memory=2GB", "--segments=3", "--cache-dir=/x", "--queries=9,1,9"];
        let options = Options::parse_from(line);
        assert_eq!(options.queries(), [1, 9]);
        assert_eq!(options.engines, EngineKind::DEFAULT);
        let again = Options::parse_from(std::iter::once("damson-tpch".to_string()).chain(options.for_worker()));
        assert_eq!((again.sf, again.memory, again.cores()), (0.01, Some(2 << 30), 3));
        assert_eq!(again.parquet_dir(), PathBuf::from("/x/tpch/sf0.01"));
        assert!(Options::try_parse_from(["damson-tpch", "--queries=23"]).is_err());
        assert!(Options::try_parse_from(["damson-tpch", "--sf=0"]).is_err());
    }
}
