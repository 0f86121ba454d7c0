//! The driver between processes over UDP: QUIC, whose TLS 1.3 both ends authenticate themselves with.
//!
//! A route is one bidirectional stream: its opening and its frames one way, the receiver's words the other
//! (`docs/formats/interconnect.md`). Control calls stay on Flight. A node has several sockets for each direction, because
//! one socket is read by one task.

mod caller;
mod connections;
mod describe;
mod message;
mod receive;
mod send;
mod server;
mod socket;
mod transport;

pub(crate) use connections::Connections;
pub(crate) use server::Server;

/// Why a node closes a connection or a stream, for the peer's log.
mod code {
    use quinn::VarInt;

    /// The node is stopping.
    pub(super) const STOPPING: VarInt = VarInt::from_u32(1);
    /// The route is over: nothing that is still under way is wanted.
    pub(super) const ROUTE_OVER: VarInt = VarInt::from_u32(2);
    /// The stream did not begin with a route's opening.
    pub(super) const MALFORMED: VarInt = VarInt::from_u32(3);
}
