//! GB/s per core of the redistribute kernel, on one thread: `cargo bench -p damson-motion`.
//!
//! For 4, 64 and 1,024 destinations, and two kinds of rows:
//! - `take`: a plain kernel as a comparison: Arrow's `take` for each destination, then `BatchCoalescer`;
//! - `split`: hash and scatter by [`Splitter`], its batches dropped as they are ready;
//! - `routes`: the same, sent over in-process routes and received from them, on the same thread.
//!
//! The bytes are the input's. Inputs are larger than the processor's caches. Each figure is the best and the median of
//! [`RUNS`] runs after one that is not counted.

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringViewArray,
    UInt32Array,
};
use arrow::compute::BatchCoalescer;
use arrow::datatypes::DataType;
use damson_cluster::{BucketMap, ContentId, Endpoint, MapVersion, MotionId, QueryId, RouteKey, placement};
use damson_interconnect::{Node, NodeConfig, RouteError, Sent};
use damson_motion::Splitter;
use damson_motion::limits::{SEND_BATCH_ROWS, SEND_MESSAGE_BYTES};
use futures::{TryStreamExt, future, stream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const ROWS: usize = 8192;
const BATCHES: usize = 128;
/// How often a run goes through the batches.
const ROUNDS: usize = 8;
const RUNS: usize = 7;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let node = {
        let _guard = runtime.enter();
        Node::new(NodeConfig::new(Endpoint::in_process(), "bench", runtime.handle().clone()))
    };
    println!("{:>22} {:>12} {:>8} {:>14} {:>14}", "rows", "destinations", "kernel", "best GB/s", "median GB/s");
    for (name, batches) in [("8 int64 (64 B)", fixed_rows()), ("mixed", mixed_rows())] {
        let bytes = ROUNDS * batches.iter().map(used_bytes).sum::<usize>();
        for destinations in [4, 64, 1024] {
            let map = Arc::new(BucketMap::uniform(MapVersion(1), destinations));
            let kernels: [(&str, &dyn Fn() -> usize); 3] = [
                ("take", &|| take_rows(&batches, &map)),
                ("split", &|| split_rows(&batches, &map)),
                ("routes", &|| runtime.block_on(route_rows(&node, &batches, &map))),
            ];
            for (kernel, run) in kernels {
                let (best, median) = gigabytes_a_second(bytes, run);
                println!("{name:>22} {destinations:>12} {kernel:>8} {best:>14.2} {median:>14.2}");
            }
        }
    }
}

