//! A node's settings.

use crate::tls::NodeTls;
use crate::{QueryRoutes, RouteBudget, limits};
use damson_cluster::Endpoint;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use tokio::runtime::Handle;

/// What a [`Node`](crate::Node) is made of.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Where peers reach this node; its own routes and calls to it stay in the process.
    pub endpoint: Endpoint,
    /// This build; peers of another are refused, because plans and messages change between builds.
    pub build: String,
    /// What carries routes between processes.
    pub driver: Driver,
    /// Flight between processes of one host goes over a unix socket, where the peer has one.
    pub unix_sockets: bool,
    /// Flight's connections to one peer for routes.
    pub data_connections: usize,
    /// QUIC's sockets, and so its connections to one peer.
    pub quic_endpoints: usize,
    /// Of the batches between processes.
    pub compression: Compression,
    /// Most bytes that one route may have under way.
    pub route_credit_bytes: usize,
    /// Most bytes that one query's motions may hold on this node; the sizes of messages and credits follow. The same on
    /// every node.
    pub motion_memory_bytes_max: usize,
    /// How often a silent connection is probed.
    pub heartbeat_ms: u64,
    /// A connection whose peer has said nothing for this long is broken; also bounds connecting.
    pub peer_timeout_ms: u64,
    /// What this node shows to peers of other hosts, and asks of them.
    pub tls: Option<Arc<NodeTls>>,
    /// Whether a node without [`NodeConfig::tls`] speaks to other hosts in plain text, and takes it from them; otherwise it
    /// only has peers on its own host.
    pub allow_plain_tcp: bool,
    /// The runtime that owns sockets; everything else runs where it is called.
    pub io: Handle,
}

/// What carries routes between processes; within a process, batches pass by pointer whatever is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// The faster one, by the measurement in ARCHITECTURE.md: Flight.
    #[default]
    Auto,
    /// Refuses peers: every content is in this process.
    Inproc,
    /// Arrow Flight over TCP, or over a unix socket within a host.
    Flight,
    /// QUIC over UDP; control calls stay on Flight.
    Quic,
}

/// How the bodies of batches are compressed between processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Fastest inside a machine and a fast network.
    #[default]
    None,
    Lz4,
    Zstd,
}

/// A word that is no value of a setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is none of {values}")]
pub struct UnknownSetting {
    word: String,
    values: &'static str,
}

impl FromStr for Driver {
    type Err = UnknownSetting;

    fn from_str(word: &str) -> Result<Self, UnknownSetting> {
        Ok(match word {
            "auto" => Driver::Auto,
            "inproc" => Driver::Inproc,
            "flight" => Driver::Flight,
            "quic" => Driver::Quic,
            _ => return Err(UnknownSetting { word: word.into(), values: "auto, inproc, flight, quic" }),
        })
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::Auto => "auto",
            Driver::Inproc => "inproc",
            Driver::Flight => "flight",
            Driver::Quic => "quic",
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        })
    }
}

impl FromStr for Compression {
    type Err = UnknownSetting;

    fn from_str(word: &str) -> Result<Self, UnknownSetting> {
        Ok(match word {
            "none" => Compression::None,
            "lz4" => Compression::Lz4,
            "zstd" => Compression::Zstd,
            _ => return Err(UnknownSetting { word: word.into(), values: "none, lz4, zstd" }),
        })
    }
}

impl NodeConfig {
    /// The default settings.
    pub fn new(endpoint: Endpoint, build: impl Into<String>, io: Handle) -> Self {
        NodeConfig {
            endpoint,
            build: build.into(),
            driver: Driver::Auto,
            unix_sockets: true,
            data_connections: limits::DATA_CONNECTIONS,
            quic_endpoints: limits::QUIC_ENDPOINTS,
            compression: Compression::None,
            route_credit_bytes: limits::ROUTE_CREDIT_BYTES,
            motion_memory_bytes_max: limits::MOTION_MEMORY_BYTES_MAX,
            heartbeat_ms: limits::HEARTBEAT_MS,
            peer_timeout_ms: limits::PEER_TIMEOUT_MS,
            tls: None,
            allow_plain_tcp: true,
            io,
        }
    }

    /// Sizes for each route of a query.
    pub(crate) fn budget(&self, routes: QueryRoutes) -> RouteBudget {
        RouteBudget::new(self.motion_memory_bytes_max, self.route_credit_bytes, routes)
    }
}
