//! What a segment's Flight service and its master's say to each other, as JSON. Both are of one build.

use crate::error::{SqlError, SqlState};
use arrow::datatypes::SchemaRef;
use damson_cluster::ContentId;
use damson_motion::RetrievalId;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Who has come to a segment. It may show a password, and is not printed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Visitor {
    /// The call's header.
    pub authorization: Option<String>,
    pub address: SocketAddr,
    pub is_encrypted: bool,
}

/// The body of [`RETRIEVE_LOG_IN`](damson_motion::control::RETRIEVE_LOG_IN).
pub(crate) type LogIn = Visitor;

/// Its only answer.
#[derive(Serialize, Deserialize)]
pub(crate) enum LoggedIn {
    /// What stands for the user's name and password in the calls that follow, at any segment.
    Token(String),
    Refused(Failure),
}

/// The body of [`RETRIEVE`](damson_motion::control::RETRIEVE).
#[derive(Serialize, Deserialize)]
pub(crate) struct Redeem {
    pub visitor: Visitor,
    /// The stream's, of the ticket that the client has from its FlightInfo.
    pub handle: u128,
    /// The contents of the process that it has come to.
    pub contents: Vec<ContentId>,
}

/// Its answers, of which the last is the query's end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Retrieved {
    /// The ticket is good. The first.
    Begun {
        id: RetrievalId,
        content: ContentId,
        schema: SchemaRef,
    },
    Ended,
    Failed(Failure),
}

/// An error, with all that a client is told of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    state: String,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    position: Option<usize>,
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        let SqlError { state, message, detail, hint, position, lost: _ } = error;
        Failure { state: state.0.into(), message, detail, hint, position }
    }
}

impl From<Failure> for SqlError {
    fn from(failure: Failure) -> Self {
        let Failure { state, message, detail, hint, position } = failure;
        SqlError { state: SqlState::known(&state), message, detail, hint, position, lost: None }
    }
}
