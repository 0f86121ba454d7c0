//! Reading the past, and how long it is there.

use super::*;
use crate::catalog::AsOf;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// Everything that a statement which reads the snapshot can see.
fn described(state: &CatalogState) -> String {
    let mut out = format!("{:?} {:?}\n", state.snapshot, state.schemas().collect::<Vec<_>>());
    for relation in state.relations() {
        match relation {
            Relation::Table(entry) => {
                let files: Vec<_> = entry.files.iter().collect();
                out += &format!("{:?} {:?} {:?}\n", entry.def, entry.defined, files);
            }
            Relation::View(view) => out += &format!("{view:?}\n"),
            Relation::Sequence(def) => out += &format!("{def:?}\n"),
        }
    }
    out
}

fn at(catalog: &Arc<Catalog>, snapshot: SnapshotId) -> Result<Arc<CatalogState>, CatalogError> {
    catalog.state_at(&AsOf::Snapshot(snapshot))
}

/// Every snapshot of a history with all kinds of changes reads as it was when it was the newest, also after a restart.
#[test]
fn every_snapshot_stays_as_it_was() {
    let mut fixture = Fixture::new();
    fixture.catalog.set_retention(DAY).unwrap();
    let mut known: Vec<(SnapshotId, String)> = vec![];
    let catalog = Arc::clone(&fixture.catalog);
    let mut note = |catalog: &Arc<Catalog>| {
        let state = catalog.current();
        known.push((state.snapshot, described(&state)));
    };
    note(&catalog);
    let t = create(&catalog, "t").id;
    note(&catalog);
    catalog.add_files(vec![file(t, 0, "a"), file(t, 1, "b")]);
    note(&catalog);
    catalog.commit_on(&catalog.current(), deleting(t, key(0, "a"), vector("a.1", 3))).unwrap();
    note(&catalog);
    catalog.commit_on(&catalog.current(), deleting(t, key(0, "a"), vector("a.2", 4))).unwrap();
    note(&catalog);
    catalog.rename_table(t, "renamed").unwrap();
    note(&catalog);
    catalog.create_schema("s").unwrap();
    note(&catalog);
    catalog.create_view(view("v", &["renamed"]), false).unwrap();
    note(&catalog);
    catalog.create_view(ViewDef { query: "SELECT 2".into(), ..view("v", &["renamed"]) }, true).unwrap();
    note(&catalog);
    catalog.truncate(&[t]).unwrap();
    note(&catalog);
    catalog.add_files(vec![file(t, 0, "c")]);
    note(&catalog);
    catalog.drop_schema("s", false).unwrap();
    note(&catalog);
    catalog.drop_relations(&[name("renamed")], true).unwrap();
    note(&catalog);
    create(&catalog, "t");
    note(&catalog);
    drop(catalog);
    for _ in 0..2 {
        for (snapshot, description) in &known {
            assert_eq!(described(&at(&fixture.catalog, *snapshot).unwrap()), *description, "{snapshot:?}");
        }
        assert_eq!(fixture.catalog.collectable().unwrap(), []);
        fixture.reopen();
    }
}

#[test]
fn without_retention_the_past_goes_when_its_files_do() {
    let mut fixture = Fixture::new();
    let t = create(&fixture.catalog, "t").id;
    let before = fixture.catalog.add_files(vec![file(t, 0, "a")]);
    fixture.catalog.truncate(&[t]).unwrap();
    // Nothing was collected yet.
    let held = at(&fixture.catalog, before).unwrap();
    assert_eq!(held.table_by_id(t).unwrap().files.len(), 1);
    assert_eq!(fixture.catalog.collectable().unwrap(), [], "somebody reads it");
    assert!(matches!(at(&fixture.catalog, before), Err(CatalogError::NotKept { .. })), "and nobody else can any more");
    drop(held);
    assert_eq!(fixture.catalog.collectable().unwrap(), [(ContentId(0), vec!["a".to_owned()])]);
    fixture.reopen();
    let error = at(&fixture.catalog, before).unwrap_err();
    assert!(error.to_string().contains("no longer kept"), "{error}");
    // A longer retention does not bring it back.
    fixture.catalog.set_retention(DAY).unwrap();
    assert!(at(&fixture.catalog, before).is_err());
    assert!(matches!(at(&fixture.catalog, SnapshotId(1000)), Err(CatalogError::InFuture(_))));
}

