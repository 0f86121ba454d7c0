/// Runs tests of the module once more, over PostgreSQL.
macro_rules! on_postgres {
    ($($test:ident),+ $(,)?) => {
        mod postgres {
            $(#[test]
            fn $test() {
                $crate::catalog::durable::tests::over_postgres(super::$test);
            })+
        }
    };
}

mod copied;
mod durability;
mod past;
mod roles;
mod sequences;
mod shared;
mod stores;
mod tablespaces;
mod workspaces;

use super::super::definitions::{CreateTableOutcome, NewTable};
use super::super::postgres::PostgresStore;
use super::super::store::{CatalogStore, Change, Stored, Transaction};
use super::super::testing;
use super::super::{Commit, CopiedFile, ViewDef};
use super::*;
use arrow::datatypes::DataType;
use damson_cluster::{
    ColumnDef, ColumnStats, Compression, DeleteVector, Distribution, FileEntry, StatValue, TableDef, TablespaceId,
    sketch,
};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

fn column(name: &str) -> ColumnDef {
    ColumnDef {
        name: name.into(),
        sql_type: "numeric(15,2)".into(),
        data_type: DataType::Decimal64(15, 2),
        nullable: true,
        default: None,
        identity: None,
    }
}

fn table(name: &str) -> NewTable {
    NewTable {
        id: None,
        schema: "public".into(),
        name: name.into(),
        columns: vec![column("a"), column("b")],
        distribution: Distribution::Hashed(vec![0]),
        map_version: None,
        keys: vec![],
        checks: vec![],
        compression: Compression::Zstd(3),
        layout: Default::default(),
        tablespace: None,
    }
}

fn create(catalog: &Arc<Catalog>, name: &str) -> Arc<TableDef> {
    match catalog.create_table(table(name), Vec::new(), false).unwrap() {
        CreateTableOutcome::Created(def) => def,
        CreateTableOutcome::Exists => panic!("{name} is there"),
    }
}

fn file(table: TableId, content: i32, path: &str) -> FileEntry {
    let stats = ColumnStats {
        nulls: 1,
        min: Some(StatValue::Float(f64::NEG_INFINITY)),
        max: Some(StatValue::Decimal(i128::MAX)),
        value_bytes: 80,
        distinct_sketch: sketch::empty(),
    };
    FileEntry {
        table,
        content: ContentId(content),
        path: path.into(),
        rows: 10,
        bytes: 1000,
        checksum: u64::MAX - 1,
        buckets: Some((0, 8191)),
        columns: vec![stats.clone(), stats],
        deletes: None,
        created: SnapshotId(0),
    }
}

fn key(content: i32, path: &str) -> FileKey {
    FileKey { content: ContentId(content), path: path.into() }
}

/// In `public`.
fn name(name: &str) -> (String, String) {
    ("public".to_owned(), name.to_owned())
}

fn view(name: &str, references: &[&str]) -> ViewDef {
    ViewDef {
        external: None,
        schema: "public".into(),
        name: name.into(),
        columns: vec!["x".into()],
        query: "select 'ä;'".into(),
        references: references.iter().map(|name| ("public".to_owned(), (*name).to_owned())).collect(),
        search_schema: "public".into(),
    }
}

/// One change at a time, as statements outside transactions make them.
impl Catalog {
    fn create_schema(self: &Arc<Self>, name: &str) -> Result<(), CatalogError> {
        self.alone(|w| w.create_schema(name))
    }

    fn drop_schema(self: &Arc<Self>, name: &str, cascade: bool) -> Result<Vec<String>, CatalogError> {
        self.alone(|w| w.drop_schema(name, cascade))
    }

    fn create_table(
        self: &Arc<Self>,
        new: NewTable,
        files: Vec<FileEntry>,
        if_not_exists: bool,
    ) -> Result<CreateTableOutcome, CatalogError> {
        self.alone(|w| w.create_table(new, files, if_not_exists))
    }

    fn drop_relations(
        self: &Arc<Self>,
        names: &[(String, String)],
        cascade: bool,
    ) -> Result<Vec<String>, CatalogError> {
        self.alone(|w| w.drop_relations(names, cascade))
    }

