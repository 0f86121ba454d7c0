//! What a spool promises: rows in order, whatever it spills; its input read at once; nothing left behind.

use super::*;
use crate::{Gang, MotionDef, MotionKind, QeContext};
use arrow::array::{AsArray, Int32Array};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use damson_cluster::{ContentId, Endpoint, MapVersion, MotionId, QueryId, RouteKey, SegmentSet, Topology};
use damson_interconnect::{Direction, Node, NodeConfig, QuerySecret, RouteError, RouteStats};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::test::TestMemoryExec;
use datafusion::physical_plan::test::exec::{BlockingExec, MockExec, assert_strong_count_converges_to_zero};
use std::time::Duration;

const BATCHES: i32 = 100;
const BATCH_ROWS: i32 = 1000;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("x", DataType::Int32, false)]))
}

fn batch(rows: std::ops::Range<i32>) -> RecordBatch {
    RecordBatch::try_new(schema(), vec![Arc::new(Int32Array::from_iter_values(rows))]).unwrap()
}

fn input() -> Arc<dyn ExecutionPlan> {
    let batches = (0..BATCHES).map(|i| batch(i * BATCH_ROWS..(i + 1) * BATCH_ROWS)).chain([batch(0..0)]).collect();
    TestMemoryExec::try_new_exec(&[batches], schema(), None).unwrap()
}

fn context(memory_bytes: usize) -> Arc<TaskContext> {
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(memory_bytes, 1.0).build_arc().unwrap();
    Arc::new(TaskContext::default().with_runtime(runtime))
}

async fn rows_of(mut stream: SendableRecordBatchStream) -> Vec<i32> {
    let mut rows = vec![];
    while let Some(batch) = stream.next().await {
        rows.extend_from_slice(batch.unwrap().column(0).as_primitive::<Int32Type>().values());
    }
    rows
}

/// Waits until the spool has read all of its input, which nobody reads from it.
async fn until_full(spool: &SpoolExec, context: &TaskContext, memory_bytes: usize) {
    let is_full = || {
        let spilled = spool.metrics().and_then(|metrics| metrics.spilled_rows()).unwrap_or(0);
        let in_memory = context.memory_pool().reserved() / (BATCH_ROWS as usize * 4);
        spilled / BATCH_ROWS as usize + in_memory >= BATCHES as usize
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !is_full() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("the input is not read without a reader, with {memory_bytes} bytes"));
}

#[tokio::test]
async fn rows_keep_their_order_whether_they_are_spilled_or_not() {
    // Room for all, for some, and for none.
    for (memory_bytes, spills) in [(1 << 20, false), (50_000, true), (1, true)] {
        let (spool, context) = (SpoolExec::new(input()), context(memory_bytes));
        let stream = spool.execute(0, Arc::clone(&context)).unwrap();
        until_full(&spool, &context, memory_bytes).await;
        let spilled = |spool: &SpoolExec| spool.metrics().and_then(|metrics| metrics.spilled_bytes()).unwrap_or(0);
        assert_eq!(spilled(&spool) > 0, spills, "{memory_bytes}");
        assert_eq!(rows_of(stream).await, (0..BATCHES * BATCH_ROWS).collect::<Vec<_>>(), "{memory_bytes}");
        assert_eq!(context.memory_pool().reserved(), 0);
        assert_eq!(context.runtime_env().disk_manager.used_disk_space(), 0);
    }
}

#[tokio::test]
async fn what_was_kept_is_freed_with_the_stream() {
    let (spool, context) = (SpoolExec::new(input()), context(50_000));
    let mut stream = spool.execute(0, Arc::clone(&context)).unwrap();
    until_full(&spool, &context, 50_000).await;
    stream.next().await.unwrap().unwrap();
    drop(stream);
    assert_eq!(context.memory_pool().reserved(), 0);
    assert_eq!(context.runtime_env().disk_manager.used_disk_space(), 0);
}

