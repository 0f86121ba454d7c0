//! Flight SQL's transactions and savepoints: the session's block, under handles.

use super::clients::Client;
use super::results::command;
use super::status::{status, violation};
use crate::error::{SqlError, SqlState};
use arrow_flight::sql::EndTransaction;
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

/// `EndSavepoint` of `FlightSql.proto`, which the crate does not export.
const RELEASE: i32 = 1;
const ROLLBACK: i32 = 2;

/// Opens the session's block; gives its handle. A session has one at a time.
pub(super) async fn begin(client: &Client, cpu: &Handle) -> Result<Bytes, Status> {
    if client.transaction.lock().is_some() {
        return Err(already());
    }
    if !run(client, cpu, "BEGIN".into()).await?.is_empty() {
        return Err(already());
    }
    let handle = Uuid::new_v4();
    *client.transaction.lock() = Some(handle);
    Ok(Bytes::copy_from_slice(handle.as_bytes()))
}

/// Whether a statement that names a transaction names the session's.
pub(super) fn check(client: &Client, named: Option<&Bytes>) -> Result<(), Status> {
    let Some(named) = named.filter(|named| !named.is_empty()) else { return Ok(()) };
    match &*client.transaction.lock() {
        Some(open) if open.as_bytes() == &named[..] => Ok(()),
        _ => {
            let error = SqlError::new(SqlState::NO_ACTIVE_TRANSACTION, "the transaction handle is not known");
            Err(status(&error.with_hint("The transaction has ended, or is another session's.")))
        }
    }
}

/// Commits or rolls back.
pub(super) async fn end(client: &Client, cpu: &Handle, handle: &Bytes, action: i32) -> Result<(), Status> {
    check(client, Some(handle))?;
    let commits = match EndTransaction::try_from(action) {
        Ok(EndTransaction::Commit) => true,
        Ok(EndTransaction::Rollback) => false,
        _ => return Err(violation("the end of a transaction is a commit or a rollback")),
    };
    // It ends whatever becomes of it.
    *client.transaction.lock() = None;
    let text = if commits { "COMMIT" } else { "ROLLBACK" };
    let tag = run_for_tag(client, cpu, text.into()).await?;
    if commits && tag != "COMMIT" {
        let error = SqlError::new(SqlState::IN_FAILED_TRANSACTION, "the transaction was rolled back");
        return Err(status(&error.with_detail("One of its statements had failed.")));
    }
    Ok(())
}

/// A savepoint of the transaction; gives its handle.
pub(super) async fn begin_savepoint(client: &Client, cpu: &Handle, transaction: &Bytes) -> Result<Bytes, Status> {
    check(client, Some(transaction))?;
    let handle = Uuid::new_v4();
    run(client, cpu, format!("SAVEPOINT \"{}\"", handle.simple())).await?;
    Ok(Bytes::copy_from_slice(handle.as_bytes()))
}

/// Forgets a savepoint, or goes back to it.
pub(super) async fn end_savepoint(client: &Client, cpu: &Handle, handle: &Bytes, action: i32) -> Result<(), Status> {
    let handle = Uuid::from_slice(handle).map_err(|_| violation("a savepoint's handle has 16 bytes"))?;
    let what = match action {
        RELEASE => "RELEASE SAVEPOINT",
        ROLLBACK => "ROLLBACK TO SAVEPOINT",
        _ => return Err(violation("the end of a savepoint is a release or a rollback")),
    };
    run(client, cpu, format!("{what} \"{}\"", handle.simple())).await.map(|_| ())
}

/// The notices of a statement that begins, ends or divides a block.
async fn run(client: &Client, cpu: &Handle, text: String) -> Result<Vec<String>, Status> {
    let done = command(&client.session, text, vec![], cpu, &CancellationToken::new()).await;
    done.map(|report| report.notices).map_err(|e| status(&e))
}

async fn run_for_tag(client: &Client, cpu: &Handle, text: String) -> Result<String, Status> {
    let done = command(&client.session, text, vec![], cpu, &CancellationToken::new()).await;
    done.map(|report| report.tag).map_err(|e| status(&e))
}

fn already() -> Status {
    status(&SqlError::new(SqlState::ACTIVE_TRANSACTION, "the session has a transaction already"))
}
