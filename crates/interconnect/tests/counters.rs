//! What routes count: in process, over a unix socket and over TCP.

mod support;

use damson_cluster::{ContentId, QueryId};
use damson_interconnect::{Direction, Driver, Node, RouteError, RouteState, RouteStats, Sent, Transport};
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use support::*;

/// Sender's and receiver's node, and what carries routes between them.
async fn ways() -> [(Arc<Node>, Arc<Node>, Transport); 3] {
    let one = node(Driver::Auto).await;
    let unix = (node(Driver::Auto).await, node(Driver::Auto).await);
    wait_for_unix_socket(&unix.0, &unix.1).await;
    [
        (Arc::clone(&one), one, Transport::InProcess),
        (unix.0, unix.1, Transport::FlightUnix),
        (tcp_node().await, tcp_node().await, Transport::FlightTcp),
    ]
}

async fn tcp_node() -> Arc<Node> {
    node_with(Driver::Auto, |config| config.unix_sockets = false).await.0
}

/// A node binds its socket a moment after it is made; until then its peers use TCP.
async fn wait_for_unix_socket(from: &Arc<Node>, to: &Arc<Node>) {
    let motion = AtomicU32::new(1000);
    open([from, to], 1000, 0);
    eventually(|| {
        let motion = motion.fetch_add(1, Ordering::Relaxed);
        let (_sender, _receiver) = ends(from, to, route(1000, motion, 0, 1));
        line(from, motion, Direction::Send).transport == Some(Transport::FlightUnix)
    })
    .await;
    close([from, to], 1000);
}

