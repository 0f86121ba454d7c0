//! The .slt files on plain DataFusion, on one segment and on three.
//!
//! `DAMSON_SLT=joins` runs the files whose path contains `joins`. `DAMSON_BLESS=1 … slt::datafusion` writes what plain
//! DataFusion gives into the files that it shares with Damson: read the difference before it is committed.

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
