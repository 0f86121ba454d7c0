//! The connections to peers: made when first needed, kept, and made again after a loss.

use crate::limits::{CONNECTION_WINDOW_BYTES, DATA_CONNECTIONS, FRAME_BYTES, STREAM_WINDOW_BYTES};
use crate::{InterconnectError, NodeConfig};
use damson_cluster::{Endpoint, RouteKey};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::Duration;
use tokio::runtime::Handle;
use tonic::transport::{Channel, Endpoint as Peer};

/// One a node.
pub(crate) struct Channels {
    heartbeat: Duration,
    peer_timeout: Duration,
    io: Handle,
    peers: Mutex<HashMap<Endpoint, Connections>>,
}

#[derive(Clone)]
struct Connections {
    control: Channel,
    data: [Channel; DATA_CONNECTIONS],
}

impl Channels {
    pub(crate) fn new(config: &NodeConfig) -> Self {
        Channels {
            heartbeat: Duration::from_millis(config.heartbeat_ms),
            peer_timeout: Duration::from_millis(config.peer_timeout_ms),
            io: config.io.clone(),
            peers: Mutex::default(),
        }
    }

    /// The connection for control calls.
    ///
    /// # Errors
    /// An endpoint that is not `host:port`.
    pub(crate) fn control(&self, peer: &Endpoint) -> Result<Channel, InterconnectError> {
        self.with(peer, |connections| connections.control.clone())
    }

    /// The connection for a route; the routes to a peer are spread over several.
    ///
    /// # Errors
    /// An endpoint that is not `host:port`.
    pub(crate) fn data(&self, peer: &Endpoint, route: RouteKey) -> Result<Channel, InterconnectError> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(route);
        self.with(peer, |connections| connections.data[hash as usize % DATA_CONNECTIONS].clone())
    }

    fn with(&self, peer: &Endpoint, pick: impl Fn(&Connections) -> Channel) -> Result<Channel, InterconnectError> {
        if let Some(connections) = self.peers.lock().get(peer) {
            return Ok(pick(connections));
        }
        let address = Peer::from_shared(format!("http://{peer}"))
            .map_err(|e| InterconnectError::PeerLost { endpoint: peer.clone(), reason: e.to_string() })?
            .connect_timeout(self.peer_timeout)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES)
            .http2_keep_alive_interval(self.heartbeat)
            .keep_alive_timeout(self.peer_timeout)
            .keep_alive_while_idle(true);
        // The tasks that own the sockets are spawned on the runtime that is entered.
        let _guard = self.io.enter();
        let connections =
            Connections { control: address.connect_lazy(), data: std::array::from_fn(|_| address.connect_lazy()) };
        Ok(pick(self.peers.lock().entry(peer.clone()).or_insert(connections)))
    }
}
