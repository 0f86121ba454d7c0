//! A sender and its receivers in one process.

use super::*;
use crate::route_rows::Splitter;
use crate::{Gang, MotionRecvExec, stop_unread};
use arrow::array::{Int64Array, RecordBatch};
use damson_cluster::{BucketMap, ContentId, Endpoint, MapVersion, MotionId, QueryId, RouteKey, SegmentSet, Topology};
use damson_interconnect::{Node, NodeConfig, QuerySecret, RouteError, RouteReceiver, Sent};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_plan::metrics::Time;
use datafusion::physical_plan::union::UnionExec;
use datafusion::prelude::SessionConfig;
use futures::channel::mpsc;
use futures::future::{Either, select};
use futures::{StreamExt, future};
use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

const RECEIVERS: usize = 2;

fn batch(rows: std::ops::Range<i64>) -> RecordBatch {
    RecordBatch::try_from_iter([("k", Arc::new(Int64Array::from_iter_values(rows)) as _)]).unwrap()
}

/// Both ends of a motion to [`RECEIVERS`]; a route takes one batch at a time.
fn ends(node: &Arc<Node>) -> (Sender, Vec<RouteReceiver>) {
    ends_at(node, SegmentSet::first_of(RECEIVERS))
}

fn ends_at(node: &Arc<Node>, segments: SegmentSet) -> (Sender, Vec<RouteReceiver>) {
    node.open_query(QueryId(1), segments.len(), QuerySecret::from_bytes([1; 16]));
    let schema = batch(0..1).schema();
    let route = |receiver| RouteKey { query: QueryId(1), motion: MotionId(1), sender: ContentId(0), receiver };
    let routes = segments.iter().map(route);
    let receivers = routes.clone().map(|route| node.receiver_with_credit(route, Arc::clone(&schema), 1)).collect();
    let routes = routes.map(|route| Some(node.sender(route, &Endpoint::in_process(), Arc::clone(&schema))));
    let routes = Routes::Each(routes.collect());
    let metrics = RouteMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
    let gang = Gang::Segments(segments.clone());
    let contents = gang.contents();
    let def = MotionDef {
        id: MotionId(1),
        kind: MotionKind::RoundRobin { map: MapVersion(1) },
        senders: gang.clone(),
        receivers: gang,
    };
    let memory = MotionMemory::reserve(&def, "sender", &TaskContext::default(), 0).unwrap();
    (Sender { receivers: contents, routes, metrics, memory, gathered_bytes: 0 }, receivers)
}

fn node() -> Arc<Node> {
    Node::new(NodeConfig::new(Endpoint::in_process(), "test", tokio::runtime::Handle::current()))
}

fn by_hash() -> Router {
    let schema = batch(0..1).schema();
    let map = Arc::new(BucketMap::uniform(MapVersion(1), RECEIVERS));
    let splitter = Box::new(Splitter::new(Arc::clone(&schema), map, SEND_MESSAGE_BYTES));
    Router::ByHash { keys: vec![col("k", &schema).unwrap()], splitter }
}

/// A test that hangs is a test that fails.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what).await.expect("it takes too long")
}

/// The second batch comes only once the first one's rows have arrived: without the timed flush, that is never.
#[tokio::test]
async fn rows_that_trickle_arrive_before_there_are_many() {
    let node = node();
    let (mut sender, receivers) = ends(&node);
    let mut received = stream::select_all(receivers);
    let (input, batches) = mpsc::unbounded();
    let input_stream = Box::pin(RecordBatchStreamAdapter::new(batch(0..1).schema(), batches));
    let sending = async {
        send_all(by_hash(), input_stream, &mut sender, Waiting::new(Time::new())).await.unwrap();
        sender.finish().await.unwrap();
    };
    let receiving = async {
        let mut rows = 0;
        for round in 1..=3 {
            input.unbounded_send(Ok(batch(0..100))).unwrap();
            while rows < round * 100 {
                rows += received.next().await.unwrap().unwrap().num_rows();
            }
            assert_eq!(rows, round * 100);
        }
        drop(input);
        assert!(received.next().await.is_none());
    };
    soon(future::join(sending, receiving)).await;
}

