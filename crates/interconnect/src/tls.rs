//! Who is a node of this cluster: mutual TLS 1.3 from one certificate authority, which the cluster makes itself.
//!
//! [`ClusterAuthority`] makes certificates, [`NodeTls`] uses one, [`HandshakeError`] says why two nodes do not trust each
//! other. What operators must know is in `docs/security.md`.

mod anchor;
mod authority;
mod day;
mod error;
mod files;
mod handshake_error;
mod node_tls;
mod peer_check;
mod stream;

pub use authority::ClusterAuthority;
pub use day::Day;
pub use error::TlsError;
pub use files::{AUTHORITY_FILE, AUTHORITY_KEY_FILE, CERTIFICATE_FILE, KEY_FILE, certified_key};
pub use handshake_error::HandshakeError;
pub use node_tls::{ALPN_FLIGHT, ALPN_QUIC, NodeTls};
pub use stream::TlsStream;

#[cfg(test)]
mod tests;
