//! How peers' connections come in.

use super::connector::refuse_other_user;
use super::handshakes::complete;
use super::socket::{ConnectionCount, PeerStream};
use super::unix_path::{make_directory, socket_path};
use crate::limits::ACCEPT_RETRY;
use crate::{NodeConfig, Transport};
use futures::stream::{self, Stream, StreamExt};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener};

/// Connections over TCP, for ever: after their handshakes, which do not wait for each other; or none, where neither a
/// certificate nor plain text is allowed.
pub(super) fn tcp(
    listener: TcpListener,
    config: &NodeConfig,
    count: ConnectionCount,
) -> impl Stream<Item = io::Result<PeerStream>> + use<> {
    let (tls, allow_plain, timeout) = (config.tls.clone(), config.allow_plain_tcp, config.peer_timeout_ms);
    let timeout = Duration::from_millis(timeout);
    let accepted = stream::unfold(listener, |listener| async move {
        let accepted = accept(&listener).await;
        pause_after(accepted.as_ref().err()).await;
        Some((accepted, listener))
    });
    let connections = accepted.map(move |accepted| {
        let (tls, count) = (tls.clone(), count.clone());
        async move {
            let stream = accepted?;
            let peer = stream.peer_addr()?;
            let connected = match tls {
                Some(tls) => match tokio::time::timeout(timeout, tls.accept(stream)).await {
                    Ok(connected) => connected.map(|stream| PeerStream::new(stream, Transport::FlightTls, &count)),
                    Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no handshake in time")),
                },
                None if allow_plain => Ok(PeerStream::new(stream, Transport::FlightTcp, &count)),
                None => Err(io::Error::new(io::ErrorKind::PermissionDenied, "this node has no certificate")),
            };
            connected.inspect_err(|error| tracing::warn!(%error, %peer, "a peer was refused"))
        }
    });
    complete(connections)
}

async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A unix socket beside a TCP address; its file goes when it is dropped.
pub(super) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    aliases: Vec<PathBuf>,
}

impl UnixSocket {
    /// None if the host does not let this user have one: peers use TCP then.
    ///
    /// `aliases`: other addresses that lead to it.
    pub(super) fn bind(address: &str, aliases: &[String]) -> Option<Self> {
        let path = socket_path(address)?;
        let aliases: Vec<_> = aliases.iter().filter_map(|alias| socket_path(alias)).filter(|at| *at != path).collect();
        let bound = make_directory().and_then(|_| {
            // Who listens on the TCP address owns its names: a file that is there was left by a process that has gone.
            for path in aliases.iter().chain([&path]) {
                match std::fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            let listener = UnixListener::bind(&path)?;
            aliases.iter().try_for_each(|alias| std::os::unix::fs::symlink(&path, alias))?;
            Ok(listener)
        });
        match bound {
            Ok(listener) => Some(UnixSocket { listener, path, aliases }),
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
        self.aliases.iter().chain([&self.path]).for_each(|path| _ = std::fs::remove_file(path));
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
            Ok(PeerStream::new(stream, Transport::FlightUnix, &count))
        };
        let accepted: io::Result<PeerStream> = accepted.await;
        pause_after(accepted.as_ref().err()).await;
        Some((accepted, (socket, count)))
    });
    accepted.right_stream()
}

/// A process without file descriptors left would otherwise spin.
fn pause_after(error: Option<&io::Error>) -> impl Future<Output = ()> + use<> {
    let pause = error.map(|error| {
        tracing::warn!(%error, "a peer's connection was not accepted");
        tokio::time::sleep(ACCEPT_RETRY)
    });
    async {
        if let Some(pause) = pause {
            pause.await;
        }
    }
}
