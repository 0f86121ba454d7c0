//! What becomes of commits when the store fails, is slow, or is full.

use super::*;
use crate::catalog::SequenceDef;
use damson_cluster::Counting;

/// What these stores have of the store within.
macro_rules! forward_past {
    () => {
        fn history(&mut self) -> Result<History, CatalogError> {
            self.inner.history()
        }

        fn sync(&mut self) -> Result<(), CatalogError> {
            self.inner.sync()
        }

        fn now_us(&mut self) -> Result<i64, CatalogError> {
            self.inner.now_us()
        }

        fn snapshot_at(&mut self, time_us: i64) -> Result<Option<SnapshotId>, CatalogError> {
            self.inner.snapshot_at(time_us)
        }

        fn copied_files(&mut self, table: TableId, urls: &[String]) -> Result<Vec<CopiedFile>, CatalogError> {
            self.inner.copied_files(table, urls)
        }

        fn copy_history(&mut self) -> Result<Vec<CopiedFile>, CatalogError> {
            self.inner.copy_history()
        }

        fn has_tables(&mut self, tablespace: TablespaceId) -> Result<bool, CatalogError> {
            self.inner.has_tables(tablespace)
        }

        fn tablespace_of(&mut self, table: TableId) -> Result<Option<Option<TablespaceId>>, CatalogError> {
            self.inner.tablespace_of(table)
        }
    };
}

/// A store that fails on demand: before it commits, or after it did.
struct Failing {
    inner: Box<dyn CatalogStore>,
    before: Arc<AtomicBool>,
    after: Arc<AtomicBool>,
    load: Arc<AtomicBool>,
}

fn failure() -> CatalogError {
    CatalogError::Directory(std::io::Error::other("injected"))
}

impl CatalogStore for Failing {
    fn load(&mut self, at: Option<SnapshotId>) -> Result<Stored, CatalogError> {
        if self.load.load(Ordering::Relaxed) { Err(failure()) } else { self.inner.load(at) }
    }

    forward_past!();

    fn apply(&mut self, transactions: &[Transaction], durability: Durability) -> Result<(), CatalogError> {
        if self.before.load(Ordering::Relaxed) {
            return Err(failure());
        }
        self.inner.apply(transactions, durability)?;
        if self.after.load(Ordering::Relaxed) { Err(failure()) } else { Ok(()) }
    }
}

#[test]
fn a_failed_transaction_publishes_what_the_store_holds() {
    let place = Place::new();
    let inner = place.store();
    let flags: [Arc<AtomicBool>; 3] = Default::default();
    let [before, after, load] = flags.clone();
    let catalog = Catalog::of_store(Box::new(Failing { inner, before, after, load }), 2).unwrap();
    let [before, after, load] = flags;
    let t = create(&catalog, "t").id;
    let add = |path: &str| catalog.commit_on(&catalog.current(), Commit::of_adds(vec![file(t, 0, path)]));

    // Not durable: nothing is published.
    let known = describe(&catalog);
    before.store(true, Ordering::Relaxed);
    assert!(add("a").is_err());
    assert!(catalog.truncate(&[t]).is_err());
    assert!(catalog.create_schema("s").is_err());
    assert_eq!(describe(&catalog), known);
    before.store(false, Ordering::Relaxed);

    // Durable, although the store said otherwise: the commit stands.
    after.store(true, Ordering::Relaxed);
    add("b").unwrap();
    assert_eq!(catalog.current().table_by_id(t).unwrap().files.len(), 1);

    // Durable, and the store cannot even be read: an error, and the next change finds the truth.
    load.store(true, Ordering::Relaxed);
    assert!(add("c").is_err());
    assert_eq!(catalog.current().table_by_id(t).unwrap().files.len(), 1);
    assert!(add("d").is_err(), "nothing is changed while the truth is unknown");
    after.store(false, Ordering::Relaxed);
    load.store(false, Ordering::Relaxed);
    add("e").unwrap();
    let state = catalog.current();
    let paths: Vec<_> = state.table_by_id(t).unwrap().files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["b", "c", "e"]);
    let again = place.open(2).unwrap();
    assert_eq!(describe(&again), describe(&catalog));
}

