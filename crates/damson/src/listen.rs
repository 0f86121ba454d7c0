//! Listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};
use thiserror::Error;
use tokio::net::TcpSocket;

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
    TcpListener::bind(address).map_err(|error| refused(error, address, option))
}

fn refused(source: io::Error, address: SocketAddr, option: &'static str) -> ListenError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address, option },
        _ => ListenError::Other { address, source },
    }
}

/// Connections that wait to be accepted, as of the standard library's listeners.
const BACKLOG: u32 = 128;

/// An address that is bound, and refuses connections. A port that nobody has can become the near end of any connection to elsewhere, or of
/// one to itself, and is taken then when it is wanted. Another process can bind it in the same way while neither listens: who listens
/// first has it, and the other is told by [`Reserved::listen`].
pub(crate) struct Reserved {
    socket: TcpSocket,
    address: SocketAddr,
    option: &'static str,
}

impl Reserved {
    /// `option` is the flag that would change the address.
    ///
    /// # Errors
    /// As those of [`listen`].
    pub(crate) fn new(address: SocketAddr, option: &'static str) -> Result<Self, ListenError> {
        let bound = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // Else the connections of a process before this one keep it for a minute. It lets two bind while neither listens.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let address = socket.local_addr()?;
            Ok(Reserved { socket, address, option })
        };
        bound().map_err(|error| refused(error, address, option))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it takes connections.
    ///
    /// # Errors
    /// As those of [`listen`].
    pub(crate) fn listen(self) -> Result<TcpListener, ListenError> {
        let Reserved { socket, address, option } = self;
        let listener = socket.listen(BACKLOG).and_then(tokio::net::TcpListener::into_std);
        listener.map_err(|error| refused(error, address, option))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[tokio::test]
    async fn a_reserved_port_refuses_connections_until_it_listens() {
        let any = "127.0.0.1:0".parse().expect("an address");
        let reserved = Reserved::new(any, "--listen").expect("a free port");
        let address = reserved.address();
        assert_ne!(address.port(), 0);
        // So many that a free port would have been their own near end before long.
        for _ in 0..1000 {
            let error = TcpStream::connect(address).expect_err("nobody listens");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        }
        let _listener = reserved.listen().expect("nobody else has it");
        TcpStream::connect(address).expect("a listener");
        let error = Reserved::new(address, "--listen").err().expect("it is in use").to_string();
        assert!(error.contains(&address.to_string()) && error.contains("--listen"), "{error}");
    }

    #[test]
    fn a_port_in_use_is_named() {
        let any = "127.0.0.1:0".parse().expect("an address");
        let first = listen(any, "--flight-port").expect("a free port");
        let address = first.local_addr().expect("bound");
        let error = listen(address, "--flight-port").unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("--flight-port"), "{error}");
    }
}
