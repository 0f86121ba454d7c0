//! Stop 8 of a query's walk: a statement runs, and its rows leave as Flight messages.

use super::clients::Client;
use super::columns::{client_batch, client_schema};
use super::limits::{MESSAGE_BYTES, MESSAGES_AHEAD};
use super::protocol::CommandReport;
use super::result_body::small_message;
use super::retrieve::Retrieval;
use super::statements::{RunGuard, Statement};
use super::status::status;
use crate::error::{SqlError, SqlResult, SqlState, internal, of_datafusion, task_ended};
use crate::session::{Outcome, Session};
use crate::shared::Shared;
use crate::sql::Ingest;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::{FlightData, SchemaAsIpc};
use bytes::Bytes;
use damson_interconnect::ClientEncoder;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::scalar::ScalarValue;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tracing::{Instrument, Span, info_span};

/// One message of a result as gRPC carries it, in chunks: the rows' own memory.
pub(super) type Chunks = Vec<Bytes>;

/// Messages of one result. Dropping it ends the statement.
pub(super) type Messages = BoxStream<'static, Result<Chunks, Status>>;

/// Runs planning or a command off the threads that serve sockets. Dropping the future aborts it.
pub(super) async fn on_cpu<T: Send + 'static>(cpu: &Handle, work: BoxFuture<'static, SqlResult<T>>) -> SqlResult<T> {
    AbortOnDropHandle::new(cpu.spawn(work)).await.map_err(task_ended)?
}

/// The columns that a statement promises its client; None while a parameter leaves a type open, and for a command.
pub(super) fn promised_schema(statement: &Statement) -> Option<SchemaRef> {
    let prepared = &statement.prepared;
    let open = |field: &Arc<arrow::datatypes::Field>| *field.data_type() == DataType::Null;
    let is_open = !prepared.parameters.is_empty() && prepared.schema.fields().iter().any(open);
    (!prepared.is_update && !is_open).then(|| client_schema(&prepared.schema))
}

/// Runs a statement. A query's schema leaves at once, before it is planned; a command's answer when it is done.
///
/// # Errors
/// A command's; a query's come in the stream.
pub(super) async fn run(
    client: &Client,
    statement: Arc<Statement>,
    cpu: &Handle,
    guard: RunGuard,
) -> Result<Messages, Status> {
    let session = client.session.clone();
    let parameters = statement.bound();
    if statement.prepared.is_update {
        let report = command(&session, statement.text.clone(), parameters, cpu, &guard.cancel).await;
        return report.and_then(|report| report_message(&report)).map_err(|e| status(&e));
    }
    let span = info_span!("flight_sql", session_id = session.id.0);
    // What has been committed is told, even if a cancel comes before its rows have gone: the session ends the statement, as long as it can be.
    let is_done_first = session.parse(&statement.text).is_ok_and(|statement| statement.is_done_before_its_rows());
    let until = if is_done_first { CancellationToken::new() } else { guard.cancel.clone() };
    let (sender, receiver) = mpsc::channel(MESSAGES_AHEAD);
    let work = send_all(query(session, statement, parameters, guard.cancel.clone()), sender);
    let work = AbortOnDropHandle::new(cpu.spawn(work.instrument(span)));
    Ok(until_cancelled(receiver, work, guard, until))
}

/// One of a query's streams. Its schema leaves at once; the first one starts the query.
pub(super) fn run_stream(session_id: u64, retrieval: Arc<Retrieval>, cpu: &Handle, guard: RunGuard) -> Messages {
    let span = info_span!("flight_sql", session_id);
    let schema = Arc::clone(&retrieval.schema);
    let until = guard.cancel.clone();
    encoded(retrieval.rows(), schema, cpu, span, guard, until)
}

/// Rows as messages, encoded on `cpu`. What is `held` goes with them.
pub(super) fn encoded(
    rows: Batches,
    schema: SchemaRef,
    cpu: &Handle,
    span: Span,
    held: impl Send + 'static,
    until: CancellationToken,
) -> Messages {
    let (sender, receiver) = mpsc::channel(MESSAGES_AHEAD);
    let work = send_all(encode(stream::once(async move { Ok(rows) }), schema), sender);
    let work = AbortOnDropHandle::new(cpu.spawn(work.instrument(span)));
    until_cancelled(receiver, work, held, until)
}

