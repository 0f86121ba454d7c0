//! Statements about what the connection keeps: cursors, which are portals, and prepared statements.

use super::columns::describe;
use super::connection::{Connection, Failed};
use super::extended::{DUPLICATE_CURSOR, Portal, Ran, UNKNOWN_CURSOR, unknown_statement};
use super::run::Done;
use crate::error::{SqlError, SqlState};
use crate::sql::PortalStatement;
use damson_pg::backend::TransactionState;
use damson_pg::frontend::Formats;
use datafusion::scalar::ScalarValue;
use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite};
use uuid::Uuid;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Carries one out, bound to values of types; `describes` where its rows' columns were not told before.
    pub(super) async fn portal_statement(
        &mut self,
        statement: PortalStatement,
        bound: (&[u32], Vec<ScalarValue>),
        formats: &Formats,
        describes: bool,
    ) -> Result<Done, Failed> {
        match statement {
            PortalStatement::Declare { name, query } => self.declare(name, &query, bound).await,
            PortalStatement::Fetch { name, rows, is_move } => {
                self.fetch(&name, rows, is_move, formats, describes).await
            }
            PortalStatement::Close(None) => {
                self.portals.clear();
                Ok(done("CLOSE CURSOR ALL"))
            }
            PortalStatement::Close(Some(name)) => {
                self.portals.remove(&name).ok_or_else(|| unknown_cursor(&name))?;
                Ok(done("CLOSE CURSOR"))
            }
            PortalStatement::Deallocate(None) => {
                self.statements.clear();
                Ok(done("DEALLOCATE ALL"))
            }
            PortalStatement::Deallocate(Some(name)) => {
                self.statements.remove(&name).ok_or_else(|| unknown_statement(&name))?;
                Ok(done("DEALLOCATE"))
            }
            PortalStatement::DiscardAll => {
                if self.session.transaction_state().await != TransactionState::Idle {
                    let message = "DISCARD ALL cannot run inside a transaction block";
                    return Err(SqlError::new(SqlState::ACTIVE_TRANSACTION, message).into());
                }
                self.portals.clear();
                self.statements.clear();
                let session = self.session.clone();
                let reset = async move { session.execute("RESET ALL", vec![]).await };
                self.on_cpu(reset.boxed()).await?;
                Ok(done("DISCARD ALL"))
            }
        }
    }

    /// Portals live as long as their transaction: those of a block that has ended go.
    pub(super) async fn drop_portals_of(&mut self, block: Option<Uuid>) {
        if block.is_some() && self.session.block_id().await != block {
            self.portals.clear();
        }
    }

    async fn declare(
        &mut self,
        name: String,
        query: &str,
        (types, values): (&[u32], Vec<ScalarValue>),
    ) -> Result<Done, Failed> {
        if self.session.transaction_state().await == TransactionState::Idle {
            let message = "DECLARE CURSOR can only be used in transaction blocks";
            let error = SqlError::new(SqlState::NO_ACTIVE_TRANSACTION, message);
            return Err(error.with_hint("Send BEGIN before it.").into());
        }
        if self.portals.contains_key(&name) {
            return Err(SqlError::new(DUPLICATE_CURSOR, format!("cursor \"{name}\" already exists")).into());
        }
        let statement = self.prepare(query, types).await?;
        let portal = Portal::cursor(statement, values)?;
        self.insert_portal(name, portal)?;
        Ok(done("DECLARE CURSOR"))
    }

    async fn fetch(
        &mut self,
        name: &str,
        rows: Option<usize>,
        is_move: bool,
        formats: &Formats,
        describes: bool,
    ) -> Result<Done, Failed> {
        // An error ends it.
        let mut portal = self.portals.remove(name).ok_or_else(|| unknown_cursor(name))?;
        portal.set_formats(formats)?;
        if describes
            && !is_move
            && let Some(columns) = portal.columns()
        {
            describe(columns, formats, &mut self.wire.out);
        }
        let given = match self.run_portal(&mut portal, rows, !is_move).await? {
            Ran::Suspended(given) | Ran::Ended(given, _) => given,
        };
        self.portals.insert(name.to_owned(), portal);
        Ok(done(&format!("{} {given}", if is_move { "MOVE" } else { "FETCH" })))
    }
}

fn done(tag: &str) -> Done {
    Done { tag: tag.to_owned(), notices: vec![] }
}

fn unknown_cursor(name: &str) -> SqlError {
    SqlError::new(UNKNOWN_CURSOR, format!("cursor \"{name}\" does not exist"))
}
