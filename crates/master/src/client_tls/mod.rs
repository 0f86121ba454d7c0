//! TLS between clients and the master.

mod certificate;
mod end_point;
mod keep;

pub use certificate::ClientTls;
#[cfg(test)]
pub(crate) use certificate::tests as certificates;
pub(crate) use certificate::{EndPoint, Protocol, has_chosen_postgresql};
pub use end_point::end_point;

/// The first byte of TLS. No packet of the PostgreSQL protocol begins with it, which would be longer than any, and HTTP/2 begins with `P`.
pub(crate) const TLS_RECORD: u8 = 0x16;
