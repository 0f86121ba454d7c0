//! How a connection to a peer is made.

use super::socket::{ConnectionCount, PeerStream};
use super::unix_path::existing_socket;
use crate::limits::{UNIX_SOCKET_RETRIES, UNIX_SOCKET_RETRY};
use crate::tls::{HandshakeError, NodeTls};
use crate::wire::Integrity;
use crate::{NodeConfig, Transport};
use damson_cluster::Endpoint;
use std::io;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpStream, UnixStream, lookup_host};

/// The way to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// The peer is a process of this host.
    Unix(PathBuf),
    /// Mutual TLS over TCP.
    Tls,
    /// The interconnect's TLS is switched off.
    PlainTcp,
    /// Neither a unix socket nor a certificate.
    None,
}

impl Via {
    /// A unix socket if the peer has one here, now.
    pub(super) fn to(peer: &Endpoint, config: &NodeConfig) -> Via {
        let path = if config.unix_sockets { existing_socket(&peer.0) } else { None };
        match path {
            Some(path) => Via::Unix(path),
            None if config.tls.is_some() => Via::Tls,
            None if config.allow_plain_tcp => Via::PlainTcp,
            None => Via::None,
        }
    }

    pub(super) fn transport(&self) -> Transport {
        match self {
            Via::Unix(_) => Transport::FlightUnix,
            Via::Tls => Transport::FlightTls,
            Via::PlainTcp | Via::None => Transport::FlightTcp,
        }
    }

    pub(super) fn integrity(&self) -> Integrity {
        match self {
            Via::Unix(_) | Via::Tls | Via::None => Integrity::Transport,
            Via::PlainTcp => Integrity::Checksum,
        }
    }
}

/// What a connection to one peer is made with.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) via: Via,
    pub(super) peer: Endpoint,
    pub(super) tls: Option<Arc<NodeTls>>,
    pub(super) count: ConnectionCount,
}

impl Connector {
    /// # Errors
    /// Nobody listens there, not as this user, or without a certificate that this node trusts.
    pub(super) async fn connect(self) -> io::Result<PeerStream> {
        let Connector { via, peer, tls, count } = self;
        let transport = via.transport();
        if let Via::Unix(path) = via {
            let stream = connect_unix(&path).await.map_err(not_there)?;
            refuse_other_user(&stream)?;
            return Ok(PeerStream::new(stream, transport, &count));
        }
        if via == Via::None {
            return Err(no_way(&peer).await);
        }
        let stream = TcpStream::connect(&peer.0).await?;
        stream.set_nodelay(true)?;
        match tls {
            Some(tls) if via == Via::Tls => Ok(PeerStream::new(tls.connect(stream).await?, transport, &count)),
            _ => Ok(PeerStream::new(stream, transport, &count)),
        }
    }
}

/// What is said of a peer of this host. Another user's needs a certificate, which is seldom why.
const NOT_THERE: &str = "no process of this user listens there yet";

/// A socket that a killed process has left is as good as none.
fn not_there(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
            io::Error::new(io::ErrorKind::ConnectionRefused, NOT_THERE)
        }
        _ => error,
    }
}

/// Why there is none: a peer of this host needs no certificate, only to be there.
async fn no_way(peer: &Endpoint) -> io::Error {
    if is_on_this_host(peer).await {
        io::Error::new(io::ErrorKind::ConnectionRefused, NOT_THERE)
    } else {
        io::Error::new(io::ErrorKind::PermissionDenied, HandshakeError::NoOwnCertificate)
    }
}

/// Whether an address is one that a socket of this machine can be bound to. A name that cannot be resolved is not.
async fn is_on_this_host(peer: &Endpoint) -> bool {
    let Ok(addresses) = lookup_host(&peer.0).await else { return false };
    let mut addresses = addresses.peekable();
    addresses.peek().is_some() && addresses.all(|address| UdpSocket::bind((address.ip(), 0)).is_ok())
}

/// A file that nobody listens behind was left by a process that was killed. Its successor at this address may be about to
/// replace it: that is waited for, for [`UNIX_SOCKET_RETRIES`].
async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    let mut connected = connect_or_remove(path).await;
    for _ in 0..UNIX_SOCKET_RETRIES {
        match &connected {
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {}
            _ => break,
        }
        tokio::time::sleep(UNIX_SOCKET_RETRY).await;
        if path.exists() {
            connected = connect_or_remove(path).await;
        }
    }
    connected
}