/// Whether the store has taken values that it failed to say it has: they were not given out.
#[test]
fn a_reservation_that_fails_gives_no_value_twice() {
    let place = Place::new();
    let inner = place.store();
    let flags: [Arc<AtomicBool>; 3] = Default::default();
    let [before, after, load] = flags.clone();
    let catalog = Catalog::of_store(Box::new(Failing { inner, before, after, load }), 2).unwrap();
    let create = |w: &mut Workspace| {
        let id = w.sequence_id()?;
        let (schema, name, sql_type) = ("public".into(), "s".into(), "bigint".into());
        let counting = Counting { increment: 1, min: 1, max: 1 << 40, cycle: false, cache: 1 };
        w.create_sequence(SequenceDef { schema, name, id, sql_type, counting, start: 1, first: 1, owner: None })
    };
    catalog.alone(create).unwrap();
    let s = catalog.current().sequence("public", "s").unwrap().sequence();
    let take = |count| -> Result<Vec<i64>, CatalogError> {
        Ok(catalog.take_values(&s, count)?.into_iter().flat_map(|block| block.values()).collect())
    };
    assert_eq!(take(3).unwrap(), [1, 2, 3]);
    let mut given = vec![];
    for flag in [&flags[0], &flags[1]] {
        given.extend(take(10).unwrap());
        flag.store(true, Ordering::Relaxed);
        while let Ok(values) = take(10) {
            given.extend(values);
            assert!(given.len() < 1000, "it never asks the store");
        }
        flag.store(false, Ordering::Relaxed);
        given.extend(take(10).unwrap());
    }
    drop(catalog);
    let again = place.open(2).unwrap();
    given.extend(again.take_values(&s, 5).unwrap().into_iter().flat_map(|block| block.values()));
    assert!(given.windows(2).all(|two| two[0] < two[1]), "{given:?}");
}

#[test]
fn a_transaction_that_fails_half_way_is_rolled_back() {
    let place = Place::new();
    let mut store = place.store();
    // The second file's table does not exist: the foreign key refuses it after the first change was made.
    let changes = vec![Change::CreateSchema("s".into()), Change::AddFile(file(TableId(99), 0, "a"))];
    assert!(store.apply(&[Transaction { snapshot: Some(SnapshotId(2)), changes }], Durability::Synced).is_err());
    let stored = store.load(None).unwrap();
    assert_eq!((stored.snapshot, stored.schemas), (SnapshotId(1), vec!["public".to_owned()]));
}

/// A store that is slow, so that commits gather, and counts how often it is written to.
struct Slow {
    inner: Box<dyn CatalogStore>,
    writes: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
}

impl CatalogStore for Slow {
    fn load(&mut self, at: Option<SnapshotId>) -> Result<Stored, CatalogError> {
        self.inner.load(at)
    }

    forward_past!();

    fn apply(&mut self, transactions: &[Transaction], durability: Durability) -> Result<(), CatalogError> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(std::time::Duration::from_millis(20));
        if self.fails.load(Ordering::Relaxed) { Err(failure()) } else { self.inner.apply(transactions, durability) }
    }
}

