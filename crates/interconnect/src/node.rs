//! A process among its peers.

mod queries;
mod tasks;

pub(crate) use queries::Refusal;

use crate::batch::Encoder;
use crate::flight::{self, Channels};
use crate::inbox::Inbox;
use crate::limits::COLLECT_EVERY;
use crate::outbox::Outbox;
use crate::sender::Link;
use crate::{ControlHandler, ControlStream, InterconnectError, NodeConfig, RouteError, RouteReceiver, RouteSender};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use damson_cluster::{ContentId, Endpoint, QueryId, RouteKey};
use parking_lot::{Mutex, RwLock};
use queries::Queries;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Instant;
use tasks::Tasks;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// One process among its peers; hosts any set of contents. Made once by the binary, used by everything that sends,
/// receives or calls. Its tasks end when it is dropped.
pub struct Node {
    config: NodeConfig,
    build: Arc<str>,
    endpoint: RwLock<Endpoint>,
    handlers: RwLock<HashMap<ContentId, Arc<dyn ControlHandler>>>,
    queries: Mutex<Queries>,
    channels: Channels,
    tasks: Tasks,
}

/// What a node holds at this moment, for gauges and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeStats {
    /// Bytes that have arrived and were not taken.
    pub buffered_bytes: u64,
    /// Route ends of this node that are not over; both ends of a route within the process count as one.
    pub open_routes: usize,
    pub open_queries: usize,
}

impl Node {
    pub fn new(config: NodeConfig) -> Arc<Node> {
        let node = Arc::new(Node {
            build: config.build.as_str().into(),
            endpoint: RwLock::new(config.endpoint.clone()),
            handlers: RwLock::default(),
            queries: Mutex::default(),
            channels: Channels::new(&config),
            tasks: Tasks::new(config.io.clone()),
            config,
        });
        node.spawn(collect_forever(Arc::downgrade(&node)));
        node
    }

