//! The files to which a process's operators spill: bounded together, and with errors that tell a client what to do.

use damson_cluster::fault;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::disk_manager::{DiskManager, DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::{SpillFile, SpillWriter, TempFileFactory};
use futures::{Stream, StreamExt};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error as ThisError;

/// Makes the spill files of a process, for [`DiskManagerBuilder::with_temp_file_factory`]. A file is removed with the last who
/// holds it, however its query ended.
///
/// DataFusion's own files are below; they do not tell a full disk from other failures, and count what could not be written as used
/// for ever.
pub struct SpillFiles {
    directory: PathBuf,
    files: Arc<DiskManager>,
    space: Arc<Space>,
}

impl SpillFiles {
    /// In `directory`, which is there; all files together have `bytes_max` at most, or what the disk has.
    ///
    /// # Errors
    /// A directory that cannot be written to.
    pub fn new(directory: &Path, bytes_max: Option<u64>) -> Result<Self> {
        let mode = DiskManagerMode::Directories(vec![directory.to_owned()]);
        let files = DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(u64::MAX).build()?;
        let space = Space { used_bytes: AtomicU64::new(0), bytes_max };
        Ok(SpillFiles { directory: directory.to_owned(), files: Arc::new(files), space: Arc::new(space) })
    }
}

impl TempFileFactory for SpillFiles {
    fn create_temp_file(&self, description: &str) -> Result<Arc<dyn SpillFile>> {
        let place = Place { directory: self.directory.clone() };
        let file =
            self.files.create_tmp_file(description).map_err(|error| place.failed("create", system_error(error)))?;
        let part = Part { space: Arc::clone(&self.space), bytes: AtomicU64::new(0) };
        Ok(Arc::new(LimitedFile { file, place, part: Arc::new(part) }))
    }
}

/// Why a query cannot spill, or not read what it has spilled. It comes from below Arrow's writers, which wrap it:
/// [`SpillError::find`] digs it out.
#[derive(Debug, ThisError)]
pub enum SpillError {
    #[error("could not {operation} a spill file in {directory}: {source}")]
    Io { operation: &'static str, directory: String, source: io::Error },
    #[error("spill files of this process have reached their limit of {} MiB (--spill-limit)", .bytes_max >> 20)]
    Limit { bytes_max: u64 },
}

impl SpillError {
    /// The SQLSTATE to answer a client with.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            SpillError::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "53100",
                _ => "58030",
            },
            SpillError::Limit { .. } => "53400",
        }
    }

    /// The spill error inside a query's error, however it was wrapped on its way up.
    pub fn find(error: &DataFusionError) -> Option<&SpillError> {
        find_in(error)
    }
}

fn find_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a SpillError> {
    if let Some(found) = error.downcast_ref::<SpillError>() {
        return Some(found);
    }
    // An error in an `io::Error` is not its source: that error's source is.
    if let Some(io) = error.downcast_ref::<io::Error>() {
        return io.get_ref().and_then(|inner| find_in(inner));
    }
    if let Some(DataFusionError::Collection(errors)) = error.downcast_ref::<DataFusionError>() {
        return errors.iter().find_map(|error| find_in(error));
    }
    error.source().and_then(find_in)
}

/// What the system said, without DataFusion's wrappers.
fn system_error(error: DataFusionError) -> io::Error {
    match error {
        DataFusionError::IoError(error) => innermost(error),
        other => io::Error::other(other),
    }
}

fn innermost(error: io::Error) -> io::Error {
    match error.downcast::<DataFusionError>() {
        Ok(inner) => system_error(inner),
        Err(error) => error,
    }
}

/// Space of a disk that all files of a process share.
struct Space {
    used_bytes: AtomicU64,
    bytes_max: Option<u64>,
}

/// One file's part of the space, given back when the file goes.
struct Part {
    space: Arc<Space>,
    bytes: AtomicU64,
}

impl Part {
    fn take(&self, bytes: u64) -> Result<(), SpillError> {
        let bytes_max = self.space.bytes_max.unwrap_or(u64::MAX);
        let more = |used: u64| used.checked_add(bytes).filter(|used| *used <= bytes_max);
        match self.space.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => {
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(_) => Err(SpillError::Limit { bytes_max }),
        }
    }

    fn give_back(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.space.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.give_back(self.bytes.load(Ordering::Relaxed));
    }
}

/// Where a file is, for messages.
#[derive(Clone)]
struct Place {
    directory: PathBuf,
}

impl Place {
    fn failed(&self, operation: &'static str, source: io::Error) -> DataFusionError {
        DataFusionError::External(Box::new(self.error(operation, source)))
    }

    fn error(&self, operation: &'static str, source: io::Error) -> SpillError {
        SpillError::Io { operation, directory: self.directory.display().to_string(), source }
    }
}

struct LimitedFile {
    file: Arc<dyn SpillFile>,
    place: Place,
    part: Arc<Part>,
}

impl SpillFile for LimitedFile {
    fn path(&self) -> Option<&Path> {
        self.file.path()
    }

    fn size(&self) -> Option<u64> {
        self.file.size()
    }

    fn read_stream(&self) -> Result<Pin<Box<dyn Stream<Item = Result<bytes::Bytes>> + Send>>> {
        let place = self.place.clone();
        let chunks = self.file.read_stream()?;
        Ok(Box::pin(chunks.map(move |chunk| chunk.map_err(|error| place.failed("read", system_error(error))))))
    }

    fn open_writer(&self) -> Result<Box<dyn SpillWriter>> {
        let inner = self.file.open_writer().map_err(|error| self.place.failed("open", system_error(error)))?;
        Ok(Box::new(LimitedWriter { inner, place: self.place.clone(), part: Arc::clone(&self.part) }))
    }
}

struct LimitedWriter {
    inner: Box<dyn SpillWriter>,
    place: Place,
    part: Arc<Part>,
}

impl io::Write for LimitedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let asked = bytes.len() as u64;
        self.part.take(asked).map_err(|full| io::Error::new(io::ErrorKind::QuotaExceeded, full))?;
        match fault("spill").and_then(|()| self.inner.write(bytes)) {
            Ok(written) => {
                self.part.give_back(asked - written as u64);
                Ok(written)
            }
            Err(error) => {
                self.part.give_back(asked);
                let error = innermost(error);
                Err(io::Error::new(error.kind(), self.place.error("write", error)))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl SpillWriter for LimitedWriter {
    fn finish(&mut self) -> Result<()> {
        self.inner.finish()
    }
}

#[cfg(test)]
mod tests;