/// An input with always a batch at hand is sent in full batches, however long it takes.
#[tokio::test]
async fn a_busy_input_is_sent_in_full_batches() {
    let node = node();
    let (mut sender, receivers) = ends(&node);
    let batches = (0..200).map(|i| Ok(batch(i * 1000..(i + 1) * 1000)));
    let input = Box::pin(RecordBatchStreamAdapter::new(batch(0..1).schema(), stream::iter(batches)));
    let sending = async {
        send_all(by_hash(), input, &mut sender, Waiting::new(Time::new())).await.unwrap();
        sender.finish().await.unwrap();
    };
    let receiving = stream::select_all(receivers).map(|batch| batch.unwrap().num_rows()).collect::<Vec<_>>();
    let ((), rows) = soon(future::join(sending, receiving)).await;
    assert_eq!(rows.iter().sum::<usize>(), 200_000);
    assert!(rows.iter().filter(|&&rows| rows < 8192).count() <= RECEIVERS, "{rows:?}");
}

#[tokio::test]
async fn a_receiver_without_credit_holds_up_no_other() {
    let node = node();
    let (mut sender, mut receivers) = ends(&node);
    let [first, second] = [ContentId(0), ContentId(1)];
    let batches = vec![(first, batch(0..10)), (first, batch(10..20)), (second, batch(20..30)), (first, batch(30..40))];
    let mut sending = pin!(sender.send_each(batches));
    // The first receiver's second batch waits for credit; the second receiver's arrives all the same.
    let arrived = match soon(select(&mut sending, receivers[1].next())).await {
        Either::Left((sent, _)) => panic!("{sent:?} without credit"),
        Either::Right((arrived, _)) => arrived,
    };
    assert_eq!(arrived.unwrap().unwrap(), batch(20..30));
    let receiving = receivers[0].by_ref().take(3).map(Result::unwrap).collect::<Vec<_>>();
    let (sent, received) = soon(future::join(sending, receiving)).await;
    sent.unwrap();
    assert_eq!(received, [batch(0..10), batch(10..20), batch(30..40)], "in order");
}

/// Of a cluster from which segments 0 and 2 were removed.
#[tokio::test]
async fn a_receivers_place_is_not_its_number() {
    let node = node();
    let segments: SegmentSet = [ContentId(1), ContentId(3)].into_iter().collect();
    let (mut sender, mut receivers) = ends_at(&node, segments.clone());
    let [first, last] = [ContentId(1), ContentId(3)];
    let sending = async {
        sender.send_each(vec![(last, batch(0..10))]).await.unwrap();
        sender.send_each(vec![(last, batch(10..20)), (first, batch(20..30))]).await.unwrap();
        sender.finish().await.unwrap();
    };
    let mut ends = receivers.drain(..);
    let [of_first, of_last] = [ends.next().unwrap(), ends.next().unwrap()];
    let rows = |end: RouteReceiver| end.map(Result::unwrap).collect::<Vec<_>>();
    let ((), at_first, at_last) = soon(future::join3(sending, rows(of_first), rows(of_last))).await;
    assert_eq!(at_first, [batch(20..30)]);
    assert_eq!(at_last, [batch(0..10), batch(10..20)]);

    // Rows that go to owners in turn, and rows that name their segments.
    let owners = (0..damson_cluster::BUCKETS).map(|bucket| if bucket % 2 == 0 { 1 } else { 3 }).collect();
    let map = BucketMap::from_owners(MapVersion(1), owners, 4).unwrap();
    let qe = QeContext {
        query: QueryId(1),
        content: ContentId(0),
        node: Arc::clone(&node),
        topology: Arc::new(Topology { master: Endpoint::in_process(), segments: vec![Endpoint::in_process(); 4] }),
        maps: [(map.version, Arc::new(map))].into_iter().collect(),
        describe_error: |error| RouteError::Remote { code: "XX000".into(), message: error.to_string() },
    };
    let gang = Gang::Segments(segments);
    let def = |kind| MotionDef { id: MotionId(1), kind, senders: gang.clone(), receivers: gang.clone() };
    let schema = batch(0..1).schema();
    let router = |kind| Router::new(&def(kind), &qe, &schema, SEND_MESSAGE_BYTES).unwrap();
    let Router::InTurn { receivers, .. } = router(MotionKind::RoundRobin { map: MapVersion(1) }) else {
        panic!("rows go in turn")
    };
    assert_eq!(receivers, [0, 1]);
    let Router::Named { mut splitter, .. } = router(MotionKind::Explicit { segment: col("k", &schema).unwrap() })
    else {
        panic!("rows name their segments")
    };
    let names = Arc::new(arrow::array::Int32Array::from(vec![3, 1, 3])) as _;
    splitter.push(&batch(0..3), &[names]).unwrap();
    splitter.flush().unwrap();
    let mut named: Vec<_> = std::iter::from_fn(|| splitter.next_ready()).collect();
    named.sort_by_key(|(receiver, _)| *receiver);
    let rows: Vec<_> = named.iter().map(|(receiver, rows)| (receiver.0, rows.num_rows())).collect();
    assert_eq!(rows, [(1, 1), (3, 2)]);
}

