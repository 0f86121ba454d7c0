//! [`SqlError`] → gRPC status, and what a client can do wrong with the protocol itself.

use super::limits::{HEADER_TEXT_BYTES_MAX, STATUS_MESSAGE_BYTES_MAX};
use super::protocol::{DETAIL, HINT, MESSAGE, POSITION, SQLSTATE};
use crate::error::{SqlError, SqlState};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

/// The status of an error: code by SQLSTATE, message as the error prints itself, its parts in headers.
pub(super) fn status(error: &SqlError) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert(SQLSTATE, MetadataValue::from_static(error.state.0));
    if let Some(position) = error.position {
        metadata.insert(POSITION, MetadataValue::from(position as u64));
    }
    for (name, text) in [(MESSAGE, Some(&error.message)), (DETAIL, error.detail.as_ref()), (HINT, error.hint.as_ref())]
    {
        if let Some(text) = text {
            let text = cut(text, HEADER_TEXT_BYTES_MAX, |c| c.len_utf8());
            metadata.insert_bin(name, MetadataValue::from_bytes(text.as_bytes()));
        }
    }
    // Three bytes for each byte that is not plain ASCII: `%0A`.
    let encoded = |c: char| if c.is_ascii_graphic() || c == ' ' { 1 } else { 3 * c.len_utf8() };
    let message = error.to_string();
    Status::with_metadata(code(error.state), cut(&message, STATUS_MESSAGE_BYTES_MAX, encoded), metadata)
}

fn code(state: SqlState) -> Code {
    match (state.0, &state.0[..2]) {
        ("42P01" | "3F000", _) => Code::NotFound,
        ("57014", _) => Code::Cancelled,
        ("0A000", _) => Code::Unimplemented,
        ("40001", _) => Code::Aborted,
        ("42501", _) => Code::PermissionDenied,
        // A session that has ended: its client has to log in again.
        (_, "28") | ("57P05" | "25P03", _) => Code::Unauthenticated,
        ("08P01", _) => Code::InvalidArgument,
        ("54001", _) | (_, "42" | "22" | "21" | "23" | "26" | "2B" | "58") => Code::InvalidArgument,
        (_, "53") => Code::ResourceExhausted,
        (_, "08" | "57") => Code::Unavailable,
        _ => Code::Internal,
    }
}

/// The longest prefix whose characters cost at most `limit`, with an ellipsis if it is not all.
fn cut(text: &str, limit: usize, cost: impl Fn(char) -> usize) -> String {
    let mut spent = 0;
    for (at, c) in text.char_indices() {
        spent += cost(c);
        if spent > limit {
            return format!("{}…", &text[..at]);
        }
    }
    text.to_owned()
}

/// A request that is not what Flight SQL says.
pub(super) fn violation(message: impl Into<String>) -> Status {
    status(&malformed(message))
}

/// 08P01.
pub(super) fn malformed(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::PROTOCOL_VIOLATION, message)
}

/// A handle that was never given out, was closed, fetched already, or forgotten.
pub(super) fn unknown_statement() -> SqlError {
    SqlError::new(SqlState::INVALID_STATEMENT_NAME, "the statement handle is not known")
        .with_hint("a result is fetched once, within ten minutes; execute the statement again")
}

pub(super) fn unauthenticated(message: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_AUTHORIZATION, message).with_hint("log in again")
}

pub(super) fn too_many(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message)
}

/// Errors that arrow-flight's dispatch made of undecodable requests have no SQLSTATE, and say that the server is broken.
pub(super) fn blame_the_request(status: Status) -> Status {
    if status.metadata().contains_key(SQLSTATE) {
        return status;
    }
    match status.code() {
        Code::Internal | Code::InvalidArgument => violation(format!("undecodable request: {}", status.message())),
        Code::Unimplemented => self::status(&SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, status.message())),
        _ => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(status: &Status, name: &str) -> Option<String> {
        let value = status.metadata().get_bin(name)?.to_bytes().expect("base64");
        Some(String::from_utf8(value.to_vec()).expect("text"))
    }

    #[test]
    fn an_error_keeps_its_parts() {
        let error = SqlError::new(SqlState::UNDEFINED_TABLE, "relation \"ü\" does not exist").at(15).with_hint("\\dt");
        let status = status(&error);
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), error.to_string());
        assert_eq!(status.metadata().get(SQLSTATE).unwrap(), "42P01");
        assert_eq!(status.metadata().get(POSITION).unwrap(), "15");
        assert_eq!(header(&status, MESSAGE).unwrap(), error.message);
        assert_eq!(header(&status, HINT).unwrap(), "\\dt");
        assert!(header(&status, DETAIL).is_none());
    }

    #[test]
    fn codes_follow_the_class() {
        for (state, code) in [
            (SqlState::DIVISION_BY_ZERO, Code::InvalidArgument),
            (SqlState::SYNTAX_ERROR, Code::InvalidArgument),
            (SqlState::QUERY_CANCELED, Code::Cancelled),
            (SqlState::FEATURE_NOT_SUPPORTED, Code::Unimplemented),
            (SqlState::OUT_OF_MEMORY, Code::ResourceExhausted),
            (SqlState::INVALID_PASSWORD, Code::Unauthenticated),
            (SqlState::IDLE_SESSION_TIMEOUT, Code::Unauthenticated),
            (SqlState::IDLE_IN_TRANSACTION_TIMEOUT, Code::Unauthenticated),
            (SqlState::INVALID_AUTHORIZATION, Code::Unauthenticated),
            (SqlState::TOO_MANY_CONNECTIONS, Code::ResourceExhausted),
            (SqlState::INSUFFICIENT_PRIVILEGE, Code::PermissionDenied),
            (SqlState::CONNECTION_FAILURE, Code::Unavailable),
            (SqlState::CANNOT_CONNECT_NOW, Code::Unavailable),
            (SqlState::INTERNAL_ERROR, Code::Internal),
            (SqlState::DATA_CORRUPTED, Code::Internal),
        ] {
            assert_eq!(self::code(state), code, "{}", state.0);
        }
    }

    #[test]
    fn long_errors_fit_into_headers() {
        let error = SqlError::new(SqlState::SYNTAX_ERROR, "é".repeat(10_000)).with_detail("x".repeat(10_000));
        let status = status(&error);
        assert!(status.message().len() < STATUS_MESSAGE_BYTES_MAX, "{}", status.message().len());
        assert!(header(&status, MESSAGE).unwrap().len() <= HEADER_TEXT_BYTES_MAX + "…".len());
        assert!(header(&status, DETAIL).unwrap().ends_with("x…"));
    }

    #[test]
    fn the_request_is_blamed_for_what_cannot_be_decoded() {
        let blamed = blame_the_request(Status::internal("ParseError"));
        assert_eq!(blamed.code(), Code::InvalidArgument);
        let own = blame_the_request(status(&crate::error::internal("broken")));
        assert_eq!(own.code(), Code::Internal);
    }
}