/// The only line of a motion in one direction.
fn line(node: &Node, motion: u32, direction: Direction) -> RouteStats {
    let mut lines = node.route_stats();
    lines.retain(|line| line.motion.0 == motion && line.direction == direction);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_count_the_same() {
    for (from, to, transport) in ways().await {
        open([&from, &to], 7, 1);
        let (mut sender, receiver) = ends(&from, &to, route(7, 3, 0, 1));
        let sending = tokio::spawn(async move {
            for i in 0..50 {
                send(&mut sender, batch(i * 1000, 1000)).await;
            }
            let moved = sender.moved();
            sender.finish().await.unwrap();
            moved
        });
        drain(receiver).await.unwrap();
        let moved = soon(sending).await.unwrap();
        assert_eq!((moved.batches, moved.rows), (50, 50_000));
        assert!(moved.bytes >= 50_000 * 8 && moved.bytes < 50_000 * 9, "{moved:?}");
        let (sent, received) = (line(&from, 3, Direction::Send), line(&to, 3, Direction::Receive));
        for (line, content, peer) in [(sent, 0, 1), (received, 1, 0)] {
            assert_eq!((line.query, line.content, line.peer), (QueryId(7), ContentId(content), Some(ContentId(peer))));
            assert_eq!((line.transport, line.state, line.routes), (Some(transport), RouteState::Ended, 1));
            assert_eq!((line.moved.batches, line.moved.rows), (50, 50_000));
            assert_eq!(line.moved.bytes, moved.bytes);
        }
        close([&from, &to], 7);
        if Arc::ptr_eq(&from, &to) {
            close([&from, &to], 7);
        }
        assert_eq!(line(&from, 3, Direction::Send), sent, "an ended query is remembered");
        assert_eq!(line(&to, 3, Direction::Receive), received);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_the_senders_blocked_time() {
    for (from, to, _) in ways().await {
        open([&from, &to], 1, 1);
        let (mut sender, mut receiver) = ends(&from, &to, route(1, 1, 0, 1));
        let sending = tokio::spawn(async move { send_on(&mut sender).await });
        // The credit is spent, and nobody reads.
        let pause_ns = 100_000_000;
        eventually(|| line(&from, 1, Direction::Send).moved.blocked_ns >= pause_ns).await;
        let sent = line(&from, 1, Direction::Send);
        assert!(sent.moved.bytes <= 5 << 20, "no more than the credit is sent: {sent:?}");
        assert_eq!((sent.state, sent.moved.batches), (RouteState::Open, sent.moved.rows / 10_000));
        // All that is there is taken: the reader has not waited for it.
        for _ in 0..sent.moved.batches {
            soon(receiver.next()).await.unwrap().unwrap();
        }
        let received = line(&to, 1, Direction::Receive);
        assert!(received.moved.blocked_ns < pause_ns, "{received:?}");
        drop(receiver);
        assert_eq!(soon(sending).await.unwrap(), Ok(Sent::Stopped));
        eventually(|| line(&from, 1, Direction::Send).state == RouteState::Stopped).await;
        assert_eq!(line(&to, 1, Direction::Receive).state, RouteState::Stopped);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sender_is_the_receivers_waiting_time() {
    for (from, to, _) in ways().await {
        open([&from, &to], 1, 1);
        let (mut sender, mut receiver) = ends(&from, &to, route(1, 1, 0, 1));
        let (wants, wanted) = tokio::sync::oneshot::channel();
        let reading = tokio::spawn(async move {
            soon(receiver.next()).await.unwrap().unwrap();
            wanted.await.unwrap();
            receiver
        });
        let pause_ns = 100_000_000;
        eventually(|| line(&to, 1, Direction::Receive).moved.blocked_ns >= pause_ns).await;
        send(&mut sender, batch(0, 10)).await;
        wants.send(()).unwrap();
        let receiver = soon(reading).await.unwrap();
        receiver.spills().add(77);
        let waited = line(&to, 1, Direction::Receive).moved;
        assert_eq!(waited.spilled_bytes, 77);
        assert_eq!((waited.batches, waited.rows), (1, 10));
        // A reader that does not ask does not wait.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(line(&to, 1, Direction::Receive).moved, waited);
        let sent = line(&from, 1, Direction::Send).moved;
        assert!(sent.blocked_ns < pause_ns, "{sent:?}");
        sender.finish().await.unwrap();
        drain(receiver).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_say_how_they_ended() {
    for (from, to, _) in ways().await {
        open([&from, &to], 1, 3);
        let (mut sender, receiver) = ends(&from, &to, route(1, 1, 0, 1));
        send(&mut sender, batch(0, 10)).await;
        sender.fail(RouteError::Cancelled { query: QueryId(1) }).await;
        drain(receiver).await.unwrap_err();
        assert_eq!(line(&from, 1, Direction::Send).state, RouteState::Failed);
        assert_eq!(line(&to, 1, Direction::Receive).state, RouteState::Failed);

        let (mut sender, receiver) = ends(&from, &to, route(1, 2, 0, 1));
        send(&mut sender, batch(0, 10)).await;
        let close = |node: &Arc<Node>| node.close_query(QueryId(1), Some(RouteError::Cancelled { query: QueryId(1) }));
        close(&from);
        close(&to);
        assert_eq!(line(&from, 2, Direction::Send).state, RouteState::Cancelled);
        assert_eq!(line(&to, 2, Direction::Receive).state, RouteState::Cancelled);
        assert_eq!(line(&from, 1, Direction::Send).state, RouteState::Failed, "ended before the query did");
        drop((sender, receiver));
        assert_eq!(line(&to, 2, Direction::Receive).state, RouteState::Cancelled);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_counts_each_route() {
    let (here, there) = (tcp_node().await, tcp_node().await);
    open([&here, &there], 1, 2);
    let routes = [(route(1, 1, 0, 0), here.endpoint()), (route(1, 1, 0, 1), there.endpoint())];
    let mut sender = here.broadcast(&routes, schema()).unwrap();
    let (local, remote) = (here.receiver(routes[0].0, schema()), there.receiver(routes[1].0, schema()));
    assert_eq!(soon(sender.send(batch(0, 1000))).await, Ok(2));
    drop(local);
    assert_eq!(soon(sender.send(batch(1000, 1000))).await, Ok(1));
    let moved = sender.moved();
    assert_eq!((moved.batches, moved.rows), (3, 3000), "of the stopped one as well");
    sender.finish().await.unwrap();
    assert_eq!(drain(remote).await.unwrap().len(), 2);
    let mut sent = here.route_stats();
    sent.retain(|line| line.direction == Direction::Send);
    sent.sort_by_key(|line| line.peer);
    let shape: Vec<_> = sent.iter().map(|line| (line.transport, line.state, line.moved.rows)).collect();
    let expected = [
        (Some(Transport::InProcess), RouteState::Stopped, 1000),
        (Some(Transport::FlightTcp), RouteState::Ended, 2000),
    ];
    assert_eq!(shape, expected);
}

/// More routes than are shown one by one.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_routes_are_a_line_a_motion() {
    let node = node(Driver::Auto).await;
    node.open_query(QueryId(1), 5000, support::SECRET);
    for motion in [1, 2] {
        for sender in 0..2500 {
            let (mut sender, receiver) = ends(&node, &node, route(1, motion, sender, 0));
            send(&mut sender, batch(0, 1)).await;
            sender.finish().await.unwrap();
            drain(receiver).await.unwrap();
        }
    }
    for _ in 0..2 {
        let received = line(&node, 2, Direction::Receive);
        assert_eq!((received.routes, received.peer, received.moved.rows), (2500, None, 2500));
        // The second time: of the ended query.
        node.close_query(QueryId(1), None);
    }
}
