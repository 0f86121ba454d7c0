//! QUIC's errors in words for the operator.

use crate::tls::HandshakeError;
use quinn::{ConnectionError, ReadError, ReadExactError, WriteError};

/// Why a connection has ended.
pub(super) fn describe(error: &ConnectionError) -> String {
    if let Some(reason) = HandshakeError::find_in_quic(error) {
        return reason.to_string();
    }
    match error {
        ConnectionError::TimedOut => "the peer is silent".into(),
        ConnectionError::ApplicationClosed(close) if !close.reason.is_empty() => {
            format!("the peer closed the connection: {}", String::from_utf8_lossy(&close.reason))
        }
        ConnectionError::ApplicationClosed(_) => "the peer closed the connection".into(),
        error => error.to_string(),
    }
}

pub(super) fn describe_read(error: &ReadError) -> String {
    match error {
        ReadError::ConnectionLost(error) => describe(error),
        ReadError::Reset(code) => format!("the peer reset the stream, code {code}"),
        error => error.to_string(),
    }
}

pub(super) fn describe_read_exact(error: &ReadExactError) -> String {
    match error {
        ReadExactError::ReadError(error) => describe_read(error),
        ReadExactError::FinishedEarly(_) => "the stream ended within a message".into(),
    }
}

pub(super) fn describe_write(error: &WriteError) -> String {
    match error {
        WriteError::ConnectionLost(error) => describe(error),
        WriteError::Stopped(code) => format!("the peer stopped the stream, code {code}"),
        error => error.to_string(),
    }
}
