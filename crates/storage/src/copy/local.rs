//! Positioned reads of COPY's local files, off the query runtime.

use crate::{StorageError, blocking};
use bytes::Bytes;
use datafusion::common::runtime::SpawnedTask;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open file; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct LocalFile {
    pub path: Arc<PathBuf>,
    file: Arc<File>,
    pub bytes: u64,
}

impl LocalFile {
    pub(crate) async fn open(path: &str) -> Result<Self, StorageError> {
        let path = PathBuf::from(path);
        let target = path.clone();
        let (file, bytes) = blocking::run("open", &path, move || {
            let file = File::open(target)?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            Ok((file, metadata.len()))
        })
        .await?;
        Ok(LocalFile { path: Arc::new(path), file: Arc::new(file), bytes })
    }

    /// Begins to read up to `bytes` bytes at `offset`; fewer come back only at the file's end.
    pub(crate) fn begin_read(&self, offset: u64, bytes: usize) -> SpawnedTask<io::Result<Vec<u8>>> {
        let file = Arc::clone(&self.file);
        SpawnedTask::spawn_blocking(move || {
            let mut block = vec![0; bytes];
            let filled = fill(&file, offset, &mut block)?;
            block.truncate(filled);
            Ok(block)
        })
    }

    pub(crate) async fn await_read(&self, task: SpawnedTask<io::Result<Vec<u8>>>) -> Result<Vec<u8>, StorageError> {
        let result = match task.join_unwind().await {
            Ok(result) => result,
            Err(shut_down) => Err(io::Error::other(shut_down)),
        };
        result.map_err(StorageError::io("read", self.path.as_path()))
    }

    /// The number, from 1, of the line that holds the byte at `offset`: reads all that is before it.
    pub(crate) async fn line_at(&self, offset: u64) -> Result<u64, StorageError> {
        let file = Arc::clone(&self.file);
        blocking::run("read", &self.path, move || {
            let mut block = vec![0; 1 << 20];
            let (mut at, mut lines) = (0, 1);
            while at < offset {
                let wanted = block.len().min((offset - at) as usize);
                let filled = fill(&file, at, &mut block[..wanted])?;
                if filled == 0 {
                    break;
                }
                lines += memchr::memchr_iter(b'\n', &block[..filled]).count() as u64;
                at += filled as u64;
            }
            Ok(lines)
        })
        .await
    }
}

fn fill(file: &File, offset: u64, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read_at(&mut block[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl AsyncFileReader for LocalFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move {
            let wanted = usize::try_from(range.end - range.start)?;
            let block = self.await_read(self.begin_read(range.start, wanted)).await;
            let block = block.map_err(|error| ParquetError::External(Box::new(error)))?;
            if block.len() < wanted {
                return Err(ParquetError::EOF(format!("{} ends at {}", display(&self.path), self.bytes)));
            }
            Ok(block.into())
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let bytes = self.bytes;
            let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
            Ok(Arc::new(reader.load_and_finish(self, bytes).await?))
        }
        .boxed()
    }
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
