//! COPY FROM STDIN: one statement, whose rows come while it runs.

use super::connection::{Connection, Failed, PROTOCOL_VIOLATION, sql_error};
use super::copy::{Style, quoted, relation};
use super::copy_rows::{Reader, Target};
use super::parameters::Parameter;
use super::run::{Done, Event, Execution};
use crate::engine::SentRows;
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{IfAbsent, IfExists, Ingest, Name, Overriding, RelationName};
use damson_pg::copy::CopyError;
use damson_pg::frontend::Request;
use datafusion::arrow::array::RecordBatch;
use futures::{FutureExt, StreamExt, stream};
use std::mem;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

/// What the statement's plan reads next: rows, their end, or why there are no more of them.
type Piece = SqlResult<Option<RecordBatch>>;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) async fn copy_in(
        &mut self,
        table: &RelationName,
        columns: &[Name],
        style: Style,
    ) -> Result<Done, Failed> {
        let (mut target, is_external) = self.target(table, columns).await?;
        self.session.begin_copy_block(is_external).await?;
        let (format, columns) = (style.format(), target.columns());
        let mut is_header = matches!(style, Style::Lines { has_header: true, .. });
        let mut reader = Reader::new(style, columns);
        let (pieces, mut execution) = self.start_copy(table, &target);
        self.wire.out.copy_in(columns as u16, format);
        self.wire.flush().await?;
        loop {
            let (kind, body) = tokio::select! {
                // First: a client that sends without a break always has a message.
                biased;
                ended = self::ended(&mut execution) => return Err(ended.into()),
                message = self.wire.message() => message?,
            };
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
                let line = reader.line();
                let Some(row) = next.map_err(|error| target.at(line, wrong(&error)))? else { break };
                if !mem::take(&mut is_header)
                    && let Some(rows) = target.push(&row, format, line)?
                {
                    self.give(Ok(Some(rows)), &pieces, &mut execution).await?;
                }
            }
            if ends {
                if let Some(rows) = target.take()? {
                    self.give(Ok(Some(rows)), &pieces, &mut execution).await?;
                }
                self.give(Ok(None), &pieces, &mut execution).await?;
                let Event::Done(done) = self.next(&mut execution).await? else { return Err(has_rows().into()) };
                return Ok(Done { tag: format!("COPY {}", target.rows()), notices: done.notices });
            }
        }
    }

    /// The statement that reads what is put into the channel. It ends as one that failed if the channel is closed before the rows' end.
    fn start_copy(&self, table: &RelationName, target: &Target) -> (mpsc::Sender<Piece>, Execution) {
        let (pieces, receiver) = mpsc::channel(1);
        let batches = stream::unfold(Some(receiver), async |receiver: Option<mpsc::Receiver<Piece>>| {
            let mut receiver = receiver?;
            match receiver.recv().await.unwrap_or_else(|| Err(SqlError::canceled())) {
                Ok(Some(rows)) => Some((Ok(rows), Some(receiver))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        let rows = SentRows::new(target.schema(), batches.boxed());
        // As COPY of files does, it takes what is given, also of GENERATED ALWAYS.
        let overriding = Some(Overriding::System);
        let (if_absent, if_exists) = (IfAbsent::Fail, IfExists::Append);
        let ingest = Ingest { table: table.clone(), if_absent, if_exists, overriding, rows };
        let text = format!("COPY {} ({}) FROM STDIN", relation(table), target.names());
        let session = self.session.clone();
        let execution =
            self.start_command(|cancel| async move { session.ingest_until(ingest, &text, cancel).await }.boxed());
        (pieces, execution)
    }

    /// Waits until the statement takes it.
    async fn give(
        &mut self,
        piece: Piece,
        pieces: &mpsc::Sender<Piece>,
        execution: &mut Execution,
    ) -> Result<(), Failed> {
        tokio::select! {
            biased;
            given = pieces.send(piece) => match given {
                Ok(()) => Ok(()),
                // Nobody reads any more.
                Err(_) => Err(ended(execution).await.into()),
            },
            ended = self::ended(execution) => Err(ended.into()),
            gone = self.wire.gone() => Err(gone.into()),
        }
    }

    /// Where the rows go, and whether that is an external table.
    ///
    /// # Errors
    /// A table or a column that does not exist.
    async fn target(&mut self, table: &RelationName, columns: &[Name]) -> Result<(Target, bool), Failed> {
        let (columns, is_external) = self.session.insert_columns(table, columns).await?;
        if columns.is_empty() {
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "COPY FROM STDIN needs a column").into());
        }
        let places: Vec<String> = (1..=columns.len()).map(|number| format!("${number}")).collect();
        let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
        let (names, places) = (names.join(", "), places.join(", "));
        let text = format!("INSERT INTO {} ({names}) OVERRIDING SYSTEM VALUE VALUES ({places})", relation(table));
        let session = self.session.clone();
        let described = async move { session.prepare_typed(&text, &[]).await };
        let described = self.on_cpu(described.boxed()).await?;
        let parameters = described.parameters.into_iter().map(Parameter::inferred).collect();
        Ok((Target::new(table.name.clone(), columns, parameters), is_external))
    }
}

fn wrong(error: &CopyError) -> SqlError {
    let wrong = SqlError::new(SqlState::known(error.sqlstate()), error.to_string());
    match error.hint() {
        Some(hint) => wrong.with_hint(hint),
        None => wrong,
    }
}

/// Why the statement has ended before its rows have: what it waits for is the client's.
async fn ended(execution: &mut Execution) -> SqlError {
    match execution.next().await {
        Err(error) => error,
        Ok(_) => has_rows(),
    }
}

fn has_rows() -> SqlError {
    crate::error::internal("COPY FROM STDIN has ended before its rows, or given some")
}
