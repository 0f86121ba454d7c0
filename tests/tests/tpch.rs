//! The 22 queries against the validation answers: on 1 to 4 segments of one process, and on processes over Flight.

use damson_tests::processes::ProcessCluster;
use damson_tests::tpch::{
    CREATE_TABLES, QUERIES, TABLES, compare_texts_with_answers, compare_with_answers, copy_statement, write_tbl_files,
};
use damson_tests::{Damson, TestCluster};

/// Statements that make and load all tables from `directory`.
fn load_statements(directory: &std::path::Path) -> Vec<String> {
    let copies = TABLES.iter().map(|table| copy_statement(table, directory));
    CREATE_TABLES.iter().map(ToString::to_string).chain(copies).collect()
}

async fn all_queries(session: &Damson, sf: f64) {
    let data = tempfile::tempdir().expect("a temporary directory");
    write_tbl_files(data.path(), sf).expect("room for the data");
    for statement in load_statements(data.path()) {
        session.execute(&statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
    let mut wrong = vec![];
    for n in 1..=QUERIES {
        let compared = match session.batches(damson::tpch::query(n)).await {
            Ok(batches) => compare_with_answers(sf, n, &batches),
            Err(error) => Err(format!("Q{n}: {error}")),
        };
        wrong.extend(compared.err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn on_segments(segments: usize, sf: f64) {
    let cluster = TestCluster::start(segments).await;
    all_queries(&cluster.session(), sf).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_segment() {
    on_segments(1, 0.01).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_segments() {
    on_segments(2, 0.01).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_segments() {
    on_segments(3, 0.01).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_segments() {
    on_segments(4, 0.01).await;
}

/// A gigabyte of data: `make tpch` checks the same answers; by hand, `cargo test --release … -- --ignored`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute and a gigabyte"]
async fn two_segments_at_scale_1() {
    on_segments(2, 1.0).await;
}

#[test]
fn processes_over_flight() {
    let data = tempfile::tempdir().expect("a temporary directory");
    write_tbl_files(data.path(), 0.01).expect("room for the data");
    let cluster = ProcessCluster::start(3);
    let shell = cluster.shell();
    let script = data.path().join("load.sql");
    std::fs::write(&script, load_statements(data.path()).join(";\n") + ";\n").expect("room for a script");
    let run = shell.run("table", &["-f", &script.display().to_string()]);
    assert!(run.success, "{}", run.stderr);
    let mut wrong = vec![];
    for n in 1..=QUERIES {
        wrong.extend(compare_texts_with_answers(0.01, n, &shell.rows(damson::tpch::query(n))).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
