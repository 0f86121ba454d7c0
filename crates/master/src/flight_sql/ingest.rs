//! `CommandStatementIngest`: what it asks for, and the batches that come with it.

use super::limits::{INGEST_PIECE_ROWS, REQUEST_BYTES_MAX};
use super::status::malformed;
use crate::engine::SentRows;
use crate::error::{SqlError, SqlResult, SqlState, internal};
use crate::sql::{DATABASE, IfAbsent, IfExists, Ingest, RelationName};
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::ipc::root_as_message;
use arrow_flight::FlightData;
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder, FlightRecordBatchStream};
use arrow_flight::error::FlightError;
use arrow_flight::sql::{CommandStatementIngest, TableExistsOption, TableNotExistOption};
use futures::{Stream, StreamExt, TryStreamExt, future, stream};
use std::sync::Arc;
use tonic::{Code, Status};

/// The command, and its rows, of which the schema is read here and the batches when the statement wants them.
///
/// # Errors
/// 0A000 for a temporary table, another database, and an ingest without columns; 22023 for options; 42601 for a table without a name;
/// 08P01 for what is not said, or has no schema; what the messages end with.
pub(super) async fn read(
    command: &CommandStatementIngest,
    messages: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
) -> SqlResult<Ingest> {
    let (if_absent, if_exists) = modes(command)?;
    let table = table(command)?;
    // The message that names the command may carry no schema.
    let data = messages.try_filter(|message| future::ready(!message.data_header.is_empty()));
    let data = data.map_err(FlightError::from).map(|message| message.and_then(uncompressed));
    let mut decoder = FlightDataDecoder::new(data);
    let schema = loop {
        match decoder.next().await.transpose().map_err(of_flight)?.map(|data| data.payload) {
            Some(DecodedPayload::Schema(schema)) => break plain_schema(&schema),
            Some(DecodedPayload::None) => {}
            Some(DecodedPayload::RecordBatch(_)) | None => return Err(malformed("the rows come without a schema")),
        }
    };
    if schema.fields().is_empty() {
        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "an ingest needs a column"));
    }
    let plain = Arc::clone(&schema);
    let batches = FlightRecordBatchStream::new(decoder).map_err(of_flight);
    let pieces = batches.map_ok(move |batch| stream::iter(pieces(batch, Arc::clone(&plain)))).try_flatten();
    Ok(Ingest { table, if_absent, if_exists, overriding: None, rows: SentRows::new(schema, pieces.boxed()) })
}

fn modes(command: &CommandStatementIngest) -> SqlResult<(IfAbsent, IfExists)> {
    let options = command.table_definition_options.as_ref();
    let if_absent = match options.map(|options| options.if_not_exist()) {
        Some(TableNotExistOption::Create) => IfAbsent::Create,
        Some(TableNotExistOption::Fail) => IfAbsent::Fail,
        Some(TableNotExistOption::Unspecified) | None => {
            return Err(malformed("the ingest does not say what to do if the table does not exist"));
        }
    };
    let if_exists = match options.map(|options| options.if_exists()) {
        Some(TableExistsOption::Append) => IfExists::Append,
        Some(TableExistsOption::Fail) => IfExists::Fail,
        Some(TableExistsOption::Replace) => IfExists::Replace,
        Some(TableExistsOption::Unspecified) | None => {
            return Err(malformed("the ingest does not say what to do if the table exists"));
        }
    };
    Ok((if_absent, if_exists))
}

/// Names are as they are stored: nothing is folded. An empty one of a catalog or schema is none.
fn table(command: &CommandStatementIngest) -> SqlResult<RelationName> {
    let given = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    let (schema, name) = (given(&command.schema), command.table.clone());
    let table = RelationName { schema, name, position: 1 };
    if command.temporary {
        let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "temporary tables are not supported");
        return Err(error.with_hint("Ingest into a table, and drop it afterwards."));
    }
    if let Some(catalog) = given(&command.catalog).filter(|catalog| catalog != DATABASE) {
        let message = format!("cross-database references are not implemented: \"{catalog}.{table}\"");
        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
    }
    if table.name.is_empty() {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "the ingest names no table"));
    }
    if let Some(option) = command.options.keys().min() {
        let error = SqlError::new(SqlState::INVALID_PARAMETER, format!("unrecognized ingest option \"{option}\""));
        return Err(error.with_hint("There are none."));
    }
    Ok(table)
}

