//! The listening side: sockets, connections, and what becomes of their streams.

use super::caller::NO_CERTIFICATE;
use super::code::STOPPING;
use super::describe::describe;
use super::receive::receive;
use super::socket::{endpoint, listening};
use super::transport::{Path, Transports};
use crate::InterconnectError;
use crate::limits::{QUIC_CLOSE_TIME, QUIC_STREAMS, STREAMS_MAX};
use crate::node::Node;
use crate::tls::{ALPN_QUIC, HandshakeError};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, ConnectionError, Endpoint, Incoming, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A node's listening sockets, at the address that its TCP listener has.
pub(crate) struct Server {
    endpoints: Vec<Endpoint>,
    peers: Peers,
}

/// What a socket's task needs for its connections.
#[derive(Clone)]
struct Peers {
    node: Arc<Node>,
    server: ServerConfig,
    transports: Transports,
}

impl Server {
    /// In the runtime that owns sockets.
    ///
    /// # Errors
    /// The node has no certificate. The UDP port is taken.
    pub(crate) fn bind(node: Arc<Node>, address: SocketAddr) -> Result<Self, InterconnectError> {
        let failed = |reason: String| InterconnectError::Serve { endpoint: node.endpoint(), reason };
        let config = node.config();
        let tls = config.tls.as_ref().ok_or_else(|| failed(NO_CERTIFICATE.into()))?;
        let crypto = QuicServerConfig::try_from(tls.server_config(ALPN_QUIC)).map_err(|e| failed(e.to_string()))?;
        let mut server = ServerConfig::with_crypto(Arc::new(crypto));
        // Nodes do not change their addresses, and what comes from another address may come to another socket.
        server.migration(false);
        let transports = Transports::of_server(config);
        let sockets = listening(address, config.quic_endpoints.max(1));
        let endpoints = sockets
            .and_then(|sockets| sockets.into_iter().map(|socket| endpoint(socket, Some(server.clone()))).collect())
            .map_err(|e| failed(format!("UDP address {address}: {e}")))?;
        Ok(Server { endpoints, peers: Peers { node, server, transports } })
    }

    /// Serves until `stop`; routes end then.
    ///
    /// # Errors
    /// A socket has failed.
    pub(crate) async fn serve(self, stop: CancellationToken) -> Result<(), InterconnectError> {
        let mut sockets = JoinSet::new();
        for endpoint in self.endpoints {
            sockets.spawn(self.peers.clone().accept(endpoint, stop.clone()));
        }
        while let Some(ended) = sockets.join_next().await {
            let endpoint = self.peers.node.endpoint();
            let failed = |reason: String| InterconnectError::Serve { endpoint, reason };
            match ended {
                Ok(()) if stop.is_cancelled() => {}
                Ok(()) => return Err(failed("a UDP socket has failed".into())),
                Err(error) => return Err(failed(error.to_string())),
            }
        }
        Ok(())
    }
}

impl Peers {
    /// One socket's connections, until the node stops.
    async fn accept(self, endpoint: Endpoint, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => {
                        connections.spawn(self.clone().serve(incoming, stop.clone()));
                    }
                    None => return,
                },
                Some(_) = connections.join_next() => {}
                () = stop.cancelled() => break,
            }
        }
        endpoint.close(STOPPING, b"the node is stopping");
        // Peers that are not told notice it later.
        let _ = tokio::time::timeout(QUIC_CLOSE_TIME, endpoint.wait_idle()).await;
    }

    /// One connection, until it is lost.
    async fn serve(self, incoming: Incoming, stop: CancellationToken) {
        let peer = incoming.remote_address();
        let mut server = self.server.clone();
        server.transport_config(self.transports.over(Path::to(peer.ip())));
        let accepted = match incoming.accept_with(Arc::new(server)) {
            Ok(connecting) => connecting.await,
            Err(error) => Err(error),
        };
        let ended = match accepted {
            Ok(connection) => self.receive(connection, stop).await,
            Err(error) => error,
        };
        if HandshakeError::find_in_quic(&ended).is_some() {
            tracing::warn!(%peer, reason = describe(&ended), "a peer's connection was not accepted");
        } else {
            tracing::debug!(%peer, reason = describe(&ended), "a peer's connection has ended");
        }
    }

    /// The connection's streams, each a route, until it is lost.
    async fn receive(&self, connection: Connection, stop: CancellationToken) -> ConnectionError {
        let _counted = self.node.connection_count().enter();
        // Shared by the routes, and so counts them.
        let open = Arc::new(());
        let mut streams_max = QUIC_STREAMS;
        loop {
            let (answers, stream) = match connection.accept_bi().await {
                Ok(stream) => stream,
                Err(error) => return error,
            };
            let (open, route) = (Arc::clone(&open), receive(Arc::clone(&self.node), answers, stream, stop.clone()));
            // Routes must not wait for each other's end.
            if Arc::strong_count(&open) > streams_max as usize / 2 && streams_max < STREAMS_MAX {
                streams_max *= 2;
                connection.set_max_concurrent_bi_streams(streams_max.into());
            }
            self.node.spawn(async move {
                route.await;
                drop(open);
            });
        }
    }
}
