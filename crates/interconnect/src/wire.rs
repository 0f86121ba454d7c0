//! What a route's stream carries, whatever the driver: length-prefixed Flight messages (`docs/formats/interconnect.md`).
//!
//! A [`Frame`] leaves as chunks that share the batch's buffers; the [`Deframer`] takes the peer's bytes as they come, in pieces of
//! any size, and lands each body once, aligned. No I/O.

mod deframer;
mod frame;
mod nesting;
mod opening;

pub(crate) use deframer::{Deframer, ReceivedFrame};
pub(crate) use frame::{Frame, Integrity};
pub use nesting::{TooDeep, refuse_deep_nesting};
pub(crate) use opening::Opening;
