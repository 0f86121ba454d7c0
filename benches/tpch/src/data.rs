//! TPC-H's tables and queries, as the product itself makes them, and the directories that they are kept in.

use crate::options::Options;
use damson::tpch::{FileFormat, TABLES, Table, generate};
use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Text of query `query`, 1 to 22: the same for every engine.
pub fn sql(query: usize) -> &'static str {
    damson::tpch::query(query)
}

/// Generates the Parquet files unless they are there.
///
/// # Errors
/// A file that cannot be written.
pub fn prepare(options: &Options) -> Result<(), Box<dyn Error>> {
    let directory = options.parquet_dir();
    if directory.exists() {
        return Ok(());
    }
    eprintln!("generating TPC-H SF{} in {}", options.sf, directory.display());
    let started = Instant::now();
    // Renamed when it is whole: what exists is complete.
    let unfinished = directory.with_file_name(format!("sf{}.unfinished", options.sf));
    clear(&unfinished)?;
    generate(&unfinished, options.sf, &TABLES, FileFormat::Parquet, damson_bench_report::machine::cores(), &|_| {})?;
    fs::rename(&unfinished, &directory)?;
    eprintln!("    generated in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Statements that make and load all the tables from the Parquet files.
pub fn load_statements(options: &Options) -> Vec<String> {
    let copy = |table: Table| {
        let directory = options.parquet_dir().join(table.name()).display().to_string().replace('\'', "''");
        format!("COPY {table} FROM '{directory}' (FORMAT parquet)")
    };
    TABLES.into_iter().flat_map(|table| [table.definition().to_string(), copy(table)]).collect()
}

/// Present beside the data of an engine that was loaded whole.
fn marker(directory: &Path) -> PathBuf {
    directory.join("loaded")
}

pub fn is_loaded(directory: &Path) -> bool {
    marker(directory).exists()
}

pub fn mark_loaded(directory: &Path) -> io::Result<()> {
    File::create(marker(directory)).map(drop)
}

/// Makes `directory` empty.
pub fn clear(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(directory)
}
