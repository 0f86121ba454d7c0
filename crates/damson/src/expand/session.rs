//! Statements that are run to their end.

use super::failure::ExpandFailure;
use crate::shell::{Connection, Failure, Reply, Server, Texts};
use damson_master::flight_sql::protocol::CommandReport;
use std::str::FromStr;

/// Of SQL: the session has ended because it was idle.
const IDLE_SESSION_TIMEOUT: &str = "57P05";

/// A session with the server; a clone is the same.
#[derive(Clone)]
pub(super) struct Session(pub Connection);

impl Session {
    /// # Errors
    /// No server that can be reached.
    pub(super) async fn open(server: &Server) -> Result<Self, Failure> {
        Ok(Session(server.connect().await?))
    }

    /// Runs a command; in a new session, if the server has ended this one, as it does after a day, its own `idle_session_timeout`, or a
    /// restart.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn execute(&mut self, sql: &str) -> Result<CommandReport, Failure> {
        match self.command(sql).await {
            Err(failure) if has_ended(&failure) => {
                self.0.reopen().await?;
                self.command(sql).await
            }
            done => done,
        }
    }

    /// Runs a command in this session, for a transaction.
    async fn command(&mut self, sql: &str) -> Result<CommandReport, Failure> {
        let planned = self.0.plan(sql).await?;
        match self.0.fetch(&planned).await? {
            Reply::Command(report) => Ok(report),
            Reply::Rows(_) => Err(Failure::Connection("the server gave rows for a command".into())),
        }
    }

    /// Begins a transaction with a command; there is none if the command fails.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn transaction_begun(&mut self, command: &str) -> Result<(), Failure> {
        self.execute("BEGIN").await?;
        if let Err(failure) = self.command(command).await {
            self.roll_back().await;
            return Err(failure);
        }
        Ok(())
    }

    /// It may be gone together with its session: then it is rolled back, too.
    async fn roll_back(&mut self) {
        if let Err(error) = self.command("ROLLBACK").await {
            tracing::debug!(%error, "a transaction could not be rolled back");
        }
    }

    /// Runs commands as one transaction.
    ///
    /// # Errors
    /// The first that fails; nothing is done then.
    pub(super) async fn transaction(&mut self, commands: &[String]) -> Result<(), Failure> {
        self.execute("BEGIN").await?;
        for command in commands {
            if let Err(failure) = self.command(command).await {
                self.roll_back().await;
                return Err(failure);
            }
        }
        self.command("COMMIT").await.map(|_| ())
    }

    /// A query's rows; in a new session, as [`Session::execute`].
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn rows(&mut self, sql: &str) -> Result<Vec<Row>, Failure> {
        match self.query(sql).await {
            Err(failure) if has_ended(&failure) => {
                self.0.reopen().await?;
                self.query(sql).await
            }
            done => done,
        }
    }

    /// A query's rows, in this session.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Vec<Row>, Failure> {
        let planned = self.0.plan(sql).await?;
        let Reply::Rows(mut reply) = self.0.fetch(&planned).await? else {
            return Err(Failure::Connection("the server gave no rows".into()));
        };
        let mut rows = vec![];
        while let Some(batch) = reply.next().await? {
            Texts::new(&batch)?.rows(batch.num_rows(), |cells| {
                rows.push(Row(cells.iter().map(|cell| cell.map(str::to_owned)).collect()));
                Ok(())
            })?;
        }
        Ok(rows)
    }

    pub(super) async fn close(mut self) {
        self.0.close().await;
    }
}

/// Whether the session is gone, and nothing was done.
fn has_ended(failure: &Failure) -> bool {
    failure.is_lost_session() || failure.sqlstate() == Some(IDLE_SESSION_TIMEOUT)
}

/// One row, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row(Vec<Option<String>>);

impl Row {
    /// # Errors
    /// There is no such column, or NULL in it.
    pub(super) fn text(&self, column: usize) -> Result<&str, ExpandFailure> {
        self.0.get(column).and_then(Option::as_deref).ok_or(ExpandFailure::Answer("a value is missing"))
    }

    /// # Errors
    /// As [`Row::text`], or no number of that type.
    pub(super) fn number<T: FromStr>(&self, column: usize) -> Result<T, ExpandFailure> {
        self.text(column)?.parse().map_err(|_| ExpandFailure::Answer("a value is no number"))
    }

    /// None for NULL, or what is no number.
    pub(super) fn number_if_any<T: FromStr>(&self, column: usize) -> Option<T> {
        self.0.get(column)?.as_deref()?.parse().ok()
    }
}

/// A name as SQL takes it whatever it is.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
