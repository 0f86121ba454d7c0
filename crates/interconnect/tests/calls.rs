//! Control calls, within a node and between two.

mod support;

use async_trait::async_trait;
use bytes::Bytes;
use damson_cluster::{ContentId, Endpoint};
use damson_interconnect::{ControlError, ControlHandler, ControlStream, Driver, InterconnectError};
use futures::{StreamExt, stream};
use std::sync::Arc;
use std::time::Duration;
use support::*;
use tokio::sync::mpsc;

/// Answers by kind.
struct Handler {
    /// Told when a call's answer is dropped.
    dropped: mpsc::UnboundedSender<()>,
}

struct TellOnDrop(mpsc::UnboundedSender<()>);

impl Drop for TellOnDrop {
    fn drop(&mut self) {
        // A test that has ended does not listen.
        let _ = self.0.send(());
    }
}

fn refusal() -> ControlError {
    ControlError { code: "42P01".into(), message: "relation \"t\" does not exist".into() }
}

#[async_trait]
impl ControlHandler for Handler {
    async fn handle(&self, kind: &str, body: Bytes) -> Result<ControlStream, ControlError> {
        match kind {
            "echo" => Ok(stream::iter([Ok(body.clone()), Ok(Bytes::new()), Ok(body)]).boxed()),
            "nothing" => Ok(stream::empty().boxed()),
            "fail-later" => {
                Ok(stream::iter([Ok(body), Err(refusal().into()), Ok(Bytes::from_static(b"unseen"))]).boxed())
            }
            "forever" => {
                let guard = TellOnDrop(self.dropped.clone());
                let rest = stream::pending().inspect(move |_: &Result<Bytes, InterconnectError>| {
                    let _ = &guard;
                });
                Ok(stream::iter([Ok(body)]).chain(rest).boxed())
            }
            // The second answer comes a little later: so many turns as the body says.
            "later" => {
                let turns = body.first().copied().unwrap_or_default();
                let second = async move {
                    for _ in 0..turns {
                        tokio::task::yield_now().await;
                    }
                    Ok(Bytes::new())
                };
                Ok(stream::iter([Ok(body)]).chain(stream::once(second)).boxed())
            }
            _ => Err(refusal()),
        }
    }
}

fn handler() -> (Arc<Handler>, mpsc::UnboundedReceiver<()>) {
    let (dropped, receiver) = mpsc::unbounded_channel();
    (Arc::new(Handler { dropped }), receiver)
}

const SEG: ContentId = ContentId(3);

