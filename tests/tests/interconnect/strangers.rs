//! Strangers at the ports of clients and of nodes (row 31): random and forged requests are the stranger's fault, and
//! change nothing for anybody else. From a seed: `DAMSON_SEED`.

mod garbage;
mod requests;

use super::scene::*;
use damson_tests::processes::{ProcessCluster, Shell};
use garbage::Garbage;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::Builder;
use tonic::Code;

const REQUESTS: usize = 400;
const CONNECTIONS: usize = 40;

fn seed() -> u64 {
    std::env::var("DAMSON_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(31)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(120), work).await.expect("a request hangs") })
}

/// What a stranger may be told.
fn blames_the_stranger(code: Code) -> bool {
    matches!(code, Code::InvalidArgument | Code::Unauthenticated | Code::Unimplemented | Code::NotFound)
}

/// Everybody lives, remembers nothing of it, and no panic was logged.
fn is_unharmed(cluster: &mut ProcessCluster, shell: &Shell, expected: &[Vec<String>]) {
    assert_eq!(shell.rows(REDISTRIBUTED), expected);
    assert_eq!(shell.value("SELECT count(*) FROM pg_catalog.gp_running_slices WHERE slice > 0"), "0");
    let nodes = [cluster.master().try_wait(), cluster.segment(0).try_wait(), cluster.segment(1).try_wait()];
    assert_eq!(nodes, [None; 3], "a node ended");
    let logs = [cluster.master().stderr(), cluster.segment(0).stderr(), cluster.segment(1).stderr()];
    for log in logs {
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[test]
fn random_requests_to_the_clients_port() {
    let (mut cluster, shell) = cluster(Via::Unix, 2);
    let expected = shell.rows(REDISTRIBUTED);
    let address = cluster.client_address();
    block_on(async {
        let mut garbage = Garbage::new(seed());
        let mut client = requests::flight(address).await;
        for round in 0..REQUESTS {
            let request = garbage.request();
            match requests::send(&mut client, &request).await {
                // A listing that decodes by chance is answered; what is never answered is a statement.
                Ok(messages) => assert!(request.may_succeed(), "round {round}: {request:?} gave {messages} messages"),
                Err(status) => assert!(blames_the_stranger(status.code()), "round {round}: {request:?}: {status}"),
            }
        }
    });
    is_unharmed(&mut cluster, &shell, &expected);
}

#[test]
fn forged_and_replayed_tickets() {
    let (mut cluster, shell) = cluster(Via::Unix, 2);
    let expected = shell.rows(REDISTRIBUTED);
    let address = cluster.client_address();
    block_on(async {
        let mut owner = requests::log_in(address, "owner").await;
        let ticket = requests::ticket_of(&mut owner, "SELECT count(*) FROM big").await;
        // Another client's ticket, and every ticket that is nearly it.
        let mut thief = requests::log_in(address, "thief").await;
        let refused = |answer: Result<usize, tonic::Status>, what: &str| {
            let status = answer.expect_err(what);
            assert!(blames_the_stranger(status.code()), "{what}: {status}");
        };
        refused(requests::fetch(&mut thief, &ticket).await, "a stolen ticket");
        let mut garbage = Garbage::new(seed());
        for _ in 0..REQUESTS / 4 {
            refused(requests::fetch(&mut owner, &garbage.forge(&ticket)).await, "a forged ticket");
        }
        assert!(requests::fetch(&mut owner, &ticket).await.is_ok(), "the owner's own ticket is good");
        refused(requests::fetch(&mut owner, &ticket).await, "a replayed ticket");
        let mut stranger = requests::with_token(address, "00000000000000000000000000000000").await;
        let status = requests::fetch(&mut stranger, &ticket).await.expect_err("a forged session");
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    });
    is_unharmed(&mut cluster, &shell, &expected);
}

/// A decoder that skips unknown groups by recursion would overflow its stack, which nothing can catch.
#[test]
fn requests_that_nest_without_end() {
    let (mut cluster, shell) = cluster(Via::Unix, 2);
    let expected = shell.rows(REDISTRIBUTED);
    let address = cluster.client_address();
    block_on(async {
        for levels in [2_000, 200_000, 8 << 20] {
            for request in requests::nested(levels) {
                let mut client = requests::flight(address).await;
                let status = requests::send(&mut client, &request).await.expect_err("a refusal");
                assert!(blames_the_stranger(status.code()), "{status}");
            }
        }
    });
    is_unharmed(&mut cluster, &shell, &expected);
}

/// Bytes that are no HTTP/2, or HTTP/2 that is nothing more.
#[test]
fn random_bytes_to_every_port() {
    let (mut cluster, shell) = cluster(Via::PlainTcp, 2);
    let expected = shell.rows(REDISTRIBUTED);
    let ports = [cluster.client_address(), cluster.master_peer_address(), cluster.segment_address(0)];
    let mut garbage = Garbage::new(seed());
    for address in ports {
        for _ in 0..CONNECTIONS {
            garbage::throw(address, &garbage.connection());
        }
    }
    is_unharmed(&mut cluster, &shell, &expected);
}

/// Openings of routes that were never dispatched, calls of nobody, and bodies that are no frames.
#[test]
fn random_requests_to_the_nodes_ports() {
    let (mut cluster, shell) = cluster(Via::PlainTcp, 2);
    let expected = shell.rows(REDISTRIBUTED);
    let ports = [cluster.master_peer_address(), cluster.segment_address(0)];
    block_on(async {
        let mut garbage = Garbage::new(seed());
        for address in ports {
            let mut client = requests::flight(address).await;
            for _ in 0..REQUESTS {
                // Whether it is refused in the answer or by the end of the stream: it ends, and harms nobody.
                let _ = requests::send(&mut client, &garbage.node_request()).await;
            }
        }
    });
    is_unharmed(&mut cluster, &shell, &expected);
}

/// What a segment once said to another, said again by somebody else when its query is over (rows 10 and 31).
#[test]
fn a_recorded_stream_is_worth_nothing_later() {
    let (mut cluster, shell) = cluster(Via::PlainTcp, 2);
    let network = cluster.network().clone();
    network.record("seg0", "seg1");
    // New connections, whose beginnings are on record.
    network.close("seg0", "seg1");
    let expected = rows_eventually(&shell, REDISTRIBUTED);
    let recorded = network.recorded("seg0", "seg1");
    assert!(recorded.iter().any(|stream| stream.len() > 100_000), "no data was recorded");
    let target: SocketAddr = cluster.segment_address(1);
    let mut running = Running::start(&cluster, "running", FLOWING, 2);
    for stream in recorded.iter().chain(&recorded) {
        garbage::throw(target, stream);
    }
    assert!(running.client.try_wait().is_none(), "a replay disturbed a query: {}", running.client.stderr());
    running.client.kill();
    running.leaves_nothing(&shell);
    is_unharmed(&mut cluster, &shell, &expected);
}