    fn truncate(self: &Arc<Self>, ids: &[TableId]) -> Result<(), CatalogError> {
        self.alone(|w| w.truncate(ids))
    }

    fn create_view(self: &Arc<Self>, view: ViewDef, or_replace: bool) -> Result<(), CatalogError> {
        self.alone(|w| w.create_view(view, or_replace))
    }

    fn rename_table(self: &Arc<Self>, id: TableId, name: &str) -> Result<(), CatalogError> {
        self.alone(|w| w.rename_table(id, name))
    }

    fn rename_column(self: &Arc<Self>, id: TableId, column: usize, name: &str) -> Result<(), CatalogError> {
        self.alone(|w| w.rename_column(id, column, name, vec![]))
    }

    fn add_column(self: &Arc<Self>, id: TableId, column: ColumnDef) -> Result<(), CatalogError> {
        self.alone(|w| w.add_column(id, column, vec![]))
    }

    /// Of a statement that has read `base`.
    fn commit_on(self: &Arc<Self>, base: &Arc<CatalogState>, commit: Commit) -> Result<SnapshotId, CatalogError> {
        let mut workspace = Workspace::on(self, Arc::clone(base));
        workspace.add(commit)?;
        Ok(workspace.commit(Durability::Synced)?.expect("a change"))
    }

    fn add_files(self: &Arc<Self>, files: Vec<FileEntry>) -> SnapshotId {
        self.commit_on(&self.current(), Commit::of_adds(files)).unwrap()
    }
}

/// Everything that a statement can see, as text.
fn describe(catalog: &Arc<Catalog>) -> String {
    let state = catalog.current();
    let mut out = format!("{:?}\n", state.snapshot);
    out += &format!("{:?}\n", state.schemas().collect::<Vec<_>>());
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
    for secret in state.secrets() {
        out += &format!("{secret:?}\n");
    }
    for tablespace in state.tablespaces() {
        out += &format!("{tablespace:?}\n");
    }
    out += &format!("{:?}\n", catalog.collectable().unwrap());
    for content in 0..2 {
        let mut paths: Vec<_> = catalog.known_paths(ContentId(content)).unwrap().into_iter().collect();
        paths.sort();
        out += &format!("{paths:?}\n");
    }
    out
}

thread_local! {
    static ON_POSTGRES: Cell<bool> = const { Cell::new(false) };
}

