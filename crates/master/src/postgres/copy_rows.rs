//! What a client sends of COPY FROM STDIN, as batches of the table's columns.

use super::copy::{Style, quoted};
use super::limits::{COPY_BYTES, COPY_ROWS, COPY_VALUE_BYTES_MAX};
use super::parameters::{Parameter, decode};
use crate::error::{SqlError, SqlResult, SqlState, internal, of_datafusion};
use damson_cluster::ColumnDef;
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

    /// The number, from 1, of the line on which the last row begins that was given or is wrong. Of binary, a row is a line.
    pub(super) fn line(&self) -> u64 {
        match self {
            Reader::Lines(reader) => reader.line(),
            Reader::Binary(reader) => reader.line(),
        }
    }
}

/// The columns that a client sends, and rows of them that wait to go on together.
pub(super) struct Target {
    /// The table's name.
    table: String,
    schema: SchemaRef,
    columns: Vec<Column>,
    /// Of each column.
    values: Vec<Vec<ScalarValue>>,
    bytes: usize,
    rows: u64,
}

struct Column {
    parameter: Parameter,
    /// Its texts have at most so many characters, and its type's name.
    length: Option<(usize, String)>,
    nullable: bool,
}

impl Target {
    /// `parameters`: of the columns, what values are decoded as.
    pub(super) fn new(table: String, columns: Vec<ColumnDef>, parameters: Vec<Parameter>) -> Self {
        let field = |(column, parameter): (&ColumnDef, &Parameter)| {
            Field::new(column.name.clone(), parameter.data_type.clone(), true)
        };
        let schema = Arc::new(Schema::new(columns.iter().zip(&parameters).map(field).collect::<Vec<_>>()));
        let column = |(ColumnDef { sql_type, nullable, .. }, parameter)| {
            let length = damson_functions::max_chars(&sql_type).map(|chars| (chars, sql_type));
            Column { parameter, length, nullable }
        };
        let columns: Vec<Column> = columns.into_iter().zip(parameters).map(column).collect();
        let values = vec![vec![]; columns.len()];
        Target { table, schema, columns, values, bytes: 0, rows: 0 }
    }

