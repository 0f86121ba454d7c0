//! A table's error log: the rows of COPY's files that its segment has passed over.
//!
//! Each writer has a file of its own, JSON of one [`BadRow`] a line. What is written is only added to, so that of a writer that was cut
//! short all lines but the last hold. The log belongs to no transaction: rows stay when their statement fails.

use crate::directory_sync::sync_directory;
use crate::durable::create_directories;
use crate::limits::{ERROR_LOG_BYTES_MAX, ERROR_LOG_FILE_BYTES_MAX};
use crate::{StorageError, TableStore, blocking};
use damson_cluster::{BadRow, TableId};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Where a data directory's error logs are: `errlog/t{table}/{uuid}.jsonl`.
const ERROR_LOGS: &str = "errlog";

/// One table's log on one segment.
#[derive(Clone, Debug)]
pub struct ErrorLog {
    directory: PathBuf,
}

/// Adds the bad rows of one statement.
///
/// # Memory
/// The rows of one call, as JSON.
///
/// # Disk
/// At most [`ERROR_LOG_FILE_BYTES_MAX`]: rows after that are counted, not kept. A log that is longer than [`ERROR_LOG_BYTES_MAX`] loses
/// its oldest files when a writer begins.
#[derive(Debug)]
pub struct ErrorLogWriter {
    directory: PathBuf,
    /// Made with the first row.
    file: Option<File>,
    bytes: u64,
    is_full: bool,
}

impl TableStore {
    pub fn error_log(&self, table: TableId) -> ErrorLog {
        ErrorLog { directory: self.data_dir().join(ERROR_LOGS).join(table.to_string()) }
    }

    /// The tables that have logs, in no order.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub async fn error_logs(&self) -> Result<Vec<TableId>, StorageError> {
        let directory = self.data_dir().join(ERROR_LOGS);
        let list = {
            let directory = directory.clone();
            move || -> io::Result<Vec<TableId>> {
                let entries = match fs::read_dir(&directory) {
                    Ok(entries) => entries,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
                    Err(error) => return Err(error),
                };
                let mut tables = vec![];
                for entry in entries {
                    let name = entry?.file_name();
                    let number = name.to_str().and_then(|name| name.strip_prefix('t'));
                    tables.extend(number.and_then(|number| number.parse().ok()).map(TableId));
                }
                Ok(tables)
            }
        };
        blocking::run("read", &directory, list).await
    }
}

impl ErrorLog {
    pub fn writer(&self) -> ErrorLogWriter {
        ErrorLogWriter { directory: self.directory.clone(), file: None, bytes: 0, is_full: false }
    }

    /// All rows, the oldest first. A line that was cut short is passed over.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub async fn read(&self) -> Result<Vec<BadRow>, StorageError> {
        let directory = self.directory.clone();
        let read = move || -> io::Result<Vec<BadRow>> {
            let mut rows = vec![];
            for (path, _) in files(&directory)? {
                let file = match File::open(&path) {
                    Ok(file) => file,
                    // Someone truncates the log.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                for line in BufReader::new(file).split(b'\n') {
                    rows.extend(serde_json::from_slice::<BadRow>(&line?));
                }
            }
            rows.sort_by_key(|row| row.time_us);
            Ok(rows)
        };
        blocking::run("read", &self.directory, read).await
    }

    /// Forgets all rows. A writer that is at work goes on with its file, which nobody sees any more.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub async fn truncate(&self) -> Result<(), StorageError> {
        let directory = self.directory.clone();
        let remove = move || files(&directory)?.iter().try_for_each(|(path, _)| remove(path));
        blocking::run("truncate", &self.directory, remove).await
    }

    /// The table is no more: nothing is left of its log.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub async fn remove(&self) -> Result<(), StorageError> {
        let directory = self.directory.clone();
        let remove = move || match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        blocking::run("remove", &self.directory, remove).await
    }
}

impl ErrorLogWriter {
    /// # Errors
    /// [`StorageError::Io`]; nothing can be added after one.
    pub(crate) async fn add(&mut self, rows: Vec<BadRow>) -> Result<(), StorageError> {
        if self.is_full {
            return Ok(());
        }
        let (directory, file) = (self.directory.clone(), self.file.take());
        let write = move || -> io::Result<(File, u64)> {
            let mut file = file.map_or_else(|| begin(&directory), Ok)?;
            let mut lines = vec![];
            for row in &rows {
                serde_json::to_writer(&mut lines, row)?;
                lines.push(b'\n');
            }
            file.write_all(&lines)?;
            Ok((file, lines.len() as u64))
        };
        let (file, bytes) = blocking::run("write", &self.directory, write).await?;
        self.file = Some(file);
        self.bytes += bytes;
        if self.bytes >= ERROR_LOG_FILE_BYTES_MAX {
            self.is_full = true;
            tracing::warn!(path = %self.directory.display(), "an error log is full: bad rows are only counted");
        }
        Ok(())
    }