/// A message as it is, unless it is compressed: decompressing takes memory on the client's word.
fn uncompressed(message: FlightData) -> Result<FlightData, FlightError> {
    let head = root_as_message(&message.data_header).map_err(|e| FlightError::DecodeError(e.to_string()))?;
    let of_dictionary = || head.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
    let batch = head.header_as_record_batch().or_else(of_dictionary);
    if batch.is_some_and(|batch| batch.compression().is_some()) {
        let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "compressed batches are not supported");
        return Err(FlightError::ExternalError(Box::new(error.with_hint("Send them without compression."))));
    }
    Ok(message)
}

/// The columns as they go on: without encodings, and of unknown nullability, because who sends them only says so.
fn plain_schema(schema: &Schema) -> SchemaRef {
    let field = |field: &FieldRef| Field::new(field.name(), plain_type(field.data_type()), true);
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::RunEndEncoded(_, value) => plain_type(value.data_type()),
        DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Float16 => DataType::Float32,
        other => other.clone(),
    }
}

/// A batch in pieces of at most [`INGEST_PIECE_ROWS`] with the columns of `schema`, each made when it is wanted.
fn pieces(batch: RecordBatch, schema: SchemaRef) -> impl Iterator<Item = SqlResult<RecordBatch>> {
    let starts = (0..batch.num_rows()).step_by(INGEST_PIECE_ROWS);
    starts.map(move |start| {
        let piece = batch.slice(start, INGEST_PIECE_ROWS.min(batch.num_rows() - start));
        let columns = piece.columns().iter().zip(schema.fields()).map(|(column, field)| {
            match column.data_type() == field.data_type() {
                true => Ok(Arc::clone(column)),
                false => cast(column, field.data_type()).map_err(|e| undecodable(&e)),
            }
        });
        let columns = columns.collect::<SqlResult<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(piece.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options).map_err(internal)
    })
}

fn undecodable(error: &dyn std::fmt::Display) -> SqlError {
    malformed(format!("undecodable rows: {error}"))
}

