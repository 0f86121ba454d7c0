//! COPY FROM STDIN and TO STDOUT: rows in CopyData.

use super::connection::{Connection, Failed, PROTOCOL_VIOLATION, sql_error};
use super::parameters::{Parameter, decode};
use super::run::{Done, Event, Job};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::flight_sql::Portion;
use crate::session::{Deadline, too_late};
use crate::sql::{ClientCopy, ClientRows, Name, RelationName, ValuesRow};
use bytes::BytesMut;
use damson_cluster::CopyFormat;
use damson_pg::backend::values_of_rows;
use damson_pg::copy::{CopyReader, CopyRow, CopyStyle, Quoting};
use damson_pg::frontend::{Format, Formats, Request};
use datafusion::scalar::ScalarValue;
use futures::FutureExt;
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
        let (style, has_header) = style(&copy.format)?;
        match copy.rows {
            ClientRows::From { table, columns } => self.copy_in(&table, &columns, style, has_header).await,
            ClientRows::To { table, columns } => {
                let columns = if columns.is_empty() { "*".to_owned() } else { names(&columns) };
                let query = format!("SELECT {columns} FROM {}", relation(&table));
                self.copy_out(query, style, has_header).await
            }
            ClientRows::OfQuery(query) => self.copy_out(query, style, has_header).await,
        }
    }

    async fn copy_out(&mut self, query: String, style: CopyStyle, has_header: bool) -> Result<Done, Failed> {
        let job = Job { text: query, parameters: vec![], formats: Formats::default(), told: None };
        let mut execution = self.start(job);
        let (mut columns, mut total) = (0, 0u64);
        loop {
            match self.next(&mut execution).await? {
                Event::Columns(schema) => {
                    columns = schema.fields().len();
                    self.wire.out.copy_out(columns as u16);
                    if has_header {
                        let names = schema.fields().iter().map(|field| Some(field.name().as_bytes()));
                        self.wire.out.copy_data(|out| line(&style, names, out))?;
                    }
                }
                Event::Rows { messages, .. } => {
                    for row in values_of_rows(&messages) {
                        self.wire.out.copy_data(|out| line(&style, row, out))?;
                        self.wire.send().await?;
                        total += 1;
                    }
                }
                Event::Done(done) => {
                    if columns == 0 && total == 0 && !done.tag.starts_with("SELECT") {
                        let message = "COPY query must have a result";
                        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).into());
                    }
                    self.wire.out.copy_done();
                    return Ok(Done { tag: format!("COPY {total}"), notices: done.notices });
                }
            }
        }
    }

    /// Rows go into the table in portions, each a statement of one transaction.
    async fn copy_in(
        &mut self,
        table: &RelationName,
        columns: &[Name],
        style: CopyStyle,
        has_header: bool,
    ) -> Result<Done, Failed> {
        let deadline = Deadline::after(self.session.statement_timeout());
        let target = self.target(table, columns).await?;
        self.session.begin_implicit_block().await;
        self.wire.out.copy_in(target.columns.len() as u16);
        self.wire.flush().await?;
        let mut reader = CopyReader::new(style);
        let mut portion = Portion::new(&target.insert);
        let mut is_header = has_header;
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
                let mut next = reader.next_row();
                if ends && next == Ok(None) {
                    next = reader.finish();
                }
                let at = |error: SqlError| error.with_detail(format!("COPY {}, line {}", target.table, reader.rows()));
                let wrong = |error: damson_pg::copy::CopyError| {
                    SqlError::new(SqlState::known(error.sqlstate()), error.to_string())
                };
                let Some(row) = next.map_err(|error| at(wrong(error)))? else { break };
                if std::mem::take(&mut is_header) {
                    continue;
                }
                let values = target.decode(&row).map_err(at)?;
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

impl Target {
    /// # Errors
    /// 22P04 for another number of values than columns, and those of [`decode`].
    fn decode(&self, row: &CopyRow) -> SqlResult<Vec<ScalarValue>> {
        let bad = |message: String| Err(SqlError::new(SqlState::BAD_COPY, message));
        if let Some(column) = self.columns.get(row.len()) {
            return bad(format!("missing data for column \"{column}\""));
        }
        if row.len() > self.columns.len() {
            return bad("extra data after last expected column".to_owned());
        }
        let values = self.parameters.iter().zip(row).enumerate();
        let values = values.map(|(at, (parameter, value))| {
            decode(at + 1, parameter, Format::Text, value.as_ref().map(String::as_bytes))
        });
        values.collect()
    }
}

/// Appends a line of CopyData.
fn line<'a>(style: &CopyStyle, row: impl IntoIterator<Item = Option<&'a [u8]>>, out: &mut Vec<u8>) -> SqlResult<()> {
    style.write_row(row, out);
    Ok(())
}

/// How rows are written, and whether the first names the columns.
fn style(format: &CopyFormat) -> SqlResult<(CopyStyle, bool)> {
    match format {
        CopyFormat::Text(text) => {
            let quoting = Quoting::Backslash(text.escape);
            Ok((CopyStyle { delimiter: text.delimiter, null: text.null.clone(), quoting }, text.header))
        }
        CopyFormat::Csv(csv) => {
            let quoting = Quoting::Csv { quote: csv.quote, escape: csv.escape };
            Ok((CopyStyle { delimiter: csv.delimiter, null: csv.null.clone(), quoting }, csv.header))
        }
        CopyFormat::Json(_) | CopyFormat::Parquet(_) => {
            Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "clients send and get text or CSV"))
        }
    }
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
