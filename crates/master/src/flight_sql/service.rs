//! Stop 1 of a query's walk: Flight SQL's calls.

use super::actions::{SESSION_CLOSED, SESSION_NOT_CLOSEABLE, action_types, cancel, parse_handle};
use super::bulk::Portion;
use super::clients::{Client, Clients};
use super::columns::{client_field, client_schema, type_name};
use super::ingest;
use super::keys::{foreign_keys_schema, listed, no_foreign_keys, primary_keys, primary_keys_schema};
use super::limits::BOUND_BYTES_MAX;
use super::listing::{Listing, table_types};
use super::parameters;
use super::peer::connection_of;
use super::protocol::{
    CANCEL_FLIGHT_INFO, CLOSE_SESSION, GET_SESSION_OPTIONS, REUSE_CONNECTION, SET_SESSION_OPTIONS, StatementInfo,
};
use super::result_body::small_message;
use super::results::{Messages, batch_messages, command, ingest_rows, on_cpu, promised_schema, run, run_stream};
use super::retrieve::{AtSegments, Retrieval, StreamOf};
use super::session_options;
use super::sql_info::sql_info;
use super::statements::{Life, Statement};
use super::status::{status, violation};
use super::transactions;
use super::type_info::type_info;
use crate::error::{SqlError, SqlResult, SqlState, internal};
use crate::master::Master;
use crate::session::Answering;
use crate::shared::Shared;
use crate::sql::ValuesRow;
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::metadata::{SqlInfoData, XdbcTypeInfoData};
use arrow_flight::sql::server::{DoPutError, FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionRequest,
    ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    ActionEndSavepointRequest, ActionEndTransactionRequest, Any, Command, CommandGetCatalogs, CommandGetCrossReference,
    CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo,
    CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo, CommandPreparedStatementQuery,
    CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery, CommandStatementUpdate,
    DoPutPreparedStatementResult, ProstMessageExt, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightDescriptor,
    FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage, Location, SchemaAsIpc, Ticket,
};
use bytes::Bytes;
use damson_cluster::SegmentSet;
use damson_motion::RetrieveAddress;
use datafusion::scalar::ScalarValue;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use prost::Message;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

/// Flight SQL over a master. One a server.
pub(super) struct SqlService {
    clients: Arc<Clients>,
    master: Shared<Master>,
    cpu: Handle,
    /// Ends every statement when the server goes.
    shutdown: CancellationToken,
    sql_info: SqlInfoData,
    type_info: XdbcTypeInfoData,
}

type Get = Result<Response<<SqlService as FlightService>::DoGetStream>, Status>;
type Info = Result<Response<FlightInfo>, Status>;

impl SqlService {
    /// # Errors
    /// Internal, if the server's own description, which is fixed, is none.
    pub(super) fn new(master: Arc<Master>, clients: Arc<Clients>, shutdown: CancellationToken) -> SqlResult<Self> {
        let describe = |status: Status| internal(status.message());
        Ok(SqlService {
            cpu: master.cpu.clone(),
            master: master.into(),
            clients,
            shutdown,
            sql_info: sql_info().map_err(describe)?,
            type_info: type_info().map_err(describe)?,
        })
    }

    /// Finds out who makes a call, before it is looked at; gives what is held until it is answered.
    ///
    /// # Errors
    /// As [`Clients::of_call`].
    pub(super) async fn admit(&self, request: &mut http::Request<Body>) -> Result<Answering, Status> {
        let header = request.headers().get("authorization").map(|value| value.to_str()).transpose();
        let header = header.map_err(|_| violation("the authorization header is not text"))?;
        let connection = connection_of(request.extensions())?;
        let client = self.clients.of_call(header, connection.clone()).await?;
        connection.becomes_known();
        let answering = client.session.answers();
        request.extensions_mut().insert(client);
        Ok(answering)
    }

    fn client<T>(&self, request: &Request<T>) -> Result<Arc<Client>, Status> {
        let admitted = request.extensions().get::<Arc<Client>>().map(Arc::clone);
        admitted.ok_or_else(|| status(&internal("a call came in that nobody has admitted")))
    }

    fn listing<T>(&self, request: &Request<T>) -> Result<Listing, Status> {
        Ok(Listing::new(self.client(request)?.session.clone(), self.cpu.clone()))
    }

