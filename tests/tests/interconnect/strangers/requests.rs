//! Requests as a stranger makes them, below any client library that would refuse to.

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{Any, CommandStatementQuery, ProstMessageExt};
use arrow_flight::{Action, FlightData, FlightDescriptor, HandshakeRequest, Ticket};
use futures::{StreamExt, stream};
use prost::Message;
use std::net::SocketAddr;
use tonic::metadata::{BinaryMetadataValue, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

/// One call.
#[derive(Debug, Clone)]
pub enum Request {
    DoGet(Ticket),
    GetFlightInfo(FlightDescriptor),
    GetSchema(FlightDescriptor),
    DoAction(Action),
    DoPut(Vec<FlightData>),
    /// A node's call.
    Call {
        build: Vec<u8>,
        action: Action,
    },
    /// A node's route.
    Route {
        opening: Vec<u8>,
        body: Vec<FlightData>,
    },
}

impl Request {
    /// Whether it asks for nothing that a ticket or a handle protects.
    pub fn may_succeed(&self) -> bool {
        match self {
            Request::DoGet(ticket) => is_listing(&ticket.ticket),
            Request::GetFlightInfo(_) | Request::GetSchema(_) | Request::DoAction(_) => true,
            Request::DoPut(_) => false,
            Request::Call { .. } | Request::Route { .. } => true,
        }
    }
}

fn is_listing(command: &[u8]) -> bool {
    Any::decode(command).is_ok_and(|any| any.type_url.contains("CommandGet"))
}

/// A client that is nobody.
pub struct Client {
    inner: FlightServiceClient<Channel>,
    token: Option<String>,
}

pub async fn flight(address: SocketAddr) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let channel = endpoint.connect().await.expect("the port is open");
    let inner = FlightServiceClient::new(channel).max_encoding_message_size(usize::MAX);
    Client { inner, token: None }
}

pub async fn with_token(address: SocketAddr, token: &str) -> Client {
    Client { token: Some(token.to_owned()), ..flight(address).await }
}

/// A session of its own.
pub async fn log_in(address: SocketAddr, user: &str) -> Client {
    let mut client = flight(address).await;
    let payload = HandshakeRequest { protocol_version: 0, payload: user.to_owned().into() };
    let answer = client.inner.handshake(stream::iter([payload])).await.expect("anybody may log in");
    let first = answer.into_inner().message().await.expect("an answer").expect("a token");
    client.token = Some(String::from_utf8(first.payload.to_vec()).expect("text"));
    client
}

impl Client {
    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(token) = &self.token {
            let value = MetadataValue::try_from(format!("Bearer {token}")).expect("text");
            request.metadata_mut().insert("authorization", value);
        }
        request
    }
}

/// How many messages came.
pub async fn send(client: &mut Client, request: &Request) -> Result<usize, Status> {
    match request.clone() {
        Request::DoGet(ticket) => fetch(client, &ticket).await,
        Request::GetFlightInfo(descriptor) => {
            let request = client.request(descriptor);
            client.inner.get_flight_info(request).await.map(|_| 1)
        }
        Request::GetSchema(descriptor) => {
            let request = client.request(descriptor);
            client.inner.get_schema(request).await.map(|_| 1)
        }
        Request::DoAction(action) => {
            let request = client.request(action);
            count(client.inner.do_action(request).await?.into_inner()).await
        }
        Request::DoPut(messages) => {
            let request = client.request(stream::iter(messages));
            count(client.inner.do_put(request).await?.into_inner()).await
        }
        Request::Call { build, action } => {
            let mut request = client.request(action);
            request.metadata_mut().insert_bin("damson-build-bin", BinaryMetadataValue::from_bytes(&build));
            count(client.inner.do_action(request).await?.into_inner()).await
        }
        Request::Route { opening, body } => {
            let mut request = client.request(stream::iter(body));
            request.metadata_mut().insert_bin("damson-opening-bin", BinaryMetadataValue::from_bytes(&opening));
            count(client.inner.do_put(request).await?.into_inner()).await
        }
    }
}

async fn count<T>(mut messages: Streaming<T>) -> Result<usize, Status> {
    let mut count = 0;
    while let Some(message) = messages.next().await {
        message?;
        count += 1;
    }
    Ok(count)
}

pub async fn fetch(client: &mut Client, ticket: &Ticket) -> Result<usize, Status> {
    let request = client.request(ticket.clone());
    count(client.inner.do_get(request).await?.into_inner()).await
}

pub async fn ticket_of(client: &mut Client, sql: &str) -> Ticket {
    let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None }.as_any().encode_to_vec();
    let request = client.request(FlightDescriptor::new_cmd(command));
    let info = client.inner.get_flight_info(request).await.expect("a good statement").into_inner();
    info.endpoint[0].ticket.clone().expect("a ticket")
}

/// Requests whose unknown groups nest so deeply, wherever a decoder looks.
pub fn nested(levels: usize) -> Vec<Request> {
    let groups = vec![0x0b; levels];
    let any = Any { type_url: CommandStatementQuery::type_url().into(), value: groups.clone().into() }.encode_to_vec();
    let action = |name: &str| Action { r#type: name.into(), body: groups.clone().into() };
    vec![
        Request::DoGet(Ticket { ticket: groups.clone().into() }),
        Request::DoGet(Ticket { ticket: any.clone().into() }),
        Request::GetFlightInfo(FlightDescriptor::new_cmd(any.clone())),
        Request::GetSchema(FlightDescriptor::new_cmd(groups.clone())),
        Request::DoAction(action("CancelFlightInfo")),
        Request::DoAction(action("CreatePreparedStatement")),
        Request::DoPut(vec![FlightData {
            flight_descriptor: Some(FlightDescriptor::new_cmd(any)),
            ..Default::default()
        }]),
    ]
}
