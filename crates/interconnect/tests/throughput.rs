//! Bytes a second of one route over loopback; run with `--release -- --ignored --nocapture`.

mod support;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Instant;
use support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn gigabytes_a_second() {
    let column = |i: i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(i..i + 8192)) };
    let fields: Vec<_> = (0..8).map(|i| Field::new(format!("c{i}"), DataType::Int64, false)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), (0..8).map(column).collect()).unwrap();
    let bytes: usize = batch.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap()).sum();
    for ((from, to), driver) in pairs().await.into_iter().zip(["in-process", "Flight", "QUIC"]) {
        for _ in 0..3 {
            static QUERY: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
            let query = QUERY.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            open([&from, &to], query, 1);
            let mut receiver = to.receiver(route(query, 1, 0, 1), batch.schema());
            let mut sender = from.sender(route(query, 1, 0, 1), &to.endpoint(), batch.schema());
            let batches = 8000;
            let start = Instant::now();
            let sent = batch.clone();
            let sending = tokio::spawn(async move {
                for _ in 0..batches {
                    send(&mut sender, sent.clone()).await;
                }
                sender.finish().await.unwrap();
            });
            let mut rows = 0;
            while let Some(batch) = receiver.next().await {
                rows += batch.unwrap().num_rows();
            }
            sending.await.unwrap();
            assert_eq!(rows, batches * 8192);
            let rate = (bytes * batches) as f64 / start.elapsed().as_secs_f64() / 1e9;
            println!("{driver}: {rate:.2} GB/s");
            close([&from, &to], query);
        }
    }
}