    /// Plans a statement and gives it a handle.
    async fn plan(
        &self,
        client: &Client,
        text: String,
        life: Life,
        transaction: Option<Bytes>,
    ) -> Result<(Uuid, Arc<Statement>), Status> {
        transactions::check(client, transaction.as_ref(), &text).await?;
        let session = client.session.clone();
        let work = async move {
            let prepared = session.prepare(&text).await?;
            Ok(Statement::new(text, prepared).within(transaction))
        };
        let planned = on_cpu(&self.cpu, work.boxed());
        let statement = planned.await.map_err(|e| status(&e))?;
        let now = Instant::now();
        let handle = client.statements.insert(statement, life, now).map_err(|e| status(&e))?;
        // A ticket's statement is looked at, not fetched.
        let statement = client.statements.look(handle).map_err(|e| status(&e))?;
        Ok((handle, statement))
    }

    fn prepared(&self, client: &Client, handle: &[u8]) -> Result<(Uuid, Arc<Statement>), Status> {
        let handle = parse_handle(handle)?;
        let statement = client.statements.fetch(handle, Life::Prepared, Instant::now());
        Ok((handle, statement.map_err(|e| status(&e))?))
    }

    /// Where a statement's rows are to be asked for, and with what; with `ticket`, if they are one stream.
    async fn endpoints(
        &self,
        client: &Client,
        statement: &Arc<Statement>,
        ticket: Vec<u8>,
    ) -> Result<Vec<FlightEndpoint>, Status> {
        let here = |ticket| vec![FlightEndpoint::new().with_ticket(Ticket::new(ticket))];
        let schema = promised_schema(statement).filter(|_| client.session.retrieves_in_parallel());
        let Some(schema) = schema else { return Ok(here(ticket)) };
        let (session, text, parameters) = (client.session.clone(), statement.text.clone(), statement.bound());
        let may_reach_segments = self.master.registry.lets_clients_in(client.is_encrypted());
        let streams = async move { session.streams_of(&text, parameters, may_reach_segments).await };
        let streams = on_cpu(&self.cpu, streams.boxed()).await.map_err(|e| status(&e))?;
        if streams.at_master <= 1 && streams.at_segments.is_none() {
            return Ok(here(ticket));
        }
        let (cancel, parameters) = (self.shutdown.child_token(), statement.bound());
        let (of, locations) = match self.locations(client, streams.at_segments) {
            Some((segments, locations)) => {
                let query = AtSegments::new(&client.session, statement, parameters, (schema, segments), cancel);
                let query = Arc::new(query);
                (query.contents().map(|content| StreamOf::Segment(Arc::clone(&query), content)).collect(), locations)
            }
            None => {
                let (session, statement) = (client.session.clone(), Arc::clone(statement));
                let query = Arc::new(Retrieval::new(session, statement, parameters, schema, cancel));
                (vec![StreamOf::Shared(query); streams.at_master], vec![vec![]; streams.at_master])
            }
        };
        let handles = client.statements.insert_streams(statement, of, Instant::now()).map_err(|e| status(&e))?;
        let endpoint = |(handle, location)| {
            let ticket = TicketStatementQuery { statement_handle: handle_bytes(handle) }.as_any().encode_to_vec();
            FlightEndpoint { location, ..FlightEndpoint::new().with_ticket(Ticket::new(ticket)) }
        };
        Ok(handles.into_iter().zip(locations).map(endpoint).collect())
    }

    /// Where each of these segments lets clients in; what began over TLS, over TLS. None if one does not.
    fn locations(&self, client: &Client, segments: Option<SegmentSet>) -> Option<(SegmentSet, Vec<Vec<Location>>)> {
        let segments = segments?;
        let addresses = self.master.registry.retrieve_addresses(&segments)?;
        let is_encrypted = client.is_encrypted();
        let locations = addresses.into_iter().map(|RetrieveAddress { address, has_tls }| match is_encrypted {
            true => has_tls.then(|| format!("grpc+tls://{address}")),
            false => Some(format!("grpc+tcp://{address}")),
        });
        // Who cannot reach a segment may ask where it has asked before.
        let location = |uri| vec![Location { uri }, Location { uri: REUSE_CONNECTION.into() }];
        let locations = locations.collect::<Option<Vec<String>>>()?;
        Some((segments, locations.into_iter().map(location).collect()))
    }

