//! A node's settings.

use crate::limits;
use crate::tls::NodeTls;
use damson_cluster::Endpoint;
use std::sync::Arc;
use tokio::runtime::Handle;

/// What a [`Node`](crate::Node) is made of.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Where peers reach this node; its own routes and calls to it stay in the process.
    pub endpoint: Endpoint,
    /// This build; peers of another are refused, because plans and messages change between builds.
    pub build: String,
    /// Most bytes that one route may have under way.
    pub route_credit_bytes: usize,
    /// Most bytes that one query's incoming routes may hold on this node; each route's credit is its share.
    pub motion_memory_bytes_max: usize,
    /// How often a silent connection is probed.
    pub heartbeat_ms: u64,
    /// A connection that has not answered a probe for this long is broken; also bounds connecting.
    pub peer_timeout_ms: u64,
    /// What this node shows to peers of other hosts, and asks of them.
    pub tls: Option<Arc<NodeTls>>,
    /// Whether a node without [`NodeConfig::tls`] speaks to other hosts in plain text, and takes it from them; otherwise it
    /// only has peers on its own host.
    pub allow_plain_tcp: bool,
    /// The runtime that owns sockets; everything else runs where it is called.
    pub io: Handle,
}

impl NodeConfig {
    /// The default settings.
    pub fn new(endpoint: Endpoint, build: impl Into<String>, io: Handle) -> Self {
        NodeConfig {
            endpoint,
            build: build.into(),
            route_credit_bytes: limits::ROUTE_CREDIT_BYTES,
            motion_memory_bytes_max: limits::MOTION_MEMORY_BYTES_MAX,
            heartbeat_ms: limits::HEARTBEAT_MS,
            peer_timeout_ms: limits::PEER_TIMEOUT_MS,
            tls: None,
            allow_plain_tcp: true,
            io,
        }
    }

    /// Credit of each of `incoming_routes` routes of one query.
    pub(crate) fn route_credit(&self, incoming_routes: usize) -> u64 {
        let share = self.motion_memory_bytes_max / incoming_routes.max(1);
        share.max(limits::ROUTE_CREDIT_BYTES_MIN).min(self.route_credit_bytes) as u64
    }
}
