//! Moves record batches and control messages between nodes.
//!
//! A [`Node`] is one process; it hosts any set of contents. Batches travel along *routes* (query, motion, sender,
//! receiver), each with its own credit; [`RouteSender`] and [`RouteReceiver`] are a route's two ends. Between contents of one
//! process they pass by pointer, between processes over Flight (gRPC over TCP) or QUIC. Control calls go to a content's
//! [`ControlHandler`]. Nothing here knows SQL or plans. The wire is described in `docs/formats/interconnect.md`.

mod arrivals;
mod batch;
mod broadcast;
mod budget;
mod config;
mod control;
mod counters;
mod departures;
mod driver;
mod error;
mod flight;
#[doc(hidden)]
pub mod fuzzing;
mod inbox;
mod limits;
mod node;
mod outbox;
mod quic;
mod receiver;
mod route;
mod sender;
#[cfg(test)]
mod sim;
mod ticket;
mod tls;
mod wire;

pub use batch::{ClientEncoder, array_bytes, batch_bytes, has_views, plain, plain_bytes, plain_type, unshare};
pub use broadcast::BroadcastSender;
pub use budget::{QueryRoutes, RouteBudget};
pub use config::{Compression, Driver, NodeConfig, UnknownSetting};
pub use control::{ControlHandler, ControlStream};
pub use counters::{Direction, Moved, RouteState, RouteStats, Transport};
pub use error::{ControlError, InterconnectError, RouteError};
pub use node::{Node, NodeStats};
pub use receiver::{RouteReceiver, RouteSpills};
pub use sender::{RouteSender, Sent};
pub use ticket::{NoRandomness, QuerySecret, Ticket};
pub use tls::{
    ALPN_FLIGHT, ALPN_QUIC, AUTHORITY_FILE, AUTHORITY_KEY_FILE, CERTIFICATE_FILE, ClusterAuthority, Day,
    HandshakeError, KEY_FILE, NodeTls, TlsError, TlsStream, certified_key,
};
pub use wire::{TooDeep, refuse_deep_nesting};
