//! What can go wrong between nodes. All of it travels to peers.

use damson_cluster::{Endpoint, QueryId, RouteKey};
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use thiserror::Error;

/// The end of a route that was not its end-of-stream.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum RouteError {
    /// The query was cancelled.
    #[error("{query} was cancelled")]
    Cancelled { query: QueryId },
    /// The other end, or the connection to it, ended without end-of-stream.
    #[error("{route}: connection lost: {reason}")]
    PeerLost { route: RouteKey, reason: String },
    /// Raised by the sender's slice; passes through as it is.
    #[error("{message}")]
    Remote { code: String, message: String },
    /// A stream whose ticket is not the query's: somebody else's, or an earlier query's.
    #[error("{route}: refused, its ticket is not that of the query")]
    Forbidden { route: RouteKey },
    /// One end broke the rules: a defect, not the network.
    #[error("{route}: {message}")]
    Protocol { route: RouteKey, message: String },
}

/// A handler's refusal of a call.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct ControlError {
    /// For programs: an SQLSTATE, or [`ControlError::BUILD_MISMATCH`].
    pub code: String,
    pub message: String,
}

impl ControlError {
    /// Caller and callee are of different builds.
    pub const BUILD_MISMATCH: &str = "build_mismatch";
}

/// A call or a node that failed.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum InterconnectError {
    /// The peer cannot be reached, does not host the content, or was lost in mid-call: retry when it is back.
    #[error("lost {endpoint}: {reason}")]
    PeerLost { endpoint: Endpoint, reason: String },
    /// The handler's own refusal.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// This node cannot serve its peers.
    #[error("cannot serve at {endpoint}: {reason}")]
    Serve { endpoint: Endpoint, reason: String },
}

impl InterconnectError {
    /// A handler's failure that no caller can do anything about (SQLSTATE XX000), such as an answer that does not encode.
    pub fn internal(error: impl Display) -> Self {
        ControlError { code: "XX000".into(), message: error.to_string() }.into()
    }
}
