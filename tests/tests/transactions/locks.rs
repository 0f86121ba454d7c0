//! Who waits for whom, and what ends the waiting.

use damson_tests::{Damson, TestCluster};
use futures::StreamExt;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

async fn tables(cluster: &TestCluster) {
    let session = cluster.session();
    for table in ["a", "b"] {
        session.execute(&format!("CREATE TABLE {table} (k int, v int) DISTRIBUTED BY (k)")).await.unwrap();
        session.execute(&format!("INSERT INTO {table} VALUES (1, 0), (2, 0), (3, 0)")).await.unwrap();
    }
}

async fn ok(session: &Damson, sql: &str) {
    session.execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}

async fn fails(session: &Damson, sql: &str, state: &str) -> String {
    let error = session.execute(sql).await.err().unwrap_or_else(|| panic!("{sql} went well"));
    assert_eq!(error.state.0, state, "{sql}: {error}");
    format!("{error}")
}

async fn starts(session: &Damson, sql: &str) -> JoinHandle<Result<(), String>> {
    let (other, sql) = (session.clone(), sql.to_owned());
    tokio::spawn(async move { other.execute(&sql).await.map(|_| ()).map_err(|e| e.state.0.to_owned()) })
}

async fn until_waiting(cluster: &TestCluster, count: usize) {
    let session = cluster.session();
    let began = Instant::now();
    while session.text("SELECT count(*) FROM pg_locks WHERE NOT granted").await != count.to_string() {
        assert!(began.elapsed() < Duration::from_secs(20), "nobody waits");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_broken() {
    let cluster = TestCluster::start(2).await;
    tables(&cluster).await;
    let [one, two] = [cluster.session(), cluster.session()];
    for session in [&one, &two] {
        ok(session, "BEGIN").await;
    }
    ok(&one, "UPDATE a SET v = 1").await;
    ok(&two, "UPDATE b SET v = 2").await;
    let waiting = starts(&one, "UPDATE b SET v = 1").await;
    until_waiting(&cluster, 1).await;
    fails(&two, "UPDATE a SET v = 2", "40P01").await;
    // Nobody waits for its ROLLBACK: what has failed holds nothing.
    waiting.await.unwrap().unwrap();
    fails(&two, "SELECT 1", "25P02").await;
    ok(&one, "COMMIT").await;
    ok(&two, "ROLLBACK").await;
    let session = cluster.session();
    assert_eq!(session.text("SELECT sum(a.v + b.v) FROM a JOIN b USING (k)").await, "6");
    assert_eq!(session.text("SELECT count(*) FROM pg_locks").await, "0");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_and_inserts_never_wait() {
    let cluster = TestCluster::start(2).await;
    tables(&cluster).await;
    let [one, two] = [cluster.session(), cluster.session()];
    ok(&one, "BEGIN").await;
    ok(&one, "UPDATE a SET v = 1").await;
    let held = two.text("SELECT relation_name || ' ' || mode FROM pg_locks WHERE granted").await;
    assert_eq!(held, "public.a ShareUpdateExclusiveLock");
    assert_eq!(two.text("SELECT sum(v) FROM a").await, "0");
    // In Greenplum, it would wait.
    ok(&two, "INSERT INTO a VALUES (9, 9)").await;
    ok(&two, "SET lock_timeout = '50ms'").await;
    fails(&two, "DELETE FROM a", "55P03").await;
    fails(&two, "TRUNCATE a", "55P03").await;
    fails(&two, "ALTER TABLE a ADD COLUMN w int", "55P03").await;
    fails(&two, "DROP TABLE a", "55P03").await;
    ok(&two, "BEGIN").await;
    fails(&two, "LOCK TABLE a IN SHARE MODE NOWAIT", "55P03").await;
    ok(&two, "ROLLBACK").await;
    ok(&one, "COMMIT").await;
    assert_eq!(two.lines("SELECT * FROM a ORDER BY k").await, ["1 | 1", "2 | 1", "3 | 1", "9 | 9"]);
    ok(&two, "DROP TABLE a").await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_locked_is_as_the_one_before_left_it() {
    let cluster = TestCluster::start(2).await;
    tables(&cluster).await;
    let [one, two] = [cluster.session(), cluster.session()];
    ok(&one, "BEGIN").await;
    ok(&one, "LOCK TABLE a").await;
    let insert = starts(&two, "INSERT INTO a VALUES (7, 7)").await;
    until_waiting(&cluster, 1).await;
    ok(&one, "ALTER TABLE a ADD COLUMN w int DEFAULT 5").await;
    ok(&one, "ALTER TABLE a SET DISTRIBUTED RANDOMLY").await;
    ok(&one, "COMMIT").await;
    insert.await.unwrap().unwrap();
    assert_eq!(
        two.lines("SELECT k, v, w FROM a ORDER BY k").await,
        ["1 | 0 | 5", "2 | 0 | 5", "3 | 0 | 5", "7 | 7 | 5"]
    );

    // A table of the same name that is another one.
    ok(&one, "BEGIN").await;
    ok(&one, "DROP TABLE a").await;
    ok(&one, "CREATE TABLE a (k text) DISTRIBUTED BY (k)").await;
    let insert = starts(&two, "INSERT INTO a VALUES ('new')").await;
    let dropping = starts(&cluster.session(), "DROP TABLE b; ").await;
    dropping.await.unwrap().unwrap();
    until_waiting(&cluster, 1).await;
    ok(&one, "COMMIT").await;
    insert.await.unwrap().unwrap();
    assert_eq!(two.text("SELECT k FROM a").await, "new");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_holds_nothing() {
    let cluster = TestCluster::start(2).await;
    tables(&cluster).await;
    let one = cluster.session();
    ok(&one, "BEGIN").await;
    ok(&one, "UPDATE a SET v = 1").await;
    drop(one);
    let two = cluster.session();
    assert_eq!(two.text("SELECT count(*) FROM pg_locks").await, "0");
    ok(&two, "UPDATE a SET v = 2").await;

    // One that sleeps.
    let sleeps = cluster.session();
    ok(&sleeps, "SET idle_in_transaction_session_timeout = '1s'").await;
    ok(&sleeps, "BEGIN").await;
    ok(&sleeps, "UPDATE a SET v = 3").await;
    let three = cluster.session();
    ok(&three, "UPDATE a SET v = 4").await;
    assert_eq!(three.text("SELECT DISTINCT v FROM a").await, "4");
    // Nothing of it goes on as a statement of its own.
    for sql in ["SELECT 1", "INSERT INTO a VALUES (8, 8)", "SAVEPOINT s", "COMMIT", "ROLLBACK", "BEGIN"] {
        let message = fails(&sleeps, sql, "25P03").await;
        assert!(message.starts_with("terminating connection due to idle-in-transaction timeout"), "{message}");
    }
    assert_eq!(three.text("SELECT count(*) FROM a").await, "3");
    // One that waits, and is cancelled.
    ok(&three, "BEGIN").await;
    ok(&three, "UPDATE a SET v = 5").await;
    let waiting = starts(&two, "UPDATE a SET v = 6").await;
    until_waiting(&cluster, 1).await;
    two.cancel();
    assert_eq!(waiting.await.unwrap().unwrap_err(), "57014");
    ok(&three, "COMMIT").await;
    assert_eq!(two.text("SELECT DISTINCT v FROM a").await, "5");
    cluster.shutdown().await;
}

/// Rows that are still sent when their transaction goes back end with an error, not with files that are not there.
#[tokio::test(flavor = "multi_thread")]
async fn rows_end_with_what_they_are_read_from() {
    let cluster = TestCluster::start(2).await;
    tables(&cluster).await;
    let one = cluster.session();
    let insert = "INSERT INTO a SELECT x, x FROM generate_series(1, 400000) AS g(x)";
    for (end, is_whole) in [("ROLLBACK", false), ("ROLLBACK TO s", false), ("COMMIT", true)] {
        ok(&one, "BEGIN").await;
        ok(&one, "SAVEPOINT s").await;
        ok(&one, insert).await;
        let mut rows = one.stream("SELECT * FROM a").await;
        let first = rows.next().await.unwrap().unwrap();
        assert!(first.num_rows() > 0);
        ok(&one, end).await;
        let mut count = first.num_rows();
        let mut error = None;
        while let Some(batch) = rows.next().await {
            match batch {
                Ok(batch) => count += batch.num_rows(),
                Err(e) => error = Some(e.to_string()),
            }
        }
        match is_whole {
            true => assert_eq!((count, error), (400_003, None)),
            false => assert!(error.as_ref().is_some_and(|e| e.contains("rolled back")), "{end}: {error:?}"),
        }
        if end == "ROLLBACK TO s" {
            // Those rows do not fail what goes on.
            ok(&one, "INSERT INTO b VALUES (9, 9)").await;
            ok(&one, "COMMIT").await;
        }
    }
    assert_eq!(one.text("SELECT count(*) FROM b").await, "4");
    // An error among rows that come later fails the block, whatever was done meanwhile.
    ok(&one, "BEGIN").await;
    let mut rows = one.stream("SELECT 1 / (k - 400000) FROM a ORDER BY k").await;
    let failed = loop {
        match rows.next().await {
            Some(Ok(_)) => {}
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(failed);
    fails(&one, "SELECT 1", "25P02").await;
    ok(&one, "ROLLBACK").await;
    cluster.shutdown().await;
}

/// Two that make the same thing if it is not there: both are content.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_twice_at_once_is_there_once() {
    let cluster = TestCluster::start(2).await;
    for round in 0..10 {
        let clients = (0..4).map(|_| {
            let session = cluster.session();
            async move {
                ok(&session, &format!("CREATE SCHEMA IF NOT EXISTS s{round}")).await;
                ok(&session, &format!("CREATE TABLE IF NOT EXISTS s{round}.t (k int) DISTRIBUTED BY (k)")).await;
                ok(&session, &format!("CREATE TABLE IF NOT EXISTS s{round}.u AS SELECT 1 AS k DISTRIBUTED BY (k)"))
                    .await;
            }
        });
        futures::future::join_all(clients).await;
        let session = cluster.session();
        assert_eq!(session.text(&format!("SELECT count(*) FROM s{round}.u")).await, "1");
    }
    cluster.shutdown().await;
}

/// Of clients that insert the same keys at once, one has each; nobody sees two, whatever level they run at.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_there_once_whoever_inserts_it() {
    let cluster = TestCluster::start(3).await;
    let session = cluster.session();
    for distribution in ["BY (k)", "REPLICATED"] {
        session
            .execute(&format!("CREATE TABLE keyed (k int PRIMARY KEY, v int) DISTRIBUTED {distribution}"))
            .await
            .unwrap();
        let clients = (0..6).map(|client| {
            let session = cluster.session();
            async move {
                let mut inserted = 0;
                for k in 0..20 {
                    let begin = if client % 2 == 0 { "BEGIN" } else { "BEGIN ISOLATION LEVEL REPEATABLE READ" };
                    session.execute(begin).await.unwrap();
                    session.execute("SELECT count(*) FROM keyed").await.unwrap();
                    let insert = session.execute(&format!("INSERT INTO keyed VALUES ({k}, {client})")).await;
                    let end = match insert {
                        Ok(_) => session.execute("COMMIT").await.map(|_| ()),
                        Err(error) => Err(error),
                    };
                    match end {
                        Ok(()) => inserted += 1,
                        Err(error) => {
                            assert!(["23505", "40001"].contains(&error.state.0), "{error}");
                            session.execute("ROLLBACK").await.unwrap();
                        }
                    }
                }
                inserted
            }
        });
        let inserted: i32 = futures::future::join_all(clients).await.into_iter().sum();
        let found = session.text("SELECT count(*) || ' ' || count(DISTINCT k) FROM keyed").await;
        assert_eq!(found, format!("{inserted} {inserted}"));
        assert_eq!(inserted, 20, "each key has somebody");
        session.execute("DROP TABLE keyed").await.unwrap();
    }
    cluster.shutdown().await;
}
