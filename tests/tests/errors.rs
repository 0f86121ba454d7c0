//! Errors that users meet: SQLSTATE, what the message names, where it points; and the server lives on.

use damson_master::{Outcome, SqlError};
use damson_tests::{Damson, TestCluster};
use datafusion::arrow::datatypes::Schema;
use std::path::Path;

/// Fails with `state`; a session and the cluster are as good as before.
async fn fails(session: &Damson, sql: &str, state: &str) -> SqlError {
    let head: String = sql.chars().take(200).collect();
    let error = match session.execute(sql).await {
        Ok(answer) => panic!("{head} gave {} rows, not {state}", answer.rows.len()),
        Err(error) => error,
    };
    assert_eq!(error.state.0, state, "{head}: {error}");
    alive(session).await;
    error
}

async fn alive(session: &Damson) {
    assert_eq!(session.lines("SELECT count(*) FROM good").await, ["3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_precise_and_harmless() {
    let cluster = TestCluster::start(2).await;
    let session = cluster.session();
    for sql in [
        "CREATE TABLE good (a int, b int, t text) DISTRIBUTED BY (a)",
        "INSERT INTO good VALUES (1, 0, 'x'), (2, 5, 'y'), (3, 2147483647, 'z')",
    ] {
        session.execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    names_and_positions(&session).await;
    values(&session).await;
    files(&session).await;
    depth(&session).await;
    cluster.shutdown().await;
}

async fn names_and_positions(session: &Damson) {
    let error = fails(session, "SELECT * FROM nowhere", "42P01").await;
    assert!(error.message.contains("nowhere"), "{error}");
    assert_eq!(error.position, Some(15), "{error}");

    let error = fails(session, "SELECT a, absent FROM good", "42703").await;
    assert!(error.message.contains("absent"), "{error}");
    assert_eq!(error.position, Some(11), "{error}");

    let error = fails(session, "SELECT no_such_thing(a) FROM good", "42883").await;
    assert!(error.message.contains("no_such_thing"), "{error}");

    let error = fails(session, "SELECT a FROM good WHERE", "42601").await;
    assert!(error.position.is_some(), "{error}");
    fails(session, "SELECT a, count(*) FROM good", "42803").await;
    fails(session, "SELECT a FROM good x, good y", "42702").await;
    fails(session, "SELECT t + 1 FROM good", "42883").await;
    fails(session, "INSERT INTO good (a) VALUES (DATE '2024-01-01')", "42804").await;
}

async fn values(session: &Damson) {
    // On the master, in a plan's constants, and on a segment, in the middle of a scan.
    fails(session, "SELECT 1 / 0", "22012").await;
    fails(session, "SELECT 10 / b FROM good", "22012").await;
    fails(session, "SELECT sum(10 / b) FROM good GROUP BY t", "22012").await;
    fails(session, "SELECT 2147483647 + 1", "22003").await;
    let error = fails(session, "SELECT b + 1 FROM good", "22003").await;
    assert!(error.message.contains("out of range"), "{error}");
    fails(session, "SELECT CAST(t AS int) FROM good", "22P02").await;
    fails(session, "INSERT INTO good SELECT a, b * 2, t FROM good", "22003").await;
    fails(session, "SELECT (SELECT a FROM good)", "21000").await;
}

async fn files(session: &Damson) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("bad.csv");
    let copy = format!("COPY good FROM '{}' (FORMAT csv)", path.display());

    let error = fails(session, &copy, "58P01").await;
    assert!(error.to_string().contains("bad.csv"), "{error}");

    // A wrong type: file, line and column are named.
    std::fs::write(&path, "4,4,ok\n5,5,ok\n6,six,bad\n7,7,ok\n").expect("room for a file");
    let error = fails(session, &copy, "22P02").await;
    names_place(&error, &path, 3, "b");

    std::fs::write(&path, "4,4,ok\n5,99999999999,bad\n").expect("room for a file");
    let error = fails(session, &copy, "22003").await;
    names_place(&error, &path, 2, "b");

    // A ragged row.
    std::fs::write(&path, "4,4,ok\n5,5\n").expect("room for a file");
    let error = fails(session, &copy, "22P04").await;
    assert!(error.to_string().contains("bad.csv") && error.to_string().contains('2'), "{error}");

    // An unclosed quote, and bytes that are not UTF-8.
    std::fs::write(&path, "4,4,\"never closed\n5,5,x\n").expect("room for a file");
    fails(session, &copy, "22P04").await;
    std::fs::write(&path, b"4,4,ok\n5,5,\xff\xfe\n").expect("room for a file");
    let error = session.execute(&copy).await.expect_err("not UTF-8");
    assert!(error.to_string().contains("bad.csv"), "{error}");
    alive(session).await;
}

fn names_place(error: &SqlError, path: &Path, line: usize, column: &str) {
    let text = error.to_string();
    let file = path.file_name().expect("a name").to_string_lossy();
    let place = [file.as_ref(), &line.to_string(), &format!("column {column}")];
    let alternative = format!("column \"{column}\"");
    for part in place {
        let found = text.contains(part) || part.starts_with("column") && text.contains(&alternative);
        assert!(found, "the error names {part}: {text}");
    }
}

/// Deep or long expressions work, or are refused with 54001; they never overflow a stack.
async fn depth(session: &Damson) {
    let sums = |n: usize| format!("SELECT 1{}", "+1".repeat(n));
    let parentheses = |n: usize| format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n));
    let nots = |n: usize| format!("SELECT count(*) FROM good WHERE {}(a = 1)", "NOT ".repeat(n));
    let ors = |n: usize| {
        let terms: Vec<String> = (0..n).map(|x| format!("a = {x}")).collect();
        format!("SELECT count(*) FROM good WHERE {}", terms.join(" OR "))
    };
    let unions = |n: usize| vec!["SELECT 1"; n].join(" UNION ALL ");
    let cases = |n: usize| format!("SELECT {}0{}", "CASE WHEN true THEN ".repeat(n), " END".repeat(n));
    let subqueries = |n: usize| format!("SELECT * FROM {}good{}", "(SELECT * FROM ".repeat(n), ") x".repeat(n));
    for sql in [
        sums(2000),
        sums(20_000),
        parentheses(5000),
        nots(5000),
        ors(20_000),
        unions(3000),
        cases(2000),
        subqueries(500),
    ] {
        if let Err(error) = session.execute(&sql).await {
            let head: String = sql.chars().take(60).collect();
            assert_eq!(error.state.0, "54001", "{head}…: {error}");
        }
        alive(session).await;
    }
    assert_eq!(session.lines(&sums(100)).await, ["101"]);
    assert_eq!(session.lines(&ors(500)).await, ["3"]);
}

