//! What a client sends of COPY FROM STDIN, as batches of the table's columns.

use super::copy::{Style, quoted};
use super::limits::{COPY_BYTES, COPY_ROWS};
use super::parameters::{Parameter, decode};
use crate::error::{SqlError, SqlResult, SqlState, internal, of_datafusion};
use damson_pg::copy::{BinaryReader, CopyError, CopyReader};
use damson_pg::frontend::Format;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::scalar::ScalarValue;
use std::mem;
use std::sync::Arc;

/// Values of a row as they came; None is NULL.
pub(super) type Row = Vec<Option<Vec<u8>>>;

/// Cuts what the client sends into rows.
pub(super) enum Reader {
    Lines(CopyReader),
    Binary(BinaryReader),
}

impl Reader {
    pub(super) fn new(style: Style, columns: usize) -> Self {
        match style {
            Style::Lines { style, .. } => Reader::Lines(CopyReader::new(style, columns)),
            Style::Binary => Reader::Binary(BinaryReader::new(columns)),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self {
            Reader::Lines(reader) => reader.push(bytes),
            Reader::Binary(reader) => reader.push(bytes),
        }
    }

    /// The next row that is there; `ends`: the client sends no more.
    ///
    /// # Errors
    /// What is no row of the style.
    pub(super) fn next(&mut self, ends: bool) -> Result<Option<Row>, CopyError> {
        match self {
            Reader::Lines(reader) => {
                let mut next = reader.next_row()?;
                if ends && next.is_none() {
                    next = reader.finish()?;
                }
                Ok(next.map(|row| row.into_iter().map(|value| value.map(String::into_bytes)).collect()))
            }
            Reader::Binary(reader) => {
                let next = reader.next_row()?;
                if ends && next.is_none() {
                    reader.finish()?;
                }
                Ok(next)
            }
        }
    }

    /// The number of the last row.
    pub(super) fn rows(&self) -> u64 {
        match self {
            Reader::Lines(reader) => reader.rows(),
            Reader::Binary(reader) => reader.rows(),
        }
    }
}

/// The columns that a client sends, and rows of them that wait to go on together.
pub(super) struct Target {
    schema: SchemaRef,
    parameters: Vec<Parameter>,
    /// Of each column.
    values: Vec<Vec<ScalarValue>>,
    bytes: usize,
    rows: u64,
}

impl Target {
    pub(super) fn new(columns: Vec<String>, parameters: Vec<Parameter>) -> Self {
        let fields = columns.into_iter().zip(&parameters);
        let fields = fields.map(|(name, parameter)| Field::new(name, parameter.data_type.clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let values = vec![vec![]; parameters.len()];
        Target { schema, parameters, values, bytes: 0, rows: 0 }
    }

    pub(super) fn columns(&self) -> usize {
        self.parameters.len()
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// As a list of SQL.
    pub(super) fn names(&self) -> String {
        self.schema.fields().iter().map(|field| quoted(field.name())).collect::<Vec<_>>().join(", ")
    }

    /// Rows that were taken.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes a row. Gives what waits when that is enough.
    ///
    /// # Errors
    /// 22P04 for another number of values than columns, and those of [`decode`].
    pub(super) fn push(&mut self, row: &Row, format: Format) -> SqlResult<Option<RecordBatch>> {
        let bad = |message: String| Err(SqlError::new(SqlState::BAD_COPY, message));
        if row.len() > self.columns() {
            return bad("extra data after last expected column".to_owned());
        }
        if let Some(column) = self.schema.fields().get(row.len()) {
            return bad(format!("missing data for column \"{}\"", column.name()));
        }
        for ((parameter, value), values) in self.parameters.iter().zip(row).zip(&mut self.values) {
            let mut value = decode(None, parameter, format, value.as_deref())?;
            // A numeric comes with the digits that it was sent with.
            if value.data_type() != parameter.data_type {
                value = value.cast_to(&parameter.data_type).map_err(of_datafusion)?;
            }
            self.bytes += value.size();
            values.push(value);
        }
        self.rows += 1;
        let waits = self.values.first().map_or(0, Vec::len);
        if waits < COPY_ROWS && self.bytes < COPY_BYTES { Ok(None) } else { self.take() }
    }

    /// What waits; None if nothing does.
    ///
    /// # Errors
    /// None that a client can cause.
    pub(super) fn take(&mut self) -> SqlResult<Option<RecordBatch>> {
        self.bytes = 0;
        if self.values.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        let columns = self.values.iter_mut().map(|values| ScalarValue::iter_to_array(mem::take(values)));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(of_datafusion)?;
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map(Some).map_err(internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::{DataType, Decimal128Type, Int32Type};

    fn target() -> Target {
        let types = [DataType::Int32, DataType::Decimal128(5, 2), DataType::Utf8View];
        let parameters = types.into_iter().map(Parameter::inferred).collect();
        Target::new(["a", "B", "c"].map(str::to_owned).to_vec(), parameters)
    }

    fn row(values: &[Option<&str>]) -> Row {
        values.iter().map(|value| value.map(|text| text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn rows_are_columns() {
        let mut target = target();
        assert_eq!(target.names(), "\"a\", \"B\", \"c\"");
        assert!(target.take().unwrap().is_none());
        assert!(target.push(&row(&[Some("7"), Some("1.005"), None]), Format::Text).unwrap().is_none());
        assert!(target.push(&row(&[None, None, Some("x")]), Format::Text).unwrap().is_none());
        let rows = target.take().unwrap().unwrap();
        assert_eq!((rows.num_rows(), target.rows()), (2, 2));
        assert_eq!(rows.column(0).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(7), None]);
        let numbers: Vec<_> = rows.column(1).as_primitive::<Decimal128Type>().iter().collect();
        assert_eq!(numbers, [Some(101), None], "rounded as it would be by INSERT");
        assert_eq!(rows.column(2).as_string_view().iter().collect::<Vec<_>>(), [None, Some("x")]);
        assert!(target.take().unwrap().is_none());
    }

    #[test]
    fn many_rows_go_on_as_they_come() {
        let (mut target, given) = (target(), row(&[Some("1"), Some("2"), Some("three")]));
        let mut batches = vec![];
        for _ in 0..2 * COPY_ROWS + 1 {
            batches.extend(target.push(&given, Format::Text).unwrap());
        }
        batches.extend(target.take().unwrap());
        assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [COPY_ROWS, COPY_ROWS, 1]);
        let long = "x".repeat(COPY_BYTES);
        assert!(target.push(&row(&[None, None, Some(&long)]), Format::Text).unwrap().is_some());
    }

    #[test]
    fn what_is_no_row_is_refused() {
        let mut target = target();
        let mut refused = |values: &[Option<&str>]| {
            let error = target.push(&row(values), Format::Text).unwrap_err();
            (error.state.0, error.message)
        };
        assert_eq!(refused(&[Some("1")]), ("22P04", "missing data for column \"B\"".to_owned()));
        assert_eq!(refused(&[None; 4]), ("22P04", "extra data after last expected column".to_owned()));
        assert_eq!(refused(&[Some("x"), None, None]).0, "22P02");
        assert_eq!(refused(&[None, Some("1234.5"), None]).0, "22003");
    }
}
