//! The operator that writes a segment's file of COPY TO.

use crate::StorageError;
use crate::copy::csv::Dialect;
use crate::copy::print_json;
use crate::copy::print_text::{append_rows, append_text};
use crate::durable::DurableFile;
use crate::limits::{CSV_WRITE_BYTES, ROW_GROUP_BYTES_MAX, ROW_GROUP_ROWS_MAX};
use crate::sink::{SinkExec, Target, Written};
use crate::text::{ColumnPrinter, type_name};
use async_trait::async_trait;
use damson_cluster::CopyFormat;
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringViewBuilder};
use datafusion::arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::StreamExt;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// A sink that writes `input`'s rows to one file, `dir/file_stem.csv`, `.txt`, `.json` or `.parquet`, also when there are none. One
/// partition, one batch of one row: `rows` (UInt64) and `files` (Binary, JSON of the paths). The file has its name once
/// it is whole and on stable storage; one of that name is replaced.
///
/// CSV is PostgreSQL's: a value is quoted when it holds a delimiter, a quote, a line end, or equals the NULL text. Parquet
/// is Snappy's, without Arrow's own schema so that any reader takes it; intervals are text in it.
///
/// # Memory
/// CSV: about two blocks of [`crate::limits::CSV_WRITE_BYTES`]. Parquet: as [`crate::TableStore::write`].
///
/// # Cancellation
/// Dropping the stream before its row removes the file.
///
/// # Errors
/// A column that no text stands for (0A000). The stream: [`StorageError::Io`] (53100 on a full disk), or the input's.
pub fn copy_write(
    input: Arc<dyn ExecutionPlan>,
    dir: &str,
    file_stem: &str,
    format: &CopyFormat,
) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    let columns = input.schema();
    let mut forms = Vec::with_capacity(columns.fields().len());
    for field in columns.fields() {
        let form = exported(field.data_type()).ok_or_else(|| StorageError::UnsupportedType {
            column: field.name().clone(),
            data_type: field.data_type().to_string(),
            what: "COPY TO",
        })?;
        forms.push(form);
    }
    let (encoding, extension) = match format {
        CopyFormat::Csv(options) => (Encoding::Text(Dialect::csv(options)?), "csv"),
        CopyFormat::Text(options) => (Encoding::Text(Dialect::text(options)?), "txt"),
        CopyFormat::Json(_) => (Encoding::Json, "json"),
        CopyFormat::Parquet(_) => (Encoding::Parquet, "parquet"),
    };
    let target = CopyWrite {
        dir: dir.into(),
        path: Path::new(dir).join(format!("{file_stem}.{extension}")),
        columns: columns.fields().iter().map(|field| field.name().clone()).collect(),
        forms,
        encoding,
    };
    Ok(Arc::new(SinkExec::new(input, Arc::new(target))))
}

/// The table type that a column is written as; None if there is none.
fn exported(data_type: &DataType) -> Option<DataType> {
    use DataType::*;
    if type_name(data_type).is_some() {
        return Some(data_type.clone());
    }
    let form = match data_type {
        Int8 | UInt8 => Int16,
        UInt16 => Int32,
        UInt32 => Int64,
        Float16 => Float32,
        Binary | LargeBinary | FixedSizeBinary(_) => BinaryView,
        Date64 | Timestamp(_, None) => Timestamp(TimeUnit::Microsecond, None),
        Timestamp(_, Some(zone)) => Timestamp(TimeUnit::Microsecond, Some(Arc::clone(zone))),
        Time32(_) | Time64(_) => Time64(TimeUnit::Microsecond),
        Decimal32(precision, scale) => Decimal64(*precision, *scale),
        Interval(_) => Interval(IntervalUnit::MonthDayNano),
        _ => Utf8View,
    };
    can_cast_types(data_type, &form).then_some(form)
}

#[derive(Debug)]
struct CopyWrite {
    dir: PathBuf,
    path: PathBuf,
    columns: Vec<String>,
    /// By column: see [`exported`].
    forms: Vec<DataType>,
    encoding: Encoding,
}

#[derive(Debug)]
enum Encoding {
    Text(Dialect),
    Json,
    Parquet,
}

#[async_trait]
impl Target for CopyWrite {
    fn name(&self) -> &'static str {
        "CopyWrite"
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file={}", self.path.display())
    }

    fn columns(&self) -> [&'static str; 2] {
        ["rows", "files"]
    }

    async fn write(
        &self,
        mut input: SendableRecordBatchStream,
        context: Arc<TaskContext>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Written> {
        let reservation = MemoryConsumer::new("CopyWrite").register(context.memory_pool());
        let compute = MetricBuilder::new(metrics).subset_time("encode_time", 0);
        let bytes_written = MetricBuilder::new(metrics).counter("bytes_written", 0);
        let mut file = DurableFile::create(self.dir.join(format!(".{}.tmp", Uuid::now_v7()))).await?;
        let mut encoder = self.encoder()?;
        let mut rows = 0;
        loop {
            let batch = input.next().await.transpose()?;
            {
                let _timer = compute.timer();
                match &batch {
                    Some(batch) => {
                        rows += batch.num_rows() as u64;
                        self.encode(&mut encoder, batch)?;
                    }
                    None => encoder.finish(&self.path)?,
                }
            }
            reservation.try_resize(encoder.memory_bytes())?;
            if let Some(block) = encoder.take_block(batch.is_none()) {
                bytes_written.add(block.len());
                file.write_block(block.into()).await?;
            }
            if batch.is_none() {
                break;
            }
        }
        let finished = file.finish(Some(self.path.clone())).await?;
        let report = serde_json::to_vec(&[self.path.display().to_string()])
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Written { rows, report, files: vec![finished], returned: Default::default() })
    }
}

