//! Restores into clusters of as many segments, and of others; what is copied twice; and which state a backup is of.

use super::contents::{contents, fill, problems, refusal, transfer};
use damson_tests::{Damson, TestCluster};
use std::time::Duration;

/// Whether constraints hold for new rows.
async fn constraints_hold(session: &Damson) {
    for (sql, state) in [
        ("INSERT INTO h (k) VALUES (1)", "23505"),
        ("INSERT INTO h (k) VALUES (NULL)", "23502"),
        ("INSERT INTO everywhere VALUES (1, 'x')", "23505"),
        ("INSERT INTO sales.orders (id, k) VALUES (-1, 1)", "23514"),
        ("INSERT INTO sales.orders (id, k) VALUES (11, 11)", "23505"),
        ("DROP TABLE sales.orders", "2BP01"),
    ] {
        let (found, message) = refusal(session, sql).await;
        assert_eq!(found, state, "{sql}: {message}");
    }
    session.execute("INSERT INTO sales.orders (id, k) VALUES (99999, 1)").await.expect("a new key");
    assert_eq!(session.lines("SELECT note FROM sales.orders WHERE id = 99999").await, ["none"]);
    session.execute("INSERT INTO h (k) VALUES (5)").await.expect("its row was deleted");
    session.execute("DELETE FROM h WHERE k % 2 = 0").await.expect("delete vectors take more");
    session.execute("VACUUM").await.expect("files are written anew");
    assert_eq!(problems(session).await, [""; 0]);
}

