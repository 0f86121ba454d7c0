//! COPY FROM of TPC-H's lineitem beside DuckDB: the same files, the same cores, one after the other in one run.
//!
//! Everything is kept in a temporary directory: TMPDIR says on which disk.

mod cluster;
mod duckdb;
mod form;
mod limits;
mod report;

use clap::Parser;
use cluster::Cluster;
use damson::tpch::{FileFormat, Table, generate};
use damson_bench_report::machine::cores;
use damson_tests::s3_server::{BUCKET, S3Server};
use duckdb::{DuckDb, Loaded};
use form::{FORMS, Form};
use limits::FILES_MANY;
use report::{Measured, Report};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub type Failure = Box<dyn std::error::Error>;

#[derive(Parser, Debug)]
struct Options {
    /// TPC-H's scale factor.
    #[arg(long, default_value_t = 1.0)]
    sf: f64,
    /// How often each is loaded; the fastest counts.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    #[arg(long, default_value_t = 2)]
    segments: usize,
    /// Only these forms.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Form>,
    /// A Python that has DuckDB: see scripts/duckdb-python.
    #[arg(long, env = "DAMSON_DUCKDB_PYTHON", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    python: String,
    /// The `damson` that is measured.
    #[arg(long, env = "DAMSON_BINARY")]
    binary: PathBuf,
    /// Where the report goes.
    #[arg(long, default_value = "docs/benchmarks")]
    report: PathBuf,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    // The cluster starts what the environment names.
    if std::env::var_os("DAMSON_BINARY").as_deref() != Some(options.binary.as_os_str()) {
        return Err("DAMSON_BINARY must name the damson that is measured".into());
    }
    let directory = tempfile::Builder::new().prefix("damson-bench-copy-").tempdir()?;
    let server = S3Server::start();
    let duckdb = DuckDb { python: options.python.clone().into(), threads: cores(), environment: server.environment() };
    let rows = directory.path().join("rows.duckdb");
    let count = generate_rows(options.sf, directory.path(), &duckdb, &rows)?;
    let mut cluster = Cluster::start(options.segments, server.environment());
    let mut report = Report::new(options.sf, options.rounds, options.segments, count);
    let forms: Vec<Form> =
        FORMS.into_iter().filter(|form| options.only.is_empty() || options.only.contains(form)).collect();
    for form in forms {
        for files in [1, FILES_MANY] {
            let (files_dir, place) = match form {
                Form::S3 => (server.object("lineitem"), format!("s3://{BUCKET}/lineitem")),
                _ => {
                    let files_dir = directory.path().join("files");
                    (files_dir.clone(), files_dir.display().to_string())
                }
            };
            eprintln!("making {}, {files} files", form.title());
            fs::create_dir(&files_dir)?;
            duckdb.make(&rows, form, files, &files_dir)?;
            if form == Form::S3 {
                name_versions(&server, &files_dir)?;
            }
            let mut measured = Measured::new(form, files, bytes(&files_dir)?);
            for _ in 0..options.rounds {
                measured.add_ours(ours(&mut cluster, &place, count)?);
                theirs(&duckdb, form, &place, &directory.path().join("loaded.duckdb"), &mut measured)?;
            }
            eprintln!("    {measured}");
            report.add(measured);
            // One form at a time is on the disk.
            fs::remove_dir_all(&files_dir)?;
        }
    }
    drop(cluster);
    let path = report.write(&options.report)?;
    println!("{}", report.text());
    println!("{}", path.display());
    Ok(())
}

/// TPC-H's rows in a table of DuckDB's, which writes the files.
fn generate_rows(sf: f64, directory: &Path, duckdb: &DuckDb, database: &Path) -> Result<u64, Failure> {
    eprintln!("generating lineitem, SF{sf}");
    let generated = directory.join("generated");
    fs::create_dir(&generated)?;
    generate(&generated, sf, &[Table::Lineitem], FileFormat::ParquetPlain, cores(), &|_| {})?;
    let count = duckdb.keep(&format!("{}/lineitem/*.parquet", generated.display()), database)?;
    fs::remove_dir_all(&generated)?;
    Ok(count)
}

fn name_versions(server: &S3Server, directory: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        server.name_version(&format!("lineitem/{}", name.to_str().ok_or("a file's name is no text")?));
    }
    Ok(())
}

fn bytes(directory: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

fn ours(cluster: &mut Cluster, place: &str, count: u64) -> Result<cluster::Loaded, Failure> {
    let loaded = cluster.load(&format!("{place}/"))?;
    if loaded.rows != count {
        return Err(format!("Damson has loaded {} rows of {count}", loaded.rows).into());
    }
    Ok(loaded)
}

fn theirs(duckdb: &DuckDb, form: Form, place: &str, database: &Path, measured: &mut Measured) -> Result<(), Failure> {
    let loaded = duckdb.load(form, place, database)?;
    for path in [database.to_path_buf(), database.with_extension("duckdb.wal")] {
        if path.exists() {
            fs::remove_file(path)?;
        }
    }
    if let Loaded::Done { rows, keys, .. } = &loaded
        && !measured.has_same_rows(*rows, keys)
    {
        return Err(format!("{}: DuckDB has loaded other rows: {loaded:?}", form.title()).into());
    }
    measured.add_theirs(loaded);
    Ok(())
}