#[tokio::test]
async fn dropping_the_stream_ends_the_input() {
    let blocking = Arc::new(BlockingExec::new(schema(), 1));
    let input_alive = blocking.refs();
    let spool = SpoolExec::new(blocking);
    let mut stream = spool.execute(0, context(1 << 20)).unwrap();
    assert!(futures::poll!(stream.next()).is_pending());
    drop((stream, spool));
    assert_strong_count_converges_to_zero(input_alive).await;
}

#[tokio::test]
async fn an_error_overtakes_the_rows_and_is_the_end() {
    let failure = || DataFusionError::Execution("division by zero".into());
    let failing = MockExec::new(vec![Ok(batch(0..10)), Err(failure())], schema()).with_use_task(false);
    let mut stream = SpoolExec::new(Arc::new(failing)).execute(0, context(1 << 20)).unwrap();
    // One thread: the task is through its input when it is asked again.
    tokio::task::yield_now().await;
    let first = stream.next().await.unwrap();
    assert!(first.unwrap_err().to_string().contains("division by zero"));
    assert!(stream.next().await.is_none());
}

#[test]
fn it_travels_to_segments() {
    let leaf = Arc::new(datafusion::physical_plan::empty::EmptyExec::new(schema()));
    let bytes = crate::encode_slice(Arc::new(SpoolExec::new(leaf))).unwrap();
    let spool = crate::decode_slice(&bytes, &TaskContext::default()).unwrap();
    assert_eq!(spool.downcast_ref::<SpoolExec>().unwrap().input().schema(), schema());
}

/// Two senders' routes; each has its own count.
#[tokio::test]
async fn what_is_spilled_counts_for_the_route_that_brought_it() {
    let node = Node::new(NodeConfig::new(Endpoint::in_process(), "test", tokio::runtime::Handle::current()));
    let (query, motion, senders) = (QueryId(1), MotionId(1), Gang::Segments(SegmentSet::first_of(2)));
    node.open_query(query, 2, QuerySecret::from_bytes([1; 16]));
    // Room for a message of each route, and for none of the batches.
    let context = context(2 * node.route_budget(query).message_bytes + 100);
    let qe = QeContext {
        query,
        content: ContentId(0),
        node: Arc::clone(&node),
        topology: Arc::new(Topology { master: Endpoint::in_process(), segments: vec![Endpoint::in_process(); 2] }),
        maps: Default::default(),
        describe_error: |error| RouteError::Remote { code: "XX000".into(), message: error.to_string() },
    };
    let config = context.session_config().clone().with_extension(Arc::new(qe));
    let context = Arc::new(TaskContext::default().with_session_config(config).with_runtime(context.runtime_env()));
    let kind = MotionKind::RoundRobin { map: MapVersion(1) };
    let def = MotionDef { id: motion, kind, senders: senders.clone(), receivers: senders };
    let spool = SpoolExec::new(Arc::new(MotionRecvExec::new(def, schema())));
    let stream = spool.execute(0, context).unwrap();

    let sent = async {
        for (sender, batches) in [(0, 3), (1, 5)] {
            let route = RouteKey { query, motion, sender: ContentId(sender), receiver: ContentId(0) };
            let mut sender = node.sender(route, &Endpoint::in_process(), schema());
            for _ in 0..batches {
                sender.send(batch(0..BATCH_ROWS)).await.unwrap();
            }
            sender.finish().await.unwrap();
        }
    };
    let ((), rows) = futures::future::join(sent, rows_of(stream)).await;
    assert_eq!(rows.len(), 8 * BATCH_ROWS as usize);
    let spilled = |sender| {
        let stats = node.route_stats();
        let end = |line: &&RouteStats| line.direction == Direction::Receive && line.peer == Some(ContentId(sender));
        stats.iter().find(end).expect("a receiving end").moved.spilled_bytes
    };
    let bytes = batch(0..BATCH_ROWS).get_array_memory_size() as u64;
    assert_eq!((spilled(0), spilled(1)), (3 * bytes, 5 * bytes));
}
