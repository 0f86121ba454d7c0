//! Where a call comes from.

use super::status::status;
use crate::auth::Peer;
use crate::error::internal;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use tonic::{Extensions, Status};

/// A connection, which every call over it has among its extensions. Clones are of the same one.
#[derive(Clone)]
pub(super) struct Connection(Arc<Inner>);

struct Inner {
    address: ClientAddress,
    is_known: AtomicBool,
}

impl Connection {
    pub(super) fn new(address: ClientAddress) -> Self {
        Connection(Arc::new(Inner { address, is_known: AtomicBool::new(false) }))
    }

    pub(super) fn address(&self) -> ClientAddress {
        self.0.address
    }

    pub(super) fn handle(&self) -> ConnectionHandle {
        ConnectionHandle(Arc::downgrade(&self.0))
    }

    /// Its client has shown who it is.
    pub(super) fn becomes_known(&self) {
        self.0.is_known.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_known(&self) -> bool {
        self.0.is_known.load(Ordering::Relaxed)
    }
}

/// What a connection is known by, and does not keep.
#[derive(Clone)]
pub(super) struct ConnectionHandle(Weak<Inner>);

impl ConnectionHandle {
    pub(super) fn is_open(&self) -> bool {
        self.0.strong_count() > 0
    }

    pub(super) fn is_of(&self, connection: &Connection) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(&connection.0))
    }
}

/// A connection's other end. No two connections that are there at the same time have
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
pub(super) fn connection_of(extensions: &Extensions) -> Result<Connection, Status> {
    let connection = extensions.get::<Connection>().cloned();
    connection.ok_or_else(|| status(&internal("a call came in over a connection that nobody has accepted")))
}
