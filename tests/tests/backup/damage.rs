//! Backups that are damaged, and clusters that are not empty: refused, naming what is wrong, with nothing left behind.

use super::contents::{contents, files_on_disk, fill, problems, refusal, transfer};
use damson_tests::TestCluster;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The files of a place below `directory`, the largest first.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let (mut open, mut files) = (vec![directory.to_path_buf()], vec![]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { open.push(path) } else { files.push(path) }
        }
    }
    files.sort_by_key(|path| (std::cmp::Reverse(fs::metadata(path).map_or(0, |meta| meta.len())), path.clone()));
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_is_refused_and_leaves_nothing() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let url = place.path().display().to_string();
    let source = TestCluster::start(2).await;
    fill(&source.session()).await;
    let (id, _) = transfer(&source.session(), &format!("BACKUP TO '{url}'")).await;
    let expected = contents(&source.session()).await;
    source.shutdown().await;

    let data = files_below(&place.path().join("files"));
    let parts = files_below(&place.path().join("backups").join(&id));
    let manifest = place.path().join(format!("backups/{id}.json"));
    let vector = data.iter().find(|path| path.extension().is_some_and(|e| e == "deletes")).expect("a delete vector");
    // The same, and another number of segments: files that stay where they are, and such that are laid out anew.
    for segments in [2, 3] {
        let target = TestCluster::start(segments).await;
        let session = target.session();
        for damaged in [&data[0], &data[data.len() / 2], vector, &parts[0], &manifest] {
            let right = fs::read(damaged).expect("a file");
            let mut flipped = right.clone();
            let middle = flipped.len() / 2;
            flipped[middle] ^= 0x10;
            for (wrong, state) in [(Some(flipped), "XX001"), (Some(right[..middle].to_vec()), "XX001"), (None, "58P01")]
            {
                match &wrong {
                    Some(bytes) => fs::write(damaged, bytes).expect("room"),
                    None => fs::remove_file(damaged).expect("a file"),
                }
                // A backup without its manifest is none.
                let state = if wrong.is_none() && damaged == &manifest { "42704" } else { state };
                let (found, message) = refusal(&session, &format!("RESTORE FROM '{url}' BACKUP '{id}'")).await;
                assert_eq!(found, state, "{}: {message}", damaged.display());
                let name = if state == "42704" { id.clone() } else { damaged.display().to_string() };
                assert!(message.contains(&name), "{name}: {message}");
                let relations =
                    "SELECT count(*) FROM information_schema.tables WHERE table_schema IN ('public', 'sales')";
                assert_eq!(session.lines(relations).await, ["0"], "nothing of it is to be seen");
                fs::write(damaged, &right).expect("room");
            }
        }
        // What was still on its way when the restore failed is removed as an orphan.
        let began = Instant::now();
        while !files_on_disk(&target).is_empty() {
            assert!(began.elapsed() < Duration::from_secs(60), "left: {:?}", files_on_disk(&target));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        transfer(&session, &format!("RESTORE FROM '{url}'")).await;
        assert_eq!(contents(&session).await, expected);
        assert_eq!(problems(&session).await, [""; 0]);
        target.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_table_is_not_backed_up() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let url = place.path().display().to_string();
    let source = TestCluster::start(2).await;
    let session = source.session();
    session.execute("CREATE TABLE t (k int) DISTRIBUTED BY (k)").await.expect("a table");
    session.execute("INSERT INTO t SELECT x FROM generate_series(1, 1000) AS g(x)").await.expect("rows");
    let damaged = files_on_disk(&source).remove(0);
    let mut bytes = fs::read(&damaged).expect("a file");
    bytes[10] ^= 1;
    fs::write(&damaged, bytes).expect("room");
    let (state, message) = refusal(&session, &format!("BACKUP TO '{url}'")).await;
    let name = Path::new(&damaged).file_name().expect("a name").to_string_lossy().into_owned();
    assert!(state == "XX001" && message.contains(&name), "{state} {message}");
    assert!(session.lines(&format!("SHOW BACKUPS IN '{url}'")).await.is_empty(), "there is no backup");
    source.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_manifest_does_not_hide_the_others() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let url = place.path().display().to_string();
    let source = TestCluster::start(1).await;
    let session = source.session();
    session.execute("CREATE TABLE t (k int) DISTRIBUTED BY (k)").await.expect("a table");
    let (damaged, _) = transfer(&session, &format!("BACKUP TO '{url}'")).await;
    session.execute("INSERT INTO t VALUES (1)").await.expect("a row");
    let (right, _) = transfer(&session, &format!("BACKUP TO '{url}'")).await;
    let manifest = place.path().join(format!("backups/{damaged}.json"));
    let mut bytes = fs::read(&manifest).expect("a manifest");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&manifest, bytes).expect("room");
    let listed = session.lines(&format!("SHOW BACKUPS IN '{url}'")).await;
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert!(listed[0].starts_with(&format!("{damaged} | NULL | NULL")), "{listed:?}");
    assert!(listed[0].contains("it is damaged") && listed[0].contains(&manifest.display().to_string()), "{listed:?}");
    assert!(listed[1].starts_with(&right) && listed[1].ends_with(" | NULL"), "{listed:?}");
    source.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_is_said() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let url = place.path().display().to_string();
    let cluster = TestCluster::start(1).await;
    let session = cluster.session();
    for (sql, state) in [
        ("BACKUP TO 'backups'", "22023"),
        ("BACKUP TO 'ftp://host/backups'", "22023"),
        ("BACKUP TO 's3://user:password@bucket/backups'", "22023"),
        ("BACKUP TO 's3://bucket/backups?X-Amz-Signature=password'", "22023"),
        (&format!("BACKUP TO '{}'", cluster.data_dir().join("seg0").display()), "22023"),
        (&format!("BACKUP TO '{}'", cluster.data_dir().join("seg0/base/backups").display()), "22023"),
        ("RESTORE FROM '/nowhere/at/all'", "58P01"),
        (&format!("SHOW BACKUPS IN '{url}'"), "58P01"),
    ] {
        let (found, message) = refusal(&session, sql).await;
        assert_eq!(found, state, "{sql}: {message}");
        assert!(!message.contains("password"), "{message}");
    }
    transfer(&session, &format!("BACKUP TO '{url}'")).await;
    for (id, state) in [("20200101T000000Z-s1", "42704"), ("../damson-backup", "42704")] {
        assert_eq!(refusal(&session, &format!("RESTORE FROM '{url}' BACKUP '{id}'")).await.0, state);
    }

    session.execute("CREATE SCHEMA sales").await.expect("a schema");
    let (state, message) = refusal(&session, &format!("RESTORE FROM '{url}'")).await;
    assert!(state == "55000" && message.contains("schema sales"), "{message}");
    session.execute("CREATE TABLE t (k int) DISTRIBUTED BY (k)").await.expect("a table");
    let (state, message) = refusal(&session, &format!("RESTORE FROM '{url}'")).await;
    assert!(state == "55000" && message.contains("public.t"), "{message}");

    for sql in [format!("BACKUP TO '{url}'"), format!("RESTORE FROM '{url}'")] {
        session.execute("BEGIN").await.expect("a block");
        let (state, message) = refusal(&session, &sql).await;
        assert_eq!(state, "25001", "{sql}: {message}");
        session.execute("ROLLBACK").await.expect("its end");
    }
    session.execute("SET default_transaction_read_only = on").await.expect("a setting");
    assert_eq!(refusal(&session, &format!("RESTORE FROM '{url}'")).await.0, "25006");
    cluster.shutdown().await;
}