enum Encoder {
    Text(Vec<u8>),
    Parquet { writer: Box<ArrowWriter<Vec<u8>>>, schema: SchemaRef },
}

impl Encoder {
    fn memory_bytes(&self) -> usize {
        match self {
            Encoder::Text(text) => text.capacity(),
            Encoder::Parquet { writer, .. } => writer.memory_size(),
        }
    }

    /// What is ready to be written; the rest of it too if this is the last call.
    fn take_block(&mut self, last: bool) -> Option<Vec<u8>> {
        let (block, least) = match self {
            Encoder::Text(text) => (text, if last { 1 } else { CSV_WRITE_BYTES }),
            // Filled by whole row groups.
            Encoder::Parquet { writer, .. } => (writer.inner_mut(), 1),
        };
        (block.len() >= least).then(|| std::mem::take(block))
    }

    fn finish(&mut self, path: &Path) -> Result<(), StorageError> {
        if let Encoder::Parquet { writer, .. } = self {
            writer.finish().map_err(|error| StorageError::write(&path.display().to_string(), error))?;
        }
        Ok(())
    }
}

impl CopyWrite {
    fn encoder(&self) -> Result<Encoder, StorageError> {
        match &self.encoding {
            Encoding::Json => Ok(Encoder::Text(Vec::with_capacity(CSV_WRITE_BYTES + CSV_WRITE_BYTES / 4))),
            Encoding::Text(dialect) => {
                let mut text = Vec::with_capacity(CSV_WRITE_BYTES + CSV_WRITE_BYTES / 4);
                if dialect.header {
                    for (i, name) in self.columns.iter().enumerate() {
                        if i > 0 {
                            text.push(dialect.delimiter);
                        }
                        append_text(dialect, name.as_bytes(), false, &mut text);
                    }
                    text.push(b'\n');
                }
                Ok(Encoder::Text(text))
            }
            Encoding::Parquet => {
                let form = |(name, form): (&String, &DataType)| match form {
                    DataType::Interval(_) => Field::new(name, DataType::Utf8View, true),
                    form => Field::new(name, form.clone(), true),
                };
                let fields: Vec<Field> = self.columns.iter().zip(&self.forms).map(form).collect();
                let schema = Arc::new(Schema::new(fields));
                let properties = WriterProperties::builder()
                    .set_created_by(concat!("damson ", env!("CARGO_PKG_VERSION")).into())
                    .set_compression(Compression::SNAPPY)
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
                    .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
                    .build();
                let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
                let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&schema), options)
                    .map_err(|error| StorageError::write(&self.path.display().to_string(), error))?;
                Ok(Encoder::Parquet { writer: Box::new(writer), schema })
            }
        }
    }

    fn encode(&self, encoder: &mut Encoder, batch: &RecordBatch) -> Result<()> {
        let options = CastOptions { safe: false, ..CastOptions::default() };
        let form = |(column, form): (&ArrayRef, &DataType)| match column.data_type() == form {
            true => Ok(Arc::clone(column)),
            false => cast_with_options(column, form, &options),
        };
        let columns: Vec<ArrayRef> = batch.columns().iter().zip(&self.forms).map(form).collect::<Result<_, _>>()?;
        match (encoder, &self.encoding) {
            (Encoder::Text(text), Encoding::Text(dialect)) => {
                append_rows(dialect, &columns, batch.num_rows(), text);
                Ok(())
            }
            (Encoder::Text(text), Encoding::Json) => {
                print_json::append_rows(&self.columns, &columns, batch.num_rows(), text);
                Ok(())
            }
            (Encoder::Parquet { writer, schema }, _) => {
                let columns = columns.iter().map(interval_to_text).collect();
                let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
                writer.write(&batch).map_err(|error| StorageError::write(&self.path.display().to_string(), error))?;
                Ok(())
            }
            (Encoder::Text(_), Encoding::Parquet) => unreachable!("the encoder is made for the encoding"),
        }
    }
}

fn interval_to_text(column: &ArrayRef) -> ArrayRef {
    let Some(printer @ ColumnPrinter::Interval(_)) = ColumnPrinter::new(column) else { return Arc::clone(column) };
    let mut out = StringViewBuilder::with_capacity(column.len());
    let mut text = Vec::new();
    for row in 0..column.len() {
        if column.is_null(row) {
            out.append_null();
            continue;
        }
        text.clear();
        printer.print(row, &mut text);
        out.append_value(String::from_utf8_lossy(&text));
    }
    Arc::new(out.finish())
}
