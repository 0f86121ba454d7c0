//! A connection of the PostgreSQL protocol.

use super::Statement;
use super::answer::Answer;
use std::error::Error;
use std::net::SocketAddr;
use tokio::task::JoinHandle;
use tokio_postgres::types::Type;
use tokio_postgres::{Config, NoTls, Row, SimpleQueryMessage};

pub struct PostgresClient {
    client: tokio_postgres::Client,
    /// Moves the connection's bytes, until the client is dropped.
    connection: JoinHandle<Result<(), tokio_postgres::Error>>,
    statement: Statement,
    /// None: the simple protocol.
    prepared: Option<tokio_postgres::Statement>,
}

impl PostgresClient {
    pub async fn connect(address: SocketAddr, statement: Statement, is_prepared: bool) -> Result<Self, String> {
        let mut config = Config::new();
        config.hostaddr(address.ip()).port(address.port()).user("bench").dbname("damson");
        let (client, connection) = config.connect(NoTls).await.map_err(message)?;
        let connection = tokio::spawn(connection);
        let prepared = if is_prepared {
            let types: &[Type] = if statement.has_key() { &[Type::INT8] } else { &[] };
            Some(client.prepare_typed(&statement.prepared(), types).await.map_err(message)?)
        } else {
            None
        };
        Ok(PostgresClient { client, connection, statement, prepared })
    }

    pub async fn run(&self, key: i64) -> Result<(), String> {
        let mut found = Answer::default();
        match &self.prepared {
            Some(prepared) => {
                let rows = match self.statement.has_key() {
                    true => self.client.query(prepared, &[&key]).await,
                    false => self.client.query(prepared, &[]).await,
                };
                for row in rows.map_err(message)? {
                    found.add_row(first(&row).map_err(message)?);
                }
            }
            None => {
                for answer in self.client.simple_query(&self.statement.text(key)).await.map_err(message)? {
                    if let SimpleQueryMessage::Row(row) = answer {
                        let value = row.get(0).ok_or("a NULL")?;
                        found.add_row(value.parse().map_err(|_| format!("{value} is no number"))?);
                    }
                }
            }
        }
        self.statement.check(key, found)
    }

    pub async fn close(self) -> Result<(), String> {
        // Close of the statement, then Terminate.
        drop(self.prepared);
        drop(self.client);
        let ended = self.connection.await.map_err(|error| error.to_string())?;
        ended.map_err(message)
    }
}

/// The first column, an int or a bigint.
fn first(row: &Row) -> Result<i64, tokio_postgres::Error> {
    if row.columns()[0].type_() == &Type::INT4 { row.try_get::<_, i32>(0).map(i64::from) } else { row.try_get(0) }
}

/// What the server said, if it did.
fn message(error: tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{}: {}", said.code().code(), said.message()),
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