    /// A DoGet's answer: a statement's rows in the memory where they are, a listing as arrow-flight encodes it.
    pub(super) async fn result(&self, request: Request<Ticket>) -> Result<Messages, Status> {
        let command = Any::decode(&*request.get_ref().ticket).ok().and_then(|any| Command::try_from(any).ok());
        match command {
            Some(Command::TicketStatementQuery(ticket)) => self.statement_rows(&ticket, &request).await,
            Some(Command::CommandPreparedStatementQuery(query)) => {
                let client = self.client(&request)?;
                let (handle, statement) = self.prepared(&client, &query.prepared_statement_handle)?;
                self.rows(&client, handle, statement).await
            }
            // It says too what is wrong with a ticket that is none.
            _ => {
                let listing = FlightService::do_get(self, request).await?.into_inner();
                Ok(listing.map_ok(|message| small_message(&message)).boxed())
            }
        }
    }

    async fn statement_rows(
        &self,
        ticket: &TicketStatementQuery,
        request: &Request<Ticket>,
    ) -> Result<Messages, Status> {
        let client = self.client(request)?;
        let handle = parse_handle(&ticket.statement_handle)?;
        if let Some(owner) = self.clients.of_stream(&client, handle)
            && let Some((statement, stream)) = owner.statements.fetch_stream(handle, Instant::now())
        {
            transactions::check(&owner, statement.transaction.as_ref(), &statement.text).await?;
            let retrieval = match stream {
                StreamOf::Shared(retrieval) => retrieval,
                StreamOf::Segment(query, _) => query.at_master().map_err(|e| status(&e))?,
            };
            let guard = owner.statements.run(handle, retrieval.cancel.clone());
            return Ok(run_stream(owner.session.id.0, retrieval, &self.cpu, guard));
        }
        let statement = client.statements.fetch(handle, Life::Once, Instant::now()).map_err(|e| status(&e))?;
        self.rows(&client, handle, statement).await
    }

    async fn rows(&self, client: &Client, handle: Uuid, statement: Arc<Statement>) -> Result<Messages, Status> {
        transactions::check(client, statement.transaction.as_ref(), &statement.text).await?;
        let guard = client.statements.run(handle, self.shutdown.child_token());
        run(client, statement, &self.cpu, guard).await
    }

    /// Runs a command; cancelled with the session, or by dropping the call.
    async fn update(&self, client: &Client, text: String, parameters: Vec<ScalarValue>) -> Result<i64, Status> {
        let guard = client.statements.run(Uuid::new_v4(), self.shutdown.child_token());
        let report = command(&client.session, text, parameters, &self.cpu, &guard.cancel).await;
        let report = report.map_err(|e| status(&e))?;
        i64::try_from(report.rows).map_err(|e| status(&internal(e)))
    }
}

pub(super) fn authorization<T>(request: &Request<T>) -> Result<Option<&str>, Status> {
    let value = request.metadata().get("authorization").map(MetadataValue::to_str).transpose();
    value.map_err(|_| violation("the authorization header is not text"))
}

pub(super) type HandshakeStream = Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>;

/// A handshake's answer: the token in its header, for clients that look there, and in its payload.
pub(super) fn logged_in(token: String) -> Result<Response<HandshakeStream>, Status> {
    let header = format!("Bearer {token}").parse().map_err(|e| status(&internal(e)))?;
    let answer = HandshakeResponse { protocol_version: 0, payload: token.into() };
    let mut response: Response<HandshakeStream> = Response::new(Box::pin(stream::once(async move { Ok(answer) })));
    response.metadata_mut().insert("authorization", header);
    Ok(response)
}

fn handle_bytes(handle: Uuid) -> Bytes {
    Bytes::copy_from_slice(handle.as_bytes())
}

fn flight_info(
    request: Request<FlightDescriptor>,
    schema: Option<&Schema>,
    endpoint: Vec<FlightEndpoint>,
    metadata: Bytes,
) -> Result<FlightInfo, Status> {
    let info = FlightInfo { endpoint, ..FlightInfo::new() };
    let info = info
        .with_descriptor(request.into_inner())
        .with_total_records(-1)
        .with_total_bytes(-1)
        .with_app_metadata(metadata);
    match schema {
        Some(schema) => info.try_with_schema(schema).map_err(|e| status(&internal(e))),
        // Clients then take it from the stream, which for a command has it when the command is done.
        None => Ok(info),
    }
}

fn statement_info(
    request: Request<FlightDescriptor>,
    client: &Client,
    statement: &Statement,
    endpoints: Vec<FlightEndpoint>,
) -> Result<Response<FlightInfo>, Status> {
    let metadata = StatementInfo { is_update: statement.prepared.is_update, session: Some(client.session.id.0) };
    let metadata = serde_json::to_vec(&metadata).map_err(|e| status(&internal(e)))?;
    let schema = promised_schema(statement);
    flight_info(request, schema.as_deref(), endpoints, metadata.into()).map(Response::new)
}

