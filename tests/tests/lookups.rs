//! Lookups, whose plans a session keeps: what may not be kept with them. Each text runs three times before something changes, so that its
//! plan is there.

use damson_master::{Outcome, Session};
use damson_tests::{Answer, TestCluster};
use datafusion::error::DataFusionError;
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;
use std::sync::Arc;

const BY_KEY: &str = "SELECT k, name FROM t WHERE k = $1";

fn bigint(value: i64) -> ScalarValue {
    ScalarValue::Int64(Some(value))
}

fn text(value: &str) -> ScalarValue {
    ScalarValue::Utf8(Some(value.into()))
}

/// The rows as lines, or the SQLSTATE, or what a row did.
async fn run(session: &Arc<Session>, sql: &str, parameters: &[ScalarValue]) -> Result<Vec<String>, String> {
    match session.execute(sql, parameters.to_vec()).await {
        Ok(Outcome::Rows { schema, stream }) => {
            let batches: Vec<_> = stream.try_collect().await.map_err(|error: DataFusionError| error.to_string())?;
            Ok(Answer::from_batches(&schema, &batches).lines().iter().map(|line| line.replace(" | ", "|")).collect())
        }
        Ok(Outcome::Command { .. }) => Ok(vec![]),
        Err(error) => Err(error.state.0.to_owned()),
    }
}

async fn script(session: &Arc<Session>, sql: &str) {
    for statement in Session::split(sql) {
        run(session, &statement, &[]).await.unwrap_or_else(|state| panic!("{statement}: {state}"));
    }
}

/// Runs a query so often that its plan is kept, if it is one that is.
async fn warm(session: &Arc<Session>, sql: &str, parameters: &[ScalarValue]) -> Vec<String> {
    let first = run(session, sql, parameters).await.expect(sql);
    for _ in 0..2 {
        assert_eq!(run(session, sql, parameters).await.expect(sql), first, "{sql}");
    }
    first
}

/// How many queries ran by a plan that was kept since the last call.
struct Kept(u64);

impl Kept {
    fn since(&mut self, session: &Session) -> u64 {
        let before = std::mem::replace(&mut self.0, session.lookups());
        self.0 - before
    }
}

async fn cluster() -> (TestCluster, Arc<Session>) {
    let cluster = TestCluster::start(2).await;
    let session = cluster.cluster().master().session("tester");
    script(
        &session,
        "CREATE TABLE t (k bigint, name text, v int, d date) DISTRIBUTED BY (k); \
         INSERT INTO t SELECT x, 'name ' || x, x * 10, date '2024-01-04' FROM generate_series(1, 100) AS g(x)",
    )
    .await;
    (cluster, session)
}

