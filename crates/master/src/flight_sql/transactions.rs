//! Flight SQL's transactions and savepoints: the session's block, under handles.

use super::clients::Client;
use super::results::command;
use super::status::{malformed, status, violation};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{Statement, TransactionStatement};
use arrow_flight::sql::EndTransaction;
use bytes::Bytes;
use futures::FutureExt;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

/// `EndSavepoint` of `FlightSql.proto`, which the crate does not export.
const RELEASE: i32 = 1;
const ROLLBACK: i32 = 2;

/// Opens the session's block; gives its handle. A session has one at a time.
pub(super) async fn begin(client: &Client) -> Result<Bytes, Status> {
    let id = client.session.begin_block().boxed().await.map_err(|e| status(&e))?;
    Ok(Bytes::copy_from_slice(id.as_bytes()))
}

/// Whether a statement that names a transaction names the session's. A client that did not log in must name it: what it sends may
/// come to a session that is not the one that it began a transaction in, after the server was restarted, or after its port was
/// another's.
pub(super) async fn check(client: &Client, named: Option<&Bytes>, text: &str) -> Result<(), Status> {
    checked(client, named, text).await.map_err(|e| status(&e))
}

/// As [`check`].
pub(super) async fn checked(client: &Client, named: Option<&Bytes>, text: &str) -> SqlResult<()> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return client.session.check_block(parsed(named)?).boxed().await;
    }
    if !client.is_anonymous {
        return Ok(());
    }
    if client.session.has_block().boxed().await {
        let message = "the connection has a transaction, and the statement does not name it";
        return Err(SqlError::new(SqlState::ACTIVE_TRANSACTION, message));
    }
    let statement = client.session.parse(text);
    if let Ok(Statement::Transaction(TransactionStatement::Begin { .. })) = statement.as_deref() {
        let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "BEGIN needs a session of the client's own");
        return Err(error.with_hint("Connect with a user name, or use Flight SQL's BeginTransaction."));
    }
    Ok(())
}

/// Commits or rolls back.
pub(super) async fn end(client: &Client, handle: &Bytes, action: i32) -> Result<(), Status> {
    let commits = match EndTransaction::try_from(action) {
        Ok(EndTransaction::Commit) => true,
        Ok(EndTransaction::Rollback) => false,
        _ => return Err(violation("the end of a transaction is a commit or a rollback")),
    };
    client.session.end_block(id(handle)?, commits).boxed().await.map_err(|e| status(&e))
}

/// A savepoint of the transaction; gives its handle.
pub(super) async fn begin_savepoint(client: &Client, cpu: &Handle, transaction: &Bytes) -> Result<Bytes, Status> {
    client.session.check_block(id(transaction)?).boxed().await.map_err(|e| status(&e))?;
    let handle = Uuid::new_v4();
    run(client, cpu, format!("SAVEPOINT \"{}\"", handle.simple())).await?;
    Ok(Bytes::copy_from_slice(handle.as_bytes()))
}

/// Forgets a savepoint, or goes back to it.
pub(super) async fn end_savepoint(client: &Client, cpu: &Handle, handle: &Bytes, action: i32) -> Result<(), Status> {
    let what = match action {
        RELEASE => "RELEASE SAVEPOINT",
        ROLLBACK => "ROLLBACK TO SAVEPOINT",
        _ => return Err(violation("the end of a savepoint is a release or a rollback")),
    };
    run(client, cpu, format!("{what} \"{}\"", id(handle)?.simple())).await
}

fn id(handle: &[u8]) -> Result<Uuid, Status> {
    parsed(handle).map_err(|e| status(&e))
}

fn parsed(handle: &[u8]) -> SqlResult<Uuid> {
    Uuid::from_slice(handle).map_err(|_| malformed("a handle has 16 bytes"))
}

async fn run(client: &Client, cpu: &Handle, text: String) -> Result<(), Status> {
    let done = command(&client.session, text, vec![], cpu, &CancellationToken::new()).await;
    done.map(|_| ()).map_err(|e| status(&e))
}
