//! What two threads can do to a node at once.

use super::*;
use damson_cluster::MotionId;
use std::sync::Barrier;

const ROUNDS: u64 = 3_000;

fn opening(query: u64, secret: [u8; 16]) -> Opening {
    let (sender, receiver) = (ContentId(0), ContentId(1));
    let route = RouteKey { query: QueryId(query), motion: MotionId(1), sender, receiver };
    Opening::new("test", route, QuerySecret::from_bytes(secret).ticket(&route))
}

/// A ticket that comes in the very moment in which its query is opened is verified by one of the two.
#[tokio::test]
async fn no_moment_lets_a_forged_ticket_in() {
    let config = NodeConfig::new(Endpoint::in_process(), "test", tokio::runtime::Handle::current());
    let node = Node::new(config);
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for query in 1..=ROUNDS {
                barrier.wait();
                node.open_query(QueryId(query), 1, QuerySecret::from_bytes([1; 16]));
                barrier.wait();
            }
        });
        for query in 1..=ROUNDS {
            let forged = opening(query, [2; 16]);
            barrier.wait();
            let accepted = node.accept(&forged);
            barrier.wait();
            // It came before the query, which has failed it, or it was refused.
            assert!(accepted.is_err() || accepted.is_ok_and(|inbox| !inbox.is_open()), "{}", forged.route);
            node.close_query(QueryId(query), None);
        }
    });
}
