//! A Flight SQL client that keeps its session.

use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use damson_tests::Answer;
use futures::TryStreamExt;
use std::net::SocketAddr;
use tonic::transport::{Channel, Endpoint};

/// Flight messages that the client takes: the master's are smaller.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

pub struct Client(FlightSqlServiceClient<Channel>);

impl Client {
    pub async fn connect(address: SocketAddr) -> Result<Self, String> {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| e.to_string())?;
        let channel = endpoint.tcp_nodelay(true).connect().await.map_err(|e| e.to_string())?;
        let inner = FlightServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let mut client = FlightSqlServiceClient::new_from_inner(inner);
        client.handshake("bench", "").await.map_err(message)?;
        Ok(Client(client))
    }

    pub async fn command(&mut self, sql: &str) -> Result<(), String> {
        let done = self.0.execute_update(sql.to_string(), None).await;
        done.map(|_| ()).map_err(|error| format!("{sql}: {}", message(error)))
    }

    pub async fn query(&mut self, sql: &str) -> Result<Answer, String> {
        let info = self.0.execute(sql.to_string(), None).await.map_err(message)?;
        let mut batches = vec![];
        for endpoint in info.endpoint {
            let ticket = endpoint.ticket.ok_or("an endpoint without a ticket")?;
            let stream = self.0.do_get(ticket).await.map_err(message)?;
            batches.extend(stream.try_collect::<Vec<_>>().await.map_err(message)?);
        }
        let schema = batches.first().map(|batch| batch.schema());
        Ok(schema.map_or_else(|| Answer::command(0), |schema| Answer::from_batches(&schema, &batches)))
    }
}

/// What the server said, without the client's wrapping.
fn message(error: FlightError) -> String {
    match error {
        FlightError::Tonic(status) => status.message().to_string(),
        other => other.to_string(),
    }
}
