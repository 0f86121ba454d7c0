//! Random queries on plain DataFusion, one segment and four.
//!
//! `DAMSON_SEED=… cargo test --release -p damson-tests random::` runs others.

use damson_tests::random::{Campaign, seed_from_env};
use damson_tests::{PlainDataFusion, Target, TestCluster};

#[tokio::test(flavor = "multi_thread")]
async fn agree_on_every_number_of_segments() {
    let one = TestCluster::start(1).await;
    let four = TestCluster::start(4).await;
    let mut targets: Vec<Box<dyn Target>> =
        vec![Box::new(PlainDataFusion::new().sorting_apart()), Box::new(one.session()), Box::new(four.session())];
    Campaign { seed: seed_from_env(), universes: 4, queries: 50 }.run(&mut targets).await;
    drop(targets);
    one.shutdown().await;
    four.shutdown().await;
}

/// In the middle of an expansion tables are laid out by different bucket maps, and some segments have nothing of some tables.
#[tokio::test(flavor = "multi_thread")]
async fn agree_where_tables_are_laid_out_by_different_maps() {
    let three = TestCluster::start(3).await;
    let mixed = three.session().with_mixed_bucket_maps(3);
    let mut targets: Vec<Box<dyn Target>> = vec![Box::new(PlainDataFusion::new().sorting_apart()), Box::new(mixed)];
    Campaign { seed: seed_from_env().wrapping_add(1), universes: 4, queries: 50 }.run(&mut targets).await;
    drop(targets);
    three.shutdown().await;
}