/// Whether sequences give new values, and belong to whom they did.
async fn sequences_go_on(session: &Damson) {
    for (sql, state) in [
        ("INSERT INTO numbered (i, v) VALUES (1, 'own')", "428C9"),
        ("DROP SEQUENCE numbered_id_seq", "2BP01"),
        ("DROP SEQUENCE tickets", "2BP01"),
    ] {
        let (found, message) = refusal(session, sql).await;
        assert_eq!(found, state, "{sql}: {message}");
    }
    let insert = "INSERT INTO numbered (v) SELECT 'w' || CAST(x AS text) FROM generate_series(1, 50) AS g(x)";
    session.execute(insert).await.expect("new rows");
    let values = "SELECT count(*), count(DISTINCT id), count(DISTINCT i), count(DISTINCT ticket) FROM numbered";
    assert_eq!(session.lines(values).await, ["150 | 150 | 150 | 150"]);
    session.execute("DROP TABLE numbered").await.expect("nobody needs it");
    let left = "SELECT sequencename FROM pg_sequences ORDER BY 1";
    assert_eq!(session.lines(left).await, ["tickets"], "its own are dropped with it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_restored_into_clusters_of_any_size() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let url = place.path().join("backups").display().to_string();
    let source = TestCluster::start(3).await;
    let session = source.session();
    fill(&session).await;
    let expected = contents(&session).await;
    let (id, made) = transfer(&session, &format!("BACKUP TO 'file://{url}'")).await;
    assert_eq!((made["tables"], made["files_copied"]), (8, made["files"]), "{made:?}");
    assert!(made["bytes_copied"] == made["bytes"] && made["bytes"] > 10_000, "{made:?}");

    for segments in [3, 1, 5] {
        let target = TestCluster::start(segments).await;
        let session = target.session();
        let (restored, numbers) = transfer(&session, &format!("RESTORE FROM '{url}' BACKUP '{id}'")).await;
        assert_eq!((&restored, numbers["snapshot"], numbers["tables"]), (&id, made["snapshot"], 8));
        for ((look, found), (_, wanted)) in contents(&session).await.iter().zip(&expected) {
            assert_eq!(found, wanted, "{segments} segments: {look}");
        }
        assert_eq!(problems(&session).await, [""; 0], "{segments} segments");
        let copies = "SELECT count(DISTINCT content) FROM gp_files WHERE table_name = 'everywhere'";
        assert_eq!(session.lines(copies).await, [segments.to_string()], "a replicated table is on each segment");
        constraints_hold(&session).await;
        sequences_go_on(&session).await;
        target.shutdown().await;
    }
    source.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_backup_copies_what_is_new() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let url = place.path().display().to_string();
    let source = TestCluster::start(2).await;
    let session = source.session();
    // Few rows are deleted and files are few, so that the background leaves them alone.
    for sql in [
        "CREATE TABLE h (k int, t text) DISTRIBUTED BY (k)",
        "CREATE TABLE r (k int) DISTRIBUTED REPLICATED",
        "INSERT INTO h SELECT x, 'row' FROM generate_series(1, 1000) AS g(x)",
        "INSERT INTO r SELECT x FROM generate_series(1, 100) AS g(x)",
        "DELETE FROM h WHERE k = 1",
    ] {
        session.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let look = "SELECT h.k, t, r.k FROM h LEFT JOIN r ON h.k = r.k ORDER BY 1";
    let backup = format!("BACKUP TO '{url}'");
    let (first, made) = transfer(&session, &backup).await;
    // Two files and a delete vector of one table, and one copy of the other.
    assert_eq!((made["files"], made["files_copied"]), (4, 4), "{made:?}");
    let before = session.lines(look).await;
    // Of one snapshot, they are in the order of their seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (second, again) = transfer(&session, &backup).await;
    assert_ne!(first, second);
    assert_eq!((again["files_copied"], again["bytes_copied"]), (0, 0), "{again:?}");
    assert_eq!((again["files"], again["bytes"]), (made["files"], made["bytes"]));

    session.execute("INSERT INTO h VALUES (100001, 'new')").await.expect("a new row");
    session.execute("DELETE FROM r WHERE k = 1").await.expect("a row goes");
    let (third, changed) = transfer(&session, &backup).await;
    // A data file, and the delete vector of one copy.
    assert_eq!(changed["files_copied"], 2, "{changed:?}");
    let listed = session.lines(&format!("SHOW BACKUPS IN '{url}'")).await;
    assert_eq!(listed.len(), 3, "{listed:?}");
    for (line, id) in listed.iter().zip([&first, &second, &third]) {
        assert!(line.contains(id.as_str()), "the oldest first: {listed:?}");
    }

    // The first is what it was.
    let target = TestCluster::start(2).await;
    let restored = target.session();
    transfer(&restored, &format!("RESTORE FROM '{url}' BACKUP '{first}'")).await;
    assert_eq!(restored.lines(look).await, before);
    target.shutdown().await;
    // Without a name, the newest.
    let target = TestCluster::start(1).await;
    let restored = target.session();
    assert_eq!(transfer(&restored, &format!("RESTORE FROM '{url}'")).await.0, third);
    assert_eq!(restored.lines("SELECT count(*) FROM h WHERE k = 100001").await, ["1"]);
    assert_eq!(restored.lines(look).await, session.lines(look).await);
    // What was restored is another cluster, whose backups have another place.
    let (state, message) = refusal(&restored, &backup).await;
    assert!(state == "22023" && message.contains("another cluster"), "{message}");
    let other = tempfile::tempdir().expect("a temporary directory");
    let (_, made) = transfer(&restored, &format!("BACKUP TO '{}'", other.path().display())).await;
    assert_eq!(made["files_copied"], made["files"]);
    target.shutdown().await;
    source.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_of_one_snapshot() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let url = place.path().display().to_string();
    let source = TestCluster::start(2).await;
    let session = source.session();
    for table in ["a", "b"] {
        session.execute(&format!("CREATE TABLE {table} (k int) DISTRIBUTED BY (k)")).await.expect("a table");
    }
    let writer = source.session();
    let writing = tokio::spawn(async move {
        for k in 0..40 {
            for sql in
                ["BEGIN", &format!("INSERT INTO a VALUES ({k})"), &format!("INSERT INTO b VALUES ({k})"), "COMMIT"]
            {
                writer.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            }
        }
    });
    while session.lines("SELECT count(*) FROM a").await == ["0"] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut ids = vec![];
    while !writing.is_finished() {
        ids.push(transfer(&session, &format!("BACKUP TO '{url}'")).await.0);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    writing.await.expect("every transaction commits");
    let mut counts = vec![];
    for id in [ids.first(), ids.get(ids.len() / 2), ids.last()].into_iter().flatten() {
        let target = TestCluster::start(2).await;
        let restored = target.session();
        transfer(&restored, &format!("RESTORE FROM '{url}' BACKUP '{id}'")).await;
        let different = "SELECT count(*) FROM a FULL JOIN b ON a.k = b.k WHERE a.k IS NULL OR b.k IS NULL";
        assert_eq!(restored.lines(different).await, ["0"]);
        assert_eq!(problems(&restored).await, [""; 0]);
        let count: u32 = restored.lines("SELECT count(*) FROM a").await[0].parse().expect("a number");
        counts.push(count);
        target.shutdown().await;
    }
    assert!(counts.iter().any(|count| (1..40).contains(count)), "one is of the midst: {counts:?}");
    source.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_of_one_moment_have_names_of_their_own() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let url = place.path().display().to_string();
    let source = TestCluster::start(2).await;
    let (session, other) = (source.session(), source.session());
    session.execute("CREATE TABLE t (k int) DISTRIBUTED BY (k)").await.expect("a table");
    session.execute("INSERT INTO t SELECT x FROM generate_series(1, 100) AS g(x)").await.expect("rows");
    let backup = format!("BACKUP TO '{url}'");
    let ((first, one), (second, two)) = tokio::join!(transfer(&session, &backup), transfer(&other, &backup));
    assert_ne!(first, second);
    assert_eq!(one["snapshot"], two["snapshot"]);
    assert_eq!(session.lines(&format!("SHOW BACKUPS IN '{url}'")).await.len(), 2);
    source.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_the_past_has_what_was_deleted_and_dropped() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let url = place.path().display().to_string();
    let source = TestCluster::start(2).await;
    let session = source.session();
    for sql in [
        "CREATE TABLE kept (k int, v text) DISTRIBUTED BY (k)",
        "CREATE TABLE gone (id bigserial, k int) DISTRIBUTED BY (k)",
        "INSERT INTO kept SELECT x, 'row' FROM generate_series(1, 1000) AS g(x)",
        "INSERT INTO gone (k) SELECT x FROM generate_series(1, 100) AS g(x)",
        "CREATE RESTORE POINT before_loss",
        "DELETE FROM kept WHERE k % 2 = 0",
        "DROP TABLE gone",
        "VACUUM",
    ] {
        session.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let (present, _) = transfer(&session, &format!("BACKUP TO '{url}'")).await;
    let (past, made) = transfer(&session, &format!("BACKUP TO '{url}' AS OF RESTORE POINT before_loss")).await;
    assert_eq!(made["tables"], 2, "{made:?}");
    let listed = session.lines(&format!("SHOW BACKUPS IN '{url}'")).await;
    assert!(listed[0].contains(&past) && listed[1].contains(&present), "the older snapshot first: {listed:?}");

    for segments in [2, 3] {
        let target = TestCluster::start(segments).await;
        let restored = target.session();
        transfer(&restored, &format!("RESTORE FROM '{url}' BACKUP '{past}'")).await;
        assert_eq!(restored.lines("SELECT count(*), sum(k) FROM kept").await, ["1000 | 500500"]);
        let look = "SELECT count(*), sum(k), count(DISTINCT id) FROM gone";
        assert_eq!(restored.lines(look).await, ["100 | 5050 | 100"]);
        restored.execute("INSERT INTO gone (k) VALUES (1), (2), (3)").await.expect("new values");
        assert_eq!(restored.lines(look).await, ["103 | 5056 | 103"]);
        assert_eq!(problems(&restored).await, [""; 0]);
        target.shutdown().await;
    }
    // The newest is the one of the newest snapshot, although it was taken before the other.
    let target = TestCluster::start(2).await;
    let restored = target.session();
    assert_eq!(transfer(&restored, &format!("RESTORE FROM '{url}'")).await.0, present);
    assert_eq!(restored.lines("SELECT count(*), sum(k) FROM kept").await, ["500 | 250000"]);
    assert_eq!(refusal(&restored, "SELECT * FROM gone").await.0, "42P01");
    target.shutdown().await;
    source.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_are_whole_while_vacuum_and_drop_run() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let url = place.path().display().to_string();
    let source = TestCluster::start(2).await;
    let session = source.session();
    session.execute("CREATE TABLE s (k int, v int) DISTRIBUTED BY (k)").await.expect("a table");
    session.execute("INSERT INTO s SELECT x, 0 FROM generate_series(1, 1000) AS g(x)").await.expect("rows");
    let writer = source.session();
    let writing = tokio::spawn(async move {
        for round in 0..12 {
            for sql in [
                format!("CREATE TABLE d{round} (k int) DISTRIBUTED BY (k)"),
                format!("INSERT INTO d{round} SELECT x FROM generate_series(1, 500) AS g(x)"),
                "UPDATE s SET v = v + 1".to_owned(),
                "VACUUM".to_owned(),
                format!("DROP TABLE d{round}"),
            ] {
                // Compaction in the background may have come first.
                while let Err(error) = writer.execute(&sql).await {
                    assert_eq!(error.state.0, "40001", "{sql}: {error}");
                }
            }
        }
    });
    let mut ids = vec![];
    while !writing.is_finished() {
        ids.push(transfer(&session, &format!("BACKUP TO '{url}'")).await.0);
    }
    writing.await.expect("every statement succeeds");
    for id in [ids.first(), ids.get(ids.len() / 2), ids.last()].into_iter().flatten() {
        let target = TestCluster::start(2).await;
        let restored = target.session();
        transfer(&restored, &format!("RESTORE FROM '{url}' BACKUP '{id}'")).await;
        // Of one UPDATE, all or none.
        assert_eq!(restored.lines("SELECT count(*), max(v) - min(v) FROM s").await, ["1000 | 0"], "{id}");
        assert_eq!(problems(&restored).await, [""; 0], "{id}");
        target.shutdown().await;
    }
    source.shutdown().await;
}