/// What is announced is what comes: clients that prepare refuse anything else.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_gives_the_types_that_it_was_prepared_with() {
    let cluster = TestCluster::start(2).await;
    let session = cluster.cluster().master().session("tester");
    for sql in ["CREATE TABLE z (v bigint, n numeric(10,2))", "INSERT INTO z VALUES (1, 1.5), (2, 2.5)"] {
        session.execute(sql, vec![]).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    for sql in [
        "SELECT (SELECT sum(v) FROM z) + 1",
        "SELECT 1 + (SELECT sum(v) FROM z)",
        "SELECT (SELECT sum(n) FROM z) - 1",
        "SELECT (SELECT max(n) FROM z) * (SELECT avg(n) FROM z)",
        "SELECT n + (SELECT sum(n) FROM z) FROM z",
        "SELECT (SELECT count(*) FROM z) + 1",
        "SELECT (SELECT max(n) FROM z WHERE v > 9)",
    ] {
        let prepared = session.prepare(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let Ok(Outcome::Rows { schema, .. }) = session.execute(sql, vec![]).await else { panic!("{sql} has no rows") };
        let types = |schema: &Schema| schema.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
        assert_eq!(types(&schema), types(&prepared.schema), "{sql}");
    }
    cluster.shutdown().await;
}