/// The test's places are in PostgreSQL, if there is one here.
fn over_postgres(test: fn()) {
    if testing::server().is_some() {
        ON_POSTGRES.set(true);
        let result = std::panic::catch_unwind(test);
        ON_POSTGRES.set(false);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}

/// Where a catalog is kept: a directory, or a database.
enum Place {
    Directory(tempfile::TempDir),
    Database(testing::Database),
}

impl Place {
    fn new() -> Self {
        match testing::server().filter(|_| ON_POSTGRES.get()) {
            Some(server) => Place::Database(server.database()),
            None => Place::Directory(tempfile::tempdir().unwrap()),
        }
    }

    fn open(&self, segment_count: usize) -> Result<Arc<Catalog>, CatalogError> {
        match self {
            Place::Directory(directory) => Catalog::open(directory.path(), segment_count),
            Place::Database(url) => {
                Catalog::open_at(&CatalogLocation::Postgres { url: url.to_string() }, segment_count)
            }
        }
    }

    fn store(&self) -> Box<dyn CatalogStore> {
        match self {
            Place::Directory(directory) => Box::new(SqliteStore::open(&directory.path().join(DATABASE), 2).unwrap()),
            Place::Database(url) => Box::new(PostgresStore::open(url, 2, None).unwrap()),
        }
    }
}

/// A catalog, reopened after each step: what was published must be what is durable.
struct Fixture {
    place: Place,
    catalog: Arc<Catalog>,
}

impl Fixture {
    fn new() -> Self {
        let place = Place::new();
        let catalog = place.open(2).unwrap();
        Fixture { place, catalog }
    }

    fn reopen(&mut self) {
        let before = describe(&self.catalog);
        let epoch = self.catalog.current().settings.epoch;
        self.catalog = self.place.open(2).unwrap();
        assert_eq!(describe(&self.catalog), before);
        assert_eq!(self.catalog.current().settings.epoch, epoch + 1);
    }
}

#[test]
fn a_new_catalog() {
    let fixture = Fixture::new();
    let state = fixture.catalog.current();
    assert_eq!(state.schemas().collect::<Vec<_>>(), ["public"]);
    assert_eq!(state.snapshot, SnapshotId(1));
    assert_eq!(state.current_map().segment_count(), 2);
    assert_eq!(state.settings.cluster_id.len(), 36);
    let cluster_id = state.settings.cluster_id.clone();
    let again = fixture.place.open(2).unwrap();
    assert_eq!(again.current().settings.cluster_id, cluster_id);
}

#[test]
fn another_segment_count_is_refused_and_fences_nobody() {
    let fixture = Fixture::new();
    let error = fixture.place.open(3).err().unwrap();
    assert!(matches!(error, CatalogError::SegmentCount { stored: 2, asked: 3 }));
    let sql = crate::error::SqlError::from(error);
    assert!(sql.hint.unwrap().contains("--segments 2"));
    create(&fixture.catalog, "t");
}

#[test]
fn a_bucket_map_is_for_tables_that_are_made_later() {
    let mut fixture = Fixture::new();
    create(&fixture.catalog, "before");
    let owners = |segments: usize| BucketMap::uniform(MapVersion(1), segments).owners().to_vec();
    assert_eq!(fixture.catalog.install_map(owners(4)).unwrap(), MapVersion(2));
    create(&fixture.catalog, "after");
    // Fewer owners leave the segments there.
    assert_eq!(fixture.catalog.install_map(owners(1)).unwrap(), MapVersion(3));
    for owners in [vec![0; 7], vec![]] {
        let error = fixture.catalog.install_map(owners).unwrap_err();
        assert!(matches!(error, CatalogError::Map(_)), "{error}");
    }
    fixture.reopen();
    let state = fixture.catalog.current();
    let version = |name| state.table("public", name).unwrap().def.map_version;
    assert_eq!((version("before"), version("after")), (MapVersion(1), MapVersion(2)));
    let segments = |version| state.bucket_map(MapVersion(version)).unwrap().segment_count();
    assert_eq!([1, 2, 3].map(segments), [2, 4, 4]);
    assert_eq!(state.current_map().owners(), owners(1));
    // As many as it was made with, as it has, and as it may have had in between; nothing else.
    for asked in 2..=4 {
        fixture.place.open(asked).unwrap();
    }
    for asked in [1, 5] {
        let error = fixture.place.open(asked).err();
        assert!(matches!(error, Some(CatalogError::SegmentCount { stored: 4, asked: found }) if found == asked));
    }
}

#[test]
fn a_newer_schema_and_a_foreign_database_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    Catalog::open(directory.path(), 2).unwrap();
    let sqlite = rusqlite::Connection::open(directory.path().join(DATABASE)).unwrap();
    sqlite.execute_batch("PRAGMA user_version = 99").unwrap();
    let error = Catalog::open(directory.path(), 2).err().unwrap();
    assert!(matches!(error, CatalogError::NewerSchema { stored: 99, .. }), "{error}");

    let directory = tempfile::tempdir().unwrap();
    let sqlite = rusqlite::Connection::open(directory.path().join("catalog.db")).unwrap();
    sqlite.execute_batch("CREATE TABLE x (a)").unwrap();
    assert!(matches!(Catalog::open(directory.path(), 2).err().unwrap(), CatalogError::Damaged(_)));

    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("catalog.db"), vec![7u8; 8192]).unwrap();
    let error = crate::error::SqlError::from(Catalog::open(directory.path(), 2).err().unwrap());
    assert_eq!(error.state, crate::error::SqlState::DATA_CORRUPTED);
}

