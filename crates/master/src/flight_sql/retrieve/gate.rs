//! The master's side: whether those who come to segments may have what they ask for.

use super::StreamOf;
use super::at_segments::{Claim, Taken};
use super::messages::{Failure, LogIn, LoggedIn, Redeem, Retrieved, Visitor};
use crate::error::{SqlError, SqlResult, SqlState, internal};
use crate::flight_sql::clients::Clients;
use crate::flight_sql::peer::ClientAddress;
use crate::flight_sql::statements::RunGuard;
use crate::flight_sql::status::unknown_statement;
use crate::flight_sql::transactions;
use async_trait::async_trait;
use bytes::Bytes;
use damson_interconnect::{ControlError, ControlHandler, ControlStream, InterconnectError};
use damson_motion::control;
use futures::{FutureExt, StreamExt, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;
use uuid::Uuid;

/// One a server of Flight SQL.
pub(crate) struct Gate {
    clients: Arc<Clients>,
    cpu: Handle,
}

/// A stream that may be read.
struct Redeemed {
    begun: Retrieved,
    claim: Claim,
    /// With it a cancel of the statement ends the query.
    guard: RunGuard,
}

impl Gate {
    pub(crate) fn new(clients: Arc<Clients>, cpu: Handle) -> Self {
        Gate { clients, cpu }
    }

    async fn log_in(&self, visitor: LogIn) -> LoggedIn {
        let address = address_of(&visitor);
        match self.clients.pass(visitor.authorization.as_deref(), address).await {
            Ok(token) => LoggedIn::Token(token),
            Err(error) => LoggedIn::Refused(error.into()),
        }
    }

    async fn redeem(&self, redeem: Redeem) -> SqlResult<Redeemed> {
        let Redeem { visitor, handle, contents } = redeem;
        let handle = Uuid::from_u128(handle);
        let reader = self.clients.reader(visitor.authorization.as_deref(), address_of(&visitor)).await?;
        let owner = self.clients.of_reader(&reader, handle).ok_or_else(unknown_statement)?;
        let (statement, stream) =
            owner.statements.fetch_stream(handle, Instant::now()).ok_or_else(unknown_statement)?;
        let StreamOf::Segment(query, content) = stream else {
            let error = SqlError::new(SqlState::OBJECT_NOT_IN_STATE, "the stream is the master's, not a segment's");
            return Err(error.with_hint("Fetch it where the query was sent."));
        };
        let taken = Taken::new(&query);
        if !contents.contains(&content) {
            let message = format!("the stream is of segment {content}, which is not here");
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_STATE, message));
        }
        transactions::checked(&owner, statement.transaction.as_ref(), &statement.text).await?;
        let guard = owner.statements.run(handle, query.cancel.clone());
        let begun = Retrieved::Begun { id: query.id, content, schema: Arc::clone(&query.schema) };
        Ok(Redeemed { begun, claim: taken.claim(&self.cpu)?, guard })
    }
}

#[async_trait]
impl ControlHandler for Gate {
    async fn handle(&self, kind: &str, body: Bytes) -> Result<ControlStream, ControlError> {
        match kind {
            control::RETRIEVE_LOG_IN => {
                let answer = encoded(&self.log_in(parsed(&body)?).boxed().await);
                Ok(stream::once(async { answer }).boxed())
            }
            control::RETRIEVE => Ok(match self.redeem(parsed(&body)?).boxed().await {
                Ok(redeemed) => answers(redeemed),
                Err(error) => {
                    let failed = encoded(&Retrieved::Failed(error.into()));
                    stream::once(async { failed }).boxed()
                }
            }),
            _ => Err(refused(format!("unknown call {kind:?}"))),
        }
    }
}

/// That it has begun, and how it ends. Dropping them before ends the query.
fn answers(redeemed: Redeemed) -> ControlStream {
    let Redeemed { begun, mut claim, guard } = redeemed;
    let end = async move {
        let ended = claim.ended().await;
        drop(guard);
        encoded(&match ended {
            Ok(()) => Retrieved::Ended,
            Err(error) => Retrieved::Failed(Failure::from(error)),
        })
    };
    stream::iter([encoded(&begun)]).chain(stream::once(end)).boxed()
}

fn address_of(visitor: &Visitor) -> ClientAddress {
    ClientAddress { address: visitor.address, is_encrypted: visitor.is_encrypted }
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, ControlError> {
    serde_json::from_slice(body).map_err(|e| refused(e.to_string()))
}

fn encoded(answer: &impl Serialize) -> Result<Bytes, InterconnectError> {
    serde_json::to_vec(answer).map(Bytes::from).map_err(InterconnectError::internal)
}

fn refused(message: String) -> ControlError {
    let SqlError { state, message, .. } = internal(message);
    ControlError { code: state.0.into(), message }
}