/// What was left by a process that was killed is removed, so that the next way to this address is the one that its node has
/// now: it may have no unix socket.
async fn connect_or_remove(path: &Path) -> io::Result<UnixStream> {
    let file = |path: &Path| path.symlink_metadata().map(|file| (file.ino(), file.ctime_nsec())).ok();
    let before = file(path);
    let connected = UnixStream::connect(path).await;
    if connected.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) && before == file(path) {
        // One that cannot be removed is refused again.
        let _ = std::fs::remove_file(path);
    }
    connected
}

/// The socket's directory keeps others out; this holds even if it did not.
///
/// # Errors
/// The process at the other end runs as another user.
pub(super) fn refuse_other_user(stream: &UnixStream) -> io::Result<()> {
    let theirs = stream.peer_cred()?.uid();
    if theirs == nix::unistd::geteuid().as_raw() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("the peer is a process of user {theirs}")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::acceptor::UnixSocket;
    use super::super::unix_path::{make_directory, socket_path};
    use super::*;
    use tokio::net::{TcpListener, UnixListener};
    use tokio::runtime::Handle;

    #[tokio::test]
    async fn a_node_that_listens_everywhere_is_found_by_its_other_addresses() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let config = NodeConfig::new(Endpoint("127.0.0.1:1".into()), "test", Handle::current());
        let aliases = [format!("127.0.0.1:{port}"), format!("db.example.org:{port}")];
        let socket = UnixSocket::bind(&format!("0.0.0.0:{port}"), &aliases).unwrap();
        for address in &aliases {
            let peer = Endpoint(address.clone());
            let via = Via::to(&peer, &config);
            assert!(matches!(via, Via::Unix(_)), "{address}");
            Connector { via, peer, tls: None, count: ConnectionCount::default() }.connect().await.unwrap();
        }
        drop(socket);
        assert_eq!(Via::to(&Endpoint(aliases[0].clone()), &config), Via::PlainTcp);
    }

    #[tokio::test]
    async fn a_certificate_is_asked_for_between_hosts_only() {
        let no_way = async |peer: &str| {
            let (via, peer) = (Via::None, Endpoint(peer.into()));
            let connector = Connector { via, peer, tls: None, count: ConnectionCount::default() };
            connector.connect().await.err().unwrap()
        };
        let here = no_way("127.0.0.1:1").await;
        assert_eq!((here.kind(), here.to_string().as_str()), (io::ErrorKind::ConnectionRefused, NOT_THERE));
        // An address of nobody's machine: reserved for documentation.
        let elsewhere = no_way("192.0.2.1:1").await;
        assert_eq!(HandshakeError::find(&elsewhere), Some(HandshakeError::NoOwnCertificate));
    }

    #[tokio::test]
    async fn a_node_that_is_about_to_replace_its_predecessors_socket_is_waited_for() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        make_directory().unwrap();
        let path = socket_path(&address).unwrap();
        // A node of that port that was killed has left its own.
        let _ = std::fs::remove_file(&path);
        drop(UnixListener::bind(&path).unwrap());
        let replacing = async {
            tokio::time::sleep(UNIX_SOCKET_RETRY).await;
            UnixSocket::bind(&address, &[]).unwrap()
        };
        let (connected, _socket) = tokio::join!(connect_unix(&path), replacing);
        connected.unwrap();
    }

    #[tokio::test]
    async fn a_socket_of_a_killed_process_is_no_way_for_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Endpoint(listener.local_addr().unwrap().to_string());
        let config = NodeConfig::new(Endpoint("127.0.0.1:1".into()), "test", Handle::current());
        make_directory().unwrap();
        let path = socket_path(&peer.0).unwrap();
        // A node of that port that was killed has left its own.
        let _ = std::fs::remove_file(&path);
        // Its file stays, as after kill -9.
        drop(UnixListener::bind(&path).unwrap());
        let connect = || {
            let via = Via::to(&peer, &config);
            let connector = Connector { via, peer: peer.clone(), tls: None, count: ConnectionCount::default() };
            connector.connect()
        };
        assert_eq!(Via::to(&peer, &config), Via::Unix(path));
        assert_eq!(connect().await.err().unwrap().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(Via::to(&peer, &config), Via::PlainTcp);
        connect().await.unwrap();
    }
}
