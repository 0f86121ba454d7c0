//! Random histories of many clients, whose dependencies tell whether some order could have been.

use damson_tests::TestCluster;
use damson_tests::history::{Campaign, ClientOrder, Level, ProcessCampaign, take_over};
use damson_tests::postgres::PostgresServer;
use damson_tests::processes::{ProcessCluster, Setup};
use damson_tests::random::seed_from_env;
use std::time::Duration;

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

/// The same over two masters that share a catalog: the active one is killed, stopped until it is deposed, and stopped for a moment, in
/// the middle of transactions, and tables are compacted all the while. Disturbances take `DAMSON_HISTORY_SECONDS` at each level.
#[test]
fn nothing_forbidden_is_seen_while_masters_take_over() {
    let Some(server) = PostgresServer::start() else { return };
    let seconds = std::env::var("DAMSON_HISTORY_SECONDS").map_or(25, |seconds| seconds.parse().expect("a number"));
    let catalog = Some(server.url().to_owned());
    let mut cluster = ProcessCluster::start_with(Setup { segments: 2, catalog, ..Setup::default() });
    for level in [Level::ReadCommitted, Level::RepeatableRead] {
        let seed = seed_from_env();
        let order = ClientOrder::Writers;
        let campaign = ProcessCampaign { seed, clients: 16, level, order, committed_min: 30 };
        campaign.run(&mut cluster, |cluster| take_over(cluster, seed, Duration::from_secs(seconds)));
    }
    cluster.wait_until_clean();
}
