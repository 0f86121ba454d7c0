//! The .slt files on plain DataFusion, on one segment and on three, and with the tables of three in a bucket.
//!
//! `DAMSON_SLT=joins` runs the files whose path contains `joins`. `DAMSON_BLESS=1 … slt::datafusion` writes what plain
//! DataFusion gives into the files that it shares with Damson: read the difference before it is committed.

use damson_tests::s3_server::{BUCKET, KEY, S3Server, SECRET};
use damson_tests::{PlainDataFusion, TestCluster, slt};
use std::path::PathBuf;

/// Files that hold for both engines.
fn shared_files() -> Vec<PathBuf> {
    [slt::files(""), slt::files("pairs")].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn datafusion() {
    if std::env::var_os("DAMSON_BLESS").is_some() {
        slt::bless(&shared_files(), PlainDataFusion::new).await;
    }
    slt::run(&shared_files(), PlainDataFusion::new).await.assert_passed("plain DataFusion");
}

async fn on_segments(segments: usize) {
    let cluster = TestCluster::start(segments).await;
    let files = [shared_files(), slt::files("postgres")].concat();
    let report = slt::run(&files, || cluster.session()).await;
    cluster.shutdown().await;
    report.assert_passed(&format!("{segments} segments"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_segment() {
    on_segments(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_segments() {
    on_segments(3).await;
}

/// Every table that does not name another tablespace is on a real S3 server.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_bucket() {
    // It has a runtime of its own.
    let server = tokio::task::spawn_blocking(S3Server::start).await.expect("a server");
    let cluster = TestCluster::start(3).await;
    let session = cluster.session();
    let setup = [
        format!(
            "CREATE SECRET bucket_key (TYPE s3, KEY_ID '{KEY}', SECRET '{SECRET}', REGION 'us-east-1', ENDPOINT '{}')",
            server.endpoint()
        ),
        format!("CREATE TABLESPACE bucket LOCATION 's3://{BUCKET}/tables' WITH (secret = bucket_key)"),
    ];
    for sql in setup {
        session.execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    // As the files' sessions make them.
    let probe = cluster.session().in_tablespace("bucket");
    probe.execute("CREATE TABLE probe AS SELECT 1 AS a").await.expect("a table");
    assert_eq!(server.objects().len(), 1, "{:?}", server.objects());
    let before = server.requests();

    let files = [shared_files(), slt::files("postgres")].concat();
    let report = slt::run(&files, || cluster.session().in_tablespace("bucket")).await;
    assert_eq!(probe.lines("SELECT a FROM probe").await, ["1"]);
    cluster.shutdown().await;
    report.assert_passed("three segments with tables in a bucket");
    let requests = server.requests() - before;
    println!("{requests} requests");
    let is_whole = std::env::var_os("DAMSON_SLT").is_none();
    assert!(!is_whole || requests > 10 * files.len(), "the tables were elsewhere");
}
