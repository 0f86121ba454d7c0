//! A table with a sort key and a Bloom filter: each statement's file is sorted, VACUUM makes one run of them, and scans are spared what they
//! need not see.

use damson_tests::{Damson, TestCluster};

const ROWS: i64 = 70_000;
const STATEMENTS: i64 = 3;

/// One column in the order of the files: one segment scans them one after the other.
async fn in_order_of_files(session: &Damson, column: &str) -> Vec<i64> {
    let lines = session.lines(&format!("SELECT {column} FROM events")).await;
    lines.iter().map(|line| line.parse().unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

async fn analyzed(session: &Damson, condition: &str) -> String {
    session.text(&format!("EXPLAIN ANALYZE SELECT k, ts, v FROM events WHERE {condition}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_sorted_merged_and_left_out() {
    let cluster = TestCluster::start(1).await;
    let session = cluster.session();
    let run = async |sql: &str| {
        session.execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    };
    run("CREATE TABLE events (k int, ts int, v int) WITH (sort_key='ts', bloom_filter_columns='v') DISTRIBUTED BY (k)")
        .await;
    for statement in 0..STATEMENTS {
        // Every value of `ts` once, in no order, and every file from end to end.
        run(&format!(
            "INSERT INTO events SELECT x, x * 7919 % {ROWS} * {STATEMENTS} + {statement}, x % 100 * 2 \
             FROM generate_series(1, {ROWS}) AS s(x)"
        ))
        .await;
    }
    let files = "SELECT count(*) FROM gp_files WHERE table_name = 'events'";
    assert_eq!(session.lines(files).await, ["3"]);
    for run in in_order_of_files(&session, "ts").await.chunks(ROWS as usize) {
        assert!(run.is_sorted(), "each statement sorts");
    }
    let plan = analyzed(&session, "ts > 1000000").await;
    assert!(plan.contains("Files: 3 (3 pruned)") && !plan.contains("Row Groups"), "{plan}");

    run("VACUUM events").await;
    assert_eq!(session.lines(files).await, ["1"]);
    let ts = in_order_of_files(&session, "ts").await;
    assert_eq!(ts, (0..ROWS * STATEMENTS).collect::<Vec<_>>());
    // Sorted files are left alone.
    let path = "SELECT path FROM gp_files WHERE table_name = 'events'";
    let before = session.lines(path).await;
    run("VACUUM events").await;
    assert_eq!(session.lines(path).await, before);

    // 26 pieces of 8,192 rows, of which one has the value.
    let plan = analyzed(&session, "ts = 100").await;
    assert!(plan.contains("Pages: 26 (2"), "{plan}");
    assert_eq!(session.lines("SELECT count(*) FROM events WHERE ts >= 100 AND ts < 20100").await, ["20000"]);
    // Odd values are nobody's. One of them may look as if it were there.
    let mut spared = 0;
    for value in [3, 51, 97, 123, 151] {
        let plan = analyzed(&session, &format!("v = {value}")).await;
        spared += usize::from(plan.contains("Row Groups: 1 (1 by Bloom filters)"));
    }
    assert!(spared >= 4, "{spared}");
    let json = session.text("EXPLAIN (ANALYZE, FORMAT json) SELECT k FROM events WHERE ts = 100").await;
    assert!(json.contains("\"Files\": 1") && json.contains("\"Pages\": 26"), "{json}");

    run("UPDATE events SET v = 7 WHERE ts < 10").await;
    run("ALTER TABLE events SET WITH (sort_key='v DESC', reorganize=true)").await;
    let v = in_order_of_files(&session, "v").await;
    assert!(v.is_sorted_by(|a, b| a >= b) && v.len() == (ROWS * STATEMENTS) as usize);
    assert_eq!(v.iter().filter(|v| **v == 7).count(), 10);
    cluster.shutdown().await;
}
