//! A connection, over either protocol, with the one statement that it runs again and again.

use super::flight::FlightClient;
use super::postgres::PostgresClient;
use super::{Point, Way};
use crate::cluster::Addresses;

pub enum Client {
    Postgres(Box<PostgresClient>),
    Flight(Box<FlightClient>),
}

impl Client {
    /// Connects, logs in and prepares the statement if the way asks for that.
    ///
    /// # Errors
    /// What the server said, as of all calls here.
    pub async fn connect(addresses: Addresses, point: Point) -> Result<Self, String> {
        let Point { statement, way, .. } = point;
        Ok(match way {
            Way::PostgresPrepared | Way::PostgresSimple => {
                let client = PostgresClient::connect(addresses.postgres, statement, way.is_prepared()).await?;
                Client::Postgres(Box::new(client))
            }
            Way::FlightPrepared | Way::Flight => {
                let client = FlightClient::connect(addresses.flight, statement, way.is_prepared()).await?;
                Client::Flight(Box::new(client))
            }
        })
    }

    /// Runs the statement with a key, and has all of its answer, which is the right one.
    pub async fn run(&mut self, key: i64) -> Result<(), String> {
        match self {
            Client::Postgres(client) => client.run(key).await,
            Client::Flight(client) => client.run(key).await,
        }
    }

    /// Ends the session.
    pub async fn close(self) -> Result<(), String> {
        match self {
            Client::Postgres(client) => client.close().await,
            Client::Flight(client) => client.close().await,
        }
    }
}
