//! COPY FROM STDIN and TO STDOUT: which of them, the styles of both, and rows out.

use super::connection::{Connection, Failed};
use super::run::{Done, Event, Job};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{ClientCopy, ClientFormat, ClientRows, Name, RelationName};
use damson_pg::backend::{bodies_of_rows, values_of_rows};
use damson_pg::copy::{BINARY_END, BINARY_HEAD, CopyStyle, Quoting};
use damson_pg::frontend::{Format, Formats};
use std::mem;
use tokio::io::{AsyncRead, AsyncWrite};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) async fn copy(&mut self, copy: ClientCopy) -> Result<Done, Failed> {
        let style = Style::of(copy.format);
        match copy.rows {
            ClientRows::From { table, columns } => self.copy_in(&table, &columns, style).await,
            ClientRows::To { table, columns } => {
                let columns = if columns.is_empty() { "*".to_owned() } else { names(&columns) };
                let query = format!("SELECT {columns} FROM {}", relation(&table));
                self.copy_out(query, style).await
            }
            ClientRows::OfQuery(query) => self.copy_out(query, style).await,
        }
    }

    async fn copy_out(&mut self, query: String, style: Style) -> Result<Done, Failed> {
        let job = Job { text: query, parameters: vec![], formats: Formats::all(style.format()), told: None };
        let mut execution = self.start(job);
        let (mut columns, mut total) = (0, 0u64);
        // As PostgreSQL does, the head is in one message with the first row, or with the end.
        let mut head: &[u8] = if matches!(style, Style::Binary) { BINARY_HEAD } else { &[] };
        loop {
            match self.next(&mut execution).await? {
                Event::Columns(schema) => {
                    columns = schema.fields().len();
                    self.wire.out.copy_out(columns as u16, style.format());
                    if let Style::Lines { style, has_header: true } = &style {
                        let names = schema.fields().iter().map(|field| Some(field.name().as_bytes()));
                        self.wire.out.copy_data(|out| line(style, names, out))?;
                    }
                }
                Event::Rows { messages, count } => {
                    match &style {
                        Style::Lines { style, .. } => {
                            for row in values_of_rows(&messages) {
                                self.wire.out.copy_data(|out| line(style, row, out))?;
                                self.wire.send().await?;
                            }
                        }
                        Style::Binary => {
                            for row in bodies_of_rows(&messages) {
                                self.wire.out.copy_data(|out| together(mem::take(&mut head), row, out))?;
                                self.wire.send().await?;
                            }
                        }
                    }
                    total += count as u64;
                }
                Event::Done(done) => {
                    if columns == 0 && total == 0 && !done.tag.starts_with("SELECT") {
                        let message = "COPY query must have a result";
                        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).into());
                    }
                    if matches!(style, Style::Binary) {
                        self.wire.out.copy_data(|out| together(head, &BINARY_END, out))?;
                    }
                    self.wire.out.copy_done();
                    return Ok(Done { tag: format!("COPY {total}"), notices: done.notices });
                }
            }
        }
    }
}

/// How rows are written.
pub(super) enum Style {
    Lines {
        style: CopyStyle,
        /// Whether the first line names the columns.
        has_header: bool,
    },
    Binary,
}

impl Style {
    fn of(format: ClientFormat) -> Self {
        match format {
            ClientFormat::Text(text) => {
                let quoting = Quoting::Backslash(text.escape);
                let style = CopyStyle { delimiter: text.delimiter, null: text.null, quoting };
                Style::Lines { style, has_header: text.header }
            }
            ClientFormat::Csv(csv) => {
                let quoting = Quoting::Csv { quote: csv.quote, escape: csv.escape };
                let style = CopyStyle { delimiter: csv.delimiter, null: csv.null, quoting };
                Style::Lines { style, has_header: csv.header }
            }
            ClientFormat::Binary => Style::Binary,
        }
    }

    /// Of values.
    pub(super) fn format(&self) -> Format {
        match self {
            Style::Lines { .. } => Format::Text,
            Style::Binary => Format::Binary,
        }
    }
}

/// Appends a line of CopyData.
fn line<'a>(style: &CopyStyle, row: impl IntoIterator<Item = Option<&'a [u8]>>, out: &mut Vec<u8>) -> SqlResult<()> {
    style.write_row(row, out);
    Ok(())
}

/// Appends both.
fn together(head: &[u8], row: &[u8], out: &mut Vec<u8>) -> SqlResult<()> {
    out.extend_from_slice(head);
    out.extend_from_slice(row);
    Ok(())
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn names(columns: &[Name]) -> String {
    columns.iter().map(|column| quoted(&column.text)).collect::<Vec<_>>().join(", ")
}

pub(super) fn relation(table: &RelationName) -> String {
    match &table.schema {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(&table.name)),
        None => quoted(&table.name),
    }
}