#[test]
fn the_retention_keeps_files_until_it_is_over() {
    let fixture = Fixture::new();
    let catalog = &fixture.catalog;
    catalog.set_retention(DAY).unwrap();
    let t = create(catalog, "t").id;
    let before = catalog.add_files(vec![file(t, 0, "a")]);
    catalog.truncate(&[t]).unwrap();
    assert_eq!(catalog.collectable().unwrap(), []);
    assert_eq!(at(catalog, before).unwrap().table_by_id(t).unwrap().files.len(), 1);
    catalog.set_retention(Duration::from_millis(5)).unwrap();
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(catalog.collectable().unwrap(), [(ContentId(0), vec!["a".to_owned()])]);
    assert!(at(catalog, before).is_err());
}

#[test]
fn restore_points_keep_their_snapshot() {
    let mut fixture = Fixture::new();
    let t = create(&fixture.catalog, "t").id;
    let first = fixture.catalog.add_files(vec![file(t, 0, "a")]);
    let point = fixture.catalog.create_restore_point("p").unwrap();
    assert_eq!(point.snapshot, first);
    assert!(matches!(fixture.catalog.create_restore_point("p"), Err(CatalogError::RestorePointExists(_))));
    fixture.catalog.add_files(vec![file(t, 0, "b")]);
    fixture.catalog.drop_relations(&[name("t")], false).unwrap();
    // What came after it goes.
    assert_eq!(fixture.catalog.collectable().unwrap(), [(ContentId(0), vec!["b".to_owned()])]);
    fixture.catalog.forget(&[key(0, "b")]).unwrap();
    fixture.reopen();
    assert_eq!(fixture.catalog.history().restore_points["p"], point);
    let state = fixture.catalog.state_at(&AsOf::RestorePoint("p".into())).unwrap();
    assert_eq!(state.table("public", "t").unwrap().files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["a"]);
    drop(state);
    assert_eq!(fixture.catalog.collectable().unwrap(), []);
    fixture.catalog.drop_restore_point("p").unwrap();
    assert!(matches!(fixture.catalog.drop_restore_point("p"), Err(CatalogError::NoRestorePoint(_))));
    let missing = fixture.catalog.state_at(&AsOf::RestorePoint("p".into()));
    assert!(matches!(missing, Err(CatalogError::NoRestorePoint(_))));
    assert_eq!(fixture.catalog.collectable().unwrap(), [(ContentId(0), vec!["a".to_owned()])]);
    fixture.reopen();
    assert_eq!(fixture.catalog.collectable().unwrap(), [(ContentId(0), vec!["a".to_owned()])]);
}

#[test]
fn times_name_what_was_the_newest_snapshot_then() {
    let fixture = Fixture::new();
    let catalog = &fixture.catalog;
    catalog.set_retention(DAY).unwrap();
    let now = || catalog.writer.lock().store.now_us().unwrap();
    let before = now();
    std::thread::sleep(Duration::from_millis(5));
    let t = create(catalog, "t").id;
    let made = catalog.current().snapshot;
    std::thread::sleep(Duration::from_millis(5));
    let between = now();
    std::thread::sleep(Duration::from_millis(5));
    let filled = catalog.add_files(vec![file(t, 0, "a")]);
    let after = now();
    let at = |us| catalog.state_at(&AsOf::Time(us)).map(|state| state.snapshot);
    assert_eq!(at(before).unwrap().0, made.0 - 1);
    assert_eq!(at(between).unwrap(), made);
    assert_eq!(at(after).unwrap(), filled);
    assert!(matches!(at(after + 3_600_000_000), Err(CatalogError::InFuture(_))));
    assert!(matches!(at(1), Err(CatalogError::NotKept { .. })), "there was none in 1970");
}

on_postgres![
    every_snapshot_stays_as_it_was,
    without_retention_the_past_goes_when_its_files_do,
    the_retention_keeps_files_until_it_is_over,
    restore_points_keep_their_snapshot,
    times_name_what_was_the_newest_snapshot_then,
];
