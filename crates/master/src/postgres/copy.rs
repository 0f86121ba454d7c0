//! COPY FROM STDIN and TO STDOUT: rows in CopyData.

use super::connection::{Connection, Failed, PROTOCOL_VIOLATION, sql_error};
use super::parameters::{Parameter, decode};
use super::run::{Done, Event, Job};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::flight_sql::Portion;
use crate::session::{Deadline, too_late};
use crate::sql::{ClientCopy, ClientFormat, ClientRows, Name, RelationName, ValuesRow};
use bytes::BytesMut;
use damson_pg::backend::{bodies_of_rows, values_of_rows};
use damson_pg::copy::{BINARY_END, BINARY_HEAD, BinaryReader, CopyError, CopyReader, CopyStyle, Quoting};
use damson_pg::frontend::{Format, Formats, Request};
use datafusion::scalar::ScalarValue;
use futures::FutureExt;
use std::mem;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

/// A table's columns that a client sends.
struct Target {
    table: String,
    columns: Vec<String>,
    parameters: Vec<Parameter>,
    insert: ValuesRow,
}

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

    /// Rows go into the table in portions, each a statement of one transaction.
    async fn copy_in(&mut self, table: &RelationName, columns: &[Name], style: Style) -> Result<Done, Failed> {
        let deadline = Deadline::after(self.session.statement_timeout());
        let target = self.target(table, columns).await?;
        self.session.begin_implicit_block().await;
        self.wire.out.copy_in(target.columns.len() as u16, style.format());
        self.wire.flush().await?;
        let format = style.format();
        let mut is_header = matches!(style, Style::Lines { has_header: true, .. });
        let mut reader = Reader::new(style, target.columns.len());
        let mut portion = Portion::new(&target.insert);
        let mut total = 0u64;
        loop {
            let cancel = self.cancellable();
            let (kind, body) = self.copy_message(&cancel, deadline).await?;
            let ends = match Request::parse(kind, &body).map_err(|malformed| sql_error(&malformed))? {
                Request::CopyData(bytes) => {
                    reader.push(bytes);
                    false
                }
                Request::CopyDone => true,
                Request::CopyFail(why) => {
                    let message = format!("COPY from stdin failed: {why}");
                    return Err(SqlError::new(SqlState::QUERY_CANCELED, message).into());
                }
                Request::Flush | Request::Sync => continue,
                _ => {
                    let message = format!("unexpected message type 0x{kind:02X} during COPY from stdin");
                    return Err(SqlError::new(PROTOCOL_VIOLATION, message).into());
                }
            };
            loop {
                let next = reader.next(ends);
                let at = |error: SqlError| error.with_detail(format!("COPY {}, line {}", target.table, reader.rows()));
                let wrong = |error: CopyError| SqlError::new(SqlState::known(error.sqlstate()), error.to_string());
                let Some(row) = next.map_err(|error| at(wrong(error)))? else { break };
                if mem::take(&mut is_header) {
                    continue;
                }
                let values = target.decode(&row, format).map_err(at)?;
                total += 1;
                if let Some((text, parameters)) = portion.push(values) {
                    self.insert(text, parameters).await?;
                }
            }
            if ends {
                if let Some((text, parameters)) = portion.take() {
                    self.insert(text, parameters).await?;
                }
                return Ok(Done { tag: format!("COPY {total}"), notices: vec![] });
            }
        }
    }

    /// The client's next message, unless the statement is cancelled, or has to be done, first.
    async fn copy_message(&mut self, cancel: &CancellationToken, deadline: Deadline) -> Result<(u8, BytesMut), Failed> {
        tokio::select! {
            biased;
            () = deadline.passed() => Err(too_late().into()),
            message = self.wire.message() => Ok(message?),
            () = cancel.cancelled() => Err(SqlError::canceled().into()),
        }
    }

    async fn insert(&mut self, text: String, parameters: Vec<ScalarValue>) -> Result<(), Failed> {
        let mut execution = self.start(Job { text, parameters, formats: Formats::default(), told: None });
        loop {
            if let Event::Done(_) = self.next(&mut execution).await? {
                return Ok(());
            }
        }
    }

    /// # Errors
    /// A table or a column that does not exist.
    async fn target(&mut self, table: &RelationName, columns: &[Name]) -> Result<Target, Failed> {
        let table_name = relation(table);
        let columns = match columns {
            [] => self.session.insert_columns(table).await?,
            listed => listed.iter().map(|column| column.text.clone()).collect(),
        };
        let places: Vec<String> = (1..=columns.len()).map(|number| format!("${number}")).collect();
        let quoted: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
        let text = format!("INSERT INTO {table_name} ({}) VALUES ({})", quoted.join(", "), places.join(", "));
        let no_insert = || SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "COPY FROM STDIN needs a column");
        let insert = ValuesRow::of(&text).ok_or_else(no_insert)?;
        let session = self.session.clone();
        let described = async move { session.prepare_typed(&text, &[]).await };
        let described = self.on_cpu(described.boxed()).await?;
        let parameters = described.parameters.into_iter().map(Parameter::inferred).collect();
        Ok(Target { table: table.name.clone(), columns, parameters, insert })
    }
}

/// How rows are written.
enum Style {
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
    fn format(&self) -> Format {
        match self {
            Style::Lines { .. } => Format::Text,
            Style::Binary => Format::Binary,
        }
    }
}

/// Values of a row as they came; None is NULL.
type Row = Vec<Option<Vec<u8>>>;

/// Cuts what the client sends into rows.
enum Reader {
    Lines(CopyReader),
    Binary(BinaryReader),
}

impl Reader {
    fn new(style: Style, columns: usize) -> Self {
        match style {
            Style::Lines { style, .. } => Reader::Lines(CopyReader::new(style, columns)),
            Style::Binary => Reader::Binary(BinaryReader::new(columns)),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        match self {
            Reader::Lines(reader) => reader.push(bytes),
            Reader::Binary(reader) => reader.push(bytes),
        }
    }

    /// The next row that is there; `ends`: the client sends no more.
    fn next(&mut self, ends: bool) -> Result<Option<Row>, CopyError> {
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
    fn rows(&self) -> u64 {
        match self {
            Reader::Lines(reader) => reader.rows(),
            Reader::Binary(reader) => reader.rows(),
        }
    }
}

impl Target {
    /// # Errors
    /// 22P04 for another number of values than columns, and those of [`decode`].
    fn decode(&self, row: &Row, format: Format) -> SqlResult<Vec<ScalarValue>> {
        let bad = |message: String| Err(SqlError::new(SqlState::BAD_COPY, message));
        if let Some(column) = self.columns.get(row.len()) {
            return bad(format!("missing data for column \"{column}\""));
        }
        if row.len() > self.columns.len() {
            return bad("extra data after last expected column".to_owned());
        }
        let values = self.parameters.iter().zip(row);
        values.map(|(parameter, value)| decode(None, parameter, format, value.as_deref())).collect()
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

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn names(columns: &[Name]) -> String {
    columns.iter().map(|column| quoted(&column.text)).collect::<Vec<_>>().join(", ")
}

fn relation(table: &RelationName) -> String {
    match &table.schema {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(&table.name)),
        None => quoted(&table.name),
    }
}
