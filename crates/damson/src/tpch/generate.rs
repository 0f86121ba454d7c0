//! Generates the data set into files, all cores at once.

use super::columns::{batches, lines, schema};
use super::tables::Table;
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use thiserror::Error;

/// Rows of one file: small enough that the last file of a table does not keep one core waiting for the others.
const PART_ROWS: f64 = 500_000.0;

/// Rows of a row group, which is what COPY hands to a segment.
const ROW_GROUP_ROWS: usize = 125_000;

/// What the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FileFormat {
    /// Compressed Parquet, for keeping.
    Parquet,
    /// Parquet as fast as it can be written, for loading at once.
    #[value(skip)]
    ParquetPlain,
    /// `|`-separated text as dbgen writes it, with a delimiter at the end of each line.
    Tbl,
}

impl FileFormat {
    fn extension(self) -> &'static str {
        match self {
            FileFormat::Parquet | FileFormat::ParquetPlain => "parquet",
            FileFormat::Tbl => "tbl",
        }
    }
}

/// Why the data set was not written.
#[derive(Debug, Error)]
pub enum GenerateError {
    #[error("scale factor {0} is not a positive number of at most 10,000")]
    ScaleFactor(f64),
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot encode {path}: {source}")]
    Encode { path: PathBuf, source: parquet::errors::ParquetError },
}

/// Writes tables as `<dir>/<table>/part-<n>.<extension>` on `threads` threads; returns when all are on disk (not
/// synced). `progress` is called with numbers of rows just written, from any thread.
///
/// # Errors
/// A scale factor that makes no sense, or a file that cannot be written; others may have been by then.
pub fn generate(
    dir: &Path,
    sf: f64,
    tables: &[Table],
    format: FileFormat,
    threads: usize,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), GenerateError> {
    if !(sf.is_finite() && sf > 0.0 && sf <= 10_000.0) {
        return Err(GenerateError::ScaleFactor(sf));
    }
    let mut jobs = VecDeque::new();
    for &table in tables {
        let path = dir.join(table.name());
        fs::create_dir_all(&path).map_err(|source| GenerateError::Write { path, source })?;
        let parts = parts_of(table, sf);
        jobs.extend((1..=parts).map(|part| Job { table, sf, part, parts, format }));
    }
    let (jobs, failed) = (Mutex::new(jobs), AtomicBool::new(false));
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let Some(job) = jobs.lock().pop_front() else { break };
            job.write(dir, progress).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.collect::<Vec<_>>().into_iter().collect()
    })
}

fn parts_of(table: Table, sf: f64) -> i32 {
    // At most 120,000 parts, at scale factor 10,000.
    ((table.rows_per_scale() * sf / PART_ROWS).ceil() as i32).max(1)
}

struct Job {
    table: Table,
    sf: f64,
    part: i32,
    parts: i32,
    format: FileFormat,
}

impl Job {
    fn write(&self, dir: &Path, progress: &(dyn Fn(u64) + Sync)) -> Result<(), GenerateError> {
        let name = format!("part-{}.{}", self.part, self.format.extension());
        let path = dir.join(self.table.name()).join(name);
        match self.format {
            FileFormat::Tbl => {
                self.write_lines(&path, progress).map_err(|source| GenerateError::Write { path, source })
            }
            FileFormat::Parquet | FileFormat::ParquetPlain => {
                let file = File::create(&path);
                let file = file.map_err(|source| GenerateError::Write { path: path.clone(), source })?;
                self.write_parquet(file, progress).map_err(|source| GenerateError::Encode { path, source })
            }
        }
    }

    fn write_lines(&self, path: &Path, progress: &(dyn Fn(u64) + Sync)) -> io::Result<()> {
        const REPORT_ROWS: u64 = 8192;
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        let mut unreported = 0;
        for line in lines(self.table, self.sf, self.part, self.parts) {
            writeln!(file, "{line}")?;
            unreported += 1;
            if unreported == REPORT_ROWS {
                progress(std::mem::take(&mut unreported));
            }
        }
        progress(unreported);
        file.flush()
    }

    fn write_parquet(&self, file: File, progress: &(dyn Fn(u64) + Sync)) -> parquet::errors::Result<()> {
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
        let properties = match self.format {
            FileFormat::ParquetPlain => properties
                .set_compression(Compression::UNCOMPRESSED)
                .set_dictionary_enabled(false)
                .set_statistics_enabled(EnabledStatistics::None),
            FileFormat::Parquet | FileFormat::Tbl => properties.set_compression(Compression::SNAPPY),
        };
        let mut writer = ArrowWriter::try_new(file, schema(self.table), Some(properties.build()))?;
        for batch in batches(self.table, self.sf, self.part, self.parts) {
            let batch = batch?;
            writer.write(&batch)?;
            progress(batch.num_rows() as u64);
        }
        writer.close()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tpch::TABLES;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use std::sync::atomic::AtomicU64;

    const ROWS: [u64; 8] = [5, 25, 100, 1_500, 2_000, 8_000, 15_000, 60_175];

    #[test]
    fn parquet_files_have_all_rows() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for format in [FileFormat::ParquetPlain, FileFormat::Parquet] {
            let reported = AtomicU64::new(0);
            let progress = |rows| {
                reported.fetch_add(rows, Ordering::Relaxed);
            };
            generate(dir.path(), 0.01, &TABLES, format, 2, &progress).expect("room for the data");
            assert_eq!(reported.into_inner(), ROWS.iter().sum::<u64>());
            for (table, rows) in TABLES.into_iter().zip(ROWS) {
                let file = File::open(dir.path().join(table.name()).join("part-1.parquet")).expect("a file");
                let reader = SerializedFileReader::new(file).expect("Parquet");
                assert_eq!(reader.metadata().file_metadata().num_rows(), rows as i64, "{table}");
            }
        }
    }

    #[test]
    fn text_files_are_dbgens() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        generate(dir.path(), 0.01, &[Table::Nation, Table::Orders], FileFormat::Tbl, 2, &|_| {}).expect("room");
        let nation = fs::read_to_string(dir.path().join("nation/part-1.tbl")).expect("a file");
        assert_eq!(nation.lines().count(), 25);
        assert!(nation.starts_with("0|ALGERIA|0|"), "{nation}");
        assert!(nation.lines().all(|line| line.ends_with('|')));
        let orders = fs::read_to_string(dir.path().join("orders/part-1.tbl")).expect("a file");
        assert_eq!(orders.lines().count(), 15_000);
    }

    #[test]
    fn large_tables_have_several_parts() {
        assert_eq!(parts_of(Table::Lineitem, 1.0), 12);
        assert_eq!(parts_of(Table::Lineitem, 0.01), 1);
        assert_eq!(parts_of(Table::Region, 1000.0), 1);
    }

    #[test]
    fn senseless_scale_factors_and_directories_are_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for sf in [0.0, -1.0, f64::NAN, f64::INFINITY, 20_000.0] {
            let error = generate(dir.path(), sf, &TABLES, FileFormat::Parquet, 1, &|_| {}).unwrap_err();
            assert!(matches!(error, GenerateError::ScaleFactor(_)), "{error}");
        }
        let file = dir.path().join("file");
        fs::write(&file, "").expect("room");
        let error = generate(&file, 0.01, &TABLES, FileFormat::Parquet, 1, &|_| {}).unwrap_err();
        assert!(matches!(error, GenerateError::Write { .. }), "{error}");
    }
}
