//! A node of the interconnect, with the settings that are measured.

use super::runtimes::{cores_runtime, io_runtime};
use crate::error::BenchError;
use crate::message::{Codec, NodeSpec, Side, Task, Transport};
use damson_cluster::{ContentId, Endpoint, MotionId, QueryId, RouteKey};
use damson_interconnect::{Compression, Driver, Node, NodeConfig, NodeTls};
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// The one query that is measured.
pub const QUERY: QueryId = QueryId(1);

/// Ports that are tried before it is an error.
const PORTS_MAX: usize = 16;

/// One process's node, and the runtimes that it works on. Sockets and the work on rows are apart, as in the product.
pub struct BenchNode {
    pub node: Arc<Node>,
    cpu: Runtime,
    // Last, because the node's tasks are on it.
    _io: Runtime,
}

impl BenchNode {
    /// A node that serves, unless no other process has to reach it.
    pub fn new(spec: &NodeSpec, task: &Task) -> Result<Self, BenchError> {
        let (cpu, io) = (cores_runtime("cpu")?, io_runtime()?);
        let listener = match spec.transport {
            Transport::InProcess => None,
            _ => Some(bind()?),
        };
        let endpoint = match &listener {
            None => Endpoint::in_process(),
            Some(listener) => Endpoint(listener.local_addr()?.to_string()),
        };
        assert_eq!(listener.is_none(), task.side == Side::Both, "what stays in the process needs no socket");
        let mut config = NodeConfig::new(endpoint, env!("CARGO_PKG_VERSION"), io.handle().clone());
        apply(spec, &mut config);
        if matches!(spec.transport, Transport::FlightTls | Transport::Quic { .. }) {
            config.tls = Some(Arc::new(NodeTls::load(&task.certificate)?));
        }
        let node = Node::new(config);
        if let Some(listener) = listener {
            listener.set_nonblocking(true)?;
            let _guard = io.enter();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let serving = Arc::clone(&node).serve(listener, CancellationToken::new());
            // It ends with the runtime.
            io.spawn(serving);
        }
        Ok(BenchNode { node, cpu, _io: io })
    }

    pub fn address(&self) -> String {
        self.node.endpoint().0
    }

    /// Runs the work on rows.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.cpu.block_on(work)
    }
}

/// A port that is free for UDP too, where QUIC would listen.
fn bind() -> io::Result<TcpListener> {
    let bind_both = || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        UdpSocket::bind(listener.local_addr()?).map(|_| listener)
    };
    // Some other program may have it; another one is as good.
    (0..PORTS_MAX).find_map(|_| bind_both().ok()).map_or_else(bind_both, Ok)
}

fn apply(spec: &NodeSpec, config: &mut NodeConfig) {
    config.unix_sockets = spec.transport == Transport::FlightUnix;
    config.allow_plain_tcp = spec.transport == Transport::FlightTcp;
    config.driver = match spec.transport {
        Transport::InProcess => Driver::Inproc,
        Transport::FlightUnix | Transport::FlightTcp | Transport::FlightTls => Driver::Flight,
        Transport::Quic { endpoints } => {
            config.quic_endpoints = endpoints;
            Driver::Quic
        }
    };
    config.compression = match spec.codec {
        Codec::None => Compression::None,
        Codec::Lz4 => Compression::Lz4,
        Codec::Zstd => Compression::Zstd,
    };
}

/// A route of the query.
pub fn route(sender: usize, receiver: usize) -> RouteKey {
    let content = |number: usize| ContentId(number as i32);
    RouteKey { query: QUERY, motion: MotionId(1), sender: content(sender), receiver: content(receiver) }
}