    /// What was added is on stable storage.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub(crate) async fn finish(&mut self) -> Result<(), StorageError> {
        let Some(file) = self.file.take() else { return Ok(()) };
        self.is_full = true;
        let directory = self.directory.clone();
        let sync = move || -> io::Result<()> {
            file.sync_all()?;
            sync_directory(&directory)
        };
        blocking::run("sync", &self.directory, sync).await
    }
}

/// A new file in a log that has room for it.
fn begin(directory: &Path) -> io::Result<File> {
    create_directories(directory)?;
    let files = files(directory)?;
    let mut bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    for (path, file_bytes) in &files {
        if bytes + ERROR_LOG_FILE_BYTES_MAX <= ERROR_LOG_BYTES_MAX {
            break;
        }
        remove(path)?;
        bytes -= file_bytes;
    }
    // Names of the seventh version sort by time.
    File::create_new(directory.join(format!("{}.jsonl", Uuid::now_v7())))
}

/// The log's files and their bytes, the oldest first; none where there is no log.
fn files(directory: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(error),
    };
    let mut files = vec![];
    for entry in entries {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) => files.push((entry.path(), metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    files.sort();
    Ok(files)
}

/// A file that is gone already is as good.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::ContentId;

    fn row(line: u64) -> BadRow {
        BadRow {
            time_us: line as i64,
            file: "/f".into(),
            line,
            byte_offset: Some(1),
            column: None,
            sqlstate: "22P04".into(),
            message: "m".into(),
            raw: Some("a\nb".into()),
        }
    }

    #[tokio::test]
    async fn what_is_added_reads_back_until_it_is_truncated() {
        let dir = tempfile::tempdir().unwrap();
        let store = TableStore::open(ContentId(0), dir.path()).unwrap();
        let log = store.error_log(TableId(7));
        assert!(log.read().await.unwrap().is_empty());
        log.truncate().await.unwrap();

        let (mut one, mut two) = (log.writer(), log.writer());
        one.add(vec![row(1), row(3)]).await.unwrap();
        two.add(vec![row(2)]).await.unwrap();
        one.add(vec![row(4)]).await.unwrap();
        one.finish().await.unwrap();
        two.finish().await.unwrap();
        assert_eq!(log.read().await.unwrap(), [row(1), row(2), row(3), row(4)]);
        assert!(store.error_log(TableId(8)).read().await.unwrap().is_empty());

        // A process that ended within a line.
        fs::write(log.directory.join("z.jsonl"), b"{\"time_us\":").unwrap();
        assert_eq!(log.read().await.unwrap().len(), 4);
        log.truncate().await.unwrap();
        assert!(log.read().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn logs_of_tables_that_are_no_more_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = TableStore::open(ContentId(0), dir.path()).unwrap();
        assert!(store.error_logs().await.unwrap().is_empty());
        for table in [7, 8] {
            let mut writer = store.error_log(TableId(table)).writer();
            writer.add(vec![row(1)]).await.unwrap();
        }
        let mut tables = store.error_logs().await.unwrap();
        tables.sort();
        assert_eq!(tables, [TableId(7), TableId(8)]);
        store.error_log(TableId(7)).remove().await.unwrap();
        store.error_log(TableId(7)).remove().await.expect("there is nothing to remove");
        assert_eq!(store.error_logs().await.unwrap(), [TableId(8)]);
        assert_eq!(store.error_log(TableId(8)).read().await.unwrap(), [row(1)]);
    }

    #[tokio::test]
    async fn the_oldest_files_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let log = TableStore::open(ContentId(0), dir.path()).unwrap().error_log(TableId(7));
        fs::create_dir_all(&log.directory).unwrap();
        for name in ["0", "1", "2"] {
            let file = File::create(log.directory.join(name)).unwrap();
            file.set_len(ERROR_LOG_BYTES_MAX / 2).unwrap();
        }
        let mut writer = log.writer();
        writer.add(vec![row(1)]).await.unwrap();
        let names: Vec<PathBuf> = files(&log.directory).unwrap().into_iter().map(|(path, _)| path).collect();
        assert!(names.len() == 2 && names.iter().any(|name| name.ends_with("2")), "{names:?}");
    }
}