#[test]
fn every_mutation_is_durable() {
    let mut fixture = Fixture::new();
    fixture.catalog.create_schema("s").unwrap();
    fixture.reopen();
    let t = create(&fixture.catalog, "t");
    fixture.reopen();
    let base = fixture.catalog.current();
    let snapshot =
        fixture.catalog.commit_on(&base, Commit::of_adds(vec![file(t.id, 0, "a"), file(t.id, 1, "b")])).unwrap();
    fixture.reopen();
    let state = fixture.catalog.current();
    let entry = state.table("public", "t").unwrap();
    assert_eq!(entry.files.of(ContentId(0)).iter().next().unwrap().created, snapshot);
    assert_eq!((entry.files.len(), entry.files.rows_of(ContentId(1))), (2, 10));
    assert_eq!(entry.statistics().rows, 20);
    fixture.catalog.create_view(view("v", &[]), false).unwrap();
    fixture.reopen();
    fixture.catalog.rename_table(t.id, "u").unwrap();
    fixture.reopen();
    assert!(fixture.catalog.current().table("public", "t").is_none());
    fixture.catalog.rename_column(t.id, 1, "c").unwrap();
    fixture.reopen();
    fixture.catalog.add_column(t.id, column("d")).unwrap();
    fixture.reopen();
    let names: Vec<_> =
        fixture.catalog.current().table_by_id(t.id).unwrap().def.columns.iter().map(|c| c.name.clone()).collect();
    assert_eq!(names, ["a", "c", "d"]);
    fixture.catalog.truncate(&[t.id]).unwrap();
    fixture.reopen();
    assert!(fixture.catalog.current().table_by_id(t.id).unwrap().files.is_empty());
    fixture.catalog.drop_relations(&[name("v")], false).unwrap();
    fixture.reopen();
    fixture.catalog.drop_relations(&[name("u")], false).unwrap();
    fixture.reopen();
    fixture.catalog.drop_schema("s", false).unwrap();
    fixture.reopen();
    fixture.catalog.forget(&[key(0, "a"), key(1, "b"), key(1, "unknown")]).unwrap();
    fixture.reopen();
    assert_eq!(fixture.catalog.collectable().unwrap(), []);
    // Ids of dropped tables are not given again.
    assert!(create(&fixture.catalog, "t").id > t.id);
}

#[test]
fn create_table_with_files_is_one_snapshot() {
    let mut fixture = Fixture::new();
    let id = fixture.catalog.reserve_table_id().unwrap();
    fixture.reopen();
    let other = fixture.catalog.reserve_table_id().unwrap();
    assert!(other > id, "a reserved id is durable");
    let before = fixture.catalog.current().snapshot;
    let new = NewTable { id: Some(id), ..table("t") };
    fixture.catalog.create_table(new, vec![file(id, 0, "a")], false).unwrap();
    let state = fixture.catalog.current();
    assert_eq!(state.snapshot.0, before.0 + 1);
    assert_eq!(state.table("public", "t").unwrap().files.len(), 1);
    fixture.reopen();
}

#[test]
fn names_are_unique_over_tables_and_views() {
    let fixture = Fixture::new();
    let catalog = &fixture.catalog;
    create(catalog, "t");
    catalog.create_view(view("v", &[]), false).unwrap();
    let exists = |result: Result<CreateTableOutcome, CatalogError>| {
        assert!(matches!(result, Err(CatalogError::RelationExists(_))));
    };
    exists(catalog.create_table(table("t"), Vec::new(), false));
    exists(catalog.create_table(table("v"), Vec::new(), false));
    assert!(matches!(catalog.create_table(table("t"), Vec::new(), true), Ok(CreateTableOutcome::Exists)));
    assert!(matches!(catalog.create_view(view("t", &[]), true), Err(CatalogError::RelationExists(_))));
    assert!(matches!(catalog.create_view(view("v", &[]), false), Err(CatalogError::RelationExists(_))));
    catalog.create_view(view("v", &["t"]), true).unwrap();
    let elsewhere = NewTable { schema: "nowhere".into(), ..table("t") };
    assert!(matches!(catalog.create_table(elsewhere, Vec::new(), false), Err(CatalogError::NoSchema(_))));
    assert!(matches!(catalog.create_schema("public"), Err(CatalogError::SchemaExists(_))));
    let t = catalog.current().table("public", "t").unwrap().def.id;
    assert!(matches!(catalog.rename_table(t, "v"), Err(CatalogError::RelationExists(_))));
}

