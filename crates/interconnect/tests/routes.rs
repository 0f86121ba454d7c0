//! Routes between two nodes over loopback, and within one.

mod support;

use arrow::array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Decimal128Array, DictionaryArray, Int32Array, ListArray,
    RecordBatch, StringArray, StringViewArray, StructArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int8Type, Int32Type, Schema};
use damson_cluster::QueryId;
use damson_interconnect::{Driver, QueryRoutes, RouteError, Sent};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use support::*;

#[tokio::test(flavor = "multi_thread")]
async fn batches_arrive_in_order_and_end() {
    for (from, to) in pairs().await {
        open([&from, &to], 1, 1);
        let (mut sender, receiver) = ends(&from, &to, route(1, 1, 0, 1));
        let sending = tokio::spawn(async move {
            for i in 0..200 {
                send(&mut sender, batch(i * 8192, 8192)).await;
            }
            assert_eq!(sender.rows_sent(), 200 * 8192);
            assert!(sender.bytes_sent() >= 200 * 8192 * 8);
            sender.finish().await
        });
        let batches = drain(receiver).await.unwrap();
        soon(sending).await.unwrap().unwrap();
        assert_eq!(concat_batches(&schema(), &batches).unwrap(), batch(0, 200 * 8192));
        eventually(|| from.stats().open_routes + to.stats().open_routes == 0).await;
        close([&from, &to], 1);
        assert_idle(&from);
        assert_idle(&to);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_without_batches_ends() {
    for (from, to) in pairs().await {
        open([&from, &to], 1, 1);
        let (sender, receiver) = ends(&from, &to, route(1, 1, 0, 1));
        sender.finish().await.unwrap();
        assert_eq!(drain(receiver).await, Ok(vec![]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_column_survives() {
    let long = "a string that does not fit into a view";
    let strings: Vec<Option<&str>> = vec![Some("short"), None, Some(long), Some("")];
    let dictionary: DictionaryArray<Int8Type> = strings.iter().copied().collect();
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(3)]),
    ]);
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3), Some(4)]));
    let field = Arc::new(Field::new("n", DataType::Int32, true));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::clone(&numbers)),
        ("s", Arc::new(StringArray::from(strings.clone()))),
        ("v", Arc::new(StringViewArray::from(strings.clone()))),
        ("b", Arc::new(BinaryViewArray::from(strings.iter().map(|s| s.map(str::as_bytes)).collect::<Vec<_>>()))),
        ("d", Arc::new(dictionary)),
        ("t", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]))),
        ("x", Arc::new(Decimal128Array::from(vec![Some(1), None, Some(i128::MAX / 10), Some(-1)]))),
        ("l", Arc::new(list)),
        ("r", Arc::new(StructArray::from(vec![(field, numbers)]))),
    ];
    let fields: Vec<_> = columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
    let whole =
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, c)| c).collect()).unwrap();
    let sent = [whole.clone(), whole.slice(1, 2), whole.slice(4, 0), whole.slice(3, 1), whole.clone()];
    for (from, to) in pairs().await {
        open([&from, &to], 1, 1);
        let receiver = to.receiver(route(1, 1, 0, 1), whole.schema());
        let mut sender = from.sender(route(1, 1, 0, 1), &to.endpoint(), whole.schema());
        for batch in &sent {
            send(&mut sender, batch.clone()).await;
        }
        sender.finish().await.unwrap();
        assert_eq!(drain(receiver).await.unwrap(), sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_without_columns_or_rows_keep_their_counts() {
    for (from, to) in pairs().await {
        open([&from, &to], 1, 2);
        let none = empty_columns(0).schema();
        let receiver = to.receiver(route(1, 1, 0, 1), none.clone());
        let mut sender = from.sender(route(1, 1, 0, 1), &to.endpoint(), none);
        for rows in [3, 0, 5_000_000_000] {
            send(&mut sender, empty_columns(rows)).await;
        }
        sender.finish().await.unwrap();
        let rows: Vec<usize> = drain(receiver).await.unwrap().iter().map(RecordBatch::num_rows).collect();
        assert_eq!(rows, [3, 0, 5_000_000_000]);

        let (mut sender, receiver) = ends(&from, &to, route(1, 2, 0, 1));
        send(&mut sender, batch(0, 0)).await;
        sender.finish().await.unwrap();
        assert_eq!(drain(receiver).await.unwrap(), [batch(0, 0)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dictionaries_that_change_are_sent_again() {
    for (from, to) in peers().await {
        open([&from, &to], 1, 1);
        let data_type = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let schema = Arc::new(Schema::new(vec![Field::new("d", data_type, true)]));
        let of = |words: &[&str]| {
            let column: DictionaryArray<Int32Type> = words.iter().copied().collect();
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(column)]).unwrap()
        };
        let first = of(&["a", "b", "a"]);
        let sent = [first.slice(0, 2), first.slice(2, 1), of(&["c", "d"]), of(&["c", "d", "e"]), first];
        let receiver = to.receiver(route(1, 1, 0, 1), Arc::clone(&schema));
        let mut sender = from.sender(route(1, 1, 0, 1), &to.endpoint(), Arc::clone(&schema));
        for batch in &sent {
            send(&mut sender, batch.clone()).await;
        }
        sender.finish().await.unwrap();
        assert_eq!(drain(receiver).await.unwrap(), sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_batches_are_cut_and_views_compacted() {
    for (from, to) in peers().await {
        open([&from, &to], 1, 2);
        let big = batch(0, 3_000_000);
        let (mut sender, receiver) = ends(&from, &to, route(1, 1, 0, 1));
        let sent = big.clone();
        let sending = tokio::spawn(async move {
            send(&mut sender, sent).await;
            sender.finish().await.unwrap();
        });
        let received = drain(receiver).await.unwrap();
        sending.await.unwrap();
        assert!(received.iter().all(|b| b.num_rows() * 8 <= 1 << 20), "no message is above 1 MiB");
        assert_eq!(concat_batches(&schema(), &received).unwrap(), big);

        // One row of a column with 100 MB of strings is one string on the wire.
        let word = "x".repeat(1000);
        let column = StringViewArray::from_iter_values((0..100_000).map(|i| format!("{i} {word}")));
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Utf8View, false)]));
        let row = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(column)]).unwrap().slice(77_777, 1);
        let receiver = to.receiver(route(1, 2, 0, 1), Arc::clone(&schema));
        let mut sender = from.sender(route(1, 2, 0, 1), &to.endpoint(), schema);
        send(&mut sender, row.clone()).await;
        assert!(sender.bytes_sent() < 4096, "{} bytes were sent", sender.bytes_sent());
        sender.finish().await.unwrap();
        assert_eq!(drain(receiver).await.unwrap(), [row]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_nullability_may_differ_but_types_may_not() {
    for (from, to) in pairs().await {
        open([&from, &to], 1, 2);
        let renamed = Arc::new(Schema::new(vec![Field::new("other", DataType::Int64, true)]));
        let receiver = to.receiver(route(1, 1, 0, 1), Arc::clone(&renamed));
        let mut sender = from.sender(route(1, 1, 0, 1), &to.endpoint(), schema());
        send(&mut sender, batch(0, 3)).await;
        sender.finish().await.unwrap();
        let received = drain(receiver).await.unwrap();
        assert_eq!((received[0].schema(), received[0].columns()), (renamed, batch(0, 3).columns()));

        let narrow = Arc::new(Schema::new(vec![Field::new("k", DataType::Int32, false)]));
        let receiver = to.receiver(route(1, 2, 0, 1), narrow);
        let mut sender = from.sender(route(1, 2, 0, 1), &to.endpoint(), schema());
        send(&mut sender, batch(0, 3)).await;
        let message = "column \"k\" arrived as Int64, not as Int32".to_owned();
        let error = RouteError::Protocol { route: route(1, 2, 0, 1), message };
        assert_eq!(drain(receiver).await, Err(error.clone()));
        assert_eq!(send_on(&mut sender).await, Err(error));
        assert!(sender.finish().await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_stops_the_sender() {
    for (from, to) in pairs().await {
        open([&from, &to], 1, 1);
        let (mut sender, mut receiver) = ends(&from, &to, route(1, 1, 0, 1));
        send(&mut sender, batch(0, 10)).await;
        assert_eq!(soon(receiver.next()).await, Some(Ok(batch(0, 10))));
        assert!(!sender.is_stopped());
        drop(receiver);
        assert_eq!(send_on(&mut sender).await, Ok(Sent::Stopped));
        assert!(sender.is_stopped());
        sender.finish().await.unwrap();
        eventually(|| to.stats().buffered_bytes == 0 && from.stats().open_routes + to.stats().open_routes == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slices_error_arrives_as_it_is() {
    for (from, to) in pairs().await {
        open([&from, &to], 1, 1);
        let (mut sender, receiver) = ends(&from, &to, route(1, 1, 0, 1));
        send(&mut sender, batch(0, 10)).await;
        let error = RouteError::Remote { code: "22012".into(), message: "division by \"zero\"\n☃".into() };
        sender.fail(error.clone()).await;
        let received = soon(receiver.collect::<Vec<_>>()).await;
        assert_eq!(received.last(), Some(&Err(error)));
        assert!(received.len() <= 2, "an error is told once, and nothing follows: {received:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_is_dropped_is_an_error() {
    for (from, to) in pairs().await {
        open([&from, &to], 17, 1);
        let (mut sender, receiver) = ends(&from, &to, route(17, 2, 1, 3));
        send(&mut sender, batch(0, 10)).await;
        drop(sender);
        let error = drain(receiver).await.unwrap_err();
        assert!(matches!(error, RouteError::PeerLost { .. }), "{error:?}");
        assert!(error.to_string().starts_with("q17 m2 seg1->seg3: "), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_up_no_other_route() {
    for (from, to) in pairs().await {
        open([&from, &to], 1, 40);
        // So many that every connection has slow ones, each with its credit full.
        let mut slow = vec![];
        for motion in 0..32 {
            let (mut sender, receiver) = ends(&from, &to, route(1, motion, 0, 1));
            let sending = tokio::spawn(async move { send_on(&mut sender).await });
            slow.push((sending, receiver));
        }
        let credit = to.route_budget(QueryId(1)).credit_bytes as u64;
        eventually(|| to.stats().buffered_bytes > 32 * credit / 4 * 3).await;
        assert!(to.stats().buffered_bytes <= 32 * credit, "{:?}", to.stats());
        for motion in 100..108 {
            let (mut sender, receiver) = ends(&from, &to, route(1, motion, 0, 1));
            let sending = tokio::spawn(async move {
                for i in 0..500 {
                    send(&mut sender, batch(i * 10_000, 10_000)).await;
                }
                sender.finish().await.unwrap();
            });
            let rows: usize = drain(receiver).await.unwrap().iter().map(RecordBatch::num_rows).sum();
            soon(sending).await.unwrap();
            assert_eq!(rows, 5_000_000);
        }
        for (sending, receiver) in slow {
            assert!(!sending.is_finished(), "the slow routes wait");
            drop(receiver);
            assert_eq!(soon(sending).await.unwrap(), Ok(Sent::Stopped));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credit_is_a_share_of_the_querys_memory() {
    for driver in DRIVERS {
        let (to, _) = node_with(driver, |config| config.motion_memory_bytes_max = 4 << 20).await;
        let (from, _) = node_with(driver, |config| config.motion_memory_bytes_max = 4 << 20).await;
        let incoming = |incoming| QueryRoutes { incoming, ..QueryRoutes::default() };
        open([&from, &to], 1, incoming(16));
        let mut routes = vec![];
        for motion in 0..16 {
            let (mut sender, receiver) = ends(&from, &to, route(1, motion, 0, 1));
            routes.push((tokio::spawn(async move { send_on(&mut sender).await }), receiver));
        }
        eventually(|| to.stats().buffered_bytes > 2 << 20).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(to.stats().buffered_bytes <= 4 << 20, "{:?}", to.stats());
        // More routes take their share.
        to.open_query(QueryId(1), incoming(32), support::SECRET);
        for (_, receiver) in &mut routes {
            for _ in 0..3 {
                soon(receiver.next()).await.unwrap().unwrap();
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(to.stats().buffered_bytes <= 2 << 20, "{:?}", to.stats());
        assert!(routes.iter().all(|(sending, _)| !sending.is_finished()), "a route was lost");
        to.close_query(QueryId(1), Some(RouteError::Cancelled { query: QueryId(1) }));
        assert_idle(&to);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_routes_at_once() {
    for (from, to) in pairs().await {
        open([&from, &to], 1, 2000);
        let mut sending = tokio::task::JoinSet::new();
        let mut receiving = tokio::task::JoinSet::new();
        for i in 0..2000 {
            let (mut sender, receiver) = ends(&from, &to, route(1, 1, i, 0));
            sending.spawn(async move {
                for part in 0..3 {
                    send(&mut sender, batch(i64::from(i) * 1000 + part * 10, 10)).await;
                }
                sender.finish().await.unwrap();
            });
            receiving.spawn(async move {
                let batches = drain(receiver).await.unwrap();
                let all = concat_batches(&schema(), &batches).unwrap();
                assert_eq!(all, batch(i64::from(i) * 1000, 30));
            });
        }
        soon(sending.join_all()).await;
        soon(receiving.join_all()).await;
        eventually(|| from.stats().open_routes + to.stats().open_routes == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_fit_the_reserve_of_their_route() {
    for (from, to) in pairs().await {
        // 4 KiB for each message, and no more than one under way.
        let routes = QueryRoutes { incoming: 1 << 16, outgoing: 0, to_peers: 0 };
        open([&from, &to], 1, routes);
        let budget = to.route_budget(QueryId(1));
        assert_eq!((budget.message_bytes, budget.credit_bytes), (4096, 4096));
        let (mut sender, receiver) = ends(&from, &to, route(1, 1, 0, 1));
        let sending = tokio::spawn(async move {
            send(&mut sender, batch(0, 100_000)).await;
            sender.finish().await
        });
        let mut receiver = Box::pin(receiver);
        let mut rows = 0;
        while let Some(batch) = soon(receiver.next()).await {
            let batch = batch.unwrap();
            assert!(batch.num_rows() * 8 <= 4096, "{} rows", batch.num_rows());
            assert!(to.stats().buffered_bytes <= 8192, "{:?}", to.stats());
            rows += batch.num_rows();
        }
        assert_eq!(rows, 100_000);
        soon(sending).await.unwrap().unwrap();
        close([&from, &to], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_without_memory_keeps_one_message_under_way() {
    let (from, to) = (node(Driver::Flight).await, node(Driver::Flight).await);
    open([&from, &to], 1, 1);
    let (mut sender, mut receiver) = ends(&from, &to, route(1, 1, 0, 1));
    sender.set_window(0);
    let sending = tokio::spawn(async move { send_on(&mut sender).await });
    for _ in 0..20 {
        eventually(|| to.stats().buffered_bytes > 0).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(to.stats().buffered_bytes < 2 * 80_000, "one batch: {:?}", to.stats());
        soon(receiver.next()).await.unwrap().unwrap();
    }
    drop(receiver);
    assert_eq!(soon(sending).await.unwrap(), Ok(Sent::Stopped));
}
