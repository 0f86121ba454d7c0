//! `damson tpch`: the data set on disk, for others.

use crate::progress::Progress;
use crate::runtimes::cores;
use crate::tpch::{FileFormat, GenerateError, TABLES, generate};
use std::path::PathBuf;

/// Writes the TPC-H data set, a directory for each table.
#[derive(Clone, Debug, clap::Args)]
pub struct TpchArgs {
    /// Scale factor: 1 is 1 GB of text.
    #[arg(long, default_value_t = 1.0)]
    sf: f64,
    /// Where to write it.
    #[arg(long)]
    dir: PathBuf,
    #[arg(long, value_enum, default_value = "parquet")]
    format: FileFormat,
}

/// Writes the files.
///
/// # Errors
/// A file that cannot be written.
pub fn run(args: &TpchArgs) -> Result<(), GenerateError> {
    let progress = Progress::stderr();
    for table in TABLES {
        progress.begin(format!("generating {table}"), table.rows_about(args.sf));
        generate(&args.dir, args.sf, &[table], args.format, cores(), &|rows| progress.advance(rows))?;
    }
    progress.end();
    Ok(())
}