/// The info of a listing: its command is its own ticket.
fn listing_info(request: Request<FlightDescriptor>, command: &impl ProstMessageExt, schema: SchemaRef) -> Info {
    let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(command.as_any().encode_to_vec()));
    flight_info(request, Some(&schema), vec![endpoint], Bytes::new()).map(Response::new)
}

fn listing_rows(batch: Result<RecordBatch, Status>) -> Get {
    batch.map(|batch| Response::new(batch_messages(batch)))
}

fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    let options = arrow::ipc::writer::IpcWriteOptions::default();
    let message = IpcMessage::try_from(SchemaAsIpc::new(schema, &options));
    message.map(|message| message.0).map_err(|e| status(&internal(e)))
}

pub(super) fn one_result(body: Bytes) -> <SqlService as FlightService>::DoActionStream {
    stream::once(async move { Ok(arrow_flight::Result { body }) }).boxed()
}

#[tonic::async_trait]
impl FlightSqlService for SqlService {
    type FlightService = SqlService;

    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<HandshakeStream>, Status> {
        let connection = connection_of(request.extensions())?;
        let token = self.clients.log_in(authorization(&request)?, connection.clone()).await?;
        connection.becomes_known();
        logged_in(token)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let client = self.client(&request)?;
        let (handle, statement) = self.plan(&client, query.query, Life::Once, query.transaction_id).await?;
        let ticket = TicketStatementQuery { statement_handle: handle_bytes(handle) };
        let own = ticket.as_any().encode_to_vec();
        let endpoints = self.endpoints(&client, &statement, own.clone()).await?;
        if endpoints.iter().all(|endpoint| endpoint.ticket.as_ref().is_none_or(|ticket| ticket.ticket != own)) {
            // Its streams stand for it.
            client.statements.close(handle);
        }
        statement_info(request, &client, &statement, endpoints)
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let client = self.client(&request)?;
        let (_, statement) = self.prepared(&client, &query.prepared_statement_handle)?;
        let endpoints = self.endpoints(&client, &statement, query.as_any().encode_to_vec()).await?;
        statement_info(request, &client, &statement, endpoints)
    }

    async fn get_flight_info_catalogs(&self, query: CommandGetCatalogs, request: Request<FlightDescriptor>) -> Info {
        listing_info(request, &query, query.into_builder().schema())
    }

    async fn get_flight_info_schemas(&self, query: CommandGetDbSchemas, request: Request<FlightDescriptor>) -> Info {
        listing_info(request, &query, query.clone().into_builder().schema())
    }

