//! The settings of the interconnect that hold for a whole cluster.

use damson_interconnect::{Compression, Driver, NodeConfig};
use serde::{Deserialize, Serialize};

/// What the master was started with; a segment asks for it before it serves, and takes what it was not told itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterconnectSettings {
    /// The same on every node: one that was told otherwise is refused.
    pub driver: Driver,
    pub unix_sockets: bool,
    pub compression: Compression,
    pub motion_memory_bytes_max: usize,
    pub heartbeat_ms: u64,
    pub peer_timeout_ms: u64,
}

impl InterconnectSettings {
    pub fn of(config: &NodeConfig) -> Self {
        InterconnectSettings {
            driver: config.driver,
            unix_sockets: config.unix_sockets,
            compression: config.compression,
            motion_memory_bytes_max: config.motion_memory_bytes_max,
            heartbeat_ms: config.heartbeat_ms,
            peer_timeout_ms: config.peer_timeout_ms,
        }
    }

    pub fn apply(&self, config: &mut NodeConfig) {
        config.driver = self.driver;
        config.unix_sockets = self.unix_sockets;
        config.compression = self.compression;
        config.motion_memory_bytes_max = self.motion_memory_bytes_max;
        config.heartbeat_ms = self.heartbeat_ms;
        config.peer_timeout_ms = self.peer_timeout_ms;
    }

    /// Name, value and meaning of each, as SQL shows them.
    pub fn rows(&self) -> [(&'static str, String, &'static str); 6] {
        let on_or_off = |is_on: bool| if is_on { "on" } else { "off" }.to_owned();
        [
            ("interconnect.driver", self.driver.to_string(), "What carries rows between processes."),
            (
                "interconnect.unix_sockets",
                on_or_off(self.unix_sockets),
                "Whether processes of one host use unix sockets.",
            ),
            ("interconnect.compression", self.compression.to_string(), "Of batches between processes."),
            (
                "interconnect.motion_memory",
                format!("{}MB", self.motion_memory_bytes_max >> 20),
                "Most that a query's received batches hold on one node.",
            ),
            ("interconnect.heartbeat", format!("{}ms", self.heartbeat_ms), "How often a silent connection is probed."),
            (
                "interconnect.peer_timeout",
                format!("{}ms", self.peer_timeout_ms),
                "A peer that has said nothing for this long is lost.",
            ),
        ]
    }
}
