//! How QUIC's connections are tuned.

use crate::NodeConfig;
use crate::limits::{
    CONNECTION_WINDOW_BYTES, DATAGRAM_BYTES_LOOPBACK, DATAGRAM_BYTES_NETWORK, QUIC_INITIAL_RTT, QUIC_SEND_WINDOW_BYTES,
    QUIC_STREAMS, STREAM_WINDOW_BYTES, UDP_DATAGRAM_BYTES_MAX,
};
use quinn::{EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a connection runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// The kernel only copies: the larger the datagrams, the better.
    Loopback,
    Network,
}

impl Path {
    pub(super) fn to(peer: IpAddr) -> Path {
        if peer.to_canonical().is_loopback() { Path::Loopback } else { Path::Network }
    }
}

/// The settings of one side's connections, by what they run over.
#[derive(Clone)]
pub(super) struct Transports {
    loopback: Arc<TransportConfig>,
    network: Arc<TransportConfig>,
}

impl Transports {
    /// Of connections that this node makes.
    pub(super) fn of_client(config: &NodeConfig) -> Self {
        Self::new(config, 0)
    }

    /// Of connections that peers make.
    pub(super) fn of_server(config: &NodeConfig) -> Self {
        Self::new(config, QUIC_STREAMS)
    }

    fn new(config: &NodeConfig, streams: u32) -> Self {
        let of = |path| Arc::new(transport(config, path, streams));
        Transports { loopback: of(Path::Loopback), network: of(Path::Network) }
    }

    pub(super) fn over(&self, path: Path) -> Arc<TransportConfig> {
        Arc::clone(match path {
            Path::Loopback => &self.loopback,
            Path::Network => &self.network,
        })
    }
}

fn transport(config: &NodeConfig, path: Path, streams: u32) -> TransportConfig {
    let heartbeat = Duration::from_millis(config.heartbeat_ms);
    let peer_timeout = Duration::from_millis(config.peer_timeout_ms);
    // The time runs anew from the first probe after the peer's last word; both together are the peer's time.
    let idle = peer_timeout.saturating_sub(heartbeat).max(heartbeat);
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(match path {
        Path::Loopback => DATAGRAM_BYTES_LOOPBACK,
        Path::Network => DATAGRAM_BYTES_NETWORK,
    });
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(streams.into())
        .max_concurrent_uni_streams(0u32.into())
        .datagram_receive_buffer_size(None)
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .receive_window(CONNECTION_WINDOW_BYTES.into())
        .send_window(QUIC_SEND_WINDOW_BYTES)
        .send_fairness(false)
        .keep_alive_interval(Some(heartbeat))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(
            u32::try_from(idle.as_millis()).unwrap_or(u32::MAX),
        ))))
        .initial_rtt(QUIC_INITIAL_RTT)
        .mtu_discovery_config(Some(discovery))
        .enable_segmentation_offload(path == Path::Network);
    transport
}

/// What a socket takes.
pub(super) fn endpoint_config() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(UDP_DATAGRAM_BYTES_MAX).expect("within what UDP carries");
    config
}
