//! A connection of Flight SQL, with a session of its own.

use super::Statement;
use super::answer::Answer;
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow_flight::Action;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::{FlightSqlServiceClient, PreparedStatement};
use bytes::Bytes;
use futures::TryStreamExt;
use std::net::SocketAddr;
use std::sync::Arc;
use tonic::transport::{Channel, Endpoint};

pub struct FlightClient {
    client: FlightSqlServiceClient<Channel>,
    statement: Statement,
    prepared: Option<PreparedStatement<Channel>>,
}

impl FlightClient {
    pub async fn connect(address: SocketAddr, statement: Statement, is_prepared: bool) -> Result<Self, String> {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
        let channel = endpoint.tcp_nodelay(true).connect().await.map_err(|error| error.to_string())?;
        let mut client = FlightSqlServiceClient::new(channel);
        client.handshake("bench", "").await.map_err(message)?;
        let prepared =
            if is_prepared { Some(client.prepare(statement.prepared(), None).await.map_err(message)?) } else { None };
        Ok(FlightClient { client, statement, prepared })
    }

    pub async fn run(&mut self, key: i64) -> Result<(), String> {
        let info = match &mut self.prepared {
            Some(prepared) => {
                if self.statement.has_key() {
                    prepared.set_parameters(parameter(key)?).map_err(message)?;
                }
                prepared.execute().await
            }
            None => self.client.execute(self.statement.text(key), None).await,
        };
        let mut found = Answer::default();
        for endpoint in info.map_err(message)?.endpoint {
            let ticket = endpoint.ticket.ok_or("an endpoint without a ticket")?;
            let mut stream = self.client.do_get(ticket).await.map_err(message)?;
            while let Some(batch) = stream.try_next().await.map_err(message)? {
                found.add_batch(&batch)?;
            }
        }
        self.statement.check(key, found)
    }

    /// The server would keep the session for a day.
    pub async fn close(mut self) -> Result<(), String> {
        if let Some(prepared) = self.prepared {
            prepared.close().await.map_err(message)?;
        }
        let close = Action { r#type: "CloseSession".into(), body: Bytes::new() };
        let answers = self.client.do_action(close).await.map_err(message)?;
        answers.try_collect::<Vec<_>>().await.map(drop).map_err(|status| status.message().to_owned())
    }
}

fn parameter(key: i64) -> Result<RecordBatch, String> {
    let column = Arc::new(Int64Array::from(vec![key])) as ArrayRef;
    RecordBatch::try_from_iter([("1", column)]).map_err(|error| error.to_string())
}

/// What the server said, without the client's wrapping.
fn message(error: FlightError) -> String {
    match error {
        FlightError::Tonic(status) => status.message().to_string(),
        other => other.to_string(),
    }
}
