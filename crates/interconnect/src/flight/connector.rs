//! How a connection to a peer is made.

use super::socket::{ConnectionCount, PeerStream};
use super::unix_path::socket_path;
use crate::wire::Integrity;
use damson_cluster::Endpoint;
use std::io;
use std::path::PathBuf;
use tokio::net::{TcpStream, UnixStream};

/// The way to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// The peer is a process of this host.
    Unix(PathBuf),
    Tcp,
}

impl Via {
    /// A unix socket if the peer has one here, now.
    pub(super) fn to(peer: &Endpoint, unix_sockets: bool) -> Via {
        let path = if unix_sockets { socket_path(&peer.0) } else { None };
        path.filter(|path| path.exists()).map_or(Via::Tcp, Via::Unix)
    }

    pub(super) fn integrity(&self) -> Integrity {
        match self {
            Via::Unix(_) => Integrity::Transport,
            Via::Tcp => Integrity::Checksum,
        }
    }

    /// # Errors
    /// Nobody listens there, or not as this user.
    pub(super) async fn connect(self, peer: Endpoint, count: ConnectionCount) -> io::Result<PeerStream> {
        match self {
            Via::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                refuse_other_user(&stream)?;
                Ok(PeerStream::unix(stream, &count))
            }
            Via::Tcp => {
                let stream = TcpStream::connect(&peer.0).await?;
                stream.set_nodelay(true)?;
                Ok(PeerStream::tcp(stream, &count))
            }
        }
    }
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
