//! Rows to the bytes of one file.

use super::columns::{Columns, interval_to_text};
use super::compress::Compressor;
use crate::StorageError;
use crate::copy::csv::Dialect;
use crate::copy::print_json;
use crate::copy::print_text::{append_rows, append_text};
use crate::limits::{COPY_TO_PIECE_BYTES, CSV_WRITE_BYTES, ROW_GROUP_BYTES_MAX, ROW_GROUP_ROWS_MAX};
use damson_cluster::{Codec, CopyFormat, CopyTarget};
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions;
use datafusion::parquet::basic::{Compression, GzipLevel, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use std::io;
use std::sync::Arc;

/// How all files of a statement are written.
#[derive(Debug)]
pub(super) struct Encoding {
    kind: Kind,
    codec: Codec,
    /// Names of the files' columns.
    names: Arc<[String]>,
    /// Of Parquet.
    schema: SchemaRef,
}

#[derive(Clone, Debug)]
enum Kind {
    Text(Arc<Dialect>),
    Json,
    Parquet,
}

impl Encoding {
    /// # Errors
    /// 22023 for a format's options that cannot be.
    pub(super) fn new(target: &CopyTarget, columns: &Columns) -> Result<Self, StorageError> {
        let kind = match &target.format {
            CopyFormat::Csv(options) => Kind::Text(Arc::new(Dialect::csv(options)?)),
            CopyFormat::Text(options) => Kind::Text(Arc::new(Dialect::text(options)?)),
            CopyFormat::Json(_) => Kind::Json,
            CopyFormat::Parquet(_) => Kind::Parquet,
        };
        let codec = target.codec.unwrap_or(match kind {
            Kind::Parquet => Codec::Snappy,
            Kind::Text(_) | Kind::Json => Codec::None,
        });
        Ok(Encoding { kind, codec, names: columns.names_in_files().into(), schema: columns.parquet_schema() })
    }

    /// Of a part's name: `csv.gz`.
    pub(super) fn extension(&self, format: &CopyFormat) -> String {
        let format = match format {
            CopyFormat::Csv(_) => "csv",
            CopyFormat::Text(_) => "txt",
            CopyFormat::Json(_) => "json",
            CopyFormat::Parquet(_) => return "parquet".into(),
        };
        let codec = match self.codec {
            Codec::None => return format.into(),
            Codec::Gzip => "gz",
            Codec::Zstd => "zst",
            Codec::Snappy => "sz",
            Codec::Lz4 => "lz4",
        };
        format!("{format}.{codec}")
    }

    /// Of one file, `url`, with the header if there is one.
    ///
    /// # Errors
    /// The libraries', for want of memory.
    pub(super) fn begin(&self, url: &str) -> Result<Encoder, StorageError> {
        match &self.kind {
            Kind::Parquet => self.begin_parquet(url),
            kind => {
                let out = Compressor::new(self.codec).map_err(StorageError::io("compress", url))?;
                let mut text = Vec::with_capacity(COPY_TO_PIECE_BYTES);
                if let Kind::Text(dialect) = kind
                    && dialect.header
                {
                    for (i, name) in self.names.iter().enumerate() {
                        if i > 0 {
                            text.push(dialect.delimiter);
                        }
                        append_text(dialect, name.as_bytes(), false, &mut text);
                    }
                    text.push(b'\n');
                }
                let form = Form::Text { kind: kind.clone(), names: Arc::clone(&self.names), text, out };
                Ok(Encoder { url: url.into(), form, taken_bytes: 0 })
            }
        }
    }

    fn begin_parquet(&self, url: &str) -> Result<Encoder, StorageError> {
        let compression = match self.codec {
            Codec::None => Compression::UNCOMPRESSED,
            Codec::Gzip => Compression::GZIP(GzipLevel::default()),
            Codec::Zstd => Compression::ZSTD(ZstdLevel::default()),
            Codec::Snappy => Compression::SNAPPY,
            Codec::Lz4 => Compression::LZ4_RAW,
        };
        let properties = WriterProperties::builder()
            .set_created_by(concat!("damson ", env!("CARGO_PKG_VERSION")).into())
            .set_compression(compression)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
            .build();
        // Without Arrow's own schema any reader takes it.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(vec![], Arc::clone(&self.schema), options);
        let writer = Box::new(writer.map_err(|error| StorageError::write(url, error))?);
        let form = Form::Parquet { writer, schema: Arc::clone(&self.schema) };
        Ok(Encoder { url: url.into(), form, taken_bytes: 0 })
    }
}

/// One file's rows on their way to bytes.
pub(super) struct Encoder {
    url: String,
    form: Form,
    /// Of the blocks that were taken.
    taken_bytes: u64,
}

#[expect(clippy::large_enum_variant, reason = "one a part")]
enum Form {
    /// Text that is not compressed yet, and what has come out.
    Text {
        kind: Kind,
        names: Arc<[String]>,
        text: Vec<u8>,
        out: Compressor,
    },
    Parquet {
        writer: Box<ArrowWriter<Vec<u8>>>,
        schema: SchemaRef,
    },
}

impl Encoder {
    /// Rows of the files' columns, in their forms.
    pub(super) fn encode(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        match &mut self.form {
            Form::Text { kind, names, text, out } => {
                match kind {
                    Kind::Text(dialect) => append_rows(dialect, columns, rows, text),
                    Kind::Json | Kind::Parquet => print_json::append_rows(names, columns, rows, text),
                }
                if text.len() >= COPY_TO_PIECE_BYTES {
                    compress(out, text).map_err(StorageError::io("compress", &self.url))?;
                }
            }
            Form::Parquet { writer, schema } => {
                let columns = columns.iter().map(interval_to_text).collect();
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
                writer.write(&batch).map_err(|error| StorageError::write(&self.url, error))?;
            }
        }
        Ok(())
    }

    /// Makes what is held ready to be taken, as far as that helps: a Parquet row group ends here.
    ///
    /// # Errors
    /// The library's.
    pub(super) fn flush(&mut self) -> Result<(), StorageError> {
        match &mut self.form {
            Form::Text { text, out, .. } => compress(out, text).map_err(StorageError::io("compress", &self.url)),
            Form::Parquet { writer, .. } => writer.flush().map_err(|error| StorageError::write(&self.url, error)),
        }
    }

    /// A block to be written, if there is one that is worth it.
    pub(super) fn take_block(&mut self) -> Option<Vec<u8>> {
        let (block, least) = match &mut self.form {
            Form::Text { out, .. } => (out.out(), CSV_WRITE_BYTES),
            // Filled by whole row groups.
            Form::Parquet { writer, .. } => (writer.inner_mut(), 1),
        };
        let block = (block.len() >= least).then(|| std::mem::take(block))?;
        self.taken_bytes += block.len() as u64;
        Some(block)
    }

    /// The rest.
    ///
    /// # Errors
    /// The libraries'.
    pub(super) fn finish(self) -> Result<Vec<u8>, StorageError> {
        let url = self.url;
        match self.form {
            Form::Text { mut text, mut out, .. } => {
                let rest = compress(&mut out, &mut text).and_then(|()| out.finish());
                rest.map_err(StorageError::io("compress", &url))
            }
            Form::Parquet { mut writer, .. } => {
                writer.finish().map_err(|error| StorageError::write(&url, error))?;
                Ok(std::mem::take(writer.inner_mut()))
            }
        }
    }

    /// Bytes of the file so far, those inside guessed.
    pub(super) fn file_bytes(&self) -> u64 {
        let inside = match &self.form {
            // Not compressed yet: a piece at most.
            Form::Text { text, out: Compressor::None(out), .. } => text.len() + out.len(),
            Form::Text { out, .. } => out.out_bytes(),
            Form::Parquet { writer, .. } => writer.inner().len() + writer.in_progress_size(),
        };
        self.taken_bytes + inside as u64
    }

    pub(super) fn memory_bytes(&self) -> usize {
        match &self.form {
            Form::Text { text, out, .. } => text.capacity() + out.out_bytes() + out.state_bytes(),
            Form::Parquet { writer, .. } => writer.memory_size() + writer.inner().len(),
        }
    }
}

fn compress(out: &mut Compressor, text: &mut Vec<u8>) -> io::Result<()> {
    match out {
        // As it is.
        Compressor::None(block) if block.is_empty() => {
            std::mem::swap(block, text);
            text.reserve(COPY_TO_PIECE_BYTES);
        }
        other => other.write(text)?,
    }
    text.clear();
    Ok(())
}