async fn send_all(
    messages: impl Stream<Item = Result<Chunks, Status>> + Send,
    sender: mpsc::Sender<Result<Chunks, Status>>,
) {
    futures::pin_mut!(messages);
    while let Some(message) = messages.next().await {
        let is_last = message.is_err();
        // Nobody listens any more: the query is dropped with its stream.
        if sender.send(message).await.is_err() || is_last {
            return;
        }
    }
}

/// Runs a command to its end. A cancel comes too late once it commits: the answer is then that it was done.
pub(super) async fn command(
    session: &Shared<Session>,
    text: String,
    parameters: Vec<ScalarValue>,
    cpu: &Handle,
    cancel: &CancellationToken,
) -> SqlResult<CommandReport> {
    let span = info_span!("flight_sql", session_id = session.id.0);
    let (session, cancel) = (session.clone(), cancel.clone());
    let statement = session.parse(&text);
    let has_changed = statement.as_ref().is_ok_and(|statement| statement.is_done_before_its_rows());
    let statement = statement.map(Arc::unwrap_or_clone);
    let work = async move { session.run_until(statement, &text, parameters, cancel).await };
    match on_cpu(cpu, work.instrument(span).boxed()).await? {
        Outcome::Command { tag, rows, notices } => Ok(CommandReport { tag, rows, notices }),
        // Who asks for a count gets the count of the rows that there are.
        Outcome::Rows { mut stream, .. } if has_changed => {
            let mut rows = 0;
            while let Some(batch) = stream.next().await {
                rows += batch.map_err(of_datafusion)?.num_rows() as u64;
            }
            Ok(CommandReport { tag: String::new(), rows, notices: vec![] })
        }
        // Dropped unread: nothing was done.
        Outcome::Rows { .. } => {
            Err(SqlError::new(SqlState::SYNTAX_ERROR, "the statement returns rows").with_hint("execute it as a query"))
        }
    }
}

/// Runs an ingest to its end; gives the number of its rows. As with [`command`], a cancel may come too late.
pub(super) async fn ingest_rows(
    session: &Shared<Session>,
    ingest: Ingest,
    cpu: &Handle,
    cancel: &CancellationToken,
) -> SqlResult<u64> {
    let span = info_span!("flight_sql", session_id = session.id.0);
    let (session, cancel) = (session.clone(), cancel.clone());
    let text = format!("INGEST INTO {}", ingest.table);
    let work = async move { session.ingest_until(ingest, &text, cancel).await };
    match on_cpu(cpu, work.instrument(span).boxed()).await? {
        Outcome::Command { rows, .. } => Ok(rows),
        Outcome::Rows { .. } => Err(internal("an ingest gave rows")),
    }
}

/// A command's answer: no columns, no rows, and the report for those who know of it.
fn report_message(report: &CommandReport) -> SqlResult<Messages> {
    let report = serde_json::to_vec(report).map_err(internal)?;
    let message = schema_message(&Schema::empty()).with_app_metadata(report);
    Ok(stream::iter([Ok(small_message(&message))]).boxed())
}

/// One batch that is there already: a listing, of types that results do not have.
pub(super) fn batch_messages(batch: RecordBatch) -> BoxStream<'static, Result<FlightData, Status>> {
    let encoder = FlightDataEncoderBuilder::new().with_max_flight_data_size(MESSAGE_BYTES).with_schema(batch.schema());
    encoder.build(stream::once(async { Ok(batch) })).map_err(Status::from).boxed()
}

fn schema_message(schema: &Schema) -> FlightData {
    SchemaAsIpc::new(schema, &IpcWriteOptions::default()).into()
}

