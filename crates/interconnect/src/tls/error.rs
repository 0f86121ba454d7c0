//! Why certificates cannot be made or used.

use super::Day;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// A certificate or an authority that cannot be made, read or used; found before any peer is met.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("{path} is missing")]
    Missing { path: PathBuf },
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("{path} is not the PEM file that it should be: {reason}")]
    BadPem { path: PathBuf, reason: String },
    #[error("{path} is open to others (mode {mode:03o}): chmod 600 {path}")]
    ExposedKey { path: PathBuf, mode: u32 },
    #[error("the key {key} does not belong to the certificate {certificate}")]
    KeyMismatch { certificate: PathBuf, key: PathBuf },
    #[error("the certificate {path} expired on {on}")]
    Expired { path: PathBuf, on: Day },
    #[error("the certificate {path} is valid from {from} on only: is this machine's clock right?")]
    NotYetValid { path: PathBuf, from: Day },
    #[error("the certificate {certificate} was not issued by the authority {authority}")]
    OtherAuthority { certificate: PathBuf, authority: PathBuf },
    #[error("the certificate {path} is not a node's: it lacks the DNS name {name}")]
    WrongName { path: PathBuf, name: String },
    #[error("cannot use the certificate {path}: {reason}")]
    Unusable { path: PathBuf, reason: String },
    /// Such an authority's own tools must issue the nodes' certificates.
    #[error("{path} was not made by damson, which cannot issue certificates with it; they need the DNS name {name}")]
    ForeignAuthority { path: PathBuf, name: String },
    /// Writing there would cut a node off its cluster, or destroy another cluster's authority.
    #[error("{path} is the authority of another cluster")]
    OtherCluster { path: PathBuf },
    #[error("{host} cannot stand in a certificate: {reason}")]
    BadHost { host: String, reason: String },
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("cannot set up TLS: {0}")]
    Setup(String),
    #[error("the system has no random bytes")]
    NoRandomness,
}
