//! Restores into clusters of as many segments, and of others; and what is copied twice.

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_restored_into_clusters_of_any_size() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let url = place.path().join("backups").display().to_string();
    let source = TestCluster::start(3).await;
    let session = source.session();
    fill(&session).await;
    let expected = contents(&session).await;
    let (id, made) = transfer(&session, &format!("BACKUP TO 'file://{url}'")).await;
    assert_eq!((made["tables"], made["files_copied"]), (7, made["files"]), "{made:?}");
    assert!(made["bytes_copied"] == made["bytes"] && made["bytes"] > 10_000, "{made:?}");

    for segments in [3, 1, 5] {
        let target = TestCluster::start(segments).await;
        let session = target.session();
        let (restored, numbers) = transfer(&session, &format!("RESTORE FROM '{url}' BACKUP '{id}'")).await;
        assert_eq!((&restored, numbers["snapshot"], numbers["tables"]), (&id, made["snapshot"], 7));
        for ((look, found), (_, wanted)) in contents(&session).await.iter().zip(&expected) {
            assert_eq!(found, wanted, "{segments} segments: {look}");
        }
        assert_eq!(problems(&session).await, [""; 0], "{segments} segments");
        let copies = "SELECT count(DISTINCT content) FROM gp_files WHERE table_name = 'everywhere'";
        assert_eq!(session.lines(copies).await, [segments.to_string()], "a replicated table is on each segment");
        constraints_hold(&session).await;
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
    // Names have whole seconds.
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
    let mut ids = vec![];
    while !writing.is_finished() {
        ids.push(transfer(&session, &format!("BACKUP TO '{url}'")).await.0);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    writing.await.expect("every transaction commits");
    for id in [ids.first(), ids.last()].into_iter().flatten() {
        let target = TestCluster::start(2).await;
        let restored = target.session();
        transfer(&restored, &format!("RESTORE FROM '{url}' BACKUP '{id}'")).await;
        let different = "SELECT count(*) FROM a FULL JOIN b ON a.k = b.k WHERE a.k IS NULL OR b.k IS NULL";
        assert_eq!(restored.lines(different).await, ["0"]);
        assert_eq!(problems(&restored).await, [""; 0]);
        target.shutdown().await;
    }
    source.shutdown().await;
}