/// The input may not have a row for long, or ever, when its receivers have what they need: LIMIT under a slow join.
#[tokio::test]
async fn receivers_that_stop_end_a_sender_whose_input_waits() {
    let node = node();
    let (mut sender, receivers) = ends(&node);
    let (input, batches) = mpsc::unbounded();
    let input_stream = Box::pin(RecordBatchStreamAdapter::new(batch(0..1).schema(), batches));
    let sending = async {
        send_all(by_hash(), input_stream, &mut sender, Waiting::new(Time::new())).await.unwrap();
        sender.finish().await.unwrap();
    };
    let receiving = async {
        input.unbounded_send(Ok(batch(0..100))).unwrap();
        let mut receivers = receivers.into_iter();
        let mut first = receivers.next().unwrap();
        first.next().await.unwrap().unwrap();
        drop(first);
        // One of them still wants rows.
        input.unbounded_send(Ok(batch(100..200))).unwrap();
        let mut second = receivers.next().unwrap();
        second.next().await.unwrap().unwrap();
        assert!(!input.is_closed());
        drop(second);
    };
    soon(future::join(sending, receiving)).await;
    assert!(input.is_closed());
}

/// As below a LIMIT that had enough of another input: one of a slice's motions was never executed, another one is being read.
#[tokio::test]
async fn a_slices_end_stops_those_whom_nobody_reads_and_nobody_else() {
    let (node, schema) = (node(), batch(0..1).schema());
    node.open_query(QueryId(1), 2, QuerySecret::from_bytes([1; 16]));
    let (here, there) = (ContentId(1), ContentId(0));
    let route = |id| RouteKey { query: QueryId(1), motion: MotionId(id), sender: there, receiver: here };
    let sender = |id| node.sender(route(id), &Endpoint::in_process(), Arc::clone(&schema));
    let (mut unread, mut read) = (sender(1), sender(2));
    let mut receiver = node.receiver(route(2), Arc::clone(&schema));
    let mut sending = pin!(async { while unread.send(batch(0..8192)).await.unwrap() != Sent::Stopped {} });
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut sending).await.is_err(), "nobody reads");

    let receive = |id| {
        let (senders, receivers) = (Gang::Single(there), Gang::Single(here));
        let def = MotionDef { id: MotionId(id), kind: MotionKind::Broadcast, senders, receivers };
        Arc::new(MotionRecvExec::new(def, Arc::clone(&schema))) as Arc<dyn ExecutionPlan>
    };
    let plan = UnionExec::try_new(vec![receive(1), receive(2)]).unwrap();
    let qe = QeContext {
        query: QueryId(1),
        content: here,
        node: Arc::clone(&node),
        topology: Arc::new(Topology { master: Endpoint::in_process(), segments: vec![Endpoint::in_process(); 2] }),
        maps: HashMap::new(),
        describe_error: |error| RouteError::Remote { code: "XX000".into(), message: error.to_string() },
    };
    let context = TaskContext::default().with_session_config(SessionConfig::new().with_extension(Arc::new(qe)));
    stop_unread(&plan, &context).unwrap();
    soon(sending).await;
    assert_eq!(soon(read.send(batch(0..10))).await.unwrap(), Sent::Accepted);
    assert_eq!(soon(receiver.next()).await.unwrap().unwrap().num_rows(), 10);
}