#[test]
fn a_view_cannot_use_itself() {
    let fixture = Fixture::new();
    let catalog = &fixture.catalog;
    catalog.create_view(view("v1", &[]), false).unwrap();
    catalog.create_view(view("v2", &["v1"]), false).unwrap();
    catalog.create_view(view("v3", &["v2"]), false).unwrap();
    assert!(matches!(catalog.create_view(view("v1", &["v3"]), true), Err(CatalogError::RecursiveView(_))));
    assert!(matches!(catalog.create_view(view("v1", &["v1"]), true), Err(CatalogError::RecursiveView(_))));
    catalog.create_view(view("v3", &["v1"]), true).unwrap();
}

#[test]
fn drops_mind_views() {
    let fixture = Fixture::new();
    let catalog = &fixture.catalog;
    create(catalog, "t");
    catalog.create_view(view("v1", &["t"]), false).unwrap();
    catalog.create_view(view("v2", &["v1"]), false).unwrap();
    let error = catalog.drop_relations(&[name("t")], false).unwrap_err();
    assert!(matches!(&error, CatalogError::Needed { dependents, .. } if *dependents == ["view public.v1"]));
    assert_eq!(catalog.drop_relations(&[name("t")], true).unwrap(), ["view public.v1", "view public.v2"]);
    assert_eq!(catalog.current().relations().count(), 0);

    catalog.create_schema("s").unwrap();
    catalog.create_table(NewTable { schema: "s".into(), ..table("t") }, Vec::new(), false).unwrap();
    let mut elsewhere = view("w", &[]);
    elsewhere.references.insert(("s".into(), "t".into()));
    catalog.create_view(elsewhere, false).unwrap();
    assert!(matches!(catalog.drop_schema("s", false), Err(CatalogError::SchemaNotEmpty(_))));
    assert_eq!(catalog.drop_schema("s", true).unwrap(), ["public.w", "s.t"]);
    assert!(matches!(catalog.drop_schema("s", true), Err(CatalogError::NoSchema(_))));
}

#[test]
fn conflicting_commits_change_nothing() {
    let fixture = Fixture::new();
    let catalog = &fixture.catalog;
    let (t, u) = (create(catalog, "t").id, create(catalog, "u").id);
    let base = catalog.current();
    catalog.commit_on(&base, Commit::of_adds(vec![file(t, 0, "a")])).unwrap();
    // Inserts do not conflict with inserts, nor with a rename.
    catalog.rename_table(t, "t2").unwrap();
    catalog.commit_on(&base, Commit::of_adds(vec![file(t, 0, "b")])).unwrap();

    let base = catalog.current();
    let drop_a = || Commit { drops: vec![(t, key(0, "a"))], ..Commit::of_adds(vec![file(t, 0, "c")]) };
    catalog.commit_on(&base, drop_a()).unwrap();
    let before = describe(catalog);
    let second = catalog.commit_on(&base, drop_a());
    assert!(matches!(second, Err(CatalogError::Conflict { .. })), "the first committer wins");
    assert_eq!(describe(catalog), before);

    catalog.add_column(t, column("d")).unwrap();
    let before = describe(catalog);
    let both = Commit::of_adds(vec![file(u, 0, "x"), file(t, 0, "y")]);
    let error = crate::error::SqlError::from(catalog.commit_on(&base, both).unwrap_err());
    assert_eq!(error.state, crate::error::SqlState::SERIALIZATION_FAILURE);
    assert_eq!(describe(catalog), before);

    let base = catalog.current();
    catalog.drop_relations(&[name("u")], false).unwrap();
    let before = describe(catalog);
    let error = catalog.commit_on(&base, Commit::of_adds(vec![file(t, 0, "y"), file(u, 0, "x")])).unwrap_err();
    assert!(matches!(error, CatalogError::Conflict { reason: "it was dropped", .. }), "{error}");
    assert_eq!(describe(catalog), before);
    // A column that may not be NULL needs an empty table.
    let strict = ColumnDef { nullable: false, ..column("e") };
    assert!(matches!(catalog.add_column(t, strict), Err(CatalogError::Conflict { .. })));
    assert!(matches!(catalog.add_column(u, column("e")), Err(CatalogError::TableGone(_))));
}