    /// Where peers reach this node.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint.read().clone()
    }

    /// Tells the node where it listens, once that is known. Before any route or call.
    pub fn set_endpoint(&self, endpoint: Endpoint) {
        *self.endpoint.write() = endpoint;
    }

    /// Hosts a content: calls for it are answered by `handler`, which replaces an earlier one.
    pub fn set_handler(&self, content: ContentId, handler: Arc<dyn ControlHandler>) {
        self.handlers.write().insert(content, handler);
    }

    /// Serves peers on a bound listener until cancelled; then ends their routes and calls.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), InterconnectError> {
        let failed = |reason: String| InterconnectError::Serve { endpoint: self.endpoint(), reason };
        let listener = {
            // The socket moves to the runtime that owns sockets.
            let listener = listener.into_std().map_err(|e| failed(e.to_string()))?;
            let _guard = self.config.io.enter();
            TcpListener::from_std(listener).map_err(|e| failed(e.to_string()))?
        };
        let stop = shutdown.child_token();
        // If this future is dropped, the server ends as well.
        let _stop_on_drop = stop.clone().drop_guard();
        let server = self.config.io.spawn(flight::serve(Arc::clone(&self), listener, stop));
        server.await.map_err(|e| failed(e.to_string()))?
    }

    /// Begins a query here, before any of its routes is opened; each content that takes part does so for itself.
    ///
    /// `incoming_routes`: how many routes its receivers will read; the node's memory for motions is shared among them.
    pub fn open_query(&self, query: QueryId, incoming_routes: usize) {
        let credit = |routes| self.config.route_credit(routes);
        self.queries.lock().open(query, incoming_routes, credit);
    }

    /// Ends a query here, once for each [`Node::open_query`]. With a reason, or for the last content, its open routes
    /// fail (with the reason, else as cancelled) and their buffers are freed; later frames are dropped. Streams that
    /// were finished are still delivered.
    pub fn close_query(&self, query: QueryId, reason: Option<RouteError>) {
        let ended = self.queries.lock().close(query, reason);
        // Wakers run outside the lock.
        ended.end();
    }

    /// The sending end of a route to `peer`.
    pub fn sender(self: &Arc<Self>, route: RouteKey, peer: &Endpoint, schema: SchemaRef) -> RouteSender {
        let link = if self.is_here(peer) {
            let inbox = self.inbox(route).and_then(|inbox| {
                inbox.attach(true).map_err(Refusal::Failed)?;
                Ok(inbox)
            });
            match inbox {
                Ok(inbox) => Link::Local(inbox),
                Err(Refusal::Stopped) => Link::Stopped,
                Err(Refusal::Failed(error)) => Link::Failed(error),
            }
        } else {
            self.remote_link(route, peer, &schema).unwrap_or_else(Link::Failed)
        };
        RouteSender::new(route, schema, link)
    }

    fn remote_link(&self, route: RouteKey, peer: &Endpoint, schema: &SchemaRef) -> Result<Link, RouteError> {
        let encoder = Encoder::new(schema).map_err(|e| RouteError::Protocol { route, message: e.to_string() })?;
        let lost = |e: InterconnectError| RouteError::PeerLost { route, reason: e.to_string() };
        let channel = self.channels.data(peer, route).map_err(lost)?;
        let outbox = Arc::new(Outbox::new(route));
        self.queries.lock().add_outbox(&outbox)?;
        self.spawn(flight::put(Arc::clone(&outbox), channel, Arc::clone(&self.build)));
        Ok(Link::Remote { outbox, encoder: Box::new(encoder) })
    }

    /// The receiving end of a route; one for each.
    pub fn receiver(self: &Arc<Self>, route: RouteKey, schema: SchemaRef) -> RouteReceiver {
        let claimed = {
            let mut queries = self.queries.lock();
            let credit = self.config.route_credit(queries.incoming_routes(route.query));
            queries.inbox(route, Instant::now()).map(|inbox| (inbox, credit))
        };
        let inbox = match claimed {
            Ok((inbox, credit)) if inbox.claim(credit) => Ok(inbox),
            Ok(_) => {
                let message = "the route has a receiver already".into();
                Err(RouteError::Protocol { route, message })
            }
            Err(Refusal::Stopped) => Err(RouteError::Cancelled { query: route.query }),
            Err(Refusal::Failed(error)) => Err(error),
        };
        RouteReceiver::new(route, inbox, schema)
    }

    /// Calls a content's handler at a peer.
    ///
    /// # Errors
    /// The handler's refusal, as it is; a peer that cannot be reached, does not host the content or is of another build.
    pub async fn call(
        self: &Arc<Self>,
        peer: &Endpoint,
        content: ContentId,
        kind: &str,
        body: Bytes,
    ) -> Result<ControlStream, InterconnectError> {
        if self.is_here(peer) {
            return self.handle(content, kind, body).await;
        }
        let channel = self.channels.control(peer)?;
        flight::call(peer, channel, &self.build, content, kind, body).await
    }

    /// What the node holds now.
    pub fn stats(&self) -> NodeStats {
        self.queries.lock().stats()
    }

    fn is_here(&self, peer: &Endpoint) -> bool {
        *peer == *self.endpoint.read() || *peer == Endpoint::in_process()
    }

    pub(crate) async fn handle(
        &self,
        content: ContentId,
        kind: &str,
        body: Bytes,
    ) -> Result<ControlStream, InterconnectError> {
        let handler = self.handlers.read().get(&content).cloned();
        let Some(handler) = handler else {
            let reason = format!("it does not host {content}");
            return Err(InterconnectError::PeerLost { endpoint: self.endpoint(), reason });
        };
        Ok(handler.handle(kind, body).await?)
    }

    /// The receiving side of a route, made if it does not exist yet.
    pub(crate) fn inbox(&self, route: RouteKey) -> Result<Arc<Inbox>, Refusal> {
        self.queries.lock().inbox(route, Instant::now())
    }

    /// Runs a task on the sockets' runtime for as long as the node lives.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    pub(crate) fn config(&self) -> &NodeConfig {
        &self.config
    }

    pub(crate) fn build(&self) -> &str {
        &self.build
    }
}

/// Drops the routes that nobody claims.
async fn collect_forever(node: Weak<Node>) {
    loop {
        tokio::time::sleep(COLLECT_EVERY).await;
        let Some(node) = node.upgrade() else { return };
        let collected = node.queries.lock().collect(Instant::now());
        collected.end();
    }
}