fn query(
    session: Shared<Session>,
    statement: Arc<Statement>,
    parameters: Vec<ScalarValue>,
    cancel: CancellationToken,
) -> impl Stream<Item = Result<Chunks, Status>> + Send {
    let promised = promised_schema(&statement);
    let execute = async move {
        match session.execute_until(&statement.text, parameters, cancel).await? {
            Outcome::Rows { stream, .. } => Ok(stream),
            Outcome::Command { tag, .. } => Err(internal(format!("a query ended as a command: {tag}"))),
        }
    };
    let messages = async move {
        match promised {
            Some(schema) => encode(stream::once(execute).map(move |rows| rows.map(into_batches)), schema),
            None => match execute.await {
                Ok(rows) => {
                    let schema = client_schema(&rows.schema());
                    encode(stream::once(async move { Ok(into_batches(rows)) }), schema)
                }
                Err(error) => stream::once(async move { Err(status(&error)) }).boxed(),
            },
        }
    };
    stream::once(messages).flatten()
}

pub(super) type Batches = BoxStream<'static, SqlResult<RecordBatch>>;

fn into_batches(rows: SendableRecordBatchStream) -> Batches {
    rows.map_err(of_datafusion).boxed()
}

/// The schema at once; then the rows, once they are known to come.
fn encode(rows: impl Stream<Item = SqlResult<Batches>> + Send + 'static, schema: SchemaRef) -> Messages {
    let begin = stream::iter([Ok(small_message(&schema_message(&schema)))]);
    let mut encoder = None;
    let messages = rows.try_flatten().map(move |batch| -> SqlResult<Vec<Chunks>> {
        let encoder = match &mut encoder {
            Some(encoder) => encoder,
            none => none.insert(ClientEncoder::new(&schema, MESSAGE_BYTES).map_err(internal)?),
        };
        encoder.encode(&client_batch(&batch?, &schema)?).map_err(internal)
    });
    let messages = messages.map_ok(|messages| stream::iter(messages).map(Ok)).try_flatten();
    begin.chain(messages.map_err(|e| status(&e))).boxed()
}

