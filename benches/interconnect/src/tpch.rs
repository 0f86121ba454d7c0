//! TPC-H with motions over each driver: runs the other benchmark, and reads what it writes.

use serde::Deserialize;
use std::error::Error;
use std::fs;
use std::process::Command;

/// Engines of `damson-tpch`, the first being what the others are compared with.
pub const ENGINES: [&str; 4] = ["damson", "damson-flight", "damson-flight-tcp", "damson-quic"];

/// Totals of the 22 queries at scale factor 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Tpch {
    /// Seconds of each of [`ENGINES`].
    pub totals_s: Vec<f64>,
}

/// What this needs of the other benchmark's result.
#[derive(Deserialize)]
struct Results {
    engines: Vec<EngineResult>,
}

#[derive(Deserialize)]
struct EngineResult {
    engine: String,
    queries: Vec<QueryResult>,
}

#[derive(Deserialize)]
struct QueryResult {
    query: usize,
    seconds: Vec<f64>,
    error: Option<String>,
}

/// Runs `damson-tpch`, which must be beside this program, with `damson`.
///
/// # Errors
/// It is missing, or fails.
pub fn run(rounds: u32) -> Result<Tpch, Box<dyn Error>> {
    let program = std::env::current_exe()?.with_file_name("damson-tpch");
    let out = std::env::temp_dir().join(format!("damson-bench-tpch-{}", std::process::id()));
    fs::create_dir_all(&out)?;
    let mut command = Command::new(&program);
    command.args(["--sf=1", "--runs", &rounds.to_string(), "--engines", &ENGINES.join(",")]).arg("--out").arg(&out);
    let status = command.status().map_err(|error| format!("{}: {error}", program.display()))?;
    let tpch = if status.success() { read(&out) } else { Err(format!("damson-tpch: {status}").into()) };
    fs::remove_dir_all(&out)?;
    tpch
}

fn read(directory: &std::path::Path) -> Result<Tpch, Box<dyn Error>> {
    let files = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    let json = files.iter().map(|file| file.path()).find(|path| path.extension().is_some_and(|e| e == "json"));
    let results: Results = serde_json::from_str(&fs::read_to_string(json.ok_or("no results")?)?)?;
    let total = |name: &str| -> Result<f64, Box<dyn Error>> {
        let engine = results.engines.iter().find(|engine| engine.engine == name);
        let engine = engine.ok_or_else(|| format!("{name} did not run"))?;
        engine.queries.iter().map(best).sum()
    };
    Ok(Tpch { totals_s: ENGINES.iter().map(|name| total(name)).collect::<Result<_, _>>()? })
}

fn best(query: &QueryResult) -> Result<f64, Box<dyn Error>> {
    if let Some(error) = &query.error {
        return Err(format!("Q{}: {error}", query.query).into());
    }
    query.seconds.iter().copied().reduce(f64::min).ok_or_else(|| format!("Q{} did not run", query.query).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_of_the_fastest_runs() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let engine = |name: &str, seconds: &str| {
            format!(
                r#"{{"engine": "{name}", "queries": [{{"query": 1, "seconds": {seconds}, "error": null}},
                {{"query": 2, "seconds": [1.0], "error": null}}]}}"#
            )
        };
        let engines: Vec<_> = ENGINES.iter().map(|name| engine(name, "[0.5, 0.25]")).collect();
        let json = format!(r#"{{"sf": 1, "engines": [{}]}}"#, engines.join(","));
        fs::write(directory.path().join("x.svg"), "").expect("written");
        fs::write(directory.path().join("x.json"), &json).expect("written");
        assert_eq!(read(directory.path()).expect("results").totals_s, vec![1.25; ENGINES.len()]);
        fs::write(directory.path().join("x.json"), json.replacen("null", "\"out of memory\"", 1)).expect("written");
        assert!(read(directory.path()).expect_err("a query failed").to_string().contains("out of memory"));
    }
}
