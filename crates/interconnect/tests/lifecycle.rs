//! Queries that begin late, end early or lose a node.

mod support;

use damson_cluster::{ContentId, Endpoint, QueryId};
use damson_interconnect::{Driver, Node, NodeConfig, RouteError, RouteState, Sent};
use futures::StreamExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::*;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

fn cancelled(query: u64) -> RouteError {
    RouteError::Cancelled { query: QueryId(query) }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_sender_is_held_to_one_batch_until_the_reader_comes() {
    for (from, to) in pairs().await {
        from.open_query(QueryId(1), 0, support::SECRET);
        let key = route(1, 1, 0, 1);
        let mut sender = from.sender(key, &to.endpoint(), schema());
        send(&mut sender, batch(0, 10)).await;
        let sending = tokio::spawn(async move {
            send(&mut sender, batch(10, 10)).await;
            sender.finish().await.unwrap();
        });
        eventually(|| to.stats().buffered_bytes > 0).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!sending.is_finished(), "the second batch waits for credit");
        to.open_query(QueryId(1), 1, support::SECRET);
        let receiver = to.receiver(key, schema());
        assert_eq!(drain(receiver).await.unwrap(), [batch(0, 10), batch(10, 10)]);
        soon(sending).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_stream_outlives_its_query_at_the_sender() {
    for (from, to) in peers().await {
        from.open_query(QueryId(1), 0, support::SECRET);
        let key = route(1, 1, 0, 1);
        let mut sender = from.sender(key, &to.endpoint(), schema());
        send(&mut sender, batch(0, 10)).await;
        sender.finish().await.unwrap();
        from.close_query(QueryId(1), None);
        to.open_query(QueryId(1), 1, support::SECRET);
        assert_eq!(drain(to.receiver(key, schema())).await.unwrap(), [batch(0, 10)]);
    }
}

/// Two segments of one process: the first may be done before the second has begun.
#[tokio::test(flavor = "multi_thread")]
async fn contents_of_one_node_begin_and_end_for_themselves() {
    for (from, to) in pairs().await {
        let [done, later] = [route(1, 1, 5, 0), route(1, 1, 5, 1)];
        let mut sender = from.sender(later, &to.endpoint(), schema());
        if !Arc::ptr_eq(&from, &to) {
            // A sender's node must have opened the query.
            assert_eq!(sender.send(batch(0, 1)).await, Err(cancelled(1)));
            from.open_query(QueryId(1), 0, support::SECRET);
            sender = from.sender(later, &to.endpoint(), schema());
        }
        send(&mut sender, batch(0, 10)).await;
        sender.finish().await.unwrap();
        eventually(|| to.stats().buffered_bytes > 0).await;

        to.open_query(QueryId(1), 1, support::SECRET);
        let (first, receiver) = ends(&from, &to, done);
        first.finish().await.unwrap();
        assert_eq!(drain(receiver).await, Ok(vec![]));
        to.close_query(QueryId(1), None);
        if Arc::ptr_eq(&from, &to) {
            to.open_query(QueryId(1), 0, support::SECRET);
        }

        // A late sender to the one that is done is stopped; the early route of the other is still there.
        let mut late = from.sender(route(1, 2, 5, 0), &to.endpoint(), schema());
        assert_eq!(send_on(&mut late).await, Ok(Sent::Stopped));
        to.open_query(QueryId(1), 1, support::SECRET);
        assert_eq!(drain(to.receiver(later, schema())).await.unwrap(), [batch(0, 10)]);
    }
}

/// A content whose slice fails before it reads: what came for it is freed at once, not when a query's time is long over.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_for_a_content_that_never_read_is_freed_with_it() {
    for (from, to) in peers().await {
        from.open_query(QueryId(1), 0, support::SECRET);
        let [complete, open, other] = [route(1, 1, 5, 0), route(1, 2, 5, 0), route(1, 1, 5, 1)];
        let mut sender = from.sender(complete, &to.endpoint(), schema());
        send(&mut sender, batch(0, 10)).await;
        sender.finish().await.unwrap();
        let mut waiting = from.sender(open, &to.endpoint(), schema());
        send(&mut waiting, batch(0, 10)).await;
        let held = |routes: u64| routes * from.route_stats()[0].moved.bytes;
        eventually(|| to.stats().buffered_bytes == held(2)).await;
        let mut early = from.sender(other, &to.endpoint(), schema());
        send(&mut early, batch(0, 10)).await;
        early.finish().await.unwrap();
        eventually(|| to.stats().buffered_bytes == held(3)).await;

        to.open_query(QueryId(1), 3, support::SECRET);
        to.close_content(QueryId(1), ContentId(0));
        assert_eq!(to.stats().buffered_bytes, held(1), "only the other content's rows are kept");
        assert_eq!(soon(send_on(&mut waiting)).await, Ok(Sent::Stopped));
        to.open_query(QueryId(1), 3, support::SECRET);
        assert_eq!(drain(to.receiver(other, schema())).await.unwrap(), [batch(0, 10)]);
        to.close_content(QueryId(1), ContentId(1));
        assert!(to.route_stats().iter().all(|line| line.state != RouteState::Open));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_with_a_reason_wakes_everybody_at_once() {
    for (from, to) in pairs().await {
        for (query, closing) in [(1, &from), (2, &to)] {
            open([&from, &to], query, 2);
            let (mut waiting, mut idle) = ends(&from, &to, route(query, 1, 0, 1));
            let (mut blocked, _unread) = ends(&from, &to, route(query, 2, 0, 1));
            let sending = tokio::spawn(async move { send_on(&mut blocked).await });
            let reading = tokio::spawn(async move { (idle.next().await, idle.next().await) });
            eventually(|| to.stats().buffered_bytes > 1 << 20).await;

            let start = Instant::now();
            let reason = RouteError::Remote { code: "57014".into(), message: "canceling statement".into() };
            closing.close_query(QueryId(query), Some(reason.clone()));
            assert_eq!(soon(sending).await.unwrap(), Err(reason.clone()));
            assert_eq!(soon(reading).await.unwrap(), (Some(Err(reason.clone())), None));
            assert!(start.elapsed() < Duration::from_secs(10), "it took {:?}", start.elapsed());
            assert_eq!(send_on(&mut waiting).await, Err(reason.clone()));
            eventually(|| to.stats().buffered_bytes == 0).await;

            // Late routes are refused with the same reason, and what closes afterwards does no harm.
            let (mut sender, receiver) = ends(&from, &to, route(query, 3, 0, 1));
            if Arc::ptr_eq(closing, &to) {
                assert_eq!(drain(receiver).await, Err(reason.clone()));
            }
            assert_eq!(send_on(&mut sender).await, Err(reason));
            close([&from, &to], query);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_normal_end_cancels_what_was_left_open() {
    for (from, to) in pairs().await {
        open([&from, &to], 1, 1);
        let (mut sender, mut receiver) = ends(&from, &to, route(1, 1, 0, 1));
        send(&mut sender, batch(0, 1)).await;
        soon(receiver.next()).await.unwrap().unwrap();
        close([&from, &to], 1);
        let error = soon(receiver.next()).await.unwrap().unwrap_err();
        assert_eq!(error, cancelled(1));
        assert_eq!(error.to_string(), "q1 was cancelled");
        assert_eq!(send_on(&mut sender).await, Err(cancelled(1)));
        for stats in [from.stats(), to.stats()] {
            assert_eq!((stats.buffered_bytes, stats.open_routes, stats.open_queries), (0, 0, 0));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_has_one_sender_and_one_reader() {
    for (from, to) in pairs().await {
        open([&from, &to], 1, 1);
        let (mut sender, receiver) = ends(&from, &to, route(1, 1, 0, 1));
        let (mut second, reader) = ends(&from, &to, route(1, 1, 0, 1));
        assert!(matches!(second.send(batch(0, 1)).await, Err(RouteError::Protocol { .. })));
        assert!(matches!(drain(reader).await, Err(RouteError::Protocol { .. })));
        drop(second);
        send(&mut sender, batch(0, 1)).await;
        sender.finish().await.unwrap();
        assert_eq!(drain(receiver).await.unwrap(), [batch(0, 1)]);
    }
}

/// A node in a runtime of its own, which stands for a process.
fn process(driver: Driver) -> (Runtime, Arc<Node>) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let node = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(node(driver))).join().unwrap());
    (runtime, node)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_receiver_is_lost_to_its_senders() {
    for driver in DRIVERS {
        let from = node(driver).await;
        let (runtime, to) = process(driver);
        open([&from, &to], 1, 1);
        let (mut sender, mut receiver) = ends(&from, &to, route(1, 1, 0, 1));
        send(&mut sender, batch(0, 10)).await;
        soon(receiver.next()).await.unwrap().unwrap();
        let sending = tokio::spawn(async move { send_on(&mut sender).await });
        runtime.shutdown_background();
        let error = soon(sending).await.unwrap().unwrap_err();
        assert!(matches!(error, RouteError::PeerLost { .. }), "{error:?}");
        // Nobody listens any more.
        let mut sender = from.sender(route(1, 2, 0, 1), &to.endpoint(), schema());
        let error = send_on(&mut sender).await.unwrap_err();
        assert!(matches!(error, RouteError::PeerLost { .. }), "{error:?}");
        assert!(error.to_string().starts_with("q1 m2 seg0->seg1: "), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sender_is_an_error_to_its_receivers() {
    for driver in DRIVERS {
        let (runtime, from) = process(driver);
        let to = node(driver).await;
        open([&from, &to], 1, 1);
        let (mut sender, mut receiver) = ends(&from, &to, route(1, 1, 0, 1));
        send(&mut sender, batch(0, 10)).await;
        soon(receiver.next()).await.unwrap().unwrap();
        runtime.shutdown_background();
        let error = soon(receiver.next()).await.unwrap().unwrap_err();
        assert!(matches!(error, RouteError::PeerLost { .. }), "{error:?}");
        assert_eq!(soon(receiver.next()).await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_comes_back() {
    for driver in DRIVERS {
        let from = node(driver).await;
        let (runtime, to) = process(driver);
        let endpoint = to.endpoint();
        open([&from, &to], 1, 1);
        let (sender, receiver) = ends(&from, &to, route(1, 1, 0, 1));
        sender.finish().await.unwrap();
        assert_eq!(drain(receiver).await, Ok(vec![]));
        runtime.shutdown_background();

        let listener = loop {
            match TcpListener::bind(&endpoint.0).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let reborn = Node::new(config(driver, endpoint));
        tokio::spawn(Arc::clone(&reborn).serve(listener, CancellationToken::new()));
        open([&from, &reborn], 2, 8);
        // A connection that has not noticed yet may fail once.
        soon(async {
            for motion in 1.. {
                let (mut sender, receiver) = ends(&from, &reborn, route(2, motion, 0, 1));
                if sender.send(batch(0, 10)).await.is_ok()
                    && sender.finish().await.is_ok()
                    && let Ok(Ok(batches)) = tokio::time::timeout(Duration::from_millis(500), drain(receiver)).await
                {
                    assert_eq!(batches, [batch(0, 10)]);
                    return;
                }
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_ends_routes_and_the_server() {
    for driver in DRIVERS {
        let from = node(driver).await;
        let listener = listener().await;
        let endpoint = Endpoint(listener.local_addr().unwrap().to_string());
        let to = Node::new(config(driver, endpoint));
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(Arc::clone(&to).serve(listener, shutdown.clone()));
        open([&from, &to], 1, 1);
        let (mut sender, mut receiver) = ends(&from, &to, route(1, 1, 0, 1));
        send(&mut sender, batch(0, 10)).await;
        soon(receiver.next()).await.unwrap().unwrap();
        shutdown.cancel();
        assert!(matches!(soon(receiver.next()).await, Some(Err(RouteError::PeerLost { .. }))));
        assert!(matches!(send_on(&mut sender).await, Err(RouteError::PeerLost { .. })));
        soon(serving).await.unwrap().unwrap();
    }
}

/// A node for peers that are no nodes, but listeners of a test, and that are lost in the time that users have. A killed node's
/// unix socket stays in the file system: one with their port in its name would be tried first, and refuse.
async fn node_of_silent_peers(driver: Driver) -> Arc<Node> {
    let defaults = NodeConfig::new(Endpoint::in_process(), support::BUILD, Handle::current());
    let change = |config: &mut NodeConfig| {
        (config.unix_sockets, config.peer_timeout_ms) = (false, defaults.peer_timeout_ms);
    };
    node_with(driver, change).await.0
}

/// A peer that is stopped, not dead: its kernel keeps the connection, nothing answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_peer_is_lost() {
    let from = node_of_silent_peers(Driver::Flight).await;
    let to = node_of_silent_peers(Driver::Flight).await;
    // Everything passes through here, until it does not.
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = Endpoint(proxy.local_addr().unwrap().to_string());
    let target = to.endpoint().0;
    let freeze = CancellationToken::new();
    let frozen = freeze.clone();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = proxy.accept().await.unwrap();
            let mut far = TcpStream::connect(&target).await.unwrap();
            let frozen = frozen.clone();
            tokio::spawn(async move {
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    () = frozen.cancelled() => std::future::pending::<()>().await,
                }
            });
        }
    });
    open([&from, &to], 1, 1);
    let mut sender = from.sender(route(1, 1, 0, 1), &through, schema());
    let mut receiver = to.receiver(route(1, 1, 0, 1), schema());
    send(&mut sender, batch(0, 10)).await;
    soon(receiver.next()).await.unwrap().unwrap();
    freeze.cancel();
    let start = Instant::now();
    assert!(matches!(soon(receiver.next()).await, Some(Err(RouteError::PeerLost { .. }))));
    assert!(matches!(send_on(&mut sender).await, Err(RouteError::PeerLost { .. })));
    assert!(start.elapsed() < Duration::from_secs(8), "it took {:?}", start.elapsed());
}

/// A stream that was finished before its connection broke did not arrive: the sender is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_finished_stream_that_cannot_arrive_is_an_error() {
    for driver in DRIVERS {
        let from = node_of_silent_peers(driver).await;
        // Accepts, and never says a word.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let udp = UdpSocket::bind(silent.local_addr().unwrap()).await;
        let peer = Endpoint(silent.local_addr().unwrap().to_string());
        from.open_query(QueryId(1), 1, SECRET);
        let mut sender = from.sender(route(1, 1, 0, 1), &peer, batch(0, 1).schema());
        send(&mut sender, batch(0, 1)).await;
        let finished = tokio::time::timeout(Duration::from_secs(10), sender.finish()).await.unwrap();
        assert!(matches!(finished, Err(RouteError::PeerLost { .. })), "{driver:?}: {finished:?}");
        drop((silent, udp));
    }
}
