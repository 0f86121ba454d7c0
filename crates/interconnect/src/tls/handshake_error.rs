//! Why two nodes do not trust each other, in words for the operator of either.

use super::Day;
use rustls::{AlertDescription, CertificateError, Error as RustlsError};
use std::error::Error;
use std::io;
use thiserror::Error;

/// First of QUIC's error codes that carry an alert of TLS, and the one after the last.
const QUIC_ALERTS: std::ops::Range<u64> = 0x100..0x200;

/// A refusal between nodes. "Refused" is what the other end said; the rest was found at this end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HandshakeError {
    #[error("the peer showed no certificate: it is no node of this cluster, or runs without --tls-dir")]
    NoCertificate,
    #[error("unknown authority: the peer's certificate was not issued by this cluster's authority")]
    OtherAuthority,
    #[error("the peer's certificate expired on {on}; damson certificate issues another")]
    Expired { on: Day },
    #[error("the peer's certificate is valid from {from} on only: are both clocks right?")]
    NotYetValid { from: Day },
    #[error("the peer's certificate is not one of this cluster's nodes: it lacks the DNS name {name}")]
    WrongName { name: String },
    #[error("the peer refused: no certificate was shown; damson certificate issues one")]
    RefusedWithoutCertificate,
    #[error("the peer refused: unknown authority; this node's certificate is not of the peer's cluster")]
    RefusedAuthority,
    #[error("the peer refused: this node's certificate has expired; damson certificate issues another")]
    RefusedExpired,
    #[error("the peer refused: this node's certificate is not one of the peer's cluster's nodes")]
    RefusedName,
    #[error("the peer refused the handshake: {0}")]
    RefusedOtherwise(String),
    /// Found before the handshake: between hosts, there is none without a certificate.
    #[error(
        "it has no unix socket here, and this node has no certificate for other hosts: run damson certificate --authority \
         DATA/tls --out DIR on the master's host, DATA being the master's data directory, and give this node the folder \
         DIR as its --tls-dir"
    )]
    NoOwnCertificate,
    #[error("the peer does not speak TLS: --interconnect-tls must be the same on all nodes")]
    NotTls,
    #[error("the handshake failed: {0}")]
    Other(String),
}

impl HandshakeError {
    /// The reason in an error of any transport, found in its chain of sources; None if there is no TLS in it.
    pub fn find(error: &(dyn Error + 'static)) -> Option<HandshakeError> {
        if let Some(reason) = error.downcast_ref::<HandshakeError>() {
            return Some(reason.clone());
        }
        if let Some(tls) = error.downcast_ref::<RustlsError>() {
            return Some(tls.into());
        }
        // An I/O error is not its content's wrapper in the sense of `source`.
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref).map(|inner| inner as &dyn Error);
        inside.or(error.source()).and_then(Self::find)
    }

    /// The reason in a QUIC connection's end; None if there is no TLS in it.
    pub fn find_in_quic(error: &quinn::ConnectionError) -> Option<HandshakeError> {
        let alert = |code: u64| QUIC_ALERTS.contains(&code).then(|| AlertDescription::from(code as u8));
        match error {
            quinn::ConnectionError::ConnectionClosed(close) => alert(close.error_code.into()).map(refused),
            // quinn keeps only the text and the alert of what was found at this end.
            quinn::ConnectionError::TransportError(error) => match alert(error.code.into())? {
                AlertDescription::UnknownCA => Some(HandshakeError::OtherAuthority),
                AlertDescription::CertificateRequired => Some(HandshakeError::NoCertificate),
                _ => Some(HandshakeError::Other(error.reason.clone())),
            },
            _ => None,
        }
    }

    /// An I/O error that says the reason, where there is one.
    pub(super) fn explain(error: io::Error) -> io::Error {
        match Self::find(&error) {
            Some(reason) => io::Error::new(error.kind(), reason),
            None => error,
        }
    }
}

impl From<&RustlsError> for HandshakeError {
    fn from(error: &RustlsError) -> Self {
        match error {
            RustlsError::NoCertificatesPresented => HandshakeError::NoCertificate,
            RustlsError::InvalidCertificate(error) => certificate(error),
            RustlsError::AlertReceived(alert) => refused(*alert),
            RustlsError::InvalidMessage(_) => HandshakeError::NotTls,
            error => HandshakeError::Other(error.to_string()),
        }
    }
}

fn certificate(error: &CertificateError) -> HandshakeError {
    match error {
        // A broken signature is what a forged certificate has that names this authority as its issuer.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => HandshakeError::OtherAuthority,
        CertificateError::ExpiredContext { not_after, .. } => HandshakeError::Expired { on: (*not_after).into() },
        CertificateError::NotValidYetContext { not_before, .. } => {
            HandshakeError::NotYetValid { from: (*not_before).into() }
        }
        CertificateError::NotValidForNameContext { expected, .. } => {
            HandshakeError::WrongName { name: expected.to_str().into_owned() }
        }
        error => HandshakeError::Other(error.to_string()),
    }
}

fn refused(alert: AlertDescription) -> HandshakeError {
    match alert {
        AlertDescription::CertificateRequired => HandshakeError::RefusedWithoutCertificate,
        AlertDescription::UnknownCA | AlertDescription::DecryptError => HandshakeError::RefusedAuthority,
        AlertDescription::CertificateExpired => HandshakeError::RefusedExpired,
        AlertDescription::BadCertificate => HandshakeError::RefusedName,
        alert => HandshakeError::RefusedOtherwise(format!("{alert:?}")),
    }
}
