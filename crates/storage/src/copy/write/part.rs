//! One file of a COPY TO while it is written.

use super::encoder::Encoder;
use super::exports::Export;
use super::place::{Place, key};
use super::upload::Upload;
use crate::StorageError;
use crate::durable::DurableFile;
use crate::local_files;
use damson_cluster::{ContentId, CopiedPart};
use datafusion::arrow::array::ArrayRef;
use datafusion::error::Result;
use object_store::path::Path as ObjectPath;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// A file's name, and whether it takes the place of another one.
pub(super) struct PartName {
    /// Below the place.
    pub name: String,
    pub replaces: bool,
}

/// A file that is there once it is finished: until then it has no name on a disk, and is no object of a bucket.
pub(super) struct Part {
    url: String,
    encoder: Encoder,
    output: Output,
    rows: u64,
    /// Bytes that were written.
    written: u64,
}

enum Output {
    Local { file: DurableFile, path: PathBuf, export: Arc<Export>, replaces: bool },
    Bucket(Box<Upload>),
}

impl Part {
    /// # Errors
    /// Those of making its directory.
    pub(super) async fn begin(
        place: &Place,
        export: &Arc<Export>,
        PartName { name, replaces }: PartName,
        encoder: Encoder,
    ) -> Result<Self, StorageError> {
        let url = place.url_of(&name);
        let output = match place {
            Place::Local(directory) => {
                let path = directory.join(&name);
                if let Some(directory) = path.parent() {
                    // One of PARTITION BY may be a link.
                    local_files::check_off_runtime(directory).await?;
                    export.make_directory(directory).await?;
                }
                // A file whose writer was cancelled goes a little later; its directory after it.
                let held = Arc::clone(export) as Arc<dyn Send + Sync>;
                let file = DurableFile::begin_holding(temporary(&path, replaces), Some(held));
                Output::Local { file, path, export: Arc::clone(export), replaces }
            }
            Place::Bucket { client, prefix, .. } => {
                let location = ObjectPath::parse(key(prefix, &name)).map_err(|error| StorageError::File {
                    path: url.clone(),
                    message: error.to_string(),
                    sqlstate: "22023",
                })?;
                Output::Bucket(Box::new(Upload::begin(client, location, &url, export, replaces).await?))
            }
        };
        Ok(Part { url, encoder, output, rows: 0, written: 0 })
    }

    /// Rows of the files' columns, in their forms.
    pub(super) fn encode(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        self.encoder.encode(columns, rows)?;
        self.rows += rows as u64;
        Ok(())
    }

    /// Writes what is ready; gives its bytes.
    ///
    /// # Errors
    /// The place's.
    pub(super) async fn write_ready(&mut self) -> Result<usize, StorageError> {
        let mut written = 0;
        while let Some(block) = self.encoder.take_block() {
            written += block.len();
            self.output.write(block).await?;
        }
        self.written += written as u64;
        Ok(written)
    }

    /// As [`Part::write_ready`], of all that can be made ready.
    ///
    /// # Errors
    /// The place's, and the encoder's.
    pub(super) async fn flush(&mut self) -> Result<usize, StorageError> {
        self.encoder.flush()?;
        self.write_ready().await
    }

    /// Bytes that have left it.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// About the file's length so far.
    pub(super) fn bytes(&self) -> u64 {
        self.encoder.file_bytes()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let output = match &self.output {
            Output::Local { .. } => 0,
            Output::Bucket(upload) => upload.memory_bytes(),
        };
        self.encoder.memory_bytes() + output
    }

    /// Makes it a file, whole and on stable storage.
    ///
    /// # Errors
    /// The place's: there is no file then.
    pub(super) async fn finish(self, segment: ContentId) -> Result<CopiedPart, StorageError> {
        let Part { url, encoder, mut output, rows, .. } = self;
        let rest = encoder.finish()?;
        if !rest.is_empty() {
            output.write(rest).await?;
        }
        let bytes = match output {
            Output::Local { file, path, export, replaces: false } => {
                let finished = file.finish(Some(path.clone())).await?;
                let bytes = finished.bytes;
                export.has_written(path);
                finished.keep();
                bytes
            }
            Output::Local { file, path, replaces: true, .. } => file.finish_for_good(path).await?.bytes,
            Output::Bucket(upload) => upload.finish().await?,
        };
        Ok(CopiedPart { url, segment, rows, bytes })
    }
}

impl Output {
    async fn write(&mut self, block: Vec<u8>) -> Result<(), StorageError> {
        match self {
            Output::Local { file, .. } => file.write_block(block.into()).await,
            Output::Bucket(upload) => upload.write_block(block.into()).await,
        }
    }
}

/// A name that COPY FROM passes over, and nobody else has.
fn temporary(path: &Path, replaces: bool) -> PathBuf {
    let name = path.file_name().filter(|_| !replaces).map(|name| name.to_string_lossy().into_owned());
    path.with_file_name(format!(".{}.tmp", name.unwrap_or_else(|| Uuid::now_v7().to_string())))
}
