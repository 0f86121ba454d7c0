//! The protocol of one route as two state machines without I/O: [`SendState`] and [`ReceiveState`].
//!
//! The sender may have unacknowledged bytes up to its credit, and one batch whatever its credit. The receiver announces
//! the credit when a reader claims the route, and acknowledges what the reader takes. Data ends with an explicit
//! end-of-stream or a failure; the receiver can stop the sender or fail the route.

mod message;
mod receive_state;
mod send_state;

pub(crate) use message::{ToReceiver, ToSender};
pub(crate) use receive_state::{Arrival, Outcome, ReceiveState};
pub(crate) use send_state::{Admission, SendState};

#[cfg(test)]
pub(crate) mod story;
#[cfg(test)]
mod tests;
