//! Which files were loaded, and what forgets it.

use super::*;
use crate::error::{SqlError, SqlState};
use damson_cluster::CopyFile;

/// A version of a file, by its etag.
fn copied(table: TableId, url: &str, etag: Option<&str>) -> CopiedFile {
    let file =
        CopyFile { url: url.into(), bytes: 100, etag: etag.map(str::to_owned), modified_us: None, partition: vec![] };
    CopiedFile { table, file, rows: 10, loaded_us: 1, snapshot: SnapshotId(0) }
}

/// A COPY of some files, with a file of rows of its own.
fn copy(w: &mut Workspace, table: TableId, urls: &[&str], force: bool) -> Result<(), CatalogError> {
    w.add(Commit::of_adds(vec![file(table, 0, &uuid::Uuid::new_v4().to_string())]))?;
    w.add_copied(urls.iter().map(|url| copied(table, url, None)).collect(), force)
}

/// URLs, and the snapshots of their loads.
fn loaded(catalog: &Catalog) -> Vec<(String, u64)> {
    let history = catalog.copy_history().unwrap();
    history.into_iter().map(|copied| (copied.file.url, copied.snapshot.0)).collect()
}

fn urls(catalog: &Catalog) -> Vec<String> {
    loaded(catalog).into_iter().map(|(url, _)| url).collect()
}

fn is_loaded_before(error: &CatalogError) -> bool {
    matches!(error, CatalogError::Conflict { reason, .. } if reason.contains("loaded"))
}

#[test]
fn a_file_is_loaded_once() {
    let mut fixture = Fixture::new();
    let [t, u] = ["t", "u"].map(|name| create(&fixture.catalog, name).id);
    fixture.catalog.alone(|w| copy(w, t, &["b", "a"], false)).unwrap();
    let first = fixture.catalog.current().snapshot.0;
    assert_eq!(loaded(&fixture.catalog), [("a".to_owned(), first), ("b".to_owned(), first)]);
    fixture.reopen();
    assert_eq!(loaded(&fixture.catalog), [("a".to_owned(), first), ("b".to_owned(), first)]);

    // None of a statement's files and rows is there if one of the files was loaded before.
    let before = describe(&fixture.catalog);
    let refused = fixture.catalog.alone(|w| copy(w, t, &["c", "a"], false)).unwrap_err();
    assert!(is_loaded_before(&refused), "{refused}");
    assert!(refused.to_string().contains("public.t"));
    assert_eq!(SqlError::from(refused).state, SqlState::SERIALIZATION_FAILURE);
    assert_eq!(describe(&fixture.catalog), before);

    // Another table's, or another version, is another one.
    fixture.catalog.alone(|w| copy(w, u, &["a"], false)).unwrap();
    let mut later = copied(t, "a", Some("2"));
    fixture.catalog.alone(|w| w.add_copied(vec![later.clone()], false)).unwrap();
    let older = copied(t, "a", None).file;
    for other in [CopyFile { bytes: 101, ..older.clone() }, CopyFile { modified_us: Some(5), ..older.clone() }] {
        let copied = CopiedFile { file: other.clone(), ..later.clone() };
        fixture.catalog.alone(|w| w.add_copied(vec![copied], false)).unwrap();
        let found = fixture.catalog.copied_files(t, &["a".into()]).unwrap();
        assert!(found.iter().any(|copied| copied.file == other));
    }
    fixture.reopen();
    let found = fixture.catalog.copied_files(t, &["a".into(), "none".into()]).unwrap();
    assert_eq!(found.len(), 4);
    later.snapshot = found.iter().find(|copied| copied.file == later.file).unwrap().snapshot;
    assert!(found.contains(&later), "{found:?}");
    assert!(fixture.catalog.copied_files(u, &["b".into()]).unwrap().is_empty());
    assert_eq!(urls(&fixture.catalog), ["a", "b", "a", "a", "a", "a"]);
}