#[tokio::test(flavor = "multi_thread")]
async fn lookups_find_what_other_queries_find() {
    let (cluster, session) = cluster().await;
    let mut kept = Kept(0);
    assert_eq!(warm(&session, BY_KEY, &[bigint(7)]).await, ["7|name 7"]);
    assert_eq!(kept.since(&session), 2, "the first run is like any other");
    assert_eq!(run(&session, BY_KEY, &[bigint(99)]).await.unwrap(), ["99|name 99"]);
    assert_eq!(run(&session, BY_KEY, &[bigint(101)]).await.unwrap(), Vec::<String>::new());
    assert_eq!(run(&session, BY_KEY, &[ScalarValue::Int32(Some(8))]).await.unwrap(), ["8|name 8"]);
    assert_eq!(run(&session, BY_KEY, &[text("9")]).await.unwrap(), ["9|name 9"]);
    assert_eq!(kept.since(&session), 4);
    // What is no value of the column's type is compared as ever.
    assert_eq!(run(&session, BY_KEY, &[ScalarValue::Int64(None)]).await.unwrap(), Vec::<String>::new());
    assert_eq!(run(&session, BY_KEY, &[ScalarValue::Float64(Some(7.5))]).await.unwrap(), Vec::<String>::new());
    let fresh = cluster.cluster().master().session("tester");
    for wrong in [&[text("x")][..], &[]] {
        let told = run(&fresh, BY_KEY, wrong).await.unwrap_err();
        assert_eq!(run(&session, BY_KEY, wrong).await.unwrap_err(), told);
    }
    assert_eq!(kept.since(&session), 0);

    // Numbers in the text are values too.
    for k in 1..=5 {
        let sql = format!("SELECT name, v AS ten FROM public.t AS a WHERE a.k = {k} AND NOT v IN (60, 70)");
        assert_eq!(run(&session, &sql, &[]).await.unwrap(), [format!("name {k}|{}", k * 10)]);
    }
    assert_eq!(kept.since(&session), 4);
    let mut sqls = vec![];
    for v in [20i64, 30, 3_000_000_000] {
        sqls.push(format!("SELECT k FROM t WHERE v = {v}"));
    }
    for (sql, rows) in sqls.iter().zip([&["2"][..], &["3"], &[]]) {
        assert_eq!(run(&session, sql, &[]).await.unwrap(), rows, "{sql}");
    }
    assert_eq!(kept.since(&session), 1, "what is larger than an integer is no integer");
    // Others mean something else.
    for (round, sort) in [1, 2, 1, 2].into_iter().enumerate() {
        let sql = format!("SELECT -v, k FROM t WHERE k < 3 ORDER BY {sort}");
        let rows = if sort == 1 { ["-20|2", "-10|1"] } else { ["-10|1", "-20|2"] };
        assert_eq!(run(&session, &sql, &[]).await.unwrap(), rows, "{round}");
    }
    assert_eq!(kept.since(&session), 0);
    for limit in [1, 3, 2, 1] {
        let sql = format!("SELECT k FROM t WHERE v <> 5 ORDER BY k LIMIT {limit}");
        assert_eq!(run(&session, &sql, &[]).await.unwrap().len(), limit);
    }
    assert_eq!(kept.since(&session), 1, "other limits are other texts");
    for _ in 0..3 {
        assert!(run(&session, "SELECT k FROM t WHERE name = 5", &[]).await.is_err());
        assert_eq!(run(&session, "SELECT k FROM t WHERE k = -5", &[]).await.unwrap(), Vec::<String>::new());
    }
    assert_eq!(kept.since(&session), 0);

    // One value beside columns of two types.
    let either = "SELECT name FROM t WHERE k = $1 OR v = $1 ORDER BY k";
    assert_eq!(warm(&session, either, &[bigint(10)]).await, ["name 1", "name 10"]);
    assert_eq!(kept.since(&session), 0);

    // Other forms, and other types.
    for (sql, values, rows) in [
        ("SELECT k, v FROM t WHERE d = $1 AND k < 2", vec![text("2024-01-04")], vec!["1|10"]),
        ("SELECT k FROM t WHERE name = $1", vec![text("name 4")], vec!["4"]),
        ("SELECT k FROM t WHERE k BETWEEN $1 AND $2 ORDER BY k", vec![bigint(3), bigint(5)], vec!["3", "4", "5"]),
        ("SELECT k FROM t WHERE k IN ($1, $2) ORDER BY k DESC LIMIT 1", vec![bigint(3), bigint(5)], vec!["5"]),
        ("SELECT k AS key FROM t WHERE v = $1 OR name = 'name 1' ORDER BY key", vec![bigint(50)], vec!["1", "5"]),
    ] {
        assert_eq!(warm(&session, sql, &values).await, rows, "{sql}");
        assert_eq!(kept.since(&session), 2, "{sql}");
    }
    // Described as before.
    for sql in [BY_KEY, "SELECT k AS key FROM t WHERE v = 50 OR v = 7", "SELECT * FROM t WHERE k = 3 AND d = $1"] {
        let before = fresh.prepare(sql).await.unwrap();
        let values = [if sql.ends_with("d = $1") { text("2024-01-04") } else { bigint(3) }];
        warm(&session, sql, if sql.contains('$') { &values } else { &[] }).await;
        let after = session.prepare(sql).await.unwrap();
        assert_eq!((after.schema, after.parameters), (before.schema, before.parameters), "{sql}");
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_sees_rows_and_definitions_as_they_are() {
    let (cluster, session) = cluster().await;
    let other = cluster.cluster().master().session("tester");
    let mut kept = Kept(0);
    let all = "SELECT * FROM t WHERE k = $1";
    let key = [bigint(200)];
    assert_eq!(warm(&session, all, &key).await, Vec::<String>::new());
    for (change, rows) in [
        ("INSERT INTO t VALUES (200, 'new', 1, NULL)", vec!["200|new|1|NULL"]),
        ("UPDATE t SET name = 'newer' WHERE k = 200", vec!["200|newer|1|NULL"]),
    ] {
        script(&other, change).await;
        assert_eq!(run(&session, all, &key).await.unwrap(), rows, "{change}");
    }
    assert_eq!(kept.since(&session), 4, "rows change no plan");
    for (change, rows) in [
        ("ALTER TABLE t ADD COLUMN w int DEFAULT 5", vec!["200|newer|1|NULL|5"]),
        ("ALTER TABLE t RENAME COLUMN name TO label", vec!["200|newer|1|NULL|5"]),
        ("DELETE FROM t WHERE k = 200", vec![]),
        (
            "DROP TABLE t; CREATE TABLE t (k text, n int) DISTRIBUTED BY (n); INSERT INTO t VALUES ('200', 3)",
            vec!["200|3"],
        ),
        (
            "ALTER TABLE t RENAME TO u; CREATE TABLE t (k int) DISTRIBUTED RANDOMLY; INSERT INTO t VALUES (200)",
            vec!["200"],
        ),
        ("DROP TABLE t; CREATE VIEW t AS SELECT n AS k, k AS other FROM u", vec![]),
    ] {
        script(&other, change).await;
        for _ in 0..3 {
            assert_eq!(run(&session, all, &key).await.unwrap(), rows, "{change}");
        }
    }
    script(&other, "DROP VIEW t; DROP TABLE u").await;
    assert_eq!(run(&session, all, &key).await.unwrap_err(), "42P01");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_follows_the_search_path() {
    let (cluster, session) = cluster().await;
    script(&session, "CREATE SCHEMA s; CREATE TABLE s.t (k bigint, name text) DISTRIBUTED BY (k)").await;
    script(&session, "INSERT INTO s.t VALUES (7, 'of s')").await;
    for _ in 0..2 {
        assert_eq!(warm(&session, BY_KEY, &[bigint(7)]).await, ["7|name 7"]);
        script(&session, "SET search_path TO s").await;
        assert_eq!(warm(&session, BY_KEY, &[bigint(7)]).await, ["7|of s"]);
        script(&session, "RESET search_path").await;
    }
    script(&session, "BEGIN; SET LOCAL search_path TO s").await;
    assert_eq!(warm(&session, BY_KEY, &[bigint(7)]).await, ["7|of s"]);
    script(&session, "COMMIT").await;
    assert_eq!(run(&session, BY_KEY, &[bigint(7)]).await.unwrap(), ["7|name 7"]);
    assert!(session.lookups() >= 8, "{}", session.lookups());
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_asks_for_rights_each_time() {
    let (cluster, session) = cluster().await;
    let owner = cluster.cluster().master().session("tester");
    script(&session, "CREATE ROLE reader").await;
    let by_number = "SELECT k, name FROM t WHERE k = 7";
    let read = async |expected: Result<Vec<String>, String>| {
        for _ in 0..3 {
            assert_eq!(run(&session, BY_KEY, &[bigint(7)]).await, expected);
            assert_eq!(run(&session, by_number, &[]).await, expected);
            let described = session.prepare(BY_KEY).await.map(|_| ()).map_err(|error| error.state.0.to_owned());
            assert_eq!(described, expected.clone().map(|_| ()));
        }
    };
    let (found, denied) = (Ok(vec!["7|name 7".to_owned()]), Err("42501".to_owned()));
    read(found.clone()).await;
    script(&session, "SET ROLE reader").await;
    read(denied.clone()).await;
    script(&owner, "GRANT SELECT ON t TO reader").await;
    read(found.clone()).await;
    script(&owner, "REVOKE SELECT ON t FROM reader").await;
    read(denied.clone()).await;
    script(&session, "RESET ROLE").await;
    read(found).await;
    assert!(session.lookups() > 0);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_is_of_its_transaction() {
    let (cluster, session) = cluster().await;
    let other = cluster.cluster().master().session("tester");
    let key = [bigint(200)];
    let none = Vec::<String>::new();
    assert_eq!(warm(&session, BY_KEY, &key).await, none);
    script(&session, "BEGIN; INSERT INTO t (k, name) VALUES (200, 'mine')").await;
    assert_eq!(run(&session, BY_KEY, &key).await.unwrap(), ["200|mine"]);
    assert_eq!(run(&other, BY_KEY, &key).await.unwrap(), none);
    script(&session, "ALTER TABLE t RENAME COLUMN name TO label").await;
    assert_eq!(run(&session, BY_KEY, &key).await.unwrap_err(), "42703");
    script(&session, "ROLLBACK").await;
    assert_eq!(run(&session, BY_KEY, &key).await.unwrap(), none);

    script(&session, "BEGIN ISOLATION LEVEL REPEATABLE READ").await;
    assert_eq!(run(&session, BY_KEY, &key).await.unwrap(), none);
    script(&other, "INSERT INTO t (k, name) VALUES (200, 'theirs')").await;
    assert_eq!(run(&session, BY_KEY, &key).await.unwrap(), none);
    script(&session, "COMMIT").await;
    assert_eq!(run(&session, BY_KEY, &key).await.unwrap(), ["200|theirs"]);
    assert!(session.lookups() >= 5, "{}", session.lookups());
    cluster.shutdown().await;
}

/// What depends on the time, the session or a call is found anew, whatever is kept.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_frozen() {
    let (cluster, session) = cluster().await;
    script(&session, "CREATE ROLE reader; GRANT SELECT ON t TO reader; CREATE SEQUENCE s").await;
    let key = [bigint(7)];
    let mut times = vec![];
    for _ in 0..4 {
        times.extend(run(&session, "SELECT now() FROM t WHERE k = $1", &key).await.unwrap());
    }
    times.dedup();
    assert_eq!(times.len(), 4, "{times:?}");
    for number in 1..5 {
        let next = run(&session, "SELECT nextval('s') FROM t WHERE k = $1", &key).await.unwrap();
        assert_eq!(next, [number.to_string()]);
    }
    let who = "SELECT k FROM t WHERE k = $1 AND current_user = 'reader'";
    assert_eq!(warm(&session, who, &key).await, Vec::<String>::new());
    script(&session, "SET ROLE reader").await;
    assert_eq!(warm(&session, who, &key).await, ["7"]);
    script(&session, "RESET ROLE").await;
    let setting = "SELECT k FROM t WHERE k = $1 AND current_setting('application_name') = 'x'";
    assert_eq!(warm(&session, setting, &key).await, Vec::<String>::new());
    script(&session, "SET application_name TO x").await;
    assert_eq!(warm(&session, setting, &key).await, ["7"]);
    for sql in [
        "SELECT k FROM t WHERE k = $1 AND d < CURRENT_DATE",
        "SELECT k FROM t WHERE k = $1 AND d <> '2020-01-01'",
        "SELECT k FROM t WHERE k = $1 AND random() >= 0",
        "SELECT k FROM t WHERE k = $1 AND k IN (SELECT 7)",
    ] {
        assert_eq!(warm(&session, sql, &key).await, ["7"], "{sql}");
    }
    assert_eq!(session.lookups(), 0);
    cluster.shutdown().await;
}

/// A view has a query, rights and an owner of its own, which change without the table below it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_of_a_view_is_bound_each_time() {
    let (cluster, session) = cluster().await;
    let owner = cluster.cluster().master().session("tester");
    script(&owner, "CREATE ROLE reader; CREATE TABLE u (k bigint, name text) DISTRIBUTED BY (k)").await;
    script(&owner, "INSERT INTO u VALUES (7, 'of u'); CREATE VIEW v AS SELECT k, name FROM t").await;
    script(&owner, "CREATE VIEW mine AS SELECT k FROM t WHERE current_user = 'reader'").await;
    script(&owner, "GRANT SELECT ON v, mine, t, u TO reader").await;
    let (by_parameter, by_number) = ("SELECT k, name FROM v WHERE k = $1", "SELECT k, name FROM v WHERE k = 7");
    let read = async |expected: Result<Vec<String>, String>| {
        for _ in 0..3 {
            assert_eq!(run(&session, by_parameter, &[bigint(7)]).await, expected);
            assert_eq!(run(&session, by_number, &[]).await, expected);
        }
    };
    read(Ok(vec!["7|name 7".into()])).await;
    script(&owner, "CREATE OR REPLACE VIEW v AS SELECT k, name FROM u").await;
    read(Ok(vec!["7|of u".into()])).await;
    assert_eq!(warm(&session, "SELECT k FROM mine WHERE k = 7", &[]).await, Vec::<String>::new());
    script(&session, "SET ROLE reader").await;
    assert_eq!(warm(&session, "SELECT k FROM mine WHERE k = 7", &[]).await, ["7"]);
    read(Ok(vec!["7|of u".into()])).await;
    script(&owner, "REVOKE SELECT ON v FROM reader").await;
    read(Err("42501".into())).await;
    script(&owner, "DROP VIEW v").await;
    read(Err("42P01".into())).await;
    assert_eq!(session.lookups(), 0);
    cluster.shutdown().await;
}

/// A number is more than a parameter in its place: it has a type.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_no_parameters() {
    let (cluster, session) = cluster().await;
    script(&session, "CREATE TABLE ty (k int, t text, b boolean, at timestamp) DISTRIBUTED BY (k)").await;
    script(&session, "INSERT INTO ty VALUES (1, '5', true, '2024-01-04')").await;
    for (column, value) in [("t", "5"), ("b", "true"), ("at", "2024-01-04")] {
        let sql = format!("SELECT k FROM ty WHERE {column} = $1");
        assert_eq!(warm(&session, &sql, &[text(value)]).await, ["1"], "{sql}");
        let by_number = format!("SELECT k FROM ty WHERE {column} = 1");
        let fresh = cluster.cluster().master().session("tester");
        let expected = run(&fresh, &by_number, &[]).await;
        for _ in 0..3 {
            assert_eq!(run(&session, &by_number, &[]).await, expected, "{by_number}");
        }
    }
    cluster.shutdown().await;
}

/// Columns come into the cache at different times: one may lack rows that another has, and yet both say what may be in a piece.
#[tokio::test(flavor = "multi_thread")]
async fn pieces_of_the_cache_lack_different_rows() {
    let (cluster, session) = cluster().await;
    script(
        &session,
        "CREATE TABLE p (one int, a int, b int, c int) DISTRIBUTED BY (one); \
         INSERT INTO p SELECT 1, x, CASE WHEN x < 100 THEN NULL ELSE x END, x FROM generate_series(0, 81919) AS g(x)",
    )
    .await;
    // b comes with 100 NULLs in the first piece, a with the 100 rows that are left of it.
    assert_eq!(run(&session, "SELECT count(b) FROM p", &[]).await.unwrap(), ["81820"]);
    script(&session, "DELETE FROM p WHERE c < 8092").await;
    assert_eq!(run(&session, "SELECT count(a) FROM p", &[]).await.unwrap(), ["73828"]);
    script(&session, "BEGIN; DELETE FROM p WHERE c = 50000").await;
    // Which column is asked first is a matter of chance.
    for _ in 0..20 {
        let found = run(&session, "SELECT count(*) FROM p WHERE a >= 5 AND b = 8100", &[]).await.unwrap();
        assert_eq!(found, ["1"]);
    }
    script(&session, "ROLLBACK").await;
    cluster.shutdown().await;
}
