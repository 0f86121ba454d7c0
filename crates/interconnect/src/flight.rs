//! The driver between processes: Arrow Flight's messages over gRPC.
//!
//! A route is one `DoPut` stream, a control call one `DoAction`. The messages are Flight's; they are coded here rather than by
//! generated code, so that a batch's buffers are copied once on each side and land aligned.

mod call;
mod channels;
mod codec;
mod frame;
mod put;
mod server;
mod service;

pub(crate) use call::call;
pub(crate) use channels::Channels;
pub(crate) use frame::{Frame, ReceivedFrame};
pub(crate) use put::put;
pub(crate) use server::serve;

/// gRPC metadata: the caller's build, in every request.
const BUILD_KEY: &str = "damson-build-bin";
/// gRPC metadata: the route of a `DoPut`, as JSON.
const ROUTE_KEY: &str = "damson-route";
/// gRPC metadata: the one answer of a refused call is its error.
const REFUSED_KEY: &str = "damson-refused";

const DO_PUT: &str = "/arrow.flight.protocol.FlightService/DoPut";
const DO_ACTION: &str = "/arrow.flight.protocol.FlightService/DoAction";
