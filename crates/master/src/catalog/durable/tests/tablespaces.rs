//! Tablespaces and secrets.

use super::*;
use crate::catalog::{AsOf, SecretDef, TablespaceDef};
use crate::error::{SqlError, SqlState};
use damson_cluster::{PlaceId, SecretType};
use std::collections::BTreeSet;

fn secret(name: &str, kind: SecretType, sealed: &str) -> SecretDef {
    SecretDef {
        name: name.into(),
        kind,
        scope: format!("{}://", kind.scheme()),
        options: vec!["region".into()],
        created_us: 5,
        key: "k".into(),
        sealed: sealed.into(),
    }
}

/// The SQLSTATE of a change that is refused, and changes nothing.
fn refused<T: std::fmt::Debug>(
    catalog: &Arc<Catalog>,
    change: impl FnOnce(&mut Workspace) -> Result<T, CatalogError>,
) -> SqlState {
    let before = describe(catalog);
    let error = SqlError::from(catalog.alone(change).unwrap_err());
    assert_eq!(describe(catalog), before);
    error.state
}

fn id(catalog: &Catalog, tablespace: &str) -> TablespaceId {
    catalog.current().tablespace(tablespace).unwrap().id
}

/// A table in a tablespace, with a file.
fn create_in(catalog: &Arc<Catalog>, name: &str, tablespace: TablespaceId) -> TableId {
    let new = NewTable { tablespace: Some(tablespace), ..table(name) };
    let CreateTableOutcome::Created(def) = catalog.create_table(new, vec![], false).unwrap() else { panic!() };
    catalog.add_files(vec![file(def.id, 0, &format!("{name}-file"))]);
    def.id
}

#[test]
fn secrets_are_made_replaced_and_dropped() {
    let mut fixture = Fixture::new();
    fixture.catalog.alone(|w| w.create_secret(secret("s", SecretType::S3, "one"), false)).unwrap();
    fixture.reopen();
    assert_eq!(**fixture.catalog.current().secret("s").unwrap(), secret("s", SecretType::S3, "one"));
    let again = refused(&fixture.catalog, |w| w.create_secret(secret("s", SecretType::S3, "two"), false));
    assert_eq!(again, SqlState::DUPLICATE_OBJECT);
    fixture.catalog.alone(|w| w.create_secret(secret("s", SecretType::Gcs, "two"), true)).unwrap();
    fixture.catalog.alone(|w| w.create_secret(secret("new", SecretType::S3, "x"), true)).unwrap();
    fixture.reopen();
    let state = fixture.catalog.current();
    assert_eq!(
        state.secrets().map(|def| (def.name.as_str(), def.sealed.as_str())).collect::<Vec<_>>(),
        [("new", "x"), ("s", "two")]
    );
    fixture.catalog.alone(|w| w.drop_secret("s")).unwrap();
    fixture.reopen();
    assert!(fixture.catalog.current().secret("s").is_none());
    assert_eq!(refused(&fixture.catalog, |w| w.drop_secret("s")), SqlState::UNDEFINED_OBJECT);
}

#[test]
fn tablespaces_are_made_and_dropped() {
    let mut fixture = Fixture::new();
    let catalog = &fixture.catalog;
    catalog.alone(|w| w.create_secret(secret("s", SecretType::S3, "x"), false)).unwrap();
    catalog.alone(|w| w.create_tablespace("plain", "s3://b/plain", None)).unwrap();
    catalog.alone(|w| w.create_tablespace("named", "s3://b/named", Some("s".into()))).unwrap();
    fixture.reopen();
    let catalog = &fixture.catalog;
    let named = TablespaceDef {
        id: id(catalog, "named"),
        name: "named".into(),
        location: "s3://b/named".into(),
        secret: Some("s".into()),
    };
    assert_eq!(**catalog.current().tablespace("named").unwrap(), named);
    assert_ne!(named.id, id(catalog, "plain"));

    let create = |name: &str, location: &str, secret: Option<&str>| {
        refused(catalog, |w| w.create_tablespace(name, location, secret.map(str::to_owned)))
    };
    assert_eq!(create("plain", "s3://b/other", None), SqlState::DUPLICATE_OBJECT);
    for location in ["s3://b/plain", "s3://b/plain/below", "s3://b"] {
        assert_eq!(create("new", location, None), SqlState::INVALID_OBJECT_DEFINITION, "{location}");
    }
    assert_eq!(create("new", "s3://c", Some("none")), SqlState::UNDEFINED_OBJECT);
    assert_eq!(create("new", "gs://c", Some("s")), SqlState::INVALID_PARAMETER);

    // What a tablespace needs stays.
    assert_eq!(refused(catalog, |w| w.drop_secret("s")), SqlState::DEPENDENT_OBJECTS);
    let other_type = refused(catalog, |w| w.create_secret(secret("s", SecretType::Gcs, "y"), true));
    assert_eq!(other_type, SqlState::DEPENDENT_OBJECTS);
    catalog.alone(|w| w.create_secret(secret("s", SecretType::S3, "y"), true)).unwrap();
    catalog.alone(|w| w.drop_tablespace("named")).unwrap();
    catalog.alone(|w| w.drop_secret("s")).unwrap();
    assert_eq!(refused(catalog, |w| w.drop_tablespace("named")), SqlState::UNDEFINED_OBJECT);
    // Its place is free again.
    catalog.alone(|w| w.create_tablespace("again", "s3://b/named/below", None)).unwrap();
    fixture.reopen();
}

