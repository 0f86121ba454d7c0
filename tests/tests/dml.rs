//! UPDATE and DELETE: the same contents as a model after each statement, and what concurrent statements leave.
//!
//! `DAMSON_SEED=… DAMSON_DML_STATEMENTS=10000 cargo test --release -p damson-tests dml::` runs others, and more.

use damson_tests::TestCluster;
use damson_tests::dml::DmlCampaign;
use damson_tests::random::seed_from_env;
use futures::future::join_all;

#[tokio::test(flavor = "multi_thread")]
async fn as_the_model_says() {
    let statements = std::env::var("DAMSON_DML_STATEMENTS").map_or(500, |count| count.parse().expect("a number"));
    let (one, three) = (TestCluster::start(1).await, TestCluster::start(3).await);
    let clusters = [("1 segment", one.session()), ("3 segments", three.session())];
    DmlCampaign { seed: seed_from_env(), statements }.run(&clusters).await;
    drop(clusters);
    one.shutdown().await;
    three.shutdown().await;
}

/// As in the middle of an expansion, where each table is laid out by a bucket map of its own.
#[tokio::test(flavor = "multi_thread")]
async fn as_the_model_says_on_different_maps() {
    let four = TestCluster::start(4).await;
    let clusters = [("4 segments, mixed maps", four.session().with_mixed_bucket_maps(4))];
    DmlCampaign { seed: seed_from_env().wrapping_add(1), statements: 200 }.run(&clusters).await;
    drop(clusters);
    four.shutdown().await;
}

/// Each update sees what the one before has left: none is lost, on whatever segment the rows are.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_updates_are_all_there() {
    let cluster = TestCluster::start(3).await;
    let session = cluster.session();
    session.execute("CREATE TABLE counters (k int, v int) DISTRIBUTED BY (k)").await.unwrap();
    session.execute("INSERT INTO counters SELECT x, 0 FROM generate_series(1, 20) AS g(x)").await.unwrap();
    let clients = (0..4).map(|client| {
        let session = cluster.session();
        async move {
            for round in 0..10 {
                session.execute("UPDATE counters SET v = v + 1").await.unwrap();
                // Rows that come meanwhile are nobody's conflict.
                let insert = format!("INSERT INTO counters VALUES ({}, 1000)", 100 + client * 10 + round);
                session.execute(&insert).await.unwrap();
            }
        }
    });
    // Files are written anew meanwhile, and no update is overtaken.
    let compacting = async {
        for _ in 0..10 {
            session.execute("VACUUM counters").await.unwrap();
        }
    };
    futures::join!(join_all(clients), compacting);
    let sum = session.text("SELECT sum(v) FROM counters WHERE k <= 20").await;
    assert_eq!(sum, "800");
    let inserted = session.text("SELECT count(*) FROM counters WHERE k >= 100 AND v >= 1000 AND v <= 1040").await;
    assert_eq!(inserted, "40");
    cluster.shutdown().await;
}

/// Single rows make a file each; compaction makes one of them, without those that were deleted, on every distribution.
#[tokio::test(flavor = "multi_thread")]
async fn small_files_become_one_on_each_segment() {
    let cluster = TestCluster::start(2).await;
    let session = cluster.session();
    for (number, distribution) in ["BY (k)", "RANDOMLY", "REPLICATED"].into_iter().enumerate() {
        session.execute(&format!("CREATE TABLE t (k int, v text) DISTRIBUTED {distribution}")).await.unwrap();
        for k in 0..30 {
            session.execute(&format!("INSERT INTO t VALUES ({k}, 'v{k}')")).await.unwrap();
        }
        session.execute("DELETE FROM t WHERE k % 3 = 0").await.unwrap();
        session.execute("UPDATE t SET v = 'new' WHERE k < 10").await.unwrap();
        let rows = session.text("SELECT k || v FROM t ORDER BY k").await;
        session.execute("VACUUM t").await.unwrap();
        assert_eq!(session.text("SELECT k || v FROM t ORDER BY k").await, rows, "{distribution}");
        // What nobody reads any more went with it.
        session.execute("VACUUM").await.unwrap();
        let files = |segment: usize| {
            let directory = cluster.data_dir().join(format!("seg{segment}/base/t{}", number + 1));
            std::fs::read_dir(&directory).map_or(0, |files| files.count())
        };
        // Single rows of a table without a key go to the segments in turn.
        assert_eq!([files(0), files(1)], [1, 1], "{distribution}");
        session.execute("DROP TABLE t").await.unwrap();
    }
    cluster.shutdown().await;
}

