//! The connections to peers: made when first needed, kept, and made again after a loss.

use super::caller::Caller;
use super::send::send;
use crate::driver::RouteDriver;
use crate::flight::ConnectionCount;
use crate::node::Tasks;
use crate::outbox::{Carrier, Outbox};
use crate::{InterconnectError, NodeConfig, Transport};
use damson_cluster::Endpoint;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use quinn::Connection;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

/// The QUIC driver's side that connects. One a node.
pub(crate) struct Connections {
    caller: Arc<Caller>,
    build: Arc<str>,
    /// Connections to one peer, each from a socket of its own.
    count: usize,
    made: Mutex<HashMap<(Endpoint, usize), Connecting>>,
}

/// A connection that is being made or has been made, for all who need it; its failure is theirs too.
pub(super) type Connecting = Shared<BoxFuture<'static, Result<Connection, String>>>;

impl Connections {
    pub(crate) fn new(config: &NodeConfig, count: ConnectionCount, tasks: &Arc<Tasks>) -> Self {
        Connections {
            caller: Arc::new(Caller::new(config, count, tasks)),
            build: config.build.as_str().into(),
            count: config.quic_endpoints.max(1),
            made: Mutex::default(),
        }
    }

    fn connecting(&self, peer: &Endpoint, index: usize) -> Connecting {
        let mut made = self.made.lock();
        if let Some(kept) = made.get(&(peer.clone(), index))
            && !is_over(kept)
        {
            return kept.clone();
        }
        let connecting = Arc::clone(&self.caller).connect(peer.clone(), index).boxed().shared();
        made.insert((peer.clone(), index), connecting.clone());
        connecting
    }
}

fn is_over(connecting: &Connecting) -> bool {
    match connecting.peek() {
        None => false,
        Some(Ok(connection)) => connection.close_reason().is_some(),
        Some(Err(_)) => true,
    }
}

impl RouteDriver for Connections {
    fn carry(&self, peer: &Endpoint, outbox: Arc<Outbox>) -> Result<BoxFuture<'static, ()>, InterconnectError> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(outbox.route);
        outbox.sent.carried_by(Transport::Quic);
        let connecting = self.connecting(peer, hash as usize % self.count);
        Ok(send(Carrier::of(outbox), connecting, Arc::clone(&self.build)).boxed())
    }
}