#[test]
fn a_tablespace_goes_after_its_files() {
    let mut fixture = Fixture::new();
    fixture.catalog.alone(|w| w.create_tablespace("ts", "s3://b", None)).unwrap();
    let ts = id(&fixture.catalog, "ts");
    let t = create_in(&fixture.catalog, "t", ts);
    fixture.reopen();
    let catalog = &fixture.catalog;
    let local = create(catalog, "local").id;
    let place = |catalog: &Catalog, table| catalog.places_of(&BTreeSet::from([table])).unwrap().get(&table).copied();
    assert_eq!(place(catalog, local), Some(PlaceId::LOCAL));
    assert_eq!(place(catalog, TableId(1_000)), None);
    assert_eq!(catalog.current().table_by_id(t).unwrap().def.tablespace, Some(ts));
    assert_eq!(refused(catalog, |w| w.drop_tablespace("ts")), SqlState::OBJECT_NOT_IN_STATE);
    let together = |w: &mut Workspace| {
        w.drop_relations(&[name("t")], false)?;
        w.drop_tablespace("ts")
    };
    assert_eq!(refused(catalog, together), SqlState::OBJECT_NOT_IN_STATE, "its files are not removed yet");
    catalog.drop_relations(&[name("t")], false).unwrap();
    assert_eq!(refused(catalog, |w| w.drop_tablespace("ts")), SqlState::OBJECT_NOT_IN_STATE);
    assert_eq!(place(catalog, t), Some(PlaceId::of(Some(ts))), "its files are there");
    catalog.forget(&[key(0, "t-file")]).unwrap();
    assert_eq!(place(catalog, t), None);
    catalog.alone(|w| w.drop_tablespace("ts")).unwrap();
    fixture.reopen();
    // One that is made and dropped together never was.
    let nothing = |w: &mut Workspace| {
        w.create_tablespace("ts", "s3://b", None)?;
        w.drop_tablespace("ts")
    };
    fixture.catalog.alone(nothing).unwrap();
    assert_eq!(fixture.catalog.current().tablespaces().count(), 0);
}

