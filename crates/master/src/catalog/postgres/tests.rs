use super::super::files::FileKey;
use super::super::store::{Change, Durability};
use super::super::testing::{self, Server, client};
use super::super::{
    Catalog, CatalogLocation, Commit, CopiedFile, CreateTableOutcome, NewTable, SequenceDef, Workspace,
};
use super::*;
use crate::error::{SqlError, SqlState};
use damson_cluster::{
    ColumnDef, ColumnStats, Compression, ContentId, CopyFile, Counting, Distribution, FileEntry, SnapshotId, TableId,
    sketch,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn open(url: &str) -> Result<Arc<Catalog>, CatalogError> {
    Catalog::open_at(&CatalogLocation::Postgres { url: url.to_owned() }, 2)
}

fn create(catalog: &Arc<Catalog>, name: &str) -> TableId {
    let column = |name: &str| ColumnDef {
        name: name.into(),
        sql_type: "bigint".into(),
        data_type: arrow::datatypes::DataType::Int64,
        nullable: true,
        default: None,
        identity: None,
    };
    let new = NewTable {
        id: None,
        schema: "public".into(),
        name: name.into(),
        columns: vec![column("a")],
        distribution: Distribution::Randomly,
        map_version: None,
        keys: vec![],
        checks: vec![],
        compression: Compression::None,
        layout: Default::default(),
        tablespace: None,
    };
    match catalog.alone(|w| w.create_table(new, vec![], false)).unwrap() {
        CreateTableOutcome::Created(def) => def.id,
        CreateTableOutcome::Exists => panic!("{name} is there"),
    }
}

fn file(table: TableId, path: String) -> FileEntry {
    let stats = ColumnStats { nulls: 0, min: None, max: None, value_bytes: 8, distinct_sketch: sketch::empty() };
    FileEntry {
        table,
        content: ContentId(0),
        path,
        rows: 1,
        bytes: 100,
        checksum: u64::MAX,
        buckets: None,
        columns: vec![stats],
        deletes: None,
        created: SnapshotId(0),
    }
}

fn copied(table: TableId, url: &str) -> CopiedFile {
    let file = CopyFile { url: url.into(), bytes: 1, etag: None, modified_us: None, partition: vec![] };
    CopiedFile { table, file, rows: 1, loaded_us: 0, snapshot: SnapshotId(0) }
}

fn add(catalog: &Arc<Catalog>, files: Vec<FileEntry>) -> Result<SnapshotId, CatalogError> {
    let mut workspace = Workspace::new(catalog);
    workspace.add(Commit::of_adds(files))?;
    Ok(workspace.commit(Durability::Synced)?.expect("a change"))
}

fn paths(catalog: &Arc<Catalog>, table: TableId) -> BTreeSet<String> {
    catalog.current().table_by_id(table).unwrap().files.iter().map(|file| file.path.clone()).collect()
}

/// Ends the sessions of every other client of the database.
fn terminate_all(url: &str) -> usize {
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    client(url).query(others, &[]).unwrap().len()
}

#[test]
fn a_deposed_store_changes_nothing_and_tells_nothing() {
    let Some(server) = testing::server() else { return };
    let url = server.database();
    let mut older = PostgresStore::open(&url, 2, None).unwrap();
    let schema =
        |name: &str| Transaction { snapshot: Some(SnapshotId(2)), changes: vec![Change::CreateSchema(name.into())] };
    let mut newer = PostgresStore::open(&url, 2, None).unwrap();
    assert!(matches!(
        older.apply(&[schema("older")], Durability::Synced),
        Err(CatalogError::Fenced { ours: 1, stored: 2 })
    ));
    newer.apply(&[schema("newer")], Durability::Synced).unwrap();
    assert!(matches!(older.apply(&[schema("older")], Durability::Synced), Err(CatalogError::Fenced { .. })));
    // Its snapshot 2 would look as if it were there.
    assert!(matches!(older.load(None), Err(CatalogError::Fenced { .. })));
    let stored = newer.load(None).unwrap();
    assert_eq!((stored.epoch, stored.snapshot), (2, SnapshotId(2)));
    assert_eq!(stored.schemas.into_iter().collect::<BTreeSet<_>>(), ["newer", "public"].map(str::to_owned).into());
}

#[test]
fn an_epoch_of_a_lease_must_be_the_newest() {
    let Some(server) = testing::server() else { return };
    let url = server.database();
    let first = PostgresStore::open(&url, 2, None).unwrap();
    assert_eq!(PostgresStore::open(&url, 2, Some(first.epoch)).unwrap().epoch, first.epoch);
    PostgresStore::open(&url, 2, None).unwrap();
    assert!(matches!(
        PostgresStore::open(&url, 2, Some(first.epoch)),
        Err(CatalogError::Fenced { ours: 1, stored: 2 })
    ));
}

#[test]
fn a_cut_connection_is_made_anew() {
    let Some(server) = testing::server() else { return };
    let url = server.database();
    let catalog = open(&url).unwrap();
    let t = create(&catalog, "t");
    for i in 0..3 {
        assert_eq!(terminate_all(&url), 1);
        add(&catalog, vec![file(t, format!("f{i}"))]).unwrap();
    }
    assert_eq!(paths(&catalog, t).len(), 3);
    assert_eq!(paths(&open(&url).unwrap(), t), paths(&catalog, t));
}

/// The connection is cut while commits run: those that were told to have failed are not there, and do not come later.
#[test]
fn connections_that_are_cut_within_commits() {
    let Some(server) = testing::server() else { return };
    let url = server.database();
    let catalog = open(&url).unwrap();
    let t = create(&catalog, "t");
    let (ends, committed) = (AtomicBool::new(false), AtomicUsize::new(0));
    let outcomes = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                terminate_all(&url);
                // On a busy machine it takes tens of milliseconds to connect and commit.
                std::thread::sleep(Duration::from_millis(rand::random_range(0..60)));
            }
        });
        scope.spawn(|| {
            let _ends = Ends(&ends);
            wait_for(&committed, 100);
        });
        commit_until(&catalog, t, "0", &ends, &committed)
    });
    std::thread::sleep(Duration::from_millis(100));
    check(&catalog, &url, t, &outcomes);
}

