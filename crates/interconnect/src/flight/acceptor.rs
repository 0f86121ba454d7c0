//! How peers' connections come in.

use super::connector::refuse_other_user;
use super::handshakes::complete;
use super::socket::{ConnectionCount, PeerStream};
use super::unix_path::{make_directory, socket_path};
use crate::limits::ACCEPT_RETRY;
use crate::{NodeConfig, Transport};
use futures::stream::{self, Stream, StreamExt};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
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

/// A unix socket beside a TCP address; its files go when it is dropped, unless the next node of the address has put its own there.
pub(super) struct UnixSocket {
    listener: UnixListener,
    /// The socket, and links to it.
    files: Vec<OwnFile>,
}

/// A file that was made under a name, which another one may have by now.
struct OwnFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl OwnFile {
    fn at(path: PathBuf) -> io::Result<Self> {
        Ok(OwnFile { identity: identity(&path)?, path })
    }

    fn remove(&self) {
        // A file that stays behind refuses connections, and the next node of this address removes it.
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
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
            // Peers remove a socket that refuses them, which one does between its bind and its listen: it gets its name after both.
            let unnamed = path.with_extension("new");
            _ = std::fs::remove_file(&unnamed);
            let listener = UnixListener::bind(&unnamed)?;
            std::fs::rename(&unnamed, &path)?;
            aliases.iter().try_for_each(|alias| std::os::unix::fs::symlink(&path, alias))?;
            let files = aliases.iter().chain([&path]).cloned().map(OwnFile::at).collect::<io::Result<_>>()?;
            Ok(UnixSocket { listener, files })
        });
        match bound {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "no unix socket; processes of this host use TCP");
                None
            }
        }
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        self.files.iter().for_each(OwnFile::remove);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_that_ends_leaves_the_socket_of_the_next_one() {
        // No port: no node has these addresses.
        let (address, alias) = ("127.0.0.1:of-one-after-another", "localhost:of-one-after-another");
        let [path, link] = [address, alias].map(|name| socket_path(name).unwrap());
        let bind = || UnixSocket::bind(address, &[alias.to_owned()]).unwrap();
        let first = bind();
        let second = bind();
        drop(first);
        assert!(path.exists() && link.exists());
        drop(second);
        assert!(!path.exists() && std::fs::symlink_metadata(link).is_err());
    }
}