#[test]
fn commits_that_wait_are_written_together() {
    let place = Place::new();
    let inner = place.store();
    let (writes, fails) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let slow = Slow { inner, writes: Arc::clone(&writes), fails: Arc::clone(&fails) };
    let catalog = Catalog::of_store(Box::new(slow), 2).unwrap();
    let t = create(&catalog, "t").id;
    catalog.add_files(vec![file(t, 0, "a")]);
    let base = catalog.current();
    writes.store(0, Ordering::Relaxed);
    // Of those that delete from one file, one wins; the others are nobody's obstacle.
    let outcomes: Vec<(bool, Result<SnapshotId, CatalogError>)> = std::thread::scope(|scope| {
        let commit = |number: usize| {
            let (catalog, base) = (&catalog, &base);
            scope.spawn(move || {
                let deletes = number.is_multiple_of(4);
                let change = match deletes {
                    true => deleting(t, key(0, "a"), vector(&format!("a.{number}"), 1)),
                    false => Commit::of_adds(vec![file(t, 1, &format!("f{number}"))]),
                };
                (deletes, catalog.commit_on(base, change))
            })
        };
        let threads: Vec<_> = (0..24).map(commit).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let snapshots: BTreeSet<SnapshotId> =
        outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()).copied().collect();
    assert_eq!(outcomes.iter().filter(|(deletes, outcome)| !deletes && outcome.is_ok()).count(), 18);
    assert_eq!(outcomes.iter().filter(|(deletes, outcome)| *deletes && outcome.is_ok()).count(), 1);
    assert_eq!(snapshots.len(), 19, "each has a snapshot of its own");
    assert_eq!(catalog.current().snapshot.0, base.snapshot.0 + 19);
    let written = writes.load(Ordering::Relaxed);
    assert!(written < 12, "{written} writes for 19 commits");
    drop(base);
    let known = describe(&catalog);
    assert_eq!(describe(&place.open(2).unwrap()), known);
}

#[test]
fn a_write_that_fails_fails_all_that_it_was_for() {
    let place = Place::new();
    let inner = place.store();
    let fails = Arc::new(AtomicBool::new(false));
    let slow = Slow { inner, writes: Arc::default(), fails: Arc::clone(&fails) };
    let catalog = Catalog::of_store(Box::new(slow), 2).unwrap();
    let t = create(&catalog, "t").id;
    let known = describe(&catalog);
    fails.store(true, Ordering::Relaxed);
    std::thread::scope(|scope| {
        for number in 0..12 {
            let catalog = &catalog;
            scope.spawn(move || {
                let change = Commit::of_adds(vec![file(t, 0, &format!("f{number}"))]);
                catalog.commit_on(&catalog.current(), change).unwrap_err();
            });
        }
    });
    assert_eq!(describe(&catalog), known);
    fails.store(false, Ordering::Relaxed);
    catalog.add_files(vec![file(t, 0, "after")]);
    assert_eq!(describe(&place.open(2).unwrap()), describe(&catalog));
}

/// A store whose disk fills up.
struct Filling {
    inner: SqliteStore,
    pages: Arc<AtomicU32>,
}

impl CatalogStore for Filling {
    fn load(&mut self, at: Option<SnapshotId>) -> Result<Stored, CatalogError> {
        self.inner.load(at)
    }

    forward_past!();

    fn apply(&mut self, transactions: &[Transaction], durability: Durability) -> Result<(), CatalogError> {
        self.inner.limit_pages(self.pages.load(Ordering::Relaxed))?;
        self.inner.apply(transactions, durability)
    }
}

#[test]
fn a_full_disk_refuses_commits_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let inner = SqliteStore::open(&directory.path().join(DATABASE), 2).unwrap();
    let pages = Arc::new(AtomicU32::new(u32::MAX >> 1));
    let catalog = Catalog::of_store(Box::new(Filling { inner, pages: Arc::clone(&pages) }), 2).unwrap();
    let t = create(&catalog, "t").id;
    // As many as it has.
    pages.store(1, Ordering::Relaxed);
    let mut kept = 0;
    let refused = loop {
        match catalog.commit_on(&catalog.current(), Commit::of_adds(vec![file(t, 0, &format!("f{kept}"))])) {
            Ok(_) => kept += 1,
            Err(error) => break crate::error::SqlError::from(error),
        }
        assert!(kept < 1000, "the disk does not fill up");
    };
    assert_eq!(refused.state, crate::error::SqlState::DISK_FULL);
    let known = describe(&catalog);
    assert_eq!(catalog.current().table_by_id(t).unwrap().files.len(), kept, "reads go on");
    pages.store(u32::MAX >> 1, Ordering::Relaxed);
    catalog.add_files(vec![file(t, 0, "after")]);
    assert_ne!(describe(&catalog), known);
    assert_eq!(describe(&Catalog::open(directory.path(), 2).unwrap()), describe(&catalog));
}

on_postgres![
    a_failed_transaction_publishes_what_the_store_holds,
    a_reservation_that_fails_gives_no_value_twice,
    a_transaction_that_fails_half_way_is_rolled_back,
    commits_that_wait_are_written_together,
    a_write_that_fails_fails_all_that_it_was_for,
];