/// Of a session that was lost while it committed, the server may not know yet.
#[test]
fn a_commit_whose_answer_was_lost_is_waited_for() {
    let Some(server) = testing::server() else { return };
    let url = server.database();
    let mut store = PostgresStore::open(&url, 2, None).unwrap();
    let mut lost = client(&url);
    let changes = "INSERT INTO snapshots VALUES (2, 0); INSERT INTO schemas VALUES ('late', 2)";
    lost.batch_execute(&format!("SET search_path = damson; BEGIN; {LOCK_EPOCH}; {changes}")).unwrap();
    let stored = std::thread::scope(|scope| {
        let load = scope.spawn(|| store.load(None).unwrap());
        std::thread::sleep(Duration::from_millis(300));
        assert!(!load.is_finished());
        lost.batch_execute("COMMIT").unwrap();
        load.join().unwrap()
    });
    assert_eq!(stored.snapshot, SnapshotId(2));
    assert!(stored.schemas.contains(&"late".to_owned()));
}

/// A server that comes back without the last commits, as one may that was not to wait for its disk: what the master has in memory is
/// made of them, so that it may change nothing and remove no file.
#[test]
fn a_database_that_has_lost_commits_stops_the_master() {
    let Some(server) = testing::server() else { return };
    let url = server.database();
    let catalog = open(&url).unwrap();
    let t = create(&catalog, "t");
    let commit = |commit: Commit| {
        let mut workspace = Workspace::new(&catalog);
        workspace.add(commit).unwrap();
        workspace.commit(Durability::Unsynced)
    };
    commit(Commit::of_adds(vec![file(t, "kept".into())])).unwrap();
    let mut workspace = Workspace::new(&catalog);
    workspace.truncate(&[t]).unwrap();
    let lost = workspace.commit(Durability::Unsynced).unwrap().unwrap();
    let rewind = format!(
        "SET search_path = damson; UPDATE files SET dropped = NULL; DELETE FROM snapshots WHERE id = {};
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
        lost.0
    );
    client(&url).batch_execute(&rewind).unwrap();
    let is_rewound = |error: &CatalogError| error.to_string().contains("has lost commits");
    let refused = commit(Commit::of_adds(vec![file(t, "late".into())])).unwrap_err();
    assert!(is_rewound(&refused), "{refused}");
    let refused = catalog.collectable().unwrap_err();
    assert!(is_rewound(&refused), "{refused}");
    assert!(catalog.sync().is_err());
    drop(catalog);
    // The next master goes on from what there is.
    let catalog = open(&url).unwrap();
    assert_eq!(catalog.current().table_by_id(t).unwrap().files.len(), 1);
    assert!(catalog.collectable().unwrap().is_empty());
}