#[test]
fn force_loads_it_again() {
    let mut fixture = Fixture::new();
    let t = create(&fixture.catalog, "t").id;
    fixture.catalog.alone(|w| copy(w, t, &["a", "b"], false)).unwrap();
    let first = fixture.catalog.current().snapshot.0;
    let again = CopiedFile { rows: 7, loaded_us: 9, ..copied(t, "a", None) };
    fixture.catalog.alone(|w| w.add_copied(vec![again.clone(), copied(t, "c", None)], true)).unwrap();
    fixture.reopen();
    assert_eq!(
        loaded(&fixture.catalog),
        [("b".to_owned(), first), ("a".to_owned(), first + 1), ("c".to_owned(), first + 1)]
    );
    let found = fixture.catalog.copied_files(t, &["a".into()]).unwrap();
    assert_eq!(found, [CopiedFile { snapshot: SnapshotId(first + 1), ..again }]);
    // Twice in one transaction.
    let twice = |w: &mut Workspace| {
        copy(w, t, &["d"], false)?;
        assert!(is_loaded_before(&copy(w, t, &["d"], false).unwrap_err()));
        assert!(is_loaded_before(&copy(w, t, &["e", "e"], false).unwrap_err()));
        copy(w, t, &["d"], true)?;
        copy(w, t, &["d", "a"], true)
    };
    fixture.catalog.alone(twice).unwrap();
    assert_eq!(urls(&fixture.catalog), ["b", "c", "a", "d"]);
}

#[test]
fn names_have_a_length() {
    let fixture = Fixture::new();
    let t = create(&fixture.catalog, "t").id;
    // Random, so that nothing can be compressed.
    let mut long = String::new();
    while long.len() <= 2500 {
        long += &uuid::Uuid::new_v4().simple().to_string();
    }
    let refused = fixture.catalog.alone(|w| w.add_copied(vec![copied(t, &long, None)], false)).unwrap_err();
    assert_eq!(SqlError::from(refused).state, SqlState::NAME_TOO_LONG);
    long.truncate(2500);
    fixture.catalog.alone(|w| w.add_copied(vec![copied(t, &long, None)], false)).unwrap();
    assert_eq!(urls(&fixture.catalog), [long]);
}

#[test]
fn truncate_and_drop_forget() {
    let mut fixture = Fixture::new();
    let [t, u] = ["t", "u"].map(|name| create(&fixture.catalog, name).id);
    fixture.catalog.create_schema("s").unwrap();
    let in_s = NewTable { schema: "s".into(), ..table("v") };
    let CreateTableOutcome::Created(v) = fixture.catalog.create_table(in_s, vec![], false).unwrap() else { panic!() };
    for table in [t, u, v.id] {
        fixture.catalog.alone(|w| copy(w, table, &["a"], false)).unwrap();
    }
    // Also where the table has no rows any more.
    fixture.catalog.truncate(&[t]).unwrap();
    assert_eq!(fixture.catalog.copy_history().unwrap().len(), 2);
    fixture.catalog.alone(|w| w.add_copied(vec![copied(t, "a", None)], false)).unwrap();
    fixture.catalog.truncate(&[t]).unwrap();
    assert!(fixture.catalog.copied_files(t, &["a".into()]).unwrap().is_empty());
    fixture.catalog.drop_relations(&[name("u")], false).unwrap();
    fixture.reopen();
    assert_eq!(fixture.catalog.copy_history().unwrap().len(), 1);
    fixture.catalog.drop_schema("s", true).unwrap();
    assert!(fixture.catalog.copy_history().unwrap().is_empty());

    // In one transaction, before and after.
    let again = |w: &mut Workspace| {
        copy(w, t, &["a", "b"], false)?;
        w.truncate(&[t])?;
        copy(w, t, &["a"], false)
    };
    fixture.catalog.alone(again).unwrap();
    assert_eq!(urls(&fixture.catalog), ["a"]);
    let anew = |w: &mut Workspace| {
        w.truncate(&[t])?;
        copy(w, t, &["b", "a"], false)
    };
    fixture.catalog.alone(anew).unwrap();
    assert_eq!(urls(&fixture.catalog), ["a", "b"]);
    let refused = fixture.catalog.alone(again).unwrap_err();
    assert!(is_loaded_before(&refused), "what it truncates comes after: {refused}");
    let gone = |w: &mut Workspace| {
        copy(w, t, &["c"], false)?;
        w.drop_relations(&[name("t")], false)
    };
    fixture.catalog.alone(gone).unwrap();
    fixture.reopen();
    assert!(urls(&fixture.catalog).is_empty());
}

