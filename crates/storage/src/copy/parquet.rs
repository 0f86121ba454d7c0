//! A file's share of row groups to batches of the target's types.

use crate::StorageError;
use crate::limits::{BATCH_ROWS, ERROR_VALUE_BYTES_MAX};
use crate::source::SourceFile;
use crate::text::{RowError, parse_column, type_name};
use damson_cluster::{CopyFile, CopyUnit, SourceAccess};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Field, Float32Type, Float64Type, Schema, SchemaRef,
};
use datafusion::arrow::error::ArrowError;
use datafusion::error::Result;
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use datafusion::parquet::arrow::async_reader::{ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder};
use datafusion::parquet::errors::ParquetError;
use futures::StreamExt;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

/// Reads units one after the other.
pub(crate) struct ParquetReader {
    schema: SchemaRef,
    units: VecDeque<CopyUnit>,
    access: SourceAccess,
    current: Option<Share>,
}

/// The unit that is being read.
struct Share {
    path: String,
    rows: ParquetRecordBatchStream<SourceFile>,
    /// Position in the stream's batches, by target column.
    positions: Vec<usize>,
}

impl ParquetReader {
    pub(crate) fn new(schema: SchemaRef, units: Vec<CopyUnit>, access: SourceAccess) -> Self {
        ParquetReader { schema, units: units.into(), access, current: None }
    }

    pub(crate) async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(share) = &mut self.current {
                match share.rows.next().await {
                    Some(batch) => {
                        let batch = batch.map_err(|error| unreadable(&share.path, error))?;
                        return Ok(Some(share.convert(&batch, &self.schema)?));
                    }
                    None => self.current = None,
                }
            }
            match self.units.pop_front() {
                None => return Ok(None),
                Some(CopyUnit::RowGroups { file, row_groups }) => {
                    self.current = Some(Share::open(&file, row_groups, &self.schema, &self.access).await?);
                }
                Some(CopyUnit::Records { file, .. }) => {
                    let message = "a unit of text in a Parquet plan".into();
                    return Err(StorageError::File { path: file.url, message, sqlstate: "XX000" }.into());
                }
            }
        }
    }
}

pub(crate) fn unreadable(path: &str, error: ParquetError) -> StorageError {
    let error = datafusion::error::DataFusionError::from(error);
    let (message, sqlstate) = match StorageError::find(&error) {
        Some(StorageError::File { message, sqlstate, .. }) => (message.clone(), *sqlstate),
        Some(inner) => (inner.to_string(), inner.sqlstate()),
        None => (format!("not a readable Parquet file: {}", error.strip_backtrace()), "22P04"),
    };
    StorageError::File { path: path.into(), message, sqlstate }
}

impl Share {
    async fn open(
        listed: &CopyFile,
        row_groups: Vec<usize>,
        target: &SchemaRef,
        access: &SourceAccess,
    ) -> Result<Self, StorageError> {
        let path = listed.url.clone();
        let mut file = SourceFile::open(listed, access).await?;
        let bad = |error: ParquetError| unreadable(&path, error);
        let found = ArrowReaderMetadata::load_async(&mut file, ArrowReaderOptions::new()).await.map_err(bad)?;
        if let Some(row_group) = row_groups.iter().find(|&&row_group| row_group >= found.metadata().num_row_groups()) {
            let message = format!("it has no row group {row_group} any more");
            return Err(StorageError::File { path, message, sqlstate: "55000" });
        }
        let sources = match_columns(&path, found.schema(), target)?;
        // Text straight into views.
        let options = ArrowReaderOptions::new().with_schema(Arc::new(as_views(found.schema())));
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(found.metadata()), options).map_err(bad)?;
        let mask = ProjectionMask::roots(metadata.parquet_schema(), sources.iter().copied());
        let rows = ParquetRecordBatchStreamBuilder::new_with_metadata(file, metadata)
            .with_row_groups(row_groups)
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(bad)?;
        // The stream has its columns in the file's order.
        let mut sorted = sources.clone();
        sorted.sort_unstable();
        let positions = sources.iter().map(|source| sorted.partition_point(|s| s < source)).collect();
        Ok(Share { path, rows, positions })
    }

    fn convert(&self, batch: &RecordBatch, target: &SchemaRef) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(target.fields().len());
        for (field, &position) in target.fields().iter().zip(&self.positions) {
            let column = convert(batch.column(position), field.data_type()).map_err(|mismatch| {
                let Mismatch { message, sqlstate } = mismatch;
                StorageError::Column { path: self.path.clone(), column: field.name().clone(), message, sqlstate }
            })?;
            if !field.is_nullable() && column.null_count() > 0 {
                let message = format!("null value in column \"{}\" violates not-null constraint", field.name());
                let (path, column) = (self.path.clone(), field.name().clone());
                return Err(StorageError::Column { path, column, message, sqlstate: "23502" }.into());
            }
            columns.push(column);
        }
        Ok(RecordBatch::try_new(Arc::clone(target), columns)?)
    }
}

