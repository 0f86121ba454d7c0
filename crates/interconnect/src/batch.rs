//! Batches as they cross the wire: sized, cut, compacted, encoded, decoded.

mod check;
mod decode;
mod encode;
mod prepare;
mod schema;

pub(crate) use decode::Decoder;
pub(crate) use encode::Encoder;
pub(crate) use prepare::{batch_bytes, cut, for_the_wire};
pub(crate) use schema::conform;