    pub(super) fn columns(&self) -> usize {
        self.columns.len()
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

    /// An error with its line.
    pub(super) fn at(&self, line: u64, error: SqlError) -> SqlError {
        with_place(error, &format!("COPY {}, line {line}", self.table))
    }

    /// Takes the row of a line. Gives what waits when that is enough.
    ///
    /// # Errors
    /// 22P04 for another number of values than columns, 23502, 22001, and those of [`decode`]; with their places.
    pub(super) fn push(&mut self, row: &Row, format: Format, line: u64) -> SqlResult<Option<RecordBatch>> {
        let bad = |message: String| Err(self.at(line, SqlError::new(SqlState::BAD_COPY, message)));
        if row.len() > self.columns() {
            return bad("extra data after last expected column".to_owned());
        }
        if let Some(field) = self.schema.fields().get(row.len()) {
            return bad(format!("missing data for column \"{}\"", field.name()));
        }
        let columns = self.columns.iter().zip(self.schema.fields());
        for (((column, field), value), values) in columns.zip(row).zip(&mut self.values) {
            let value = column.value(&self.table, field.name(), format, value.as_deref()).map_err(|error| {
                let shown = shown(format, value.as_deref());
                with_place(error, &format!("COPY {}, line {line}, column {}{shown}", self.table, field.name()))
            })?;
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

impl Column {
    fn value(&self, table: &str, name: &str, format: Format, value: Option<&[u8]>) -> SqlResult<ScalarValue> {
        if value.is_none() && !self.nullable {
            let message =
                format!("null value in column \"{name}\" of relation \"{table}\" violates not-null constraint");
            return Err(SqlError::new(SqlState::NOT_NULL_VIOLATION, message));
        }
        let value = decode(None, &self.parameter, format, value)?;
        if let (Some((chars, sql_type)), Some(Some(text))) = (&self.length, value.try_as_str())
            && is_longer(text, *chars)
        {
            let message = format!("value too long for type {sql_type}");
            return Err(SqlError::new(SqlState::STRING_TRUNCATION, message));
        }
        // A numeric comes with the digits that it was sent with.
        match value.data_type() == self.parameter.data_type {
            true => Ok(value),
            false => value.cast_to(&self.parameter.data_type).map_err(of_datafusion),
        }
    }
}

/// Whether a text has more characters than `chars`, the spaces at its end not counted: those are cut off when it is assigned.
fn is_longer(text: &str, chars: usize) -> bool {
    text.len() > chars && text.trim_end_matches(' ').chars().nth(chars).is_some()
}

/// Behind what else the error says.
fn with_place(error: SqlError, place: &str) -> SqlError {
    let detail = error.detail.as_ref().map_or_else(|| place.to_owned(), |detail| format!("{detail} {place}"));
    error.with_detail(detail)
}

/// A value in words, behind the column's name; of binary there are none.
fn shown(format: Format, value: Option<&[u8]>) -> String {
    match (format, value) {
        (_, None) => ": null input".to_owned(),
        (Format::Binary, Some(_)) => String::new(),
        (Format::Text, Some(value)) => {
            let value = String::from_utf8_lossy(value);
            let kept = &value[..value.floor_char_boundary(COPY_VALUE_BYTES_MAX)];
            let more = if kept.len() < value.len() { "..." } else { "" };
            format!(": \"{kept}{more}\"")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::{DataType, Decimal128Type, Int32Type};

    fn column(name: &str, sql_type: &str, data_type: DataType, nullable: bool) -> ColumnDef {
        let (name, sql_type) = (name.to_owned(), sql_type.to_owned());
        ColumnDef { name, sql_type, data_type, nullable, default: None, identity: None }
    }

    fn target_of(columns: Vec<ColumnDef>) -> Target {
        let parameters = columns.iter().map(|column| Parameter::inferred(column.data_type.clone())).collect();
        Target::new("t".to_owned(), columns, parameters)
    }

    fn target() -> Target {
        target_of(vec![
            column("a", "integer", DataType::Int32, true),
            column("B", "numeric(5,2)", DataType::Decimal128(5, 2), true),
            column("c", "text", DataType::Utf8View, true),
        ])
    }

    fn row(values: &[Option<&str>]) -> Row {
        values.iter().map(|value| value.map(|text| text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn rows_are_columns() {
        let mut target = target();
        assert_eq!(target.names(), "\"a\", \"B\", \"c\"");
        assert!(target.take().unwrap().is_none());
        assert!(target.push(&row(&[Some("7"), Some("1.005"), None]), Format::Text, 1).unwrap().is_none());
        assert!(target.push(&row(&[None, None, Some("x")]), Format::Text, 1).unwrap().is_none());
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
            batches.extend(target.push(&given, Format::Text, 1).unwrap());
        }
        batches.extend(target.take().unwrap());
        assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [COPY_ROWS, COPY_ROWS, 1]);
        let long = "x".repeat(COPY_BYTES);
        assert!(target.push(&row(&[None, None, Some(&long)]), Format::Text, 1).unwrap().is_some());
    }

    #[test]
    fn what_is_no_row_is_refused() {
        let mut target = target();
        let mut refused = |values: &[Option<&str>]| {
            let error = target.push(&row(values), Format::Text, 1).unwrap_err();
            (error.state.0, error.message)
        };
        assert_eq!(refused(&[Some("1")]), ("22P04", "missing data for column \"B\"".to_owned()));
        assert_eq!(refused(&[None; 4]), ("22P04", "extra data after last expected column".to_owned()));
        assert_eq!(refused(&[Some("x"), None, None]).0, "22P02");
        assert_eq!(refused(&[None, Some("1234.5"), None]).0, "22003");
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        let mut target = target_of(vec![
            column("k", "integer", DataType::Int32, false),
            column("v", "character varying(2)", DataType::Utf8View, true),
        ]);
        let mut refused = |values: &[Option<&str>], format, line| {
            let error = target.push(&row(values), format, line).unwrap_err();
            (error.state.0, error.message, error.detail.unwrap_or_default())
        };
        let (state, message, place) = refused(&[Some("1"), Some("abc")], Format::Text, 7);
        assert_eq!((state, message.as_str()), ("22001", "value too long for type character varying(2)"));
        assert_eq!(place, "COPY t, line 7, column v: \"abc\"");
        let (state, message, place) = refused(&[None, None], Format::Text, 8);
        let not_null = "null value in column \"k\" of relation \"t\" violates not-null constraint";
        assert_eq!((state, message.as_str()), ("23502", not_null));
        assert_eq!(place, "COPY t, line 8, column k: null input");
        assert_eq!(refused(&[Some("1")], Format::Text, 9).2, "COPY t, line 9");
        let long = "é".repeat(COPY_VALUE_BYTES_MAX);
        let cut = "é".repeat(COPY_VALUE_BYTES_MAX / 2);
        assert_eq!(refused(&[Some(&long), None], Format::Text, 1).2, format!("COPY t, line 1, column k: \"{cut}...\""));
        let (state, _, place) = refused(&[Some("x"), None], Format::Binary, 2);
        assert_eq!((state, place.as_str()), ("22P03", "It is to be of type integer. COPY t, line 2, column k"));
        assert!(target.push(&row(&[Some("1"), Some("éà  ")]), Format::Text, 3).unwrap().is_none());
    }
}
