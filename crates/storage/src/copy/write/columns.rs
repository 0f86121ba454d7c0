//! Columns in the forms in which files have them.

use crate::StorageError;
use crate::text::{ColumnPrinter, type_name};
use datafusion::arrow::array::{Array, ArrayRef, StringViewBuilder};
use datafusion::arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::error::ArrowError;
use std::sync::Arc;

/// The columns of a COPY TO: all of them, in the query's order.
#[derive(Debug)]
pub(super) struct Columns {
    names: Vec<String>,
    /// By column: see [`exported`].
    forms: Vec<DataType>,
    /// Positions of those whose values are directories.
    pub partition_by: Vec<usize>,
    /// Positions of the others.
    in_files: Vec<usize>,
}

impl Columns {
    /// Rows of `schema`, whose columns have these names in files.
    ///
    /// # Errors
    /// 0A000 for a column that no text stands for.
    ///
    /// # Panics
    /// If there are not as many names as columns.
    pub(super) fn new(schema: &Schema, names: &[String], partition_by: &[usize]) -> Result<Self, StorageError> {
        assert_eq!(schema.fields().len(), names.len(), "every column has a name");
        let form = |(field, name): (&Arc<Field>, &String)| {
            exported(field.data_type()).ok_or_else(|| StorageError::UnsupportedType {
                column: name.clone(),
                data_type: field.data_type().to_string(),
                what: "COPY TO",
            })
        };
        let forms = schema.fields().iter().zip(names).map(form).collect::<Result<_, _>>()?;
        let in_files = (0..schema.fields().len()).filter(|position| !partition_by.contains(position)).collect();
        Ok(Columns { names: names.to_vec(), forms, partition_by: partition_by.to_vec(), in_files })
    }

    /// Columns of a batch, all of them, in their forms.
    pub(super) fn to_forms(&self, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>, ArrowError> {
        let options = CastOptions { safe: false, ..CastOptions::default() };
        let form = |(column, form): (&ArrayRef, &DataType)| match column.data_type() == form {
            true => Ok(Arc::clone(column)),
            false => cast_with_options(column, form, &options),
        };
        columns.iter().zip(&self.forms).map(form).collect()
    }

    /// Of all columns those that files have.
    pub(super) fn of_files(&self, columns: &[ArrayRef]) -> Vec<ArrayRef> {
        self.in_files.iter().map(|&position| Arc::clone(&columns[position])).collect()
    }

    /// The names of the columns that files have.
    pub(super) fn names_in_files(&self) -> Vec<String> {
        self.in_files.iter().map(|&position| self.names[position].clone()).collect()
    }

    pub(super) fn name(&self, position: usize) -> &str {
        &self.names[position]
    }

    /// Of Parquet files.
    pub(super) fn parquet_schema(&self) -> SchemaRef {
        let field = |&position: &usize| match &self.forms[position] {
            DataType::Interval(_) => Field::new(&self.names[position], DataType::Utf8View, true),
            form => Field::new(&self.names[position], form.clone(), true),
        };
        Arc::new(Schema::new(self.in_files.iter().map(field).collect::<Vec<_>>()))
    }
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

/// Parquet's intervals are not PostgreSQL's.
pub(super) fn interval_to_text(column: &ArrayRef) -> ArrayRef {
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