#[test]
fn large_commits_keep_their_order() {
    let Some(server) = testing::server() else { return };
    let url = server.database();
    let catalog = open(&url).unwrap();
    let t = create(&catalog, "t");
    // More text than one statement takes.
    let names: Vec<String> = (0..3000).map(|i| format!("{}-{i}", i * 7919 % 3000)).collect();
    let mut registers = sketch::empty();
    (0..10_000).for_each(|_| sketch::add(&mut registers, rand::random()));
    let new = |name: &String| {
        let mut file = file(t, name.clone());
        file.columns[0].distinct_sketch.clone_from(&registers);
        file
    };
    add(&catalog, names.iter().map(new).collect()).unwrap();
    let state = open(&url).unwrap().current();
    let files = state.table_by_id(t).unwrap().files.of(ContentId(0));
    assert!(files.iter().map(|file| &file.path).eq(&names));
    assert!(files.iter().map(|file| rows::FileRow::of(file).unwrap().statistics.len()).sum::<usize>() > 8 << 20);
    let drops = names.iter().map(|name| (t, FileKey { content: ContentId(0), path: name.clone() })).collect();
    let catalog = open(&url).unwrap();
    catalog.alone(|w| w.add(Commit { drops, ..Commit::default() })).unwrap();
    let (_, gone) = catalog.collectable().unwrap().remove(0);
    assert_eq!(gone.len(), names.len());
    let gone: Vec<_> = gone.into_iter().map(|path| FileKey { content: ContentId(0), path }).collect();
    catalog.forget(&gone).unwrap();
    assert!(open(&url).unwrap().collectable().unwrap().is_empty());
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Committed,
    Failed,
    InDoubt,
}

const FILES_OF_A_COMMIT: usize = 7;

