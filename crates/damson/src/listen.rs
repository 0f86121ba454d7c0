//! Listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};
use thiserror::Error;

/// A port that cannot be had.
#[derive(Debug, Error)]
pub enum ListenError {
    #[error("{address} is in use by another process; {option} chooses another port")]
    InUse { address: SocketAddr, option: &'static str },
    #[error("cannot listen on {address}: {source}")]
    Other { address: SocketAddr, source: io::Error },
}

/// Binds an address; `option` is the flag that would change it.
///
/// # Errors
/// The port is taken, or the address is not this machine's.
pub(crate) fn listen(address: SocketAddr, option: &'static str) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address, option },
        _ => ListenError::Other { address, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named() {
        let any = "127.0.0.1:0".parse().expect("an address");
        let first = listen(any, "--flight-port").expect("a free port");
        let address = first.local_addr().expect("bound");
        let error = listen(address, "--flight-port").unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("--flight-port"), "{error}");
    }
}
