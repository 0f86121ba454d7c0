//! How a connection to a peer is made.

use super::describe::describe;
use super::socket::{calling, endpoint};
use super::transport::{Path, Transports};
use crate::NodeConfig;
use crate::flight::ConnectionCount;
use crate::node::Tasks;
use crate::tls::{ALPN_QUIC, NodeTls};
use damson_cluster::Endpoint;
use futures::FutureExt;
use futures::future::select_ok;
use parking_lot::Mutex;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::net::lookup_host;

/// Makes the connections of one node.
pub(super) struct Caller {
    tls: Option<Arc<NodeTls>>,
    transports: Transports,
    peer_timeout: Duration,
    count: ConnectionCount,
    tasks: Weak<Tasks>,
    /// By number and family: the n-th connection to each peer is made from the n-th socket.
    sockets: Mutex<HashMap<(usize, bool), quinn::Endpoint>>,
}

impl Caller {
    pub(super) fn new(config: &NodeConfig, count: ConnectionCount, tasks: &Arc<Tasks>) -> Self {
        Caller {
            tls: config.tls.clone(),
            transports: Transports::of_client(config),
            peer_timeout: Duration::from_millis(config.peer_timeout_ms),
            count,
            tasks: Arc::downgrade(tasks),
            sockets: Mutex::default(),
        }
    }

    /// In the runtime that owns sockets.
    ///
    /// # Errors
    /// Nobody answers there, or not as a node of this cluster.
    pub(super) async fn connect(self: Arc<Self>, peer: Endpoint, index: usize) -> Result<Connection, String> {
        let connection = tokio::time::timeout(self.peer_timeout, self.find(&peer, index))
            .await
            .unwrap_or_else(|_| Err(format!("nobody has answered for {} ms", self.peer_timeout.as_millis())))?;
        if let Some(tasks) = self.tasks.upgrade() {
            let (counted, connection) = (self.count.enter(), connection.clone());
            tasks.spawn(async move {
                connection.closed().await;
                drop(counted);
            });
        }
        Ok(connection)
    }

    /// All of a name's addresses at once: unlike TCP's, a silent one is not told from a slow one.
    async fn find(&self, peer: &Endpoint, index: usize) -> Result<Connection, String> {
        let addresses: Vec<SocketAddr> = lookup_host(&peer.0).await.map_err(|e| e.to_string())?.collect();
        if addresses.is_empty() {
            return Err("its name has no address".into());
        }
        let calls = addresses.into_iter().map(|address| self.call(address, index).boxed());
        select_ok(calls).await.map(|(connection, _)| connection)
    }

    async fn call(&self, address: SocketAddr, index: usize) -> Result<Connection, String> {
        let tls = self.tls.as_ref().ok_or(NO_CERTIFICATE)?;
        let crypto = QuicClientConfig::try_from(tls.client_config(ALPN_QUIC)).map_err(|e| e.to_string())?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(self.transports.over(Path::to(address.ip())));
        let socket = self.socket(address, index).map_err(|e| format!("no UDP socket: {e}"))?;
        let connecting =
            socket.connect_with(config, address, &tls.server_name().to_str()).map_err(|e| e.to_string())?;
        connecting.await.map_err(|e| describe(&e))
    }

    fn socket(&self, address: SocketAddr, index: usize) -> std::io::Result<quinn::Endpoint> {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        Ok(match self.sockets.lock().entry((index, any.is_ipv6())) {
            Entry::Occupied(made) => made.get().clone(),
            Entry::Vacant(place) => place.insert(endpoint(calling(any)?, None)?).clone(),
        })
    }
}

/// Why a node without [`NodeConfig::tls`] has no QUIC.
pub(super) const NO_CERTIFICATE: &str =
    "the interconnect's driver is quic, whose nodes show certificates, and this node has none (--tls-dir)";