/// Commits of several files each, by several threads.
fn commit_until(
    catalog: &Arc<Catalog>,
    table: TableId,
    round: &str,
    ends: &AtomicBool,
    committed: &AtomicUsize,
) -> BTreeMap<String, Outcome> {
    std::thread::scope(|scope| {
        let commit = |thread: usize| {
            scope.spawn(move || {
                let mut outcomes = BTreeMap::new();
                while !ends.load(Ordering::Relaxed) {
                    let name = format!("{round}-{thread}-{}", outcomes.len());
                    let files = (0..FILES_OF_A_COMMIT).map(|i| file(table, format!("{name}/{i}"))).collect();
                    let outcome = match add(catalog, files) {
                        Ok(_) => Outcome::Committed,
                        Err(CatalogError::InDoubt(_)) => Outcome::InDoubt,
                        Err(_) => Outcome::Failed,
                    };
                    match outcome {
                        Outcome::Committed => _ = committed.fetch_add(1, Ordering::Relaxed),
                        _ => std::thread::sleep(Duration::from_millis(20)),
                    }
                    outcomes.insert(name, outcome);
                }
                outcomes
            })
        };
        let threads: Vec<_> = (0..3).map(commit).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Ends the threads of a scope, also when one of them fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// For so many more commits.
fn wait_for(committed: &AtomicUsize, more: usize) {
    let (before, began) = (committed.load(Ordering::Relaxed), Instant::now());
    while committed.load(Ordering::Relaxed) < before + more {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing is committed any more");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What was told is what is there, in the running catalog and for the next master.
fn check(catalog: &Arc<Catalog>, url: &str, table: TableId, outcomes: &BTreeMap<String, Outcome>) {
    add(catalog, vec![file(table, "last/0".into())]).unwrap();
    let known = paths(catalog, table);
    assert_eq!(paths(&open(url).unwrap(), table), known);
    for (name, outcome) in outcomes {
        let there = known.range(format!("{name}/")..format!("{name}/~")).count();
        let right = match outcome {
            Outcome::Committed => there == FILES_OF_A_COMMIT,
            Outcome::Failed => there == 0,
            Outcome::InDoubt => there == 0 || there == FILES_OF_A_COMMIT,
        };
        assert!(right, "{name}: {there} files, {outcome:?}");
    }
}

#[test]
fn a_killed_server_keeps_what_it_committed() {
    // Of its own: the others' must not be killed.
    if testing::server().is_none() {
        return;
    }
    let server = Server::start().unwrap();
    let url = server.database();
    let catalog = open(&url).unwrap();
    let t = create(&catalog, "t");
    let committed = AtomicUsize::new(0);
    let mut outcomes = BTreeMap::new();
    for round in 0..3 {
        let ends = AtomicBool::new(false);
        let more = std::thread::scope(|scope| {
            scope.spawn(|| {
                wait_for(&committed, 10);
                std::thread::sleep(Duration::from_millis(rand::random_range(0..20)));
                server.kill();
                std::thread::sleep(Duration::from_millis(100));
                server.start_again();
                wait_for(&committed, 10);
                ends.store(true, Ordering::Relaxed);
            });
            commit_until(&catalog, t, &format!("{round}"), &ends, &committed)
        });
        outcomes.extend(more);
    }
    assert!(outcomes.values().any(|outcome| *outcome != Outcome::Committed), "no commit met the kill");
    check(&catalog, &url, t, &outcomes);
}

#[test]
fn a_server_that_is_not_there_says_so() {
    let error = open("postgres://user:secret@127.0.0.1:1/nothing").err().unwrap();
    let text = error.to_string();
    assert!(text.contains("postgres://user:***@127.0.0.1:1/nothing") && text.contains("refused"), "{text}");
    let error = SqlError::from(error);
    assert_eq!(error.state, SqlState::IO_ERROR);
    assert!(error.hint.unwrap().contains("runs"));
    let Some(server) = testing::server() else { return };
    let url = server.database();
    let missing = SqlError::from(open(&format!("{}_missing", &*url)).err().unwrap());
    assert!(missing.hint.unwrap().contains("CREATE DATABASE"), "{}", missing.message);
    let denied = SqlError::from(open(&url.replace(":damson@", ":wrong@")).err().unwrap());
    assert!(denied.hint.unwrap().contains("password"), "{}", denied.message);
    // A host that swallows packets.
    let began = Instant::now();
    assert!(open("postgres://user@192.0.2.1:5432/nothing").is_err());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[test]
fn foreign_and_newer_schemas_are_refused() {
    let Some(server) = testing::server() else { return };
    let url = server.database();
    let location = CatalogLocation::Postgres { url: url.to_string() };
    assert!(!Catalog::exists_at(&location).unwrap());
    client(&url).batch_execute("CREATE SCHEMA damson; CREATE TABLE damson.theirs (a int)").unwrap();
    assert!(matches!(open(&url), Err(CatalogError::Damaged(_))));
    assert!(!Catalog::exists_at(&location).unwrap());
    client(&url).batch_execute("DROP TABLE damson.theirs").unwrap();
    open(&url).unwrap();
    assert!(Catalog::exists_at(&location).unwrap());
    client(&url).batch_execute("UPDATE damson.settings SET value = '99' WHERE key = 'schema_version'").unwrap();
    assert!(matches!(open(&url), Err(CatalogError::NewerSchema { stored: 99, .. })));
}

/// As the build before sequences and the past made it.
#[test]
fn a_catalog_of_version_3_is_taken_over() {
    let Some(server) = testing::server() else { return };
    let url = server.database();
    let catalog = open(&url).unwrap();
    let t = create(&catalog, "t");
    drop(catalog);
    let old = "DROP TABLE damson.roles, damson.access, damson.secrets, damson.tablespaces, damson.copied_files;
               DROP TABLE damson.sequence_definitions, damson.sequence_positions;
               DROP TABLE damson.past_definitions, damson.restore_points;
               DROP INDEX damson.snapshots_time;
               ALTER TABLE damson.tables DROP COLUMN since;
               DELETE FROM damson.settings WHERE key IN ('history_from', 'snapshot_retention_us');
               UPDATE damson.settings SET value = '3' WHERE key = 'schema_version'";
    client(&url).batch_execute(old).unwrap();
    for _ in 0..2 {
        assert!(open(&url).unwrap().current().table_by_id(t).is_some());
    }
    let catalog = open(&url).unwrap();
    let sequence = |w: &mut Workspace| {
        let id = w.sequence_id()?;
        let (schema, name, sql_type) = ("public".into(), "s".into(), "bigint".into());
        let counting = Counting { increment: 1, min: 1, max: 9, cycle: false, cache: 1 };
        w.create_sequence(SequenceDef { schema, name, id, sql_type, counting, start: 1, first: 1, owner: None })
    };
    catalog.alone(sequence).unwrap();
    assert_eq!(open(&url).unwrap().current().sequences().count(), 1);
    client(&url).batch_execute("UPDATE damson.settings SET value = '2' WHERE key = 'schema_version'").unwrap();
    assert!(matches!(open(&url), Err(CatalogError::Damaged(_))));
}

/// As the build before loaded files were recorded made it.
#[test]
fn a_catalog_of_version_4_is_taken_over() {
    let Some(server) = testing::server() else { return };
    let url = server.database();
    let catalog = open(&url).unwrap();
    let t = create(&catalog, "t");
    drop(catalog);
    let old = "DROP TABLE damson.roles, damson.access, damson.secrets, damson.tablespaces, damson.copied_files;
               UPDATE damson.settings SET value = '4' WHERE key = 'schema_version'";
    client(&url).batch_execute(old).unwrap();
    for _ in 0..2 {
        let catalog = open(&url).unwrap();
        assert!(catalog.current().table_by_id(t).is_some());
        assert!(catalog.copy_history().unwrap().is_empty());
    }
    let catalog = open(&url).unwrap();
    catalog.alone(|w| w.add_copied(vec![copied(t, "/a")], false)).unwrap();
    assert_eq!(open(&url).unwrap().copy_history().unwrap().len(), 1);
}

/// As the build before tablespaces and secrets made it.
#[test]
fn a_catalog_of_version_5_is_taken_over() {
    let Some(server) = testing::server() else { return };
    let url = server.database();
    let catalog = open(&url).unwrap();
    let t = create(&catalog, "t");
    drop(catalog);
    let old = "DROP TABLE damson.roles, damson.access, damson.secrets, damson.tablespaces;
               UPDATE damson.settings SET value = '5' WHERE key = 'schema_version'";
    client(&url).batch_execute(old).unwrap();
    for _ in 0..2 {
        assert!(open(&url).unwrap().current().table_by_id(t).is_some());
    }
    open(&url).unwrap().alone(|w| w.create_tablespace("ts", "s3://b", None)).unwrap();
    assert!(open(&url).unwrap().current().tablespace("ts").is_some());
}

/// As the build before roles made it.
#[test]
fn a_catalog_of_version_7_is_taken_over() {
    let Some(server) = testing::server() else { return };
    let url = server.database();
    let catalog = open(&url).unwrap();
    let t = create(&catalog, "t");
    drop(catalog);
    let old = "DROP TABLE damson.roles, damson.access;
               UPDATE damson.settings SET value = '7' WHERE key = 'schema_version'";
    client(&url).batch_execute(old).unwrap();
    for _ in 0..2 {
        let catalog = open(&url).unwrap();
        assert!(catalog.current().table_by_id(t).is_some());
        assert!(catalog.current().role("damson").unwrap().superuser);
    }
}

/// Catalogs are asked and dropped in async code, where the client's own runtime must not show.
#[tokio::test]
async fn in_async_code() {
    let Some(url) = tokio::task::spawn_blocking(|| Some(testing::server()?.database())).await.unwrap() else { return };
    let catalog = open(&url).unwrap();
    let t = create(&catalog, "t");
    add(&catalog, vec![file(t, "f".into())]).unwrap();
    drop(catalog);
}

#[test]
fn sessions_wait_for_the_disk_and_for_nobody_for_ever() {
    let Some(server) = testing::server() else { return };
    let url = server.database();
    let shown = |names: &[&'static str]| -> Vec<String> {
        let mut connection = Connection::new(&url).unwrap();
        let show = |session: &mut Session| {
            let of = "SELECT current_setting($1)";
            names.iter().map(|name| Ok(session.one(of, &[name])?.unwrap())).collect::<Result<_, CatalogError>>()
        };
        connection.transaction("SELECT 1", |session, _| show(session)).unwrap()
    };
    let names = ["synchronous_commit", "idle_in_transaction_session_timeout", "lock_timeout", "tcp_user_timeout"];
    assert_eq!(shown(&names), ["on", "3s", "5s", "5000"]);
    let reset = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET ALL', current_database()); END $$";
    let weaken =
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$";
    client(&url).batch_execute(weaken).unwrap();
    assert_eq!(shown(&names[..1]), ["on"]);
    client(&url).batch_execute(&weaken.replace("off", "remote_apply")).unwrap();
    assert_eq!(shown(&names[..1]), ["remote_apply"]);
    client(&url).batch_execute(reset).unwrap();

    // What a master leaves behind whose host is gone: the lock is free before others give up.
    let catalog = open(&url).unwrap();
    let mut left_behind = client(&url);
    let idle = format!("SET idle_in_transaction_session_timeout = {}", IDLE_IN_TRANSACTION.as_millis());
    left_behind.batch_execute(&format!("{idle}; SET search_path = damson; BEGIN; {LOCK_EPOCH}")).unwrap();
    create(&catalog, "t");
}

#[test]
fn neighbours_of_one_kind_are_one_statement() {
    let key = |path: &str| FileKey { content: ContentId(0), path: path.into() };
    let t = TableId(1);
    let drop = |path: &str| Change::DropFile { table: t, key: key(path) };
    let put = |path: &str, vector: &str| Change::PutDeletes {
        table: t,
        file: key(path),
        vector: damson_cluster::DeleteVector {
            path: vector.into(),
            rows: 1,
            bytes: 1,
            checksum: 1,
            created: SnapshotId(2),
        },
    };
    let add = |path: &str| Change::AddFile(file(t, path.into()));
    let lengths = |transactions: Vec<Vec<Change>>| -> Vec<usize> {
        let numbered = transactions.into_iter().zip(2..);
        let transactions: Vec<_> =
            numbered.map(|(changes, id)| Transaction { snapshot: Some(SnapshotId(id)), changes }).collect();
        write::lengths_of_runs(&transactions)
    };
    assert_eq!(lengths(vec![vec![add("a"), add("b")], vec![add("c")], vec![drop("a"), drop("b")]]), [3, 2]);
    // A vector that replaces one of the same run would meet it.
    assert_eq!(lengths(vec![vec![put("a", "1"), put("b", "1"), put("a", "2"), put("b", "2")]]), [2, 2]);
    assert_eq!(lengths(vec![vec![put("a", "1"), drop("a"), drop("b")], vec![put("c", "1")]]), [1, 2, 1]);
    let put = |url: &str, force| Change::PutCopied { file: copied(t, url), force };
    let loads =
        vec![add("a"), put("x", false), put("y", false), put("x", true), Change::ForgetCopied(t), put("x", false)];
    assert_eq!(lengths(vec![loads, vec![put("z", false)]]), [1, 2, 1, 1, 2]);
    assert_eq!(lengths(vec![vec![Change::CreateSchema("s".into()), Change::CreateSchema("t".into())]]), [1, 1]);
}

/// `cargo test --release -p damson-master --lib -- --ignored --nocapture commit_times`
#[test]
#[ignore = "a measurement"]
fn commit_times() {
    let Some(server) = testing::server() else { return };
    let (directory, database) = (tempfile::tempdir().unwrap(), server.database());
    let catalogs = [("sqlite", Catalog::open(directory.path(), 2).unwrap()), ("postgres", open(&database).unwrap())];
    // Of columns with ten thousand values.
    let mut sketches = vec![sketch::empty(); 64];
    sketches.iter_mut().for_each(|registers| (0..10_000).for_each(|_| sketch::add(registers, rand::random())));
    for (name, catalog) in catalogs {
        let t = create(&catalog, "t");
        for (count, columns) in [(1, 1), (1, 16), (1000, 1), (1000, 16)] {
            let commit = |round: usize| {
                let new = |i: usize| {
                    let mut file = file(t, format!("base/t12/{count}-{columns}-{round}-{i}.parquet"));
                    file.columns = vec![file.columns[0].clone(); columns];
                    for (at, column) in file.columns.iter_mut().enumerate() {
                        column.distinct_sketch.clone_from(&sketches[(i * 7 + at) % sketches.len()]);
                    }
                    file
                };
                let files = (0..count).map(new).collect();
                let began = Instant::now();
                add(&catalog, files).unwrap();
                began.elapsed()
            };
            let mut times: Vec<Duration> = (0..15).map(commit).collect();
            times.sort();
            println!(
                "{name}: {count} files of {columns} columns: median {:?}, {:?} to {:?}",
                times[7], times[0], times[14]
            );
        }
    }
}
