//! What the processes of one measurement say to each other: JSON lines on stdin and stdout.

use crate::meter::Window;
use crate::rows::Rows;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// What one process has to do; given on its command line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    pub work: Work,
    pub side: Side,
    pub schedule: Schedule,
    /// Where both nodes' certificate is.
    pub certificate: PathBuf,
}

/// Which end of the measurement a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    Sender,
    Receiver,
    /// Within one process.
    Both,
}

impl Side {
    pub fn sends(self) -> bool {
        self != Side::Receiver
    }

    pub fn receives(self) -> bool {
        self != Side::Sender
    }
}

/// When a process measures.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Schedule {
    pub warm_up: Duration,
    /// Length of each window.
    pub window: Duration,
    pub windows: usize,
    /// How long it goes on after the last one.
    pub linger: Duration,
}

impl Schedule {
    pub fn total(&self) -> Duration {
        self.warm_up + self.window * self.windows as u32 + self.linger
    }
}

/// What is measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Work {
    /// The bytes of batches through a socket, without any protocol.
    Copy { socket: Socket },
    /// arrow-flight's own encoder, client, server and decoder.
    DoPut,
    /// Batches on routes between the same two nodes.
    Stream { node: NodeSpec, rows: Rows, routes: usize },
    /// Each of the contents hashes its rows and sends each to one of as many contents.
    Redistribute { node: NodeSpec, contents: usize },
    /// Every batch to each of the receivers.
    Broadcast { node: NodeSpec, receivers: usize },
    /// Routes of which the first one's receiver sleeps in every second window; only the others are counted.
    SlowReceiver { node: NodeSpec, routes: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Socket {
    Tcp,
    Unix,
}

/// The settings of both nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    pub transport: Transport,
    pub codec: Codec,
}

/// How the nodes reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transport {
    /// One node.
    InProcess,
    FlightUnix,
    FlightTcp,
    /// TLS 1.3 over TCP.
    FlightTls,
    /// QUIC, which has TLS 1.3 in it, with so many sockets a node.
    Quic {
        endpoints: usize,
    },
}

/// How batches are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Codec {
    None,
    Lz4,
    Zstd,
}

/// The first line of a process: it can be reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ready {
    pub address: String,
}

/// The line to it: it may begin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Go {
    /// The other one; its own, where there is none.
    pub peer: String,
}

/// The second line of a process: what it has done, or why it could not.
pub type Answer = Result<Done, String>;

/// What a process has done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Done {
    pub windows: Vec<Window>,
    pub totals: Totals,
    /// Memory before the first byte was moved, and the most since then.
    pub rss_before_bytes: u64,
    pub rss_peak_bytes: u64,
}

/// Over the whole life of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Bytes of rows, sent or received. Those of a broadcast count once for each receiver.
    pub bytes: u64,
    /// Bytes that the sending ends counted: encoded and compressed ones.
    pub encoded_bytes: u64,
    /// Batches sent; those of a broadcast count once.
    pub batches: u64,
    /// Batches that a broadcast has encoded.
    pub broadcasts_encoded: u64,
}
