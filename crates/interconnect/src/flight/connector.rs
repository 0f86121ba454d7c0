//! How a connection to a peer is made.

use super::socket::{ConnectionCount, PeerStream};
use super::unix_path::socket_path;
use crate::tls::NodeTls;
use crate::wire::Integrity;
use crate::{NodeConfig, Transport};
use damson_cluster::Endpoint;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::{TcpStream, UnixStream};

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
        let path = if config.unix_sockets { socket_path(&peer.0) } else { None };
        match path.filter(|path| path.exists()) {
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
            let stream = UnixStream::connect(path).await?;
            refuse_other_user(&stream)?;
            return Ok(PeerStream::new(stream, transport, &count));
        }
        if via == Via::None {
            let message = "it has no unix socket here, and this node has no certificate for other hosts: issue one with \
                           `damson certificate` on the master's host";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        let stream = TcpStream::connect(&peer.0).await?;
        stream.set_nodelay(true)?;
        match tls {
            Some(tls) if via == Via::Tls => Ok(PeerStream::new(tls.connect(stream).await?, transport, &count)),
            _ => Ok(PeerStream::new(stream, transport, &count)),
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
