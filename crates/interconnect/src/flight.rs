//! The driver between processes: Arrow Flight's messages over gRPC, over TCP or a unix socket.
//!
//! A route is one `DoPut` stream, a control call one `DoAction`. The streams' bodies are written and read here rather than by
//! generated code: a batch leaves in its own memory and is copied once, aligned, on arrival.

mod acceptor;
mod call;
mod channels;
mod codec;
mod connector;
mod handshakes;
mod put;
mod server;
mod service;
mod socket;
mod unix_path;

pub(crate) use call::call;
pub(crate) use channels::Channels;
pub(crate) use server::serve;
pub(crate) use socket::ConnectionCount;

/// gRPC metadata: the caller's build, in every call.
const BUILD_KEY: &str = "damson-build-bin";
/// gRPC metadata: the [`Opening`](crate::wire::Opening) of a `DoPut`.
const OPENING_KEY: &str = "damson-opening-bin";
/// gRPC metadata: the one answer of a refused call is its error.
const REFUSED_KEY: &str = "damson-refused";

const DO_PUT: &str = "/arrow.flight.protocol.FlightService/DoPut";
const DO_ACTION: &str = "/arrow.flight.protocol.FlightService/DoAction";
