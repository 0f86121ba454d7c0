//! Batches as they cross the wire: sized, cut, compacted, encoded, decoded.

mod check;
mod client;
mod decode;
mod encode;
mod plain;
mod prepare;
mod schema;
mod size;
mod views;

pub use client::ClientEncoder;
pub(crate) use decode::Decoder;
pub(crate) use encode::Encoder;
pub use plain::{plain, plain_bytes, plain_type};
pub(crate) use prepare::{cut, for_the_wire};
pub(crate) use schema::conform;
pub use size::{array_bytes, batch_bytes};
pub use views::{has_views, unshare};

#[cfg(test)]
mod tests;
