//! Random histories of many clients, whose dependencies tell whether some order could have been.

use damson_tests::TestCluster;
use damson_tests::history::{Campaign, Level};
use damson_tests::random::seed_from_env;

/// `DAMSON_TRANSACTIONS` for each of the 16 clients, `DAMSON_SEED` for others.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_seen_that_a_level_forbids() {
    let transactions = std::env::var("DAMSON_TRANSACTIONS").map_or(12, |count| count.parse().expect("a number"));
    for level in [Level::ReadCommitted, Level::RepeatableRead] {
        let cluster = TestCluster::start(2).await;
        let campaign = Campaign { seed: seed_from_env(), clients: 16, transactions, level };
        campaign.run(&cluster).await;
        cluster.shutdown().await;
    }
}