/// Best and median rate of a kernel that says how many rows came out of it.
fn gigabytes_a_second(bytes: usize, run: &dyn Fn() -> usize) -> (f64, f64) {
    assert_eq!(run(), ROUNDS * BATCHES * ROWS, "rows are lost");
    let time = || {
        let start = Instant::now();
        run();
        bytes as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    let mut rates: Vec<f64> = (0..RUNS).map(|_| time()).collect();
    rates.sort_by(f64::total_cmp);
    (rates[RUNS - 1], rates[RUNS / 2])
}

fn take_rows(batches: &[RecordBatch], map: &BucketMap) -> usize {
    let schema = batches[0].schema();
    let coalescer = || BatchCoalescer::new(Arc::clone(&schema), SEND_BATCH_ROWS);
    let mut pending: Vec<_> = (0..map.segment_count()).map(|_| coalescer()).collect();
    let (mut hashes, mut total) = (vec![], 0);
    for _ in 0..ROUNDS {
        for batch in batches {
            placement::hash_rows(&batch.columns()[..1], &mut hashes).expect("a key");
            let mut rows: Vec<Vec<u32>> = vec![vec![]; pending.len()];
            for (row, &hash) in hashes.iter().enumerate() {
                rows[map.owners()[placement::bucket_of(hash) as usize] as usize].push(row as u32);
            }
            for (pending, rows) in pending.iter_mut().zip(rows).filter(|(_, rows)| !rows.is_empty()) {
                pending.push_batch_with_indices(batch.clone(), &UInt32Array::from(rows)).expect("rows of the batch");
                total += std::iter::from_fn(|| pending.next_completed_batch()).map(|b| b.num_rows()).sum::<usize>();
            }
        }
    }
    for pending in &mut pending {
        pending.finish_buffered_batch().expect("a batch");
        total += std::iter::from_fn(|| pending.next_completed_batch()).map(|b| b.num_rows()).sum::<usize>();
    }
    total
}

fn split_rows(batches: &[RecordBatch], map: &Arc<BucketMap>) -> usize {
    let mut splitter = Splitter::new(batches[0].schema(), Arc::clone(map), SEND_MESSAGE_BYTES);
    let mut total = 0;
    let mut count = |splitter: &mut Splitter| {
        total += std::iter::from_fn(|| splitter.next_ready()).map(|(_, batch)| batch.num_rows()).sum::<usize>();
    };
    for _ in 0..ROUNDS {
        for batch in batches {
            splitter.push(batch, &batch.columns()[..1]).expect("a key");
            count(&mut splitter);
        }
    }
    splitter.flush().expect("batches");
    count(&mut splitter);
    total
}

async fn route_rows(node: &Arc<Node>, batches: &[RecordBatch], map: &Arc<BucketMap>) -> usize {
    static QUERIES: AtomicU64 = AtomicU64::new(1);
    let query = QueryId(QUERIES.fetch_add(1, Ordering::Relaxed));
    let schema = batches[0].schema();
    node.open_query(query, map.segment_count());
    let routes = (0..map.segment_count() as i32).map(|receiver| RouteKey {
        query,
        motion: MotionId(1),
        sender: ContentId(0),
        receiver: ContentId(receiver),
    });
    let (receivers, mut senders): (Vec<_>, Vec<_>) = routes
        .map(|route| {
            let receiver = node.receiver(route, Arc::clone(&schema));
            (receiver, node.sender(route, &Endpoint::in_process(), Arc::clone(&schema)))
        })
        .unzip();
    let sending = async {
        let mut splitter = Splitter::new(Arc::clone(&schema), Arc::clone(map), SEND_MESSAGE_BYTES);
        for _ in 0..ROUNDS {
            for batch in batches {
                splitter.push(batch, &batch.columns()[..1]).expect("a key");
                while let Some((receiver, batch)) = splitter.next_ready() {
                    assert_eq!(senders[receiver.0 as usize].send(batch).await?, Sent::Accepted);
                }
                tokio::task::yield_now().await;
            }
        }
        splitter.flush().expect("batches");
        while let Some((receiver, batch)) = splitter.next_ready() {
            assert_eq!(senders[receiver.0 as usize].send(batch).await?, Sent::Accepted);
        }
        for sender in senders {
            sender.finish().await?;
        }
        Ok::<(), RouteError>(())
    };
    let receiving = stream::select_all(receivers).try_fold(0, async |rows, batch| Ok(rows + batch.num_rows()));
    let ((), rows) = future::try_join(sending, receiving).await.expect("routes that last");
    node.close_query(query, None);
    rows
}

/// Not random: the key's hash is.
fn fixed_rows() -> Vec<RecordBatch> {
    let column = |batch: usize, column: usize| -> (String, ArrayRef) {
        let start = (batch * ROWS) as i64;
        let factor = [1, 3, 5, 7, 11, 13, 17, 19][column];
        (format!("c{column}"), Arc::new(Int64Array::from_iter_values((start..start + ROWS as i64).map(|i| i * factor))))
    };
    let batch = |batch| RecordBatch::try_from_iter((0..8).map(|i| column(batch, i))).expect("columns of one length");
    (0..BATCHES).map(batch).collect()
}

/// A key, an int32, a decimal, a date, a text that fits into a view and one that does not.
fn mixed_rows() -> Vec<RecordBatch> {
    let batch = |batch: usize| {
        let rows = || (batch * ROWS) as i32..((batch + 1) * ROWS) as i32;
        let decimals = Decimal128Array::from_iter_values(rows().map(|i| i128::from(i) * 101));
        let columns: [(&str, ArrayRef); 6] = [
            ("key", Arc::new(Int64Array::from_iter_values(rows().map(i64::from)))),
            ("number", Arc::new(Int32Array::from_iter_values(rows().map(|i| i % 1000)))),
            ("price", Arc::new(decimals.with_precision_and_scale(15, 2).expect("15 digits suffice"))),
            ("day", Arc::new(Date32Array::from_iter_values(rows().map(|i| i % 20_000)))),
            ("short", Arc::new(StringViewArray::from_iter_values(rows().map(|i| format!("{}", i % 100_000))))),
            ("long", Arc::new(StringViewArray::from_iter_values(rows().map(|i| format!("the comment of row {i}"))))),
        ];
        RecordBatch::try_from_iter(columns).expect("columns of one length")
    };
    (0..BATCHES).map(batch).collect()
}

fn used_bytes(batch: &RecordBatch) -> usize {
    let bytes = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8View => column.len() * 16 + column.as_string_view().total_buffer_bytes_used(),
        other => column.len() * other.primitive_width().expect("a fixed width"),
    };
    batch.columns().iter().map(bytes).sum()
}
