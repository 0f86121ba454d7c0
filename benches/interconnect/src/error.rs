//! What can go wrong in a measurement.

use arrow_flight::error::FlightError;
use damson_interconnect::{InterconnectError, RouteError, TlsError};
use std::io;
use thiserror::Error;

/// A measurement that failed; the others go on.
#[derive(Debug, Error)]
pub enum BenchError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    Node(#[from] InterconnectError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Flight(#[from] Box<FlightError>),
    #[error(transparent)]
    Tonic(#[from] tonic::transport::Error),
    /// The other process said what this one does not understand.
    #[error("malformed message: {0}")]
    Message(#[from] serde_json::Error),
    /// A process ended, or did not answer in time.
    #[error("{0}")]
    Process(String),
    /// What arrived is not what was sent.
    #[error("{sent} bytes were sent, {received} received")]
    Lost { sent: u64, received: u64 },
    /// The kernel that splits rows failed.
    #[error("{0}")]
    Kernel(String),
}

impl From<FlightError> for BenchError {
    fn from(error: FlightError) -> Self {
        Box::new(error).into()
    }
}
