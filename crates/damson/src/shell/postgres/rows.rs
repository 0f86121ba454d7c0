//! A query's rows: texts that the server made, in columns as the shell prints them.

use super::answer::notice;
use super::wire::{Wire, unreadable};
use crate::shell::failure::Failure;
use crate::shell::output::number_field;
use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Int64Builder, RecordBatch, RecordBatchOptions, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, Message, RowDescriptionBody};
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;

/// Of a batch, which ends before it if no more has come yet.
const BATCH_ROWS_MAX: usize = 8_192;
const BATCH_BYTES_MAX: usize = 8 << 20;

/// OIDs of types that are not texts to the shell.
const BOOLEAN: u32 = 16;
const BIGINT: u32 = 20;
/// smallint, integer, oid, real, double precision, numeric: numbers that are shown as they come.
const NUMBERS: [u32; 6] = [21, 23, 26, 700, 701, 1700];

/// Dropping it leaves the rest for [`Wire::settle`]; who wants the query to end, cancels it.
pub(crate) struct Rows {
    wire: OwnedMutexGuard<Wire>,
    schema: SchemaRef,
    /// Empty until the end.
    tag: String,
}

impl Rows {
    /// After RowDescription.
    ///
    /// # Errors
    /// Columns that cannot be read.
    pub(super) fn new(wire: OwnedMutexGuard<Wire>, columns: &RowDescriptionBody) -> Result<Self, Failure> {
        let field =
            |column: postgres_protocol::message::backend::Field<'_>| Ok(field(column.name(), column.type_oid()));
        let fields: Vec<Field> = columns.fields().map(field).collect().map_err(|error| unreadable(&error))?;
        Ok(Rows { wire, schema: Arc::new(Schema::new(fields)), tag: String::new() })
    }

    pub(in crate::shell) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Once all have come: what they are of, as `INSERT 0 3`.
    pub(in crate::shell) fn tag(&self) -> &str {
        &self.tag
    }

    /// The next batch; None at the end.
    ///
    /// # Errors
    /// The query's.
    pub(in crate::shell) async fn next(&mut self) -> Result<Option<RecordBatch>, Failure> {
        let mut batch = Batch::new(&self.schema);
        while self.wire.is_busy && !batch.is_full() {
            let message = match self.wire.buffered()? {
                Some(message) => message,
                None if batch.rows > 0 => break,
                None => self.wire.message().await?,
            };
            match message {
                Message::DataRow(row) => batch.push(&row)?,
                Message::NoticeResponse(body) => {
                    let (severity, text) = notice(&body)?;
                    eprintln!("{severity}:  {text}");
                }
                Message::ErrorResponse(body) => return Err(self.wire.ended_by(&body).await),
                Message::ReadyForQuery(_) => self.wire.is_busy = false,
                Message::CommandComplete(body) => {
                    body.tag().map_err(|error| unreadable(&error))?.clone_into(&mut self.tag);
                }
                Message::ParameterStatus(_) | Message::NotificationResponse(_) => {}
                _ => return Err(unreadable(&"a message that does not belong between rows")),
            }
        }
        if batch.rows == 0 { Ok(None) } else { batch.finish(&self.schema).map(Some) }
    }
}

fn field(name: &str, oid: u32) -> Field {
    match oid {
        BOOLEAN => Field::new(name, DataType::Boolean, true),
        BIGINT => Field::new(name, DataType::Int64, true),
        oid if NUMBERS.contains(&oid) => number_field(Field::new(name, DataType::Utf8, true)),
        _ => Field::new(name, DataType::Utf8, true),
    }
}

/// Rows that become a batch.
struct Batch {
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
}

enum Column {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Text(StringBuilder),
}

impl Batch {
    fn new(schema: &Schema) -> Self {
        let columns = schema.fields().iter().map(|field| match field.data_type() {
            DataType::Boolean => Column::Boolean(BooleanBuilder::new()),
            DataType::Int64 => Column::Int64(Int64Builder::new()),
            _ => Column::Text(StringBuilder::new()),
        });
        Batch { columns: columns.collect(), rows: 0, bytes: 0 }
    }

    fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    fn push(&mut self, row: &DataRowBody) -> Result<(), Failure> {
        let (mut ranges, mut columns) = (row.ranges(), self.columns.iter_mut());
        while let Some(range) = ranges.next().map_err(|error| unreadable(&error))? {
            let column = columns.next().ok_or_else(|| unreadable(&"a row has more values than columns"))?;
            let bytes = range.map(|range| &row.buffer()[range]);
            self.bytes += bytes.map_or(0, <[u8]>::len);
            let text = bytes.map(std::str::from_utf8).transpose().map_err(|error| unreadable(&error))?;
            column.push(text)?;
        }
        if columns.next().is_some() {
            return Err(unreadable(&"a row has fewer values than columns"));
        }
        self.rows += 1;
        Ok(())
    }

    fn finish(self, schema: &SchemaRef) -> Result<RecordBatch, Failure> {
        let columns = self.columns.into_iter().map(Column::finish).collect();
        // A result without columns has rows all the same.
        let count = RecordBatchOptions::new().with_row_count(Some(self.rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &count)?)
    }
}

impl Column {
    fn push(&mut self, text: Option<&str>) -> Result<(), Failure> {
        match self {
            Column::Boolean(values) => values.append_option(text.map(|text| text == "t")),
            Column::Int64(values) => {
                values.append_option(text.map(str::parse::<i64>).transpose().map_err(|error| unreadable(&error))?);
            }
            Column::Text(values) => values.append_option(text),
        }
        Ok(())
    }

    fn finish(self) -> ArrayRef {
        match self {
            Column::Boolean(mut values) => ArrayBuilder::finish(&mut values),
            Column::Int64(mut values) => ArrayBuilder::finish(&mut values),
            Column::Text(mut values) => ArrayBuilder::finish(&mut values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::output::Texts;
    use bytes::{BufMut, BytesMut};

    fn row(values: &[Option<&str>]) -> DataRowBody {
        let mut bytes = BytesMut::new();
        let length: usize = values.iter().map(|value| 4 + value.map_or(0, str::len)).sum();
        bytes.put_u8(b'D');
        bytes.put_u32(length as u32 + 6);
        bytes.put_u16(values.len() as u16);
        for value in values {
            bytes.put_i32(value.map_or(-1, |value| value.len() as i32));
            bytes.put_slice(value.unwrap_or_default().as_bytes());
        }
        let Some(Message::DataRow(row)) = Message::parse(&mut bytes).unwrap() else { panic!("it is a row") };
        row
    }

    fn schema(columns: &[(&str, u32)]) -> SchemaRef {
        Arc::new(Schema::new(columns.iter().map(|(name, oid)| field(name, *oid)).collect::<Vec<_>>()))
    }

    #[test]
    fn values_are_shown_as_they_come() {
        let schema = schema(&[("n", BIGINT), ("b", BOOLEAN), ("d", 1700), ("t", 25)]);
        let mut batch = Batch::new(&schema);
        batch.push(&row(&[Some("-5"), Some("t"), Some("1.50"), Some("x")])).unwrap();
        batch.push(&row(&[None, Some("f"), Some("NaN"), None])).unwrap();
        assert!(batch.push(&row(&[None])).is_err() && batch.push(&row(&[None; 5])).is_err());
        let mut batch = Batch::new(&schema);
        batch.push(&row(&[Some("-5"), Some("t"), Some("1.50"), Some("x")])).unwrap();
        batch.push(&row(&[None, Some("f"), Some("NaN"), None])).unwrap();
        let batch = batch.finish(&schema).unwrap();
        let mut shown = vec![];
        let texts = Texts::new(&batch).unwrap();
        let collected = texts.rows(batch.num_rows(), |cells| {
            shown.push(cells.iter().map(|cell| cell.map(str::to_owned)).collect::<Vec<_>>());
            Ok(())
        });
        collected.unwrap();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(shown[0], [some("-5"), some("t"), some("1.50"), some("x")]);
        assert_eq!(shown[1], [None, some("f"), some("NaN"), None]);
    }

    #[test]
    fn rows_without_columns_are_counted() {
        let schema = schema(&[]);
        let mut batch = Batch::new(&schema);
        batch.push(&row(&[])).unwrap();
        assert_eq!(batch.finish(&schema).unwrap().num_rows(), 1);
    }
}
