//! What queries take from the memory pool, they give back, however they end.

use damson::{LocalCluster, LocalClusterConfig};
use damson_tests::Damson;
use std::time::{Duration, Instant};

/// Tasks that were cancelled end at their next pause.
const GIVEN_BACK_MAX: Duration = Duration::from_secs(10);

async fn all_is_given_back(cluster: &LocalCluster, after: &str) {
    let started = Instant::now();
    while cluster.memory_reserved() > 0 {
        let reserved = cluster.memory_reserved();
        assert!(started.elapsed() < GIVEN_BACK_MAX, "{reserved} bytes are still reserved after {after}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_leaves_nothing_in_the_memory_pool() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let config = LocalClusterConfig {
        data_dir: data.path().to_path_buf(),
        segments: 4,
        memory_bytes_max: 64 << 20,
        ..Default::default()
    };
    let cluster = LocalCluster::start(config).await.expect("a cluster");
    let session = Damson::new(cluster.master().session("tester"));
    for sql in [
        "CREATE TABLE big (k int, v int, t text) DISTRIBUTED BY (k)",
        "INSERT INTO big SELECT x, x % 1000, 'some text that takes a hundred bytes or more, so that a few hundred thousand \
         rows are more than the pool has' || x FROM generate_series(1, 400000) AS g(x)",
    ] {
        session.execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        all_is_given_back(&cluster, sql).await;
    }

    // Both sides move, and what a hash join builds does not spill.
    let too_large = "SELECT count(*), max(a.t) FROM big a JOIN big b ON a.t = b.t";
    for sql in [too_large, &format!("EXPLAIN ANALYZE {too_large}")] {
        for _ in 0..3 {
            let error = session.execute(sql).await.expect_err("more than the pool has");
            assert_eq!(error.state.0, "53200", "{error}");
            all_is_given_back(&cluster, sql).await;
        }
    }

    // Stopped early, cancelled by the client's leaving, failed by a row, and run to the end.
    assert_eq!(session.lines("SELECT k FROM big WHERE v >= 0 LIMIT 3").await.len(), 3);
    all_is_given_back(&cluster, "a LIMIT").await;
    let part = "(SELECT v FROM big WHERE k <= 20000)";
    let endless = format!("SELECT count(*) FROM {part} a, {part} b, {part} c WHERE a.v + b.v + c.v = -1");
    let left = tokio::time::timeout(Duration::from_millis(500), session.execute(&endless)).await;
    assert!(left.is_err(), "it runs for hours");
    all_is_given_back(&cluster, "a cancel").await;
    let error = session.execute("SELECT v, sum(1000 / (v - 999)) FROM big GROUP BY v").await.expect_err("1 / 0");
    assert_eq!(error.state.0, "22012", "{error}");
    all_is_given_back(&cluster, "an error").await;
    assert_eq!(session.lines("SELECT count(*) FROM (SELECT v, count(*) FROM big GROUP BY v) x").await, ["1000"]);
    all_is_given_back(&cluster, "a query").await;
    cluster.shutdown().await;
}