#[test]
fn a_transaction_knows_its_own() {
    let mut fixture = Fixture::new();
    let [t, u] = ["t", "u"].map(|name| create(&fixture.catalog, name).id);
    fixture.catalog.alone(|w| copy(w, t, &["old"], false)).unwrap();
    let own = |w: &Workspace| {
        let own = w.own_copied(t);
        let urls: Vec<String> = own.files.into_iter().map(|copied| copied.file.url).collect();
        (urls.join(" "), own.forgets_committed)
    };
    let mut w = Workspace::new(&fixture.catalog);
    copy(&mut w, t, &["a"], false).unwrap();
    copy(&mut w, u, &["x"], false).unwrap();
    copy(&mut w, t, &["b"], false).unwrap();
    assert_eq!(own(&w), ("a b".into(), false));
    let mark = w.mark();
    copy(&mut w, t, &["c"], false).unwrap();
    w.truncate(&[t]).unwrap();
    copy(&mut w, t, &["a", "old"], false).unwrap();
    assert_eq!(own(&w), ("a old".into(), true));
    assert_eq!(urls(&fixture.catalog), ["old"], "others see nothing");

    // Others commit meanwhile, and the steps are made again on that.
    fixture.catalog.alone(|w| copy(w, t, &["other"], false)).unwrap();
    w.back_to(mark).unwrap();
    assert_eq!(own(&w), ("a b".into(), false));
    w.refresh().unwrap();
    copy(&mut w, t, &["d"], false).unwrap();
    let mark = w.mark();
    copy(&mut w, t, &["other"], false).unwrap();
    w.back_to(mark).unwrap();
    let snapshot = w.commit(Durability::Synced).unwrap().unwrap();
    fixture.reopen();
    let now: Vec<String> = ["a", "b", "d", "x"].map(str::to_owned).into();
    let history = fixture.catalog.copy_history().unwrap();
    let of_it = history.iter().filter(|copied| copied.snapshot == snapshot);
    assert_eq!(of_it.map(|copied| copied.file.url.clone()).collect::<Vec<_>>(), now);

    // What it only adds is one step; a table that is dropped under it is refused.
    let mut w = Workspace::new(&fixture.catalog);
    w.add_copied(vec![copied(u, "y", None)], false).unwrap();
    fixture.catalog.drop_relations(&[name("u")], false).unwrap();
    assert!(matches!(w.commit(Durability::Synced), Err(CatalogError::Conflict { .. })));
    let mut w = Workspace::new(&fixture.catalog);
    assert!(matches!(w.add_copied(vec![copied(u, "y", None)], false), Err(CatalogError::TableGone(_))));
}

#[test]
fn many_files_are_asked_for_at_once() {
    let fixture = Fixture::new();
    let t = create(&fixture.catalog, "t").id;
    let names: Vec<String> = (0..1203).map(|number| format!("/d/{number:05}'\"ä.csv")).collect();
    let load = |names: &[String]| {
        let files = names.iter().map(|name| copied(t, name, None)).collect();
        fixture.catalog.alone(|w| w.add_copied(files, false))
    };
    load(&names[..1201]).unwrap();
    let found = fixture.catalog.copied_files(t, &names).unwrap();
    let found: BTreeSet<&String> = found.iter().map(|copied| &copied.file.url).collect();
    assert!(found.into_iter().eq(&names[..1201]));
    assert!(is_loaded_before(&load(&names[1200..]).unwrap_err()));
    load(&names[1201..]).unwrap();
    assert_eq!(urls(&fixture.catalog), names);
}

