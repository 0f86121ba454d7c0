//! A process among its peers.

mod queries;
mod tasks;

pub(crate) use queries::Refusal;
pub(crate) use tasks::Tasks;

use crate::batch::Encoder;
use crate::counters::History;
use crate::driver::RouteDriver;
use crate::flight::{self, Channels, ConnectionCount};
use crate::inbox::Inbox;
use crate::limits::COLLECT_EVERY;
use crate::outbox::Outbox;
use crate::quic;
use crate::route::ToSender;
use crate::sender::{Link, SenderEnd};
use crate::wire::Opening;
use crate::{
    BroadcastSender, ControlError, ControlHandler, ControlStream, Driver, InterconnectError, NodeConfig, QueryRoutes,
    QuerySecret, RouteBudget, RouteError, RouteReceiver, RouteSender, RouteStats,
};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use bytes::Bytes;
use damson_cluster::{ContentId, Endpoint, QueryId, RouteKey};
use parking_lot::{Mutex, RwLock};
use queries::Queries;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;
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
    /// What the routes of ended queries did.
    history: Mutex<History>,
    connections: ConnectionCount,
    channels: Channels,
    quic: quic::Connections,
    broadcasts_encoded: Arc<AtomicU64>,
    tasks: Arc<Tasks>,
}

/// What a node holds at this moment, for gauges and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStats {
    /// Bytes that have arrived and were not taken.
    pub buffered_bytes: u64,
    /// Route ends of this node that are not over; both ends of a route within the process count as one.
    pub open_routes: usize,
    pub open_queries: usize,
    /// Connections to and from peers.
    pub connections: usize,
    /// Batches (of at most a message) that broadcasts have encoded since the node began.
    pub broadcasts_encoded: u64,
}