/// Money that moves is neither made nor lost, also while others look.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_a_statement_whole_or_not_at_all() {
    let cluster = TestCluster::start(3).await;
    let session = cluster.session();
    session.execute("CREATE TABLE accounts (id int, balance bigint) DISTRIBUTED BY (id)").await.unwrap();
    session.execute("INSERT INTO accounts SELECT x, 100 FROM generate_series(1, 50) AS g(x)").await.unwrap();
    let writer = cluster.session();
    let transfers = async {
        for round in 1..=30 {
            let (from, to) = (round % 50 + 1, round * 7 % 50 + 1);
            // One statement moves between segments; every third moves the account itself.
            let sql = format!(
                "UPDATE accounts SET balance = balance + CASE WHEN id % 1000 = {from} THEN -5 ELSE 5 END{} WHERE id % 1000 IN ({from}, {to}) AND {from} <> {to}",
                if round % 3 == 0 { ", id = CASE WHEN id < 1000 THEN id + 1000 ELSE id - 1000 END" } else { "" }
            );
            writer.execute(&sql).await.unwrap();
        }
    };
    let looking = async {
        for _ in 0..60 {
            let seen = session.text("SELECT sum(balance) || ' in ' || count(*) FROM accounts").await;
            assert_eq!(seen, "5000 in 50");
        }
    };
    futures::join!(transfers, looking);
    cluster.shutdown().await;
}

/// What is in one place, or everywhere, is written by one segment.
#[tokio::test(flavor = "multi_thread")]
async fn copy_to_writes_each_row_once() {
    let cluster = TestCluster::start(3).await;
    let session = cluster.session();
    for sql in [
        "CREATE TABLE hashed (k int) DISTRIBUTED BY (k)",
        "CREATE TABLE copied (k int) DISTRIBUTED REPLICATED",
        "CREATE TABLE back (k bigint) DISTRIBUTED RANDOMLY",
        "INSERT INTO hashed SELECT x FROM generate_series(1, 100) AS g(x)",
        "INSERT INTO copied SELECT x FROM generate_series(1, 10) AS g(x)",
    ] {
        session.execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    let queries = [
        ("(SELECT 1 AS k)", 1, 1),
        ("(SELECT count(*) AS k FROM hashed)", 1, 100),
        ("(SELECT k FROM hashed ORDER BY k LIMIT 4)", 4, 10),
        ("(VALUES (1), (2))", 2, 3),
        ("(SELECT x FROM generate_series(1, 5) AS g(x))", 5, 15),
        ("copied", 10, 55),
        ("hashed", 100, 5050),
        ("(SELECT k FROM hashed WHERE k = 7)", 1, 7),
        ("(SELECT h.k FROM hashed h JOIN copied c ON h.k = c.k)", 10, 55),
    ];
    for (number, (source, rows, sum)) in queries.into_iter().enumerate() {
        let dir = cluster.data_dir().join(format!("copy{number}"));
        let sql = format!("COPY {source} TO '{}' (FORMAT parquet)", dir.display());
        let answer = session.execute(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(answer.changed, Some(rows), "{sql}");
        session.execute("TRUNCATE back").await.unwrap();
        session.execute(&format!("COPY back FROM '{}' (FORMAT parquet)", dir.display())).await.unwrap();
        assert_eq!(session.text("SELECT count(*) || ' ' || sum(k) FROM back").await, format!("{rows} {sum}"), "{sql}");
    }
    cluster.shutdown().await;
}

/// COPY reads, and takes values, on every segment; each row has its own.
#[tokio::test(flavor = "multi_thread")]
async fn copy_takes_values_of_sequences_on_each_segment() {
    let cluster = TestCluster::start(3).await;
    let session = cluster.session();
    for sql in [
        "CREATE TABLE source (v int) DISTRIBUTED BY (v)",
        "INSERT INTO source SELECT x FROM generate_series(1, 5000) AS g(x)",
        "CREATE TABLE loaded (id bigserial, v int, i int GENERATED ALWAYS AS IDENTITY (MINVALUE -5), made timestamptz DEFAULT now()) DISTRIBUTED BY (v)",
    ] {
        session.execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    let mut loaded = 0;
    for format in ["csv", "parquet"] {
        let dir = cluster.data_dir().join(format!("copy-{format}"));
        for sql in [
            format!("COPY source TO '{}' (FORMAT {format})", dir.display()),
            format!("COPY loaded (v) FROM '{}' (FORMAT {format})", dir.display()),
        ] {
            let answer = session.execute(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
            assert_eq!(answer.changed, Some(5000), "{sql}");
        }
        loaded += 5000;
        let rows =
            "count(*) || ' ' || count(DISTINCT id) || ' ' || count(DISTINCT i) || ' ' || min(i) || ' ' || count(made)";
        let seen = session.text(&format!("SELECT {rows} FROM loaded")).await;
        assert_eq!(seen, format!("{loaded} {loaded} {loaded} -5 {loaded}"));
    }
    // What the file has is taken, whatever the column is.
    let dir = cluster.data_dir().join("copy-given");
    for sql in [
        format!("COPY (SELECT v, v + 100000 AS i FROM source) TO '{}' (FORMAT csv)", dir.display()),
        format!("COPY loaded (v, i) FROM '{}' (FORMAT csv)", dir.display()),
    ] {
        session.execute(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    assert_eq!(session.text("SELECT count(*) || '' FROM loaded WHERE i > 100000").await, "5000");
    // The master asks for what a batch needs: nothing is skipped while it lives.
    let last = session.text("SELECT last_value || '' FROM pg_sequences WHERE sequencename = 'loaded_id_seq'").await;
    assert_eq!(last, "15000");
    cluster.shutdown().await;
}
