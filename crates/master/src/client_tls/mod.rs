//! TLS between clients and the master.

mod certificate;
mod end_point;
mod keep;

pub use certificate::ClientTls;
#[cfg(test)]
pub(crate) use certificate::tests as certificates;
pub(crate) use certificate::{EndPoint, has_chosen_postgresql};
