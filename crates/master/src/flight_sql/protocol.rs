//! What Damson adds to Flight SQL, for its own shell; other clients do not see it.

use serde::{Deserialize, Serialize};

/// SQLSTATE of an error: a gRPC header.
pub const SQLSTATE: &str = "sqlstate";
/// 1-based character position of an error in the statement: a gRPC header.
pub const POSITION: &str = "position";
/// The message without SQLSTATE, detail and hint: a binary gRPC header, UTF-8. Like the next two.
pub const MESSAGE: &str = "message-bin";
pub const DETAIL: &str = "detail-bin";
pub const HINT: &str = "hint-bin";

/// Action that ends a session (Flight's own): its settings and statements go at once.
pub const CLOSE_SESSION: &str = "CloseSession";
/// Actions that set session options, and list them (Flight's own).
pub const SET_SESSION_OPTIONS: &str = "SetSessionOptions";
pub const GET_SESSION_OPTIONS: &str = "GetSessionOptions";
/// Action that cancels one statement by its `FlightInfo` (Flight's own).
pub const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";

/// The location that is the connection on which a FlightInfo came (Flight's own).
pub const REUSE_CONNECTION: &str = "arrow-flight-reuse-connection://?";

/// JSON in `FlightInfo.app_metadata` of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementInfo {
    /// True for what gives no rows: its result is an empty schema with a [`CommandReport`] as its metadata.
    pub is_update: bool,
    /// The session's number, which system tables call `pid`; None: the server does not tell.
    #[serde(default)]
    pub session: Option<u64>,
}

/// JSON in the `app_metadata` of a command's schema message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandReport {
    /// As PostgreSQL prints it: `INSERT 0 3`.
    pub tag: String,
    pub rows: u64,
    pub notices: Vec<String>,
}

/// The SQLSTATE of a notice that PostgreSQL tells as a WARNING.
pub(crate) fn warning_sqlstate(notice: &str) -> Option<&'static str> {
    match notice {
        "there is no transaction in progress" => Some("25P01"),
        "there is already a transaction in progress" => Some("25001"),
        text if text.ends_with("can only be used in transaction blocks") => Some("25P01"),
        _ => None,
    }
}

/// Whether a notice is shown as a WARNING.
pub fn is_warning(notice: &str) -> bool {
    warning_sqlstate(notice).is_some()
}