/// The file's column for each target column: by name when the file has all the names, else by position.
fn match_columns(path: &str, file: &Schema, target: &Schema) -> Result<Vec<usize>, StorageError> {
    let by_name = |field: &Arc<Field>| {
        let fields = file.fields();
        let exact = fields.iter().position(|source| source.name() == field.name());
        exact.or_else(|| fields.iter().position(|source| source.name().eq_ignore_ascii_case(field.name())))
    };
    if let Some(positions) = target.fields().iter().map(by_name).collect() {
        return Ok(positions);
    }
    if file.fields().len() == target.fields().len() {
        return Ok((0..target.fields().len()).collect());
    }
    let missing = target.fields().iter().find(|field| by_name(field).is_none());
    let message = format!(
        "it has {} columns for {}, and none named \"{}\"",
        file.fields().len(),
        target.fields().len(),
        missing.map_or("", |field| field.name())
    );
    Err(StorageError::File { path: path.into(), message, sqlstate: "22P04" })
}

fn as_views(schema: &Schema) -> Schema {
    let view = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        DataType::Binary | DataType::LargeBinary => {
            Arc::new(field.as_ref().clone().with_data_type(DataType::BinaryView))
        }
        _ => Arc::clone(field),
    };
    Schema::new_with_metadata(schema.fields().iter().map(view).collect::<Vec<_>>(), schema.metadata().clone())
}

#[derive(Debug)]
struct Mismatch {
    message: String,
    sqlstate: &'static str,
}

/// A checked cast with PostgreSQL's rounding: a value that does not fit is an error, never NULL and never another value.
fn convert(column: &ArrayRef, target: &DataType) -> Result<ArrayRef, Mismatch> {
    let source = column.data_type();
    if source == target {
        return Ok(Arc::clone(column));
    }
    let is_text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let text_like = is_text(source) || matches!(source, DataType::Dictionary(_, values) if is_text(values));
    if text_like {
        let texts = cast(column, &DataType::Utf8View)?;
        return if *target == DataType::Utf8View { Ok(texts) } else { parse(&texts, target) };
    }
    match (source, target) {
        // Arrow truncates these; PostgreSQL rounds numeric half away from zero and floats half to even.
        (DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s), to)
            if is_integer(to) && *s > 0 =>
        {
            let whole = DataType::Decimal128((p + 1).min(DECIMAL128_MAX_PRECISION), 0);
            cast(&cast(column, &whole)?, target)
        }
        (DataType::Float32, to) if is_integer(to) => {
            let rounded = column.as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::round_ties_even);
            cast(&(Arc::new(rounded) as ArrayRef), target)
        }
        (DataType::Float64, to) if is_integer(to) => {
            let rounded = column.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::round_ties_even);
            cast(&(Arc::new(rounded) as ArrayRef), target)
        }
        // An overflow to infinity that Arrow lets pass.
        (DataType::Float64, DataType::Float32) => {
            let narrowed = cast(column, target)?;
            let (wide, narrow) = (column.as_primitive::<Float64Type>(), narrowed.as_primitive::<Float32Type>());
            let overflow = wide.iter().zip(narrow).find_map(|(wide, narrow)| match (wide, narrow) {
                (Some(wide), Some(narrow)) if wide.is_finite() && narrow.is_infinite() => Some(wide),
                _ => None,
            });
            match overflow {
                Some(value) => {
                    Err(Mismatch { message: format!("value {value} is out of range for type real"), sqlstate: "22003" })
                }
                None => Ok(narrowed),
            }
        }
        _ => cast(column, target),
    }
}

fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int16 | DataType::Int32 | DataType::Int64)
}

fn cast(column: &ArrayRef, target: &DataType) -> Result<ArrayRef, Mismatch> {
    if !can_cast_types(column.data_type(), target) {
        let to = type_name(target).unwrap_or_else(|| target.to_string());
        let message = format!("the file has type {}, which cannot become {to}", column.data_type());
        return Err(Mismatch { message, sqlstate: "42804" });
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, target, &options).map_err(|error| {
        let message = match error {
            ArrowError::CastError(message) | ArrowError::InvalidArgumentError(message) => message,
            ArrowError::ComputeError(message) | ArrowError::ArithmeticOverflow(message) => message,
            other => other.to_string(),
        };
        Mismatch { message, sqlstate: "22003" }
    })
}

fn parse(texts: &ArrayRef, target: &DataType) -> Result<ArrayRef, Mismatch> {
    let Some(name) = type_name(target) else { return cast(texts, target) };
    let values = texts.as_string_view();
    parse_column(target, values.iter().map(|text| text.map(Cow::Borrowed))).map_err(|RowError { row, error }| {
        let value = values.value(row);
        let value = &value[..value.floor_char_boundary(ERROR_VALUE_BYTES_MAX)];
        Mismatch { message: format!("{}: \"{value}\"", error.message(&name)), sqlstate: error.sqlstate() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Decimal128Array, Float64Array, Int64Array, StringArray};
    use datafusion::arrow::datatypes::{Decimal64Type, Int32Type, Int64Type};

    #[test]
    fn casts_round_and_never_wrap() {
        let decimals = Arc::new(
            Decimal128Array::from(vec![Some(250), Some(-250), Some(249), None])
                .with_precision_and_scale(20, 2)
                .unwrap(),
        ) as ArrayRef;
        let ints = convert(&decimals, &DataType::Int32).unwrap();
        assert_eq!(ints.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(3), Some(-3), Some(2), None]);
        let narrow = convert(&decimals, &DataType::Decimal64(5, 1)).unwrap();
        assert_eq!(narrow.as_primitive::<Decimal64Type>().values()[..3], [25, -25, 25]);
        assert_eq!(convert(&decimals, &DataType::Decimal64(2, 2)).unwrap_err().sqlstate, "22003");

        let floats = Arc::new(Float64Array::from(vec![2.5, 3.5, -2.5])) as ArrayRef;
        let ints = convert(&floats, &DataType::Int64).unwrap();
        assert_eq!(ints.as_primitive::<Int64Type>().values()[..], [2, 4, -2]);
        for bad in [1e30, f64::NAN] {
            let floats = Arc::new(Float64Array::from(vec![bad])) as ArrayRef;
            assert_eq!(convert(&floats, &DataType::Int64).unwrap_err().sqlstate, "22003");
        }
        let floats = Arc::new(Float64Array::from(vec![1e300])) as ArrayRef;
        assert_eq!(convert(&floats, &DataType::Float32).unwrap_err().sqlstate, "22003");

        let large = Arc::new(Int64Array::from(vec![1i64 << 31])) as ArrayRef;
        assert_eq!(convert(&large, &DataType::Int32).unwrap_err().sqlstate, "22003");

        let texts = Arc::new(StringArray::from(vec!["1994-02-30"])) as ArrayRef;
        assert_eq!(convert(&texts, &DataType::Date32).unwrap_err().sqlstate, "22008");
        assert_eq!(convert(&ints, &DataType::FixedSizeBinary(16)).unwrap_err().sqlstate, "42804");
    }

    #[test]
    fn columns_match_by_name_else_by_position() {
        let schema = |names: &[&str]| {
            Schema::new(names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect::<Vec<_>>())
        };
        let target = schema(&["a", "b"]);
        assert_eq!(match_columns("f", &schema(&["B", "x", "a"]), &target).unwrap(), [2, 0]);
        assert_eq!(match_columns("f", &schema(&["x", "y"]), &target).unwrap(), [0, 1]);
        let error = match_columns("f", &schema(&["x", "a", "z"]), &target).unwrap_err();
        assert!(error.to_string().contains("none named \"b\""), "{error}");
    }
}
