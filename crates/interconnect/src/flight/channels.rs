//! The connections to peers: made when first needed, kept, and made again after a loss.

use super::connector::{Connector, Via};
use super::put::put;
use super::socket::ConnectionCount;
use crate::driver::RouteDriver;
use crate::limits::{CONNECTION_WINDOW_BYTES, FRAME_BYTES, STREAM_WINDOW_BYTES};
use crate::outbox::{Carrier, Outbox};
use crate::{InterconnectError, NodeConfig};
use damson_cluster::Endpoint;
use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;
use tonic::transport::{Channel, Endpoint as Peer};
use tower::service_fn;

/// The Flight driver's side that connects. One a node.
pub(crate) struct Channels {
    config: NodeConfig,
    build: Arc<str>,
    count: ConnectionCount,
    peers: Mutex<HashMap<Endpoint, Connections>>,
}

#[derive(Clone)]
struct Connections {
    via: Via,
    control: PeerChannel,
    data: Vec<PeerChannel>,
}

/// One connection, and whether it is there.
#[derive(Clone)]
pub(crate) struct PeerChannel {
    pub(super) channel: Channel,
    count: ConnectionCount,
    peer_timeout: Duration,
}

impl PeerChannel {
    /// Awaits an answer over this connection. Requests that wait for one try in turn to make it, each for the peer's whole
    /// time: so each minds its own.
    ///
    /// # Errors
    /// The answer's; for the peer's time there was no connection.
    pub(super) async fn answer<T>(&self, answer: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let out_of_reach = async {
            loop {
                tokio::time::sleep(self.peer_timeout).await;
                // With a connection, its heartbeats watch the peer.
                if self.count.get() == 0 {
                    return;
                }
            }
        };
        tokio::select! {
            answer = answer => answer,
            () = out_of_reach => Err(Status::unavailable(format!("no connection within {:?}", self.peer_timeout))),
        }
    }
}

impl Channels {
    pub(crate) fn new(config: &NodeConfig, count: ConnectionCount) -> Self {
        Channels { config: config.clone(), build: config.build.as_str().into(), count, peers: Mutex::default() }
    }

    /// The connection for control calls.
    ///
    /// # Errors
    /// An endpoint that is not `host:port`.
    pub(crate) fn control(&self, peer: &Endpoint) -> Result<PeerChannel, InterconnectError> {
        self.with(peer, |connections| connections.control.clone())
    }

    fn with<R>(&self, peer: &Endpoint, pick: impl Fn(&Connections) -> R) -> Result<R, InterconnectError> {
        let via = Via::to(peer, &self.config);
        let mut peers = self.peers.lock();
        if let Some(connections) = peers.get(peer)
            && connections.via == via
        {
            return Ok(pick(connections));
        }
        let connections = self.connect(peer, via)?;
        let picked = pick(&connections);
        peers.insert(peer.clone(), connections);
        Ok(picked)
    }

    fn connect(&self, peer: &Endpoint, via: Via) -> Result<Connections, InterconnectError> {
        let heartbeat = Duration::from_millis(self.config.heartbeat_ms);
        let peer_timeout = Duration::from_millis(self.config.peer_timeout_ms);
        let address = Peer::from_shared(format!("http://{peer}"))
            .map_err(|e| InterconnectError::PeerLost { endpoint: peer.clone(), reason: e.to_string() })?
            .connect_timeout(peer_timeout)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES)
            // A call is over when its answers are dropped: what the peer still sends of it would be counted until the connection is closed.
            .http2_max_local_error_reset_streams(None)
            .http2_keep_alive_interval(heartbeat)
            // A probe leaves after a silent interval; both together are the peer's time.
            .keep_alive_timeout(peer_timeout.saturating_sub(heartbeat).max(heartbeat))
            .keep_alive_while_idle(true);
        let channel = |count: ConnectionCount| {
            let (via, peer) = (via.clone(), peer.clone());
            let connector = Connector { via, peer, tls: self.config.tls.clone(), count };
            let connector = service_fn(move |_| {
                let connecting = connector.clone().connect();
                async move { connecting.await.map(TokioIo::new) }
            });
            // The tasks that own the sockets are spawned on the runtime that is entered.
            let _guard = self.config.io.enter();
            address.connect_with_connector_lazy(connector)
        };
        let peer_channel = || {
            let count = self.count.part();
            PeerChannel { channel: channel(count.clone()), count, peer_timeout }
        };
        let data = (0..self.config.data_connections.max(1)).map(|_| peer_channel()).collect();
        Ok(Connections { control: peer_channel(), data, via: via.clone() })
    }
}

impl RouteDriver for Channels {
    fn carry(&self, peer: &Endpoint, outbox: Arc<Outbox>) -> Result<BoxFuture<'static, ()>, InterconnectError> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(outbox.route);
        let (channel, integrity) = self.with(peer, |connections| {
            let channel = connections.data[hash as usize % connections.data.len()].clone();
            outbox.sent.carried_by(connections.via.transport());
            (channel, connections.via.integrity())
        })?;
        Ok(Box::pin(put(Carrier::of(outbox), channel, integrity, Arc::clone(&self.build))))
    }
}
