//! Where a call comes from.

use super::status::status;
use crate::auth::Peer;
use crate::error::internal;
use std::net::{IpAddr, SocketAddr};
use tonic::{Extensions, Status};

/// A connection's other end, which every call over it has among its extensions. No two connections that are there at the same time have
/// the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientAddress {
    pub address: SocketAddr,
    pub is_encrypted: bool,
}

impl ClientAddress {
    pub(super) fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// As rules see it.
    pub(super) fn peer(&self) -> Peer {
        Peer { address: Some(self.ip()), is_encrypted: self.is_encrypted }
    }
}

/// Of a call's extensions.
///
/// # Errors
/// A call that came over nothing that this server has accepted.
pub(super) fn address_of(extensions: &Extensions) -> Result<ClientAddress, Status> {
    let address = extensions.get::<ClientAddress>().copied();
    address.ok_or_else(|| status(&internal("a call came in over a connection that nobody has accepted")))
}