    async fn get_flight_info_tables(&self, query: CommandGetTables, request: Request<FlightDescriptor>) -> Info {
        listing_info(request, &query, query.clone().into_builder().schema())
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Info {
        listing_info(request, &query, query.into_builder().schema())
    }

    async fn get_flight_info_sql_info(&self, query: CommandGetSqlInfo, request: Request<FlightDescriptor>) -> Info {
        listing_info(request, &query, self.sql_info.schema())
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Info {
        listing_info(request, &query, primary_keys_schema())
    }

    async fn get_flight_info_exported_keys(
        &self,
        query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Info {
        listing_info(request, &query, foreign_keys_schema())
    }

    async fn get_flight_info_imported_keys(
        &self,
        query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Info {
        listing_info(request, &query, foreign_keys_schema())
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Info {
        listing_info(request, &query, foreign_keys_schema())
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Info {
        listing_info(request, &query, self.type_info.schema())
    }

    async fn do_get_catalogs(&self, query: CommandGetCatalogs, request: Request<Ticket>) -> Get {
        listing_rows(listed(self.listing(&request)?.catalogs(query).await))
    }

    async fn do_get_schemas(&self, query: CommandGetDbSchemas, request: Request<Ticket>) -> Get {
        listing_rows(listed(self.listing(&request)?.schemas(query).await))
    }

    async fn do_get_tables(&self, query: CommandGetTables, request: Request<Ticket>) -> Get {
        listing_rows(listed(self.listing(&request)?.tables(query).await))
    }

    async fn do_get_table_types(&self, query: CommandGetTableTypes, _: Request<Ticket>) -> Get {
        listing_rows(listed(table_types(query)))
    }

    async fn do_get_sql_info(&self, query: CommandGetSqlInfo, _: Request<Ticket>) -> Get {
        listing_rows(self.sql_info.record_batch(query.info).map_err(|e| status(&internal(e))))
    }

    async fn do_get_primary_keys(&self, query: CommandGetPrimaryKeys, request: Request<Ticket>) -> Get {
        listing_rows(listed(primary_keys(&self.listing(&request)?, &query).await))
    }

    async fn do_get_exported_keys(&self, _: CommandGetExportedKeys, _: Request<Ticket>) -> Get {
        listing_rows(no_foreign_keys())
    }

    async fn do_get_imported_keys(&self, _: CommandGetImportedKeys, _: Request<Ticket>) -> Get {
        listing_rows(no_foreign_keys())
    }

    async fn do_get_cross_reference(&self, _: CommandGetCrossReference, _: Request<Ticket>) -> Get {
        listing_rows(no_foreign_keys())
    }

    async fn do_get_xdbc_type_info(&self, query: CommandGetXdbcTypeInfo, _: Request<Ticket>) -> Get {
        listing_rows(self.type_info.record_batch(query.data_type).map_err(|e| status(&internal(e))))
    }

    async fn do_put_error_callback(
        &self,
        _: Request<PeekableFlightDataStream>,
        error: DoPutError,
    ) -> Result<Response<<Self as FlightService>::DoPutStream>, Status> {
        Err(violation(error.to_string()))
    }

    async fn do_put_statement_update(
        &self,
        command: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let client = self.client(&request)?;
        transactions::check(&client, command.transaction_id.as_ref(), &command.query).await?;
        self.update(&client, command.query, vec![]).await
    }

    /// One statement, whose rows are read while it runs.
    async fn do_put_statement_ingest(
        &self,
        command: CommandStatementIngest,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let client = self.client(&request)?;
        transactions::check(&client, command.transaction_id.as_ref(), "").await?;
        let ingest = ingest::read(&command, request.into_inner()).await.map_err(|e| status(&e))?;
        let guard = client.statements.run(Uuid::new_v4(), self.shutdown.child_token());
        let rows = ingest_rows(&client.session, ingest, &self.cpu, &guard.cancel).await.map_err(|e| status(&e))?;
        i64::try_from(rows).map_err(|e| status(&internal(e)))
    }

    /// Binds rows; to a query one: with several it would be several results.
    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let client = self.client(&request)?;
        let (handle, statement) = self.prepared(&client, &query.prepared_statement_handle)?;
        let mut rows = parameters::rows(request.into_inner());
        let (mut bound, mut bytes) = (vec![], 0);
        while let Some(row) = rows.next().await.transpose()? {
            if !statement.prepared.is_update && !bound.is_empty() {
                let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "a query takes one row of parameters");
                return Err(status(&error.with_hint("execute it once for each row")));
            }
            bytes += row.iter().map(ScalarValue::size).sum::<usize>();
            if bytes > BOUND_BYTES_MAX {
                let message = format!("the rows that are bound have more than {BOUND_BYTES_MAX} bytes");
                let error = SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message);
                return Err(status(
                    &error.with_hint("bind and execute some of them at a time, or send them with the update"),
                ));
            }
            bound.push(row);
        }
        statement.bind(bound);
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle_bytes(handle)) })
    }