#[test]
fn set_distributed_replaces_definition_and_files() {
    let mut fixture = Fixture::new();
    let t = create(&fixture.catalog, "t");
    fixture.catalog.add_files(vec![file(t.id, 0, "a")]);
    let base = fixture.catalog.current();
    let definition = TableDef { distribution: Distribution::Randomly, ..(*t).clone() };
    let rewrite = Commit {
        drops: vec![(t.id, key(0, "a"))],
        replace_definition: Some(definition.clone()),
        ..Commit::of_adds(vec![file(t.id, 1, "new")])
    };
    // Rows that came meanwhile would lie where the old definition says.
    fixture.catalog.commit_on(&base, Commit::of_adds(vec![file(t.id, 0, "late")])).unwrap();
    let error = fixture.catalog.commit_on(&base, rewrite.clone()).unwrap_err();
    assert!(matches!(error, CatalogError::Conflict { reason: "rows were added to it", .. }), "{error}");
    let late = fixture.catalog.current();
    let mut rewrite = rewrite;
    rewrite.drops.push((t.id, key(0, "late")));
    // A new name that it would take back.
    fixture.catalog.rename_table(t.id, "renamed").unwrap();
    let error = fixture.catalog.commit_on(&late, rewrite.clone()).unwrap_err();
    assert!(matches!(error, CatalogError::Conflict { reason: "it was redefined", .. }), "{error}");
    rewrite.replace_definition = Some(TableDef { name: "renamed".into(), ..definition });
    fixture.catalog.commit_on(&fixture.catalog.current(), rewrite).unwrap();
    // An insert that was laid out by the old definition is too late.
    let error = fixture.catalog.commit_on(&late, Commit::of_adds(vec![file(t.id, 0, "z")])).unwrap_err();
    assert!(matches!(error, CatalogError::Conflict { .. }));
    drop((base, late));
    fixture.reopen();
    let state = fixture.catalog.current();
    let entry = state.table("public", "renamed").unwrap();
    assert_eq!(entry.def.distribution, Distribution::Randomly);
    assert_eq!(entry.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["new"]);
}

#[test]
fn files_stay_while_they_are_read() {
    let fixture = Fixture::new();
    let catalog = &fixture.catalog;
    let t = create(catalog, "t").id;
    catalog.add_files(vec![file(t, 0, "a"), file(t, 1, "b")]);
    let reader = catalog.current();
    assert_eq!(catalog.oldest_pinned(), reader.snapshot);
    catalog.truncate(&[t]).unwrap();
    create(catalog, "more");
    assert_eq!(catalog.oldest_pinned(), reader.snapshot);
    assert_eq!(catalog.collectable().unwrap(), []);
    assert_eq!(reader.table_by_id(t).unwrap().files.len(), 2);
    assert!(catalog.known_paths(ContentId(0)).unwrap().contains("a"));
    let second = Arc::clone(&reader);
    drop(reader);
    assert_eq!(catalog.collectable().unwrap(), []);
    drop(second);
    assert_eq!(catalog.oldest_pinned(), catalog.current().snapshot);
    assert_eq!(
        catalog.collectable().unwrap(),
        [(ContentId(0), vec!["a".to_owned()]), (ContentId(1), vec!["b".to_owned()])]
    );
    catalog.forget(&[key(0, "a")]).unwrap();
    assert_eq!(catalog.collectable().unwrap(), [(ContentId(1), vec!["b".to_owned()])]);
    assert!(!catalog.known_paths(ContentId(0)).unwrap().contains("a"));
    // A live file cannot be forgotten.
    catalog.add_files(vec![file(t, 0, "live")]);
    catalog.forget(&[key(0, "live")]).unwrap();
    assert!(catalog.known_paths(ContentId(0)).unwrap().contains("live"));
}

#[test]
fn a_commit_leaves_other_tables_entries_alone() {
    let fixture = Fixture::new();
    let catalog = &fixture.catalog;
    let (t, u) = (create(catalog, "t").id, create(catalog, "u").id);
    let before = Arc::clone(catalog.current().table_by_id(u).unwrap());
    catalog.add_files(vec![file(t, 0, "a")]);
    assert!(Arc::ptr_eq(&before, catalog.current().table_by_id(u).unwrap()));
}