/// Why the messages ended. What gRPC tells is the connection's end, a message that is too long, or one that is none.
fn of_flight(error: FlightError) -> SqlError {
    match error {
        FlightError::ExternalError(error) => match error.downcast::<SqlError>() {
            Ok(error) => *error,
            Err(other) => undecodable(&other),
        },
        FlightError::Tonic(status) => match status.code() {
            Code::OutOfRange => {
                let message = format!("a message of rows has more than {REQUEST_BYTES_MAX} bytes");
                SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).with_hint("Send the rows in smaller batches.")
            }
            Code::InvalidArgument => undecodable(&status.message()),
            _ => {
                let message = format!("the rows ended before their end: {}", status.message());
                SqlError::new(SqlState::CONNECTION_FAILURE, message)
            }
        },
        other => undecodable(&other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, NullArray, StringArray};
    use arrow::datatypes::Int32Type;
    use arrow::ipc::CompressionType;
    use arrow::ipc::writer::IpcWriteOptions;
    use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
    use arrow_flight::sql::TableDefinitionOptions;

    fn command() -> CommandStatementIngest {
        let options = TableDefinitionOptions {
            if_not_exist: TableNotExistOption::Create as i32,
            if_exists: TableExistsOption::Append as i32,
        };
        CommandStatementIngest {
            table_definition_options: Some(options),
            table: "T".into(),
            schema: Some("s".into()),
            catalog: Some(DATABASE.into()),
            temporary: false,
            transaction_id: None,
            options: [].into(),
        }
    }

    fn batch(rows: usize) -> RecordBatch {
        let numbers = Int32Array::from_iter((0..rows as i32).map(|n| (n % 3 != 0).then_some(n)));
        let words: DictionaryArray<Int32Type> =
            (0..rows).map(|n| Some(if n % 2 == 0 { "even" } else { "odd" })).collect();
        let columns =
            [("n", Arc::new(numbers) as ArrayRef), ("w", Arc::new(words)), ("x", Arc::new(NullArray::new(rows)))];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn messages(
        batches: Vec<RecordBatch>,
        encoder: FlightDataEncoderBuilder,
    ) -> impl Stream<Item = Result<FlightData, Status>> + Send {
        encoder.build(stream::iter(batches.into_iter().map(Ok))).map_err(Status::from)
    }

    /// What the statement's plan would get.
    async fn rows_of(ingest: Ingest) -> Vec<RecordBatch> {
        let plan = datafusion::logical_expr::LogicalPlanBuilder::from(ingest.rows.plan().unwrap()).build().unwrap();
        let context = datafusion::prelude::SessionContext::new();
        context.execute_logical_plan(plan).await.unwrap().collect().await.unwrap()
    }

    #[tokio::test]
    async fn rows_go_on_in_pieces_and_without_their_encodings() {
        let rows = INGEST_PIECE_ROWS + 5;
        let encoder = FlightDataEncoderBuilder::new().with_max_flight_data_size(usize::MAX);
        let encoder = encoder.with_dictionary_handling(DictionaryHandling::Resend);
        let ingest = read(&command(), messages(vec![batch(rows), batch(0), batch(2)], encoder)).await.unwrap();
        assert_eq!(ingest.table, RelationName { schema: Some("s".into()), name: "T".into(), position: 1 });
        assert_eq!((ingest.if_absent, ingest.if_exists), (IfAbsent::Create, IfExists::Append));
        let types: Vec<_> = ingest.rows.schema().fields().iter().map(|f| f.data_type().clone()).collect();
        assert_eq!(types, [DataType::Int32, DataType::Utf8, DataType::Null]);
        assert!(ingest.rows.schema().fields().iter().all(|field| field.is_nullable()));
        let read = rows_of(ingest).await;
        let counts: Vec<_> = read.iter().map(RecordBatch::num_rows).collect();
        assert_eq!(counts.iter().sum::<usize>(), rows + 2);
        assert!(counts.iter().all(|count| *count <= INGEST_PIECE_ROWS), "{counts:?}");
        assert!(read[0].column(0).is_null(3) && !read[0].column(0).is_null(4));
        let words: &StringArray = read[0].column(1).as_string();
        assert_eq!((words.value(0), words.value(1)), ("even", "odd"));
    }

    #[tokio::test]
    async fn what_is_not_supported_is_refused_before_the_rows_are_read() {
        let refused = async |command: CommandStatementIngest| {
            let error = read(&command, stream::pending()).await.unwrap_err();
            (error.state.0, error.message)
        };
        let named = |table: &str| CommandStatementIngest { table: table.into(), ..command() };
        assert_eq!(refused(CommandStatementIngest { temporary: true, ..command() }).await.0, "0A000");
        let other = refused(CommandStatementIngest { catalog: Some("other".into()), ..command() }).await;
        assert_eq!(other, ("0A000", "cross-database references are not implemented: \"other.s.T\"".to_owned()));
        assert_eq!(refused(named("")).await.0, "42601");
        let options = [("b".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())].into();
        let unknown = refused(CommandStatementIngest { options, ..command() }).await;
        assert_eq!(unknown, ("22023", "unrecognized ingest option \"a\"".to_owned()));
        assert_eq!(refused(CommandStatementIngest { table_definition_options: None, ..command() }).await.0, "08P01");
        for (if_not_exist, if_exists) in [(0, 1), (1, 0), (9, 9)] {
            let options = Some(TableDefinitionOptions { if_not_exist, if_exists });
            let command = CommandStatementIngest { table_definition_options: options, ..command() };
            assert_eq!(refused(command).await.0, "08P01", "{if_not_exist} {if_exists}");
        }
    }

    #[tokio::test]
    async fn rows_without_a_schema_or_columns_are_refused() {
        let error = read(&command(), stream::empty()).await.unwrap_err();
        assert_eq!(error.state.0, "08P01");
        let columnless = FlightDataEncoderBuilder::new().with_schema(Arc::new(Schema::empty()));
        let error = read(&command(), messages(vec![], columnless)).await.unwrap_err();
        assert_eq!(error.state.0, "0A000");
    }

    #[tokio::test]
    async fn compressed_batches_are_refused() {
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME)).unwrap();
        let numbers =
            RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from(vec![7; 1_000])) as ArrayRef)]).unwrap();
        let encoder = FlightDataEncoderBuilder::new().with_options(options);
        let ingest = read(&command(), messages(vec![numbers], encoder)).await.unwrap();
        let context = datafusion::prelude::SessionContext::new();
        let read = context.execute_logical_plan(ingest.rows.plan().unwrap()).await.unwrap().collect().await;
        assert!(read.unwrap_err().to_string().contains("compressed batches are not supported"));
    }

    #[test]
    fn an_end_has_a_reason() {
        let state = |status: Status| of_flight(FlightError::from(status)).state.0;
        assert_eq!(state(Status::out_of_range("too large")), "54000");
        assert_eq!(state(Status::cancelled("gone")), "08006");
        assert_eq!(state(Status::invalid_argument("undecodable request")), "08P01");
        assert_eq!(of_flight(FlightError::DecodeError("x".into())).state.0, "08P01");
    }
}
