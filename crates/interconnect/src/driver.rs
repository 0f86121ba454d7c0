//! What every driver between processes does for the node.

use crate::InterconnectError;
use crate::outbox::Outbox;
use damson_cluster::Endpoint;
use futures::future::BoxFuture;
use std::sync::Arc;

/// Carries routes to peers. The receiving side is each driver's own server, which feeds the node's inboxes.
pub(crate) trait RouteDriver: Send + Sync {
    /// The task that feeds one route's stream to a peer until the route is over on both sides; whatever breaks it fails the
    /// outbox. The routes to one peer share few connections, and none waits for another's reader.
    ///
    /// # Errors
    /// An endpoint that cannot be an address.
    fn carry(&self, peer: &Endpoint, outbox: Arc<Outbox>) -> Result<BoxFuture<'static, ()>, InterconnectError>;
}