#[test]
fn a_replaced_master_is_fenced() {
    let fixture = Fixture::new();
    let newer = fixture.place.open(2).unwrap();
    let before = describe(&fixture.catalog);
    let error = fixture.catalog.create_schema("s").unwrap_err();
    assert!(matches!(error, CatalogError::Fenced { .. }));
    assert_eq!(describe(&fixture.catalog), before);
    newer.create_schema("s").unwrap();
}

#[test]
fn concurrent_commits_all_stand() {
    let fixture = Fixture::new();
    let catalog = &fixture.catalog;
    let t = create(catalog, "t").id;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for i in 0..10 {
                    let base = catalog.current();
                    let path = format!("{thread}-{i}");
                    catalog.commit_on(&base, Commit::of_adds(vec![file(t, thread % 2, &path)])).unwrap();
                }
            });
        }
    });
    assert_eq!(catalog.current().table_by_id(t).unwrap().files.len(), 40);
    let before = describe(catalog);
    let again = fixture.place.open(2).unwrap();
    assert_eq!(describe(&again), before);
}

fn vector(path: &str, rows: u64) -> DeleteVector {
    DeleteVector { path: path.into(), rows, bytes: 30, checksum: u64::MAX - 2, created: SnapshotId(0) }
}

fn deleting(table: TableId, file: FileKey, vector: DeleteVector) -> Commit {
    Commit { deletes: vec![(table, file, vector)], ..Commit::default() }
}

#[test]
fn delete_vectors_are_replaced_and_collected() {
    let mut fixture = Fixture::new();
    let t = create(&fixture.catalog, "t").id;
    fixture.catalog.add_files(vec![file(t, 0, "a"), file(t, 1, "b")]);
    let commit = |catalog: &Arc<Catalog>, commit: Commit| catalog.commit_on(&catalog.current(), commit).unwrap();
    commit(&fixture.catalog, deleting(t, key(0, "a"), vector("a.1", 3)));
    fixture.reopen();
    let state = fixture.catalog.current();
    let entry = Arc::clone(state.table_by_id(t).unwrap());
    assert_eq!((entry.files.rows_of(ContentId(0)), entry.files.rows_of(ContentId(1))), (7, 10));
    assert_eq!(entry.statistics().rows, 17);
    assert!(fixture.catalog.known_paths(ContentId(0)).unwrap().contains("a.1"));
    commit(&fixture.catalog, deleting(t, key(0, "a"), vector("a.2", 4)));
    // Whoever reads the first state still needs its vector.
    assert_eq!(fixture.catalog.collectable().unwrap(), []);
    drop((state, entry));
    assert_eq!(fixture.catalog.collectable().unwrap(), [(ContentId(0), vec!["a.1".to_owned()])]);
    fixture.reopen();
    fixture.catalog.forget(&[key(0, "a.1")]).unwrap();
    fixture.reopen();
    assert_eq!(fixture.catalog.collectable().unwrap(), []);
    // A file goes with its vector.
    commit(&fixture.catalog, Commit { drops: vec![(t, key(0, "a"))], ..Commit::default() });
    fixture.reopen();
    let gone = ["a", "a.2"].map(str::to_owned).to_vec();
    assert_eq!(fixture.catalog.collectable().unwrap(), [(ContentId(0), gone)]);
    fixture.catalog.forget(&[key(0, "a"), key(0, "a.2")]).unwrap();
    fixture.reopen();
    assert_eq!(fixture.catalog.collectable().unwrap(), []);
    // And with its table.
    commit(&fixture.catalog, deleting(t, key(1, "b"), vector("b.1", 1)));
    fixture.catalog.drop_relations(&[name("t")], false).unwrap();
    fixture.reopen();
    let gone = ["b", "b.1"].map(str::to_owned).to_vec();
    assert_eq!(fixture.catalog.collectable().unwrap(), [(ContentId(1), gone)]);
}