#[tokio::test(flavor = "multi_thread")]
async fn answers_and_refusals_arrive_as_they_are() {
    for (from, to) in pairs().await {
        to.set_handler(SEG, handler().0);
        let peer = to.endpoint();
        // Larger than gRPC's default of 4 MiB.
        let body = Bytes::from(vec![7; 9 << 20]);
        let answers = soon(from.call(&peer, SEG, "echo", body.clone())).await.unwrap();
        let answers = soon(answers.collect::<Vec<_>>()).await;
        assert!(answers == [Ok(body.clone()), Ok(Bytes::new()), Ok(body)]);

        let answers = soon(from.call(&peer, SEG, "nothing", Bytes::new())).await.unwrap();
        assert_eq!(soon(answers.collect::<Vec<_>>()).await, []);

        let error = soon(from.call(&peer, SEG, "unknown", Bytes::new())).await.err();
        assert_eq!(error, Some(InterconnectError::Control(refusal())));

        let answers = soon(from.call(&peer, SEG, "fail-later", Bytes::from_static(b"x"))).await.unwrap();
        let answers = soon(answers.take(2).collect::<Vec<_>>()).await;
        assert_eq!(answers, [Ok(Bytes::from_static(b"x")), Err(refusal().into())]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_answer_cancels_the_call() {
    for (from, to) in pairs().await {
        let (handler, mut dropped) = handler();
        to.set_handler(SEG, handler);
        let mut answers = soon(from.call(&to.endpoint(), SEG, "forever", Bytes::from_static(b"x"))).await.unwrap();
        assert_eq!(soon(answers.next()).await, Some(Ok(Bytes::from_static(b"x"))));
        assert!(dropped.try_recv().is_err());
        drop(answers);
        soon(dropped.recv()).await.unwrap();
    }
}

/// HTTP/2 takes answers to dropped calls for a peer's errors, of which it stands a thousand by itself.
#[tokio::test(flavor = "multi_thread")]
async fn many_calls_are_dropped_before_their_end() {
    const CALLS: usize = 20_000;
    const AT_ONCE: usize = 100;
    for (from, to) in pairs().await {
        to.set_handler(SEG, handler().0);
        let peer = to.endpoint();
        let calls = (0..CALLS).map(|at| {
            let (from, peer, body) = (Arc::clone(&from), peer.clone(), Bytes::from(vec![(at % 32) as u8]));
            async move {
                let mut answers = from.call(&peer, SEG, "later", body.clone()).await?;
                let first = answers.next().await;
                assert_eq!(first, Some(Ok(body)));
                Ok::<(), InterconnectError>(())
            }
        });
        let done: Vec<_> = stream::iter(calls).buffer_unordered(AT_ONCE).collect().await;
        assert_eq!(done.iter().find(|done| done.is_err()), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_content_or_peer_is_lost() {
    for (from, to) in pairs().await {
        let error = soon(from.call(&to.endpoint(), SEG, "echo", Bytes::new())).await.err();
        let reason = "it does not host seg3".into();
        assert_eq!(error, Some(InterconnectError::PeerLost { endpoint: to.endpoint(), reason }));
    }
    let from = node(Driver::Flight).await;
    let nobody = Endpoint("127.0.0.1:1".into());
    let error = soon(from.call(&nobody, SEG, "echo", Bytes::new())).await.err().unwrap();
    assert!(matches!(&error, InterconnectError::PeerLost { endpoint, .. } if *endpoint == nobody), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_in_mid_call_is_lost() {
    for driver in DRIVERS {
        let from = node(driver).await;
        let (to, shutdown) = node_with(driver, |_| {}).await;
        to.set_handler(SEG, handler().0);
        let mut answers = soon(from.call(&to.endpoint(), SEG, "forever", Bytes::from_static(b"x"))).await.unwrap();
        soon(answers.next()).await.unwrap().unwrap();
        shutdown.cancel();
        let error = soon(answers.next()).await.unwrap().unwrap_err();
        assert!(matches!(error, InterconnectError::PeerLost { .. }), "{error:?}");
        assert_eq!(soon(answers.next()).await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_build_is_refused() {
    for driver in DRIVERS {
        let from = node(driver).await;
        let (to, _) = node_with(driver, |config| config.build = "test-2 ☃".into()).await;
        to.set_handler(SEG, handler().0);
        let error = soon(from.call(&to.endpoint(), SEG, "echo", Bytes::new())).await.err();
        let Some(InterconnectError::Control(error)) = error else { panic!("{error:?}") };
        assert_eq!(error.code, ControlError::BUILD_MISMATCH);
        assert!(error.message.contains("test-1") && error.message.contains("test-2 ☃"), "{error}");

        open([&from, &to], 1, 1);
        let (mut sender, _receiver) = ends(&from, &to, route(1, 1, 0, 1));
        let error = send_on(&mut sender).await.unwrap_err().to_string();
        assert!(error.contains("test-1") && error.contains("test-2 ☃"), "{error}");
    }
}

/// Calls have a connection of their own.
#[tokio::test(flavor = "multi_thread")]
async fn calls_do_not_wait_for_data() {
    for (from, to) in peers().await {
        to.set_handler(SEG, handler().0);
        open([&from, &to], 1, 8);
        let mut routes = vec![];
        for motion in 0..8 {
            let (mut sender, receiver) = ends(&from, &to, route(1, motion, 0, 3));
            routes.push((tokio::spawn(async move { send_on(&mut sender).await }), receiver));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let answers = soon(from.call(&to.endpoint(), SEG, "echo", Bytes::from_static(b"x"))).await.unwrap();
        assert_eq!(soon(answers.collect::<Vec<_>>()).await.len(), 3);
    }
}