    /// Executes once a row of parameters, each a transaction of its own outside a block; without any, once.
    async fn do_put_prepared_statement_update(
        &self,
        query: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let client = self.client(&request)?;
        let (_, statement) = self.prepared(&client, &query.prepared_statement_handle)?;
        transactions::check(&client, statement.transaction.as_ref(), &statement.text).await?;
        let mut rows = parameters::rows(request.into_inner()).boxed();
        let mut sent = rows.next().await.transpose()?;
        if sent.is_none() {
            // They were bound before.
            rows = stream::iter(statement.bound_rows()).map(Ok).boxed();
            sent = rows.next().await.transpose()?;
        }
        let Some(first) = sent else { return self.update(&client, statement.text.clone(), vec![]).await };
        let insert = ValuesRow::of(&statement.text).filter(|insert| first.len() >= insert.parameters());
        let Some(insert) = insert else {
            let mut count = self.update(&client, statement.text.clone(), first).await?;
            while let Some(row) = rows.next().await.transpose()? {
                count += self.update(&client, statement.text.clone(), row).await?;
            }
            return Ok(count);
        };
        let (mut portion, mut row, mut count) = (Portion::new(&insert), Some(first), 0);
        while let Some(values) = row {
            if let Some((text, parameters)) = portion.push(values) {
                count += self.update(&client, text, parameters).await?;
            }
            row = rows.next().await.transpose()?;
        }
        if let Some((text, parameters)) = portion.take() {
            count += self.update(&client, text, parameters).await?;
        }
        Ok(count)
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let client = self.client(&request)?;
        let (handle, statement) = self.plan(&client, query.query, Life::Prepared, query.transaction_id).await?;
        let parameter = |(i, data_type): (usize, &arrow::datatypes::DataType)| {
            client_field(&format!("${}", i + 1), data_type, true, type_name(data_type))
        };
        let parameters: Vec<_> = statement.prepared.parameters.iter().enumerate().map(parameter).collect();
        // An empty schema says that the statement is an update; an open one must not look like it.
        let dataset_schema = match statement.prepared.is_update {
            true => Bytes::new(),
            false => schema_bytes(&client_schema(&statement.prepared.schema))?,
        };
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle_bytes(handle),
            dataset_schema,
            parameter_schema: schema_bytes(&Schema::new(parameters))?,
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        let client = self.client(&request)?;
        // Closed twice, or forgotten meanwhile: it is gone, as asked.
        client.statements.close(parse_handle(&query.prepared_statement_handle)?);
        Ok(())
    }

    async fn do_action_begin_transaction(
        &self,
        _: ActionBeginTransactionRequest,
        request: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        let client = self.client(&request)?;
        let transaction_id = transactions::begin(&client).await?;
        Ok(ActionBeginTransactionResult { transaction_id })
    }

    async fn do_action_end_transaction(
        &self,
        query: ActionEndTransactionRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        let client = self.client(&request)?;
        transactions::end(&client, &query.transaction_id, query.action).await
    }

    async fn do_action_begin_savepoint(
        &self,
        query: ActionBeginSavepointRequest,
        request: Request<Action>,
    ) -> Result<ActionBeginSavepointResult, Status> {
        let client = self.client(&request)?;
        let savepoint_id = transactions::begin_savepoint(&client, &self.cpu, &query.transaction_id).await?;
        Ok(ActionBeginSavepointResult { savepoint_id })
    }

    async fn do_action_end_savepoint(
        &self,
        query: ActionEndSavepointRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        let client = self.client(&request)?;
        transactions::end_savepoint(&client, &self.cpu, &query.savepoint_id, query.action).await
    }

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        let client = self.client(&request)?;
        let info = FlightInfo::decode(query.info).map_err(|e| violation(format!("undecodable flight: {e}")))?;
        // The results of both actions have the same numbers.
        Ok(ActionCancelQueryResult { result: cancel(&client, &info)? as i32 })
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        match request.get_ref().r#type.as_str() {
            CANCEL_FLIGHT_INFO => {
                let client = self.client(&request)?;
                let asked = CancelFlightInfoRequest::decode(&*request.get_ref().body);
                let asked = asked.map_err(|e| violation(format!("undecodable request: {e}")))?;
                let info = asked.info.ok_or_else(|| violation("the request names no flight"))?;
                let result: CancelStatus = cancel(&client, &info)?;
                Ok(Response::new(one_result(CancelFlightInfoResult::new(result).encode_to_vec().into())))
            }
            SET_SESSION_OPTIONS => {
                let client = self.client(&request)?;
                let answer = session_options::set(&client, &self.cpu, &request.get_ref().body).await?;
                Ok(Response::new(one_result(answer)))
            }
            GET_SESSION_OPTIONS => {
                let client = self.client(&request)?;
                let listing = Listing::new(client.session.clone(), self.cpu.clone());
                Ok(Response::new(one_result(session_options::get(&client, &listing).await?)))
            }
            CLOSE_SESSION => {
                let connection = connection_of(request.extensions())?;
                let closed = self.clients.log_out(authorization(&request)?, connection.address());
                let body = if closed { SESSION_CLOSED } else { SESSION_NOT_CLOSEABLE };
                Ok(Response::new(one_result(Bytes::from_static(body))))
            }
            other => {
                let message = format!("action {other:?} is not supported");
                Err(status(&SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)))
            }
        }
    }

    async fn list_custom_actions(&self) -> Option<Vec<Result<ActionType, Status>>> {
        Some(action_types().into_iter().map(Ok).collect())
    }

    async fn register_sql_info(&self, _: i32, _: &SqlInfo) {}
}
