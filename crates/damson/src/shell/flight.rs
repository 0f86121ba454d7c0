//! The shell's end of Flight SQL.

use super::address::Address;
use super::connection::Reply;
use super::failure::{Failure, root};
use super::tls::{TlsArgs, Trust, distrust};
use crate::limits::CONNECT;
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{Action, CancelFlightInfoRequest, FlightInfo, HandshakeRequest, Ticket};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use damson_master::flight_sql::protocol::{CANCEL_FLIGHT_INFO, CLOSE_SESSION, StatementInfo};
use futures::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use prost::Message;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tonic::Request;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// How long a cancel or a farewell may keep the user.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(500);
/// Windows for results in bulk over links with a delay.
const STREAM_WINDOW_BYTES: u32 = 16 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;

/// What is spoken under TLS, by its name (ALPN).
const ALPN_HTTP2: &[u8] = b"h2";

/// The header of logins and of all that follows.
const AUTHORIZATION: &str = "authorization";

/// A session with a server; a clone is the same session.
#[derive(Clone)]
pub(super) struct FlightClient {
    client: FlightSqlServiceClient<Channel>,
    /// The session's number, once a statement was planned.
    session: Arc<OnceLock<u64>>,
}

impl FlightClient {
    /// Connects and logs in.
    ///
    /// # Errors
    /// No server that can be reached or trusted, and who is not let in.
    pub(super) async fn open(address: &Address, user: &str, password: &str, tls: &TlsArgs) -> Result<Self, Failure> {
        let url = &address.url;
        let no_address = |e: &dyn std::fmt::Display| Failure::Connection(format!("{url} is no address: {e}"));
        let trust = if address.is_encrypted(tls)? { Some(Trust::load(tls, ALPN_HTTP2)?) } else { None };
        let endpoint = Endpoint::from_shared(format!("http://{}", address.authority))
            .map_err(|e| no_address(&e))?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(10));
        let channel = match trust {
            None => endpoint.connect().await,
            Some(trust) => {
                let origin = format!("https://{}", address.authority).parse::<Uri>().map_err(|e| no_address(&e))?;
                connect_encrypted(endpoint.origin(origin), address.host_and_port()?, trust).await
            }
        };
        let channel = channel.map_err(|e| match distrust(&e) {
            Some(why) => Failure::Connection(format!("cannot connect to {url}: {why}")),
            None => Failure::Unreachable(format!("cannot connect to {url}: {}", root(&e))),
        })?;
        let mut inner = FlightServiceClient::new(channel).max_decoding_message_size(usize::MAX);
        let token = log_in(&mut inner, user, password).await?;
        let mut client = FlightSqlServiceClient::new_from_inner(inner);
        client.set_token(token);
        Ok(FlightClient { client, session: Arc::default() })
    }

    /// The session's number, which system tables call `pid`; None until a statement was planned.
    pub(super) fn session(&self) -> Option<u64> {
        self.session.get().copied()
    }

    /// Plans a statement.
    ///
    /// # Errors
    /// What the user wrote wrong.
    pub(super) async fn plan(&mut self, statement: &str) -> Result<Planned, Failure> {
        let info = self.client.execute(statement.to_owned(), None).await?;
        let told = serde_json::from_slice::<StatementInfo>(&info.app_metadata).ok();
        if let Some(session) = told.as_ref().and_then(|told| told.session) {
            self.session.get_or_init(|| session);
        }
        let is_update = told.is_some_and(|told| told.is_update);
        Ok(Planned { info, is_update })
    }

    /// Executes a planned statement.
    ///
    /// # Errors
    /// A command's own; a query's come with its rows.
    pub(super) async fn fetch(&mut self, planned: &Planned) -> Result<Reply, Failure> {
        let ticket = planned.info.endpoint.first().and_then(|endpoint| endpoint.ticket.clone());
        let ticket: Ticket = ticket.ok_or_else(|| Failure::Connection("the server gave no ticket".into()))?;
        let mut messages = self.client.do_get(ticket).await?.into_inner();
        // A result begins with its schema.
        let first = messages.next().await.transpose()?;
        let first = first.ok_or_else(|| Failure::Connection("the result ended before it began".into()))?;
        let DecodedPayload::Schema(schema) = &first.payload else {
            return Err(Failure::Connection("the result does not begin with a schema".into()));
        };
        if !planned.is_update {
            return Ok(Reply::Rows(Rows { schema: Arc::clone(schema), messages }.into()));
        }
        let report = serde_json::from_slice(&first.app_metadata());
        report.map(Reply::Command).map_err(|e| Failure::Connection(format!("unreadable answer: {e}")))
    }

    /// Tells the server that a statement is not wanted any more. Nothing is lost when it does not hear: the result's
    /// stream is dropped too.
    pub(super) async fn cancel(&mut self, info: &FlightInfo) {
        let body = CancelFlightInfoRequest { info: Some(info.clone()) }.encode_to_vec();
        self.tell(Action::new(CANCEL_FLIGHT_INFO, body)).await;
    }

    /// Ends the session.
    pub(super) async fn close(&mut self) {
        self.tell(Action::new(CLOSE_SESSION, Vec::new())).await;
    }

    async fn tell(&mut self, action: Action) {
        match tokio::time::timeout(FAREWELL_TIMEOUT, self.client.do_action(action)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the server did not take a message"),
            Err(_) => tracing::debug!("the server did not take a message in time"),
        }
    }
}

/// A statement that can be executed once.
pub(crate) struct Planned {
    pub info: FlightInfo,
    pub is_update: bool,
}

/// A query's rows. Dropping it cancels the query.
pub(crate) struct Rows {
    schema: SchemaRef,
    messages: FlightDataDecoder,
}

impl Rows {
    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The next batch; None at the end.
    ///
    /// # Errors
    /// The query's.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>, Failure> {
        while let Some(message) = self.messages.next().await.transpose()? {
            if let DecodedPayload::RecordBatch(batch) = message.payload {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}

/// A channel whose connections have TLS, each of which is made when the one before is lost.
async fn connect_encrypted(
    endpoint: Endpoint,
    (host, port): (String, u16),
    trust: Trust,
) -> Result<Channel, tonic::transport::Error> {
    let connector = service_fn(move |_: Uri| {
        let (host, trust) = (host.clone(), trust.clone());
        async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            trust.connect(&host, stream).await.map(TokioIo::new)
        }
    });
    endpoint.connect_with_connector(connector).await
}

/// The session's token. Unlike arrow-flight's `handshake`, whose error is one text, it tells the server's words in their
/// parts.
///
/// # Errors
/// Who is not let in.
async fn log_in(client: &mut FlightServiceClient<Channel>, user: &str, password: &str) -> Result<String, Failure> {
    let mut request = Request::new(stream::iter([HandshakeRequest::default()]));
    let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    request.metadata_mut().insert(AUTHORIZATION, basic.parse().expect("base64 is ASCII"));
    let answer = client.handshake(request).await?;
    let bearer = answer.metadata().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    bearer.map(str::to_owned).ok_or_else(|| Failure::Connection("the server gave no session".into()))
}