/// Each of two transactions was right when it was planned.
#[test]
fn the_second_of_two_that_do_not_fit_is_refused() {
    let fixture = Fixture::new();
    let catalog = &fixture.catalog;
    let refused = |first: Workspace, second: Workspace| {
        first.commit(Durability::Synced).unwrap();
        SqlError::from(second.commit(Durability::Synced).unwrap_err()).state
    };
    let [mut one, mut two] = [Workspace::new(catalog), Workspace::new(catalog)];
    one.create_secret(secret("s", SecretType::S3, "x"), false).unwrap();
    two.create_secret(secret("s", SecretType::S3, "y"), false).unwrap();
    assert_eq!(refused(one, two), SqlState::DUPLICATE_OBJECT);

    let [mut one, mut two] = [Workspace::new(catalog), Workspace::new(catalog)];
    one.create_tablespace("a", "s3://b", None).unwrap();
    two.create_tablespace("b", "s3://b/x", None).unwrap();
    assert_eq!(refused(one, two), SqlState::INVALID_OBJECT_DEFINITION);

    let [mut one, mut two] = [Workspace::new(catalog), Workspace::new(catalog)];
    one.drop_secret("s").unwrap();
    two.create_tablespace("b", "s3://c", Some("s".into())).unwrap();
    assert_eq!(refused(one, two), SqlState::UNDEFINED_OBJECT);

    // Of another type than the tablespace that was made meanwhile needs.
    catalog.alone(|w| w.create_secret(secret("r", SecretType::S3, "x"), false)).unwrap();
    let [mut one, mut two] = [Workspace::new(catalog), Workspace::new(catalog)];
    one.create_tablespace("r", "s3://r", Some("r".into())).unwrap();
    two.create_secret(secret("r", SecretType::Gcs, "y"), true).unwrap();
    assert_eq!(refused(one, two), SqlState::DEPENDENT_OBJECTS);

    let a = id(catalog, "a");
    let in_a = |name: &str| NewTable { tablespace: Some(a), ..table(name) };
    let [mut one, mut two] = [Workspace::new(catalog), Workspace::new(catalog)];
    one.create_table(in_a("t"), vec![], false).unwrap();
    two.drop_tablespace("a").unwrap();
    assert_eq!(refused(one, two), SqlState::OBJECT_NOT_IN_STATE);
    catalog.drop_relations(&[name("t")], false).unwrap();

    let [mut one, mut two] = [Workspace::new(catalog), Workspace::new(catalog)];
    one.drop_tablespace("a").unwrap();
    two.create_table(in_a("u"), vec![], false).unwrap();
    assert_eq!(refused(one, two), SqlState::UNDEFINED_OBJECT);
}

/// A snapshot of the past has the tablespaces that are, and none that were made later; secrets are those of now.
#[test]
fn the_past_is_read_with_what_there_is_now() {
    let fixture = Fixture::new();
    let catalog = &fixture.catalog;
    catalog.alone(|w| w.create_secret(secret("s", SecretType::S3, "old"), false)).unwrap();
    catalog.alone(|w| w.create_tablespace("ts", "s3://b", Some("s".into()))).unwrap();
    let t = create_in(catalog, "t", id(catalog, "ts"));
    catalog.create_restore_point("p").unwrap();
    catalog.alone(|w| w.create_secret(secret("s", SecretType::S3, "new"), true)).unwrap();
    catalog.alone(|w| w.create_tablespace("later", "s3://c", None)).unwrap();
    catalog.drop_relations(&[name("t")], false).unwrap();
    let past = catalog.state_at(&AsOf::RestorePoint("p".into())).unwrap();
    assert_eq!(past.tablespaces().map(|def| def.name.as_str()).collect::<Vec<_>>(), ["ts"]);
    assert_eq!(past.secret("s").unwrap().sealed, "new");
    assert_eq!(past.table_by_id(t).unwrap().def.tablespace, Some(id(catalog, "ts")));
    assert_eq!(past.table_by_id(t).unwrap().files.len(), 1);
    assert_eq!(refused(catalog, |w| w.drop_tablespace("ts")), SqlState::OBJECT_NOT_IN_STATE);
}

/// As the build before made it.
#[test]
fn a_catalog_of_version_5_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(directory.path(), 2).unwrap();
    let t = create(&catalog, "t").id;
    catalog.add_files(vec![file(t, 0, "a")]);
    let before = describe(&catalog);
    drop(catalog);
    let old = rusqlite::Connection::open(directory.path().join(DATABASE)).unwrap();
    old.execute_batch(
        "DROP TABLE roles; DROP TABLE access; DROP TABLE secrets; DROP TABLE tablespaces; PRAGMA user_version = 5;",
    )
    .unwrap();
    drop(old);
    for _ in 0..2 {
        assert_eq!(describe(&Catalog::open(directory.path(), 2).unwrap()), before);
    }
    let catalog = Catalog::open(directory.path(), 2).unwrap();
    catalog.alone(|w| w.create_secret(secret("s", SecretType::S3, "x"), false)).unwrap();
    catalog.alone(|w| w.create_tablespace("ts", "s3://b", Some("s".into()))).unwrap();
    assert_eq!(describe(&Catalog::open(directory.path(), 2).unwrap()), describe(&catalog));
}

on_postgres![
    secrets_are_made_replaced_and_dropped,
    tablespaces_are_made_and_dropped,
    a_tablespace_goes_after_its_files,
    the_second_of_two_that_do_not_fit_is_refused,
    the_past_is_read_with_what_there_is_now,
];
