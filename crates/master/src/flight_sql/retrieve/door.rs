//! A segment's side: the calls of clients who come for rows.

use super::messages::{LogIn, LoggedIn, Redeem, Visitor};
use super::rows::{Begun, Word, of_master, rows};
use crate::client_tls::ClientTls;
use crate::error::{SqlError, SqlResult, SqlState, internal};
use crate::flight_sql::actions::{SESSION_CLOSED, parse_handle};
use crate::flight_sql::incoming::incoming;
use crate::flight_sql::limits::DOOR_REQUEST_BYTES_MAX;
use crate::flight_sql::peer::connection_of;
use crate::flight_sql::protocol::{CLOSE_SESSION, SET_SESSION_OPTIONS};
use crate::flight_sql::results::{Messages, encoded};
use crate::flight_sql::routes::{Answer, Call, grpc, one_message, rows_response};
use crate::flight_sql::serve::{ServeError, server};
use crate::flight_sql::service::{HandshakeStream, authorization, logged_in, one_result};
use crate::flight_sql::status::{status, violation};
use arrow_flight::sql::{Any, TicketStatementQuery};
use arrow_flight::{Action, HandshakeRequest, HandshakeResponse, Ticket};
use bytes::Bytes;
use damson_cluster::{ContentId, Endpoint};
use damson_interconnect::Node;
use damson_motion::{Retrievals, control};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use prost::Message;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::{Request, Response, Status, Streaming};
use tracing::info_span;
use uuid::Uuid;

/// What lets clients retrieve the rows of a process's segments. It knows none of them: the master does.
pub struct RetrieveServer {
    pub node: Arc<Node>,
    pub contents: Vec<ContentId>,
    /// Where those segments' slices leave their rows.
    pub retrievals: Arc<Retrievals>,
    /// Which master to ask.
    pub master: Box<dyn Fn() -> Endpoint + Send + Sync>,
    /// Where rows are encoded.
    pub cpu: Handle,
}

/// Serves retrieval until `shutdown`, with TLS to who begins with it, if there is a certificate.
///
/// # Errors
/// A system that does not let HTTP/2 be served.
pub async fn serve_retrieve(
    service: RetrieveServer,
    tls: Option<Arc<ClientTls>>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let door = Door(Arc::new(service));
    server().add_service(door).serve_with_incoming_shutdown(incoming(listener, tls), shutdown.cancelled()).await?;
    Ok(())
}

#[derive(Clone)]
struct Door(Arc<RetrieveServer>);

impl NamedService for Door {
    const NAME: &'static str = "arrow.flight.protocol.FlightService";
}

impl Service<http::Request<Body>> for Door {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let server = Arc::clone(&self.0);
        Box::pin(async move { Ok(answer(server, request).await) })
    }
}

async fn answer(server: Arc<RetrieveServer>, request: http::Request<Body>) -> http::Response<Body> {
    let call = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    match call.as_str() {
        "Handshake" => {
            let call: Call<_, Streaming<HandshakeRequest>, HandshakeStream> =
                Call(server, |server, request| Box::pin(async move { server.handshake(&request).await }));
            grpc::<HandshakeResponse, HandshakeRequest>(DOOR_REQUEST_BYTES_MAX).streaming(call, request).await
        }
        "DoGet" => match one_message(request, DOOR_REQUEST_BYTES_MAX).await {
            Ok(request) => rows_response(server.do_get(request).boxed().await),
            Err(refused) => refused.into_http(),
        },
        "DoAction" => {
            let call: Call<_, Action, _> = Call(server, |_, request| do_action(&request));
            grpc::<arrow_flight::Result, Action>(DOOR_REQUEST_BYTES_MAX).server_streaming(call, request).await
        }
        other => {
            let message = format!("a segment gives rows, and does not answer {other}");
            let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message);
            status(&error.with_hint("Connect to the master.")).into_http()
        }
    }
}

/// Clients end what they take for a session, and set its options before: there is none.
fn do_action(request: &Request<Action>) -> Answer<BoxStream<'static, Result<arrow_flight::Result, Status>>> {
    let action = &request.get_ref().r#type;
    let answer = match action.as_str() {
        CLOSE_SESSION => Ok(Response::new(one_result(Bytes::from_static(SESSION_CLOSED)))),
        // No option was refused.
        SET_SESSION_OPTIONS => Ok(Response::new(one_result(Bytes::new()))),
        other => {
            let message = format!("a segment gives rows, and does not support action {other:?}");
            Err(status(&SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)))
        }
    };
    Box::pin(async { answer })
}

impl RetrieveServer {
    async fn handshake<T>(&self, request: &Request<T>) -> Result<Response<HandshakeStream>, Status> {
        let connection = connection_of(request.extensions())?;
        let visitor = visitor(request)?;
        let token = self.log_in(visitor).await.map_err(|e| status(&e))?;
        connection.becomes_known();
        logged_in(token)
    }

    async fn log_in(&self, visitor: LogIn) -> SqlResult<String> {
        let body = serde_json::to_vec(&visitor).map_err(internal)?;
        let master = (self.master)();
        let call = self.node.call(&master, ContentId::MASTER, control::RETRIEVE_LOG_IN, body.into());
        let mut answers = call.await.map_err(|e| of_master(&master, e))?;
        let answer = answers.next().await.ok_or_else(|| internal("the master gave no answer"))?;
        match serde_json::from_slice(&answer.map_err(|e| of_master(&master, e))?).map_err(internal)? {
            LoggedIn::Token(token) => Ok(token),
            LoggedIn::Refused(failure) => Err(failure.into()),
        }
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Messages, Status> {
        let connection = connection_of(request.extensions())?;
        let visitor = visitor(&request)?;
        let handle = handle_of(&request.get_ref().ticket)?;
        let (word, begun) = self.redeem(visitor, handle).await.map_err(|e| status(&e))?;
        connection.becomes_known();
        let Begun { id, content, schema } = begun;
        let span = info_span!("retrieve", segment = content.0);
        let rows = rows(Arc::clone(&self.retrievals), (id, content), word, self.cpu.clone());
        Ok(encoded(rows, schema, &self.cpu, span, (), CancellationToken::new()))
    }

    async fn redeem(&self, visitor: Visitor, handle: Uuid) -> SqlResult<(Word, Begun)> {
        let redeem = Redeem { visitor, handle: handle.as_u128(), contents: self.contents.clone() };
        let body = serde_json::to_vec(&redeem).map_err(internal)?;
        let master = (self.master)();
        let call = self.node.call(&master, ContentId::MASTER, control::RETRIEVE, body.into()).await;
        let mut word = Word::new(master.clone(), call.map_err(|e| of_master(&master, e))?);
        let begun = word.begun().await?;
        Ok((word, begun))
    }
}

fn handle_of(ticket: &[u8]) -> Result<Uuid, Status> {
    let undecodable = |why: String| violation(format!("undecodable ticket: {why}"));
    let any = Any::decode(ticket).map_err(|e| undecodable(e.to_string()))?;
    let ticket = any.unpack::<TicketStatementQuery>().map_err(|e| undecodable(e.to_string()))?;
    let ticket =
        ticket.ok_or_else(|| violation("the ticket is not a query's: segments give rows, and nothing else"))?;
    parse_handle(&ticket.statement_handle)
}

fn visitor<T>(request: &Request<T>) -> Result<Visitor, Status> {
    let address = connection_of(request.extensions())?.address();
    let header = authorization(request)?.map(str::to_owned);
    Ok(Visitor { authorization: header, address: address.address, is_encrypted: address.is_encrypted })
}