/// The messages of a task until it ends, or `until`. A task that died is an error, never a short
/// result.
fn until_cancelled(
    receiver: mpsc::Receiver<Result<Chunks, Status>>,
    work: AbortOnDropHandle<()>,
    held: impl Send + 'static,
    until: CancellationToken,
) -> Messages {
    stream::unfold(Some((receiver, work, held)), move |state| {
        let until = until.clone();
        async move {
            let (mut receiver, work, held) = state?;
            let message = tokio::select! {
                biased;
                () = until.cancelled() => return Some((Err(status(&SqlError::canceled())), None)),
                message = receiver.recv() => message,
            };
            match message {
                Some(Ok(message)) => Some((Ok(message), Some((receiver, work, held)))),
                Some(Err(error)) => Some((Err(error), None)),
                None => work.await.err().map(|died| (Err(status(&task_ended(died))), None)),
            }
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flight_sql::statements::Statements;
    use crate::session::Prepared;
    use arrow::array::Int32Array;
    use arrow::datatypes::Field;
    use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
    use arrow_flight::error::FlightError;
    use prost::Message;
    use uuid::Uuid;

    fn received(chunks: &Chunks) -> FlightData {
        FlightData::decode(&chunks.concat()[5..]).unwrap()
    }

    async fn decode(messages: Messages) -> Vec<Result<DecodedPayload, FlightError>> {
        let messages = messages.map_ok(|chunks| received(&chunks));
        let decoder = FlightDataDecoder::new(messages.map_err(FlightError::from));
        decoder.map_ok(|data| data.payload).collect().await
    }

    fn numbers() -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, false)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int32Array::from(vec![1, 2]))]).unwrap()
    }

    #[tokio::test]
    async fn the_schema_comes_first_and_an_error_last() {
        let rows: Batches =
            stream::iter([Ok(numbers()), Err(SqlError::new(SqlState::DIVISION_BY_ZERO, "zero"))]).boxed();
        let messages = encode(stream::once(async move { Ok(rows) }), client_schema(&numbers().schema()));
        let decoded = decode(messages).await;
        assert_eq!(decoded.len(), 3);
        assert!(matches!(&decoded[0], Ok(DecodedPayload::Schema(schema)) if schema.field(0).name() == "n"));
        assert!(matches!(&decoded[1], Ok(DecodedPayload::RecordBatch(batch)) if batch.num_rows() == 2));
        let Err(FlightError::Tonic(error)) = &decoded[2] else { panic!("{:?}", decoded[2]) };
        assert_eq!(error.metadata().get("sqlstate").unwrap(), "22012");
    }

    #[tokio::test]
    async fn the_schema_does_not_wait_for_the_query() {
        let never = stream::once(futures::future::pending::<SqlResult<Batches>>());
        let mut messages = encode(never, client_schema(&numbers().schema()));
        let first = received(&messages.next().await.unwrap().unwrap());
        assert!(!first.data_header.is_empty());
    }

    #[tokio::test]
    async fn a_report_is_the_metadata_of_an_empty_schema() {
        let report = CommandReport { tag: "INSERT 0 3".into(), rows: 3, notices: vec!["n".into()] };
        let messages: Vec<_> = report_message(&report).unwrap().collect().await;
        assert_eq!(messages.len(), 1);
        let message = received(messages[0].as_ref().unwrap());
        assert_eq!(serde_json::from_slice::<CommandReport>(&message.app_metadata).unwrap(), report);
        let decoded = decode(report_message(&report).unwrap()).await;
        assert!(matches!(&decoded[..], [Ok(DecodedPayload::Schema(schema))] if schema.fields().is_empty()));
    }

    fn guard() -> (Arc<Statements>, Uuid, RunGuard) {
        let (statements, handle) = (Arc::new(Statements::default()), Uuid::new_v4());
        let guard = statements.run(handle, CancellationToken::new());
        (statements, handle, guard)
    }

    #[tokio::test]
    async fn a_cancel_ends_a_result_with_an_error() {
        let (statements, handle, guard) = guard();
        let until = guard.cancel.clone();
        let (sender, receiver) = mpsc::channel(1);
        let work = tokio::spawn(async move {
            let _sender: mpsc::Sender<Result<Chunks, Status>> = sender;
            futures::future::pending::<()>().await;
        });
        let messages = until_cancelled(receiver, AbortOnDropHandle::new(work), guard, until);
        assert!(statements.cancel(handle));
        let messages: Vec<_> = messages.collect().await;
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].as_ref().unwrap_err().code(), tonic::Code::Cancelled);
        assert!(!statements.is_running());
    }

    #[tokio::test]
    async fn a_task_that_died_is_an_error() {
        let (_, _, guard) = guard();
        let until = guard.cancel.clone();
        let (sender, receiver) = mpsc::channel(1);
        let work = tokio::spawn(async move {
            let _sender: mpsc::Sender<Result<Chunks, Status>> = sender;
            panic!("of this test");
        });
        let messages: Vec<_> = until_cancelled(receiver, AbortOnDropHandle::new(work), guard, until).collect().await;
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].as_ref().unwrap_err().code(), tonic::Code::Internal);
    }

    /// As when the master's runtime ends: another master can be asked.
    #[tokio::test]
    async fn a_task_that_was_cut_short_is_of_a_master_that_ends() {
        let (_, _, guard) = guard();
        let until = guard.cancel.clone();
        let (sender, receiver) = mpsc::channel(1);
        let work = tokio::spawn(async move {
            let _sender: mpsc::Sender<Result<Chunks, Status>> = sender;
            futures::future::pending::<()>().await;
        });
        work.abort();
        let messages: Vec<_> = until_cancelled(receiver, AbortOnDropHandle::new(work), guard, until).collect().await;
        let wanted = status(&SqlError::new(SqlState::CANNOT_CONNECT_NOW, "")).code();
        assert_eq!(messages[0].as_ref().unwrap_err().code(), wanted);
    }

    #[test]
    fn an_open_parameter_leaves_the_schema_open() {
        let statement = |data_type: DataType, parameters: Vec<DataType>, is_update| {
            let schema = Arc::new(Schema::new(vec![Field::new("x", data_type, true)]));
            Statement::new(String::new(), Prepared { schema, parameters, is_update })
        };
        assert!(promised_schema(&statement(DataType::Null, vec![DataType::Null], false)).is_none());
        assert!(promised_schema(&statement(DataType::Null, vec![], false)).is_some());
        assert!(promised_schema(&statement(DataType::Int32, vec![DataType::Null], false)).is_some());
        assert!(promised_schema(&statement(DataType::Int32, vec![], true)).is_none());
    }
}