#[test]
fn the_first_to_delete_from_a_file_wins() {
    let fixture = Fixture::new();
    let t = create(&fixture.catalog, "t").id;
    fixture.catalog.add_files(vec![file(t, 0, "a"), file(t, 0, "b")]);
    let base = fixture.catalog.current();
    fixture.catalog.commit_on(&base, deleting(t, key(0, "a"), vector("a.1", 1))).unwrap();
    let conflict = |commit: Commit| {
        assert!(matches!(fixture.catalog.commit_on(&base, commit), Err(CatalogError::Conflict { .. })));
    };
    // Rows that the first one deleted would be there again.
    conflict(deleting(t, key(0, "a"), vector("a.2", 1)));
    conflict(Commit { drops: vec![(t, key(0, "a"))], ..Commit::of_adds(vec![file(t, 0, "c")]) });
    let definition = TableDef {
        distribution: Distribution::Randomly,
        ..(*fixture.catalog.current().table_by_id(t).unwrap().def).clone()
    };
    let drops = vec![(t, key(0, "a")), (t, key(0, "b"))];
    conflict(Commit { drops, replace_definition: Some(definition), ..Commit::default() });
    conflict(deleting(t, key(0, "nothing"), vector("n.1", 1)));
    // Another file's are nobody's, and neither are new rows.
    fixture.catalog.commit_on(&base, deleting(t, key(0, "b"), vector("b.1", 1))).unwrap();
    fixture.catalog.commit_on(&base, Commit::of_adds(vec![file(t, 0, "d")])).unwrap();
}

/// As the builds before delete vectors made it.
#[test]
fn a_catalog_of_version_1_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(directory.path(), 2).unwrap();
    let t = create(&catalog, "t").id;
    catalog.add_files(vec![file(t, 0, "a")]);
    drop(catalog);
    let old = rusqlite::Connection::open(directory.path().join(DATABASE)).unwrap();
    old.execute_batch(
        "DROP TABLE roles; DROP TABLE access; DROP TABLE secrets; DROP TABLE tablespaces; DROP TABLE copied_files; DROP TABLE past_definitions; DROP TABLE restore_points; DROP INDEX snapshots_time;
         ALTER TABLE tables DROP COLUMN since;
         DELETE FROM settings WHERE key IN ('history_from', 'snapshot_retention_us');
         DROP TABLE sequence_definitions; DROP TABLE sequence_positions; DROP TABLE delete_vectors;
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(old);
    for _ in 0..2 {
        let catalog = Catalog::open(directory.path(), 2).unwrap();
        assert_eq!(catalog.current().table_by_id(t).unwrap().files.len(), 1);
    }
    let catalog = Catalog::open(directory.path(), 2).unwrap();
    catalog.commit_on(&catalog.current(), deleting(t, key(0, "a"), vector("a.1", 3))).unwrap();
}

#[test]
fn what_is_removed_as_an_orphan_is_never_committed() {
    let fixture = Fixture::new();
    let t = create(&fixture.catalog, "t").id;
    let base = fixture.catalog.current();
    fixture.catalog.commit_on(&base, Commit::of_adds(vec![file(t, 0, "a")])).unwrap();
    let suspects = ["a", "lost"].map(str::to_owned).into();
    assert_eq!(fixture.catalog.condemn(ContentId(0), suspects).unwrap(), ["lost"]);
    let late = |path: &str| fixture.catalog.commit_on(&base, Commit::of_adds(vec![file(t, 0, path)]));
    assert!(matches!(late("lost"), Err(CatalogError::Conflict { .. })));
    let base = fixture.catalog.current();
    let vectors = deleting(t, key(0, "a"), vector("lost", 1));
    assert!(matches!(fixture.catalog.commit_on(&base, vectors), Err(CatalogError::Conflict { .. })));
    late("b").unwrap();
    // Another segment's file of that name is another file.
    fixture.catalog.commit_on(&base, Commit::of_adds(vec![file(t, 1, "lost")])).unwrap();
}

on_postgres![
    a_new_catalog,
    another_segment_count_is_refused_and_fences_nobody,
    a_bucket_map_is_for_tables_that_are_made_later,
    every_mutation_is_durable,
    create_table_with_files_is_one_snapshot,
    names_are_unique_over_tables_and_views,
    a_view_cannot_use_itself,
    drops_mind_views,
    conflicting_commits_change_nothing,
    set_distributed_replaces_definition_and_files,
    files_stay_while_they_are_read,
    a_commit_leaves_other_tables_entries_alone,
    a_replaced_master_is_fenced,
    concurrent_commits_all_stand,
    delete_vectors_are_replaced_and_collected,
    the_first_to_delete_from_a_file_wins,
    what_is_removed_as_an_orphan_is_never_committed,
];
