//! The interconnect's options: flags of master and segment, or the section `[interconnect]` of their files.

use crate::config_file::ConfigError;
use damson_interconnect::{Compression, Driver, NodeConfig};
use serde::Deserialize;

/// What a node was told about its interconnect. They are settings of the cluster: given to the master, which tells its
/// segments; one that is given to a segment holds for it alone, and its driver must be the master's.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct InterconnectOptions {
    /// What carries rows between processes: auto, flight or quic [default: the master's; auto].
    #[arg(long = "interconnect-driver", value_name = "DRIVER")]
    driver: Option<Driver>,
    /// Whether processes of one host use unix sockets: on or off [default: the master's; on].
    #[arg(long = "interconnect-unix-sockets", value_name = "ON|OFF", value_parser = on_or_off)]
    unix_sockets: Option<bool>,
    /// Compression of rows between processes: none, lz4 or zstd [default: the master's; none].
    #[arg(long = "interconnect-compression", value_name = "CODEC")]
    compression: Option<Compression>,
    /// Memory that a query's motions may hold on one node, in MiB [default: the master's; 256, or an eighth of its memory].
    #[arg(long = "interconnect-motion-memory", value_name = "MIB")]
    motion_memory: Option<usize>,
    /// A silent connection is probed this often, in milliseconds [default: the master's; 500].
    #[arg(long = "interconnect-heartbeat", value_name = "MS")]
    heartbeat: Option<u64>,
    /// A peer that says nothing for this long is lost, in milliseconds [default: the master's; 4000].
    #[arg(long = "interconnect-peer-timeout", value_name = "MS")]
    peer_timeout: Option<u64>,
}

impl InterconnectOptions {
    /// Flags win over the file.
    pub(crate) fn or(self, file: InterconnectOptions) -> InterconnectOptions {
        InterconnectOptions {
            driver: self.driver.or(file.driver),
            unix_sockets: self.unix_sockets.or(file.unix_sockets),
            compression: self.compression.or(file.compression),
            motion_memory: self.motion_memory.or(file.motion_memory),
            heartbeat: self.heartbeat.or(file.heartbeat),
            peer_timeout: self.peer_timeout.or(file.peer_timeout),
        }
    }

    /// Writes what was given over `config`, the node's of a cluster of processes.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub(crate) fn apply(&self, config: &mut NodeConfig) -> Result<(), ConfigError> {
        let InterconnectOptions { driver, unix_sockets, compression, motion_memory, heartbeat, peer_timeout } = self;
        config.driver = driver.unwrap_or(config.driver);
        config.unix_sockets = unix_sockets.unwrap_or(config.unix_sockets);
        config.compression = compression.unwrap_or(config.compression);
        config.motion_memory_bytes_max = motion_memory.map_or(config.motion_memory_bytes_max, |mib| mib << 20);
        config.heartbeat_ms = heartbeat.unwrap_or(config.heartbeat_ms);
        config.peer_timeout_ms = peer_timeout.unwrap_or(config.peer_timeout_ms);
        check(config).map_err(ConfigError::Interconnect)
    }
}

fn check(config: &NodeConfig) -> Result<(), String> {
    let NodeConfig { heartbeat_ms, peer_timeout_ms, .. } = config;
    if config.driver == Driver::Inproc {
        return Err("driver inproc connects the contents of one process: it is what \"damson demo\" has".into());
    }
    if config.motion_memory_bytes_max == 0 {
        return Err("motion memory is at least 1 MiB".into());
    }
    // One probe that is late must not lose a peer.
    if *heartbeat_ms == 0 || *peer_timeout_ms < 2 * heartbeat_ms {
        return Err(format!("a peer timeout of {peer_timeout_ms} ms is not twice a heartbeat of {heartbeat_ms} ms"));
    }
    Ok(())
}

fn on_or_off(word: &str) -> Result<bool, String> {
    match word {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("it is on or off".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::Endpoint;

    fn config() -> NodeConfig {
        NodeConfig::new(Endpoint("127.0.0.1:1".into()), "test", tokio::runtime::Handle::current())
    }

    #[tokio::test]
    async fn what_is_given_is_written_over_the_rest() {
        let file: InterconnectOptions =
            toml::from_str("driver = \"quic\"\nunix-sockets = false\npeer-timeout = 900").expect("good TOML");
        let flags = InterconnectOptions { driver: Some(Driver::Flight), heartbeat: Some(300), ..Default::default() };
        let mut config = config();
        flags.or(file).apply(&mut config).expect("good settings");
        assert_eq!((config.driver, config.unix_sockets), (Driver::Flight, false));
        assert_eq!((config.heartbeat_ms, config.peer_timeout_ms), (300, 900));
        assert_eq!(config.compression, Compression::None);
    }

    #[tokio::test]
    async fn settings_that_cannot_work_are_refused() {
        let refused = |options: InterconnectOptions| options.apply(&mut config()).unwrap_err().to_string();
        let error = refused(InterconnectOptions { heartbeat: Some(2500), ..Default::default() });
        assert!(error.contains("4000") && error.contains("2500"), "{error}");
        let error = refused(InterconnectOptions { driver: Some(Driver::Inproc), ..Default::default() });
        assert!(error.contains("demo"), "{error}");
        refused(InterconnectOptions { motion_memory: Some(0), ..Default::default() });
        assert!(toml::from_str::<InterconnectOptions>("driver = \"carrier-pigeon\"").is_err());
    }
}
