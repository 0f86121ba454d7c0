//! Nodes, routes and batches for the tests.

#![allow(dead_code)]

use arrow::array::{Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use damson_cluster::{ContentId, Endpoint, MotionId, QueryId, RouteKey};
use damson_interconnect::{
    ClusterAuthority, Driver, Node, NodeConfig, NodeTls, QueryRoutes, QuerySecret, RouteError, RouteReceiver,
    RouteSender, Sent,
};
use futures::StreamExt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub const BUILD: &str = "test-1";

/// A test that hangs is a test that fails.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what).await.expect("it takes too long")
}

pub async fn eventually(what: impl Fn() -> bool) {
    soon(async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Those that go from process to process.
pub const DRIVERS: [Driver; 2] = [Driver::Flight, Driver::Quic];

/// A node that serves on a port of its own.
pub async fn node(driver: Driver) -> Arc<Node> {
    node_with(driver, |_| {}).await.0
}

pub async fn node_with(driver: Driver, change: impl FnOnce(&mut NodeConfig)) -> (Arc<Node>, CancellationToken) {
    let listener = listener().await;
    let mut config = config(driver, Endpoint(listener.local_addr().unwrap().to_string()));
    change(&mut config);
    let node = Node::new(config);
    let shutdown = CancellationToken::new();
    tokio::spawn(Arc::clone(&node).serve(listener, shutdown.clone()));
    (node, shutdown)
}

/// A listener whose port is free for UDP too.
pub async fn listener() -> TcpListener {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if UdpSocket::bind(listener.local_addr().unwrap()).await.is_ok() {
            return listener;
        }
    }
}

pub fn config(driver: Driver, endpoint: Endpoint) -> NodeConfig {
    let mut config = NodeConfig::new(endpoint, BUILD, Handle::current());
    config.driver = driver;
    // Tests run side by side: a node may have no turn for longer than the default. Those of lost peers have their own.
    config.peer_timeout_ms = 8_000;
    if driver == Driver::Quic {
        config.tls = Some(tls());
    }
    config
}

/// The certificate of all nodes of a test's process.
pub fn tls() -> Arc<NodeTls> {
    static TLS: OnceLock<Arc<NodeTls>> = OnceLock::new();
    Arc::clone(TLS.get_or_init(certificate))
}

/// A certificate of an authority of its own.
pub fn certificate() -> Arc<NodeTls> {
    let directory = tempfile::tempdir().unwrap();
    let authority = ClusterAuthority::open_or_create(directory.path()).unwrap();
    Arc::new(authority.issue_where_needed(directory.path(), &[]).unwrap())
}

/// Sender's and receiver's node: one node twice, and two nodes for each driver.
pub async fn pairs() -> [(Arc<Node>, Arc<Node>); 3] {
    let one = node(Driver::Auto).await;
    let [flight, quic] = peers().await;
    [(Arc::clone(&one), one), flight, quic]
}

/// Two nodes for each driver.
pub async fn peers() -> [(Arc<Node>, Arc<Node>); 2] {
    let [flight, quic] = DRIVERS;
    [(node(flight).await, node(flight).await), (node(quic).await, node(quic).await)]
}

/// Of every query here.
pub const SECRET: QuerySecret = QuerySecret::from_bytes([42; 16]);

pub fn open(nodes: [&Arc<Node>; 2], query: u64, routes: impl Into<QueryRoutes> + Copy) {
    nodes.iter().for_each(|node| node.open_query(QueryId(query), routes, SECRET));
}

pub fn close(nodes: [&Arc<Node>; 2], query: u64) {
    nodes.iter().for_each(|node| node.close_query(QueryId(query), None));
}

/// Nothing of a query is left on a node; connections stay.
pub fn assert_idle(node: &Node) {
    let stats = node.stats();
    assert_eq!((stats.buffered_bytes, stats.open_routes, stats.open_queries), (0, 0, 0));
}

pub fn route(query: u64, motion: u32, sender: i32, receiver: i32) -> RouteKey {
    RouteKey {
        query: QueryId(query),
        motion: MotionId(motion),
        sender: ContentId(sender),
        receiver: ContentId(receiver),
    }
}

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false)]))
}

/// Rows `start..start + rows`.
pub fn batch(start: i64, rows: i64) -> RecordBatch {
    let column = Int64Array::from_iter_values(start..start + rows);
    RecordBatch::try_new(schema(), vec![Arc::new(column)]).unwrap()
}

pub fn empty_columns(rows: usize) -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap()
}

/// Both ends of a route of [`batch`]es.
pub fn ends(from: &Arc<Node>, to: &Arc<Node>, route: RouteKey) -> (RouteSender, RouteReceiver) {
    (from.sender(route, &to.endpoint(), schema()), to.receiver(route, schema()))
}

pub async fn send(sender: &mut RouteSender, batch: RecordBatch) {
    assert_eq!(soon(sender.send(batch)).await, Ok(Sent::Accepted));
}

/// Everything up to the end-of-stream.
pub async fn drain(receiver: RouteReceiver) -> Result<Vec<RecordBatch>, RouteError> {
    soon(receiver.collect::<Vec<_>>()).await.into_iter().collect()
}

/// Sends until something happens.
pub async fn send_on(sender: &mut RouteSender) -> Result<Sent, RouteError> {
    soon(async {
        loop {
            match sender.send(batch(0, 10_000)).await {
                Ok(Sent::Accepted) => {}
                other => return other,
            }
        }
    })
    .await
}