/// Planned on one state, and written by one transaction of the store.
#[test]
fn of_those_that_are_written_together_one_has_the_file() {
    let fixture = Fixture::new();
    let catalog = &fixture.catalog;
    let t = create(catalog, "t").id;
    catalog.alone(|w| copy(w, t, &["old"], false)).unwrap();
    let commit = |plan: &dyn Fn(&mut Workspace)| {
        let mut w = Workspace::new(catalog);
        plan(&mut w);
        let (done, result) = mpsc::channel();
        (Queued { steps: w.into_steps(), durability: Durability::Synced, done }, result)
    };
    let together = |plans: &[&dyn Fn(&mut Workspace)]| -> Vec<Result<SnapshotId, CatalogError>> {
        let (queued, results): (Vec<_>, Vec<_>) = plans.iter().map(|&plan| commit(plan)).unzip();
        catalog.commit_all(&mut catalog.writer.lock(), queued);
        results.into_iter().map(|result| result.recv().unwrap()).collect()
    };
    let load = |urls: &'static [&'static str], force| move |w: &mut Workspace| copy(w, t, urls, force).unwrap();
    let results = together(&[
        &load(&["a", "b"], false),
        &load(&["c", "b"], false),
        &load(&["old"], false),
        &load(&["c"], false),
        &load(&["a"], true),
    ]);
    let outcomes: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(outcomes, [true, false, false, true, true]);
    assert!(results.iter().filter_map(|result| result.as_ref().err()).all(is_loaded_before));
    assert_eq!(urls(catalog), ["old", "b", "c", "a"]);

    // What is forgotten by one can be loaded by the next.
    let truncate = |w: &mut Workspace| w.truncate(&[t]).unwrap();
    let results = together(&[&truncate, &load(&["a"], false), &load(&["a"], false), &load(&["b"], false)]);
    let outcomes: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(outcomes, [true, true, false, true]);
    assert_eq!(urls(&fixture.place.open(2).unwrap()), ["a", "b"]);
}

/// The last guard.
#[test]
fn a_store_has_a_file_once() {
    let place = Place::new();
    let catalog = place.open(2).unwrap();
    let t = create(&catalog, "t").id;
    let snapshot = catalog.current().snapshot;
    drop(catalog);
    let mut store = place.store();
    let put = |force| {
        let file = CopiedFile { snapshot, ..copied(t, "a", None) };
        [Transaction { snapshot: None, changes: vec![Change::PutCopied { file, force }] }]
    };
    store.apply(&put(false), Durability::Synced).unwrap();
    assert!(store.apply(&put(false), Durability::Synced).is_err());
    store.apply(&put(true), Durability::Synced).unwrap();
    assert_eq!(store.copy_history().unwrap().len(), 1);
}

/// As the build before made it.
#[test]
fn a_catalog_of_version_4_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(directory.path(), 2).unwrap();
    let t = create(&catalog, "t").id;
    catalog.add_files(vec![file(t, 0, "a")]);
    let before = describe(&catalog);
    drop(catalog);
    let old = rusqlite::Connection::open(directory.path().join(DATABASE)).unwrap();
    old.execute_batch("DROP TABLE roles; DROP TABLE access; DROP TABLE secrets; DROP TABLE tablespaces; DROP TABLE copied_files; PRAGMA user_version = 4;")
        .unwrap();
    drop(old);
    for _ in 0..2 {
        let catalog = Catalog::open(directory.path(), 2).unwrap();
        assert_eq!(describe(&catalog), before);
        assert!(catalog.copy_history().unwrap().is_empty());
    }
    let catalog = Catalog::open(directory.path(), 2).unwrap();
    catalog.alone(|w| copy(w, t, &["a"], false)).unwrap();
    assert_eq!(urls(&Catalog::open(directory.path(), 2).unwrap()), ["a"]);
}

on_postgres![
    a_file_is_loaded_once,
    force_loads_it_again,
    names_have_a_length,
    truncate_and_drop_forget,
    a_transaction_knows_its_own,
    many_files_are_asked_for_at_once,
    of_those_that_are_written_together_one_has_the_file,
    a_store_has_a_file_once,
];
