//! How peers' connections come in.

use super::connector::refuse_other_user;
use super::socket::{ConnectionCount, PeerStream};
use super::unix_path::{make_directory, socket_path};
use crate::limits::ACCEPT_RETRY;
use futures::stream::{self, Stream, StreamExt};
use std::io;
use std::path::PathBuf;
use tokio::net::{TcpListener, UnixListener};

/// Connections over TCP, for ever.
pub(super) fn tcp(listener: TcpListener, count: ConnectionCount) -> impl Stream<Item = io::Result<PeerStream>> {
    stream::unfold((listener, count), |(listener, count)| async move {
        let accepted = async {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(PeerStream::tcp(stream, &count))
        };
        let accepted: io::Result<PeerStream> = accepted.await;
        if let Err(error) = &accepted {
            tracing::warn!(%error, "a peer's connection was not accepted");
            // A process without file descriptors left would otherwise spin.
            tokio::time::sleep(ACCEPT_RETRY).await;
        }
        Some((accepted, (listener, count)))
    })
}

/// A unix socket beside a TCP address; its file goes when it is dropped.
pub(super) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl UnixSocket {
    /// None if the host does not let this user have one: peers use TCP then.
    pub(super) fn bind(address: &str) -> Option<Self> {
        let path = socket_path(address)?;
        let bound = make_directory().and_then(|_| {
            // Who listens on the TCP address owns the name: a file that is there was left by a process that has gone.
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            UnixListener::bind(&path)
        });
        match bound {
            Ok(listener) => Some(UnixSocket { listener, path }),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "no unix socket; processes of this host use TCP");
                None
            }
        }
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // A file that stays behind refuses connections, and the next node of this address removes it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Connections over the unix socket, for ever; none without one.
pub(super) fn unix_or_none(
    socket: Option<UnixSocket>,
    count: ConnectionCount,
) -> impl Stream<Item = io::Result<PeerStream>> {
    let Some(socket) = socket else { return stream::pending().left_stream() };
    let accepted = stream::unfold((socket, count), |(socket, count)| async move {
        let accepted = async {
            let (stream, _) = socket.listener.accept().await?;
            refuse_other_user(&stream)?;
            Ok(PeerStream::unix(stream, &count))
        };
        let accepted: io::Result<PeerStream> = accepted.await;
        if let Err(error) = &accepted {
            tracing::warn!(%error, "a peer's connection was not accepted");
            // A process without file descriptors left would otherwise spin.
            tokio::time::sleep(ACCEPT_RETRY).await;
        }
        Some((accepted, (socket, count)))
    });
    accepted.right_stream()
}