impl Node {
    pub fn new(config: NodeConfig) -> Arc<Node> {
        let connections = ConnectionCount::default();
        let tasks = Arc::new(Tasks::new(config.io.clone()));
        let node = Arc::new(Node {
            build: config.build.as_str().into(),
            endpoint: RwLock::new(config.endpoint.clone()),
            handlers: RwLock::default(),
            queries: Mutex::default(),
            history: Mutex::default(),
            channels: Channels::new(&config, connections.clone()),
            quic: quic::Connections::new(&config, connections.clone(), &tasks),
            connections,
            broadcasts_encoded: Arc::default(),
            tasks,
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
    /// The listener fails, or the driver cannot serve: it is in-process, or QUIC without a certificate or with its UDP port
    /// taken.
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
        let server = self.config.io.spawn(serve_by_driver(Arc::clone(&self), listener, stop));
        server.await.map_err(|e| failed(e.to_string()))?
    }

    /// Begins a query here, before any of its routes is opened; each content that takes part does so for itself.
    ///
    /// `routes`: what its most loaded node has; a node's memory for motions is shared among them.
    ///
    /// `secret`: the query's, the same for all who take part; peers show tickets made from it.
    pub fn open_query(&self, query: QueryId, routes: impl Into<QueryRoutes>, secret: QuerySecret) {
        let budget = |routes| self.config.budget(routes);
        let forged = self.queries.lock().open(query, routes.into(), secret, budget);
        // Wakers run outside the lock.
        forged.end();
    }

    /// Sizes for each route of a query that is open here.
    pub fn route_budget(&self, query: QueryId) -> RouteBudget {
        self.config.budget(self.queries.lock().routes(query))
    }

    /// Ends a query here, once for each [`Node::open_query`]. With a reason, or for the last content, its open routes
    /// fail (with the reason, else as cancelled) and their buffers are freed; later frames are dropped. Streams that
    /// were finished are still delivered.
    pub fn close_query(&self, query: QueryId, reason: Option<RouteError>) {
        self.close(query, None, reason);
    }

    /// Ends one content's part of a query here, once after its [`Node::open_query`], as [`Node::close_query`] without a
    /// reason. Rows that came for it and that it has not claimed are freed, and their senders stopped.
    pub fn close_content(&self, query: QueryId, content: ContentId) {
        self.close(query, Some(content), None);
    }

    fn close(&self, query: QueryId, content: Option<ContentId>, reason: Option<RouteError>) {
        let ended = self.queries.lock().close(query, content, reason);
        // Wakers run outside the lock.
        let routes = ended.stats();
        ended.end();
        self.history.lock().remember(query, routes);
    }

    /// The sending end of a route to `peer`.
    pub fn sender(self: &Arc<Self>, route: RouteKey, peer: &Endpoint, schema: SchemaRef) -> RouteSender {
        let encoder = if self.is_here(peer) { Ok(None) } else { self.encoder(route, &schema).map(Some) };
        let (link, encoder) = match encoder {
            Ok(encoder) => (self.link(route, peer), encoder),
            Err(error) => (Link::Failed(error), None),
        };
        let end = SenderEnd::new(route, link);
        // A route that failed at once has nobody to encode for.
        let encoder = encoder.filter(|_| end.is_remote());
        RouteSender::new(end, schema, encoder, self.route_budget(route.query).message_bytes)
    }

    /// The sending ends of one motion's routes that all carry the same batches.
    ///
    /// # Errors
    /// A type that Arrow IPC does not have.
    pub fn broadcast(
        self: &Arc<Self>,
        routes: &[(RouteKey, Endpoint)],
        schema: SchemaRef,
    ) -> Result<BroadcastSender, RouteError> {
        let Some((first, _)) = routes.first() else {
            unreachable!("a motion has receivers");
        };
        let encoder = self.encoder(*first, &schema)?;
        let ends = routes.iter().map(|(route, peer)| SenderEnd::new(*route, self.link(*route, peer))).collect();
        let message_bytes = self.route_budget(first.query).message_bytes;
        Ok(BroadcastSender::new(ends, schema, encoder, message_bytes, Arc::clone(&self.broadcasts_encoded)))
    }

    fn encoder(&self, route: RouteKey, schema: &SchemaRef) -> Result<Encoder, RouteError> {
        let protocol = |e: ArrowError| RouteError::Protocol { route, message: e.to_string() };
        Encoder::new(schema, self.config.compression).map_err(protocol)
    }

    fn link(&self, route: RouteKey, peer: &Endpoint) -> Link {
        if !self.is_here(peer) {
            return self.remote_link(route, peer).unwrap_or_else(Link::Failed);
        }
        let inbox = self.inbox(route).and_then(|inbox| {
            inbox.attach().map_err(Refusal::Failed)?;
            Ok(inbox)
        });
        match inbox {
            Ok(inbox) => Link::Local(inbox),
            Err(Refusal::Stopped) => Link::Stopped,
            Err(Refusal::Failed(error)) => Link::Failed(error),
        }
    }

    fn remote_link(&self, route: RouteKey, peer: &Endpoint) -> Result<Link, RouteError> {
        let ticket = self.queries.lock().ticket(&route)?;
        let outbox = Arc::new(Outbox::new(route, ticket));
        let lost = |e: InterconnectError| RouteError::PeerLost { route, reason: e.to_string() };
        let driver = self.driver(peer).map_err(lost)?;
        let carry = driver.carry(peer, Arc::clone(&outbox)).map_err(lost)?;
        self.queries.lock().add_outbox(&outbox)?;
        self.spawn(carry);
        Ok(Link::Remote(outbox))
    }

    /// The receiving end of a route, with the credit of its query's budget; one for each.
    pub fn receiver(self: &Arc<Self>, route: RouteKey, schema: SchemaRef) -> RouteReceiver {
        self.receiver_with_credit(route, schema, usize::MAX)
    }

    /// The receiving end of a route whose reader has memory for `credit_bytes`, if the query's budget does not give it less.
    pub fn receiver_with_credit(
        self: &Arc<Self>,
        route: RouteKey,
        schema: SchemaRef,
        credit_bytes: usize,
    ) -> RouteReceiver {
        let claimed = {
            let mut queries = self.queries.lock();
            let budget = self.config.budget(queries.routes(route.query));
            let credit = budget.credit_bytes.min(credit_bytes) as u64;
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
        self.driver(peer)?;
        let channel = self.channels.control(peer)?;
        flight::call(peer, channel, &self.build, content, kind, body).await
    }

    /// What the node holds now.
    pub fn stats(&self) -> NodeStats {
        NodeStats {
            connections: self.connections.get(),
            broadcasts_encoded: self.broadcasts_encoded.load(Ordering::Relaxed),
            ..self.queries.lock().stats()
        }
    }

    /// What each route of the open queries, and of the last ended ones, has done here.
    pub fn route_stats(&self) -> Vec<RouteStats> {
        let mut routes = self.queries.lock().route_stats();
        routes.extend(self.history.lock().lines());
        routes
    }

    /// Whether an endpoint is this process.
    pub fn is_here(&self, peer: &Endpoint) -> bool {
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

    /// Takes a peer's stream.
    ///
    /// # Errors
    /// What its sender is to be told instead.
    pub(crate) fn accept(&self, opening: &Opening) -> Result<Arc<Inbox>, ToSender> {
        let route = opening.route;
        let protocol = |message: String| ToSender::Fail(RouteError::Protocol { route, message });
        self.refuse_other_build(&opening.build).map_err(|refusal| protocol(refusal.message))?;
        if opening.version != Opening::VERSION {
            return Err(protocol(format!("frames of version {}, not {}", opening.version, Opening::VERSION)));
        }
        let secret = self.queries.lock().secret(route.query);
        // A query that is not open yet is asked when it opens.
        if secret.is_some_and(|secret| !secret.verify(&route, &opening.ticket)) {
            return Err(ToSender::Fail(RouteError::Forbidden { route }));
        }
        let accepted = self.inbox(route).and_then(|inbox| {
            inbox.attach_peer(opening.ticket).map_err(Refusal::Failed)?;
            // The query may have been opened since it was asked for, and may have looked here before.
            let secret = self.queries.lock().secret(route.query);
            if secret.is_some_and(|secret| !inbox.has_right_feeder(&secret)) {
                inbox.fail(RouteError::Forbidden { route });
                return Err(Refusal::Failed(RouteError::Forbidden { route }));
            }
            Ok(inbox)
        });
        accepted.map_err(|refusal| match refusal {
            Refusal::Stopped => ToSender::Stop,
            Refusal::Failed(error) => ToSender::Fail(error),
        })
    }

    /// # Errors
    /// Both builds by name.
    pub(crate) fn refuse_other_build(&self, theirs: &str) -> Result<(), ControlError> {
        let ours = &self.build;
        if theirs == &**ours {
            return Ok(());
        }
        let endpoint = self.endpoint();
        let message =
            format!("{endpoint} is of build {ours}, its peer of build {theirs}: install one build everywhere");
        Err(ControlError { code: ControlError::BUILD_MISMATCH.into(), message })
    }

    /// The receiving side of a route, made if it does not exist yet.
    fn inbox(&self, route: RouteKey) -> Result<Arc<Inbox>, Refusal> {
        self.queries.lock().inbox(route, Instant::now())
    }

    /// Runs a task on the sockets' runtime for as long as the node lives.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    pub(crate) fn config(&self) -> &NodeConfig {
        &self.config
    }

    pub(crate) fn connection_count(&self) -> &ConnectionCount {
        &self.connections
    }

    /// What carries routes to a peer.
    ///
    /// # Errors
    /// Peers are not served.
    fn driver(&self, peer: &Endpoint) -> Result<&dyn RouteDriver, InterconnectError> {
        match self.config.driver {
            Driver::Auto | Driver::Flight => Ok(&self.channels),
            Driver::Quic => Ok(&self.quic),
            Driver::Inproc => Err(InterconnectError::PeerLost { endpoint: peer.clone(), reason: INPROC.into() }),
        }
    }
}

/// Why there are no peers.
const INPROC: &str = "the interconnect's driver is inproc: every segment must be in this process";

/// Serves peers with whatever the driver needs.
async fn serve_by_driver(
    node: Arc<Node>,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), InterconnectError> {
    let failed = |reason: String| InterconnectError::Serve { endpoint: node.endpoint(), reason };
    match node.config.driver {
        Driver::Auto | Driver::Flight => flight::serve(node, listener, stop).await,
        Driver::Quic => {
            let address = listener.local_addr().map_err(|e| failed(e.to_string()))?;
            let quic = quic::Server::bind(Arc::clone(&node), address)?;
            // If one fails, the other one ends with it.
            let _stop_on_drop = stop.clone().drop_guard();
            tokio::try_join!(flight::serve(node, listener, stop.clone()), quic.serve(stop)).map(|_| ())
        }
        Driver::Inproc => Err(failed(INPROC.into())),
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

#[cfg(test)]
mod tests;
