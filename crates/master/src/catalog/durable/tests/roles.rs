//! Roles and privileges.

use super::*;
use crate::catalog::{AccessDef, Membership, Object, Privileges, RoleDef, RoleId, Verifier};
use crate::error::{SqlError, SqlState};

fn role(id: u64, name: &str) -> RoleDef {
    RoleDef { verifier: Some(Verifier(format!("of {name}"))), ..RoleDef::new(RoleId(id), name.into()) }
}

fn granting(object: Object, to: u64, privileges: Privileges) -> Vec<AccessDef> {
    let mut access = AccessDef::initial(object, RoleId::BOOTSTRAP);
    access.grant(Some(RoleId(to)), privileges, false);
    vec![access]
}

fn state_of<T: std::fmt::Debug>(refused: Result<T, CatalogError>) -> SqlState {
    SqlError::from(refused.unwrap_err()).state
}

#[test]
fn roles_and_grants_outlive_the_master() {
    let mut fixture = Fixture::new();
    assert!(fixture.catalog.current().is_superuser(RoleId::BOOTSTRAP), "every catalog has one");
    let t = create(&fixture.catalog, "t").id;
    fixture.catalog.alone(|w| w.create_role(role(100, "a"))).unwrap();
    let member = RoleDef { member_of: vec![Membership { role: RoleId(100), admin: true }], ..role(101, "b") };
    fixture.catalog.alone(|w| w.create_role(member.clone())).unwrap();
    fixture.catalog.alone(|w| w.put_access(granting(Object::Table(t), 100, Privileges::SELECT))).unwrap();
    fixture.reopen();
    let state = fixture.catalog.current();
    assert_eq!(**state.role("b").unwrap(), member);
    let may = |id, privilege| state.may(RoleId(id), &Object::Table(t), privilege);
    assert!(may(100, Privileges::SELECT) && may(101, Privileges::SELECT));
    assert!(!may(101, Privileges::INSERT) && !may(102, Privileges::SELECT));
    // They go with the table, and with the role.
    drop(state);
    assert_eq!(state_of(fixture.catalog.alone(|w| w.drop_role(RoleId(100)))), SqlState::DEPENDENT_OBJECTS);
    fixture.catalog.alone(|w| w.drop_relations(&[("public".into(), "t".into())], false)).unwrap();
    fixture.catalog.alone(|w| w.drop_role(RoleId(100))).unwrap();
    fixture.reopen();
    let state = fixture.catalog.current();
    assert_eq!(state.role("b").unwrap().member_of, []);
    assert_eq!(state.roles().count(), 2);
}

#[test]
fn what_does_not_fit_is_refused() {
    let fixture = Fixture::new();
    let catalog = &fixture.catalog;
    catalog.alone(|w| w.create_role(role(100, "a"))).unwrap();
    assert_eq!(state_of(catalog.alone(|w| w.create_role(role(101, "a")))), SqlState::DUPLICATE_OBJECT);
    let of_itself = RoleDef { member_of: vec![Membership { role: RoleId(100), admin: false }], ..role(100, "a") };
    assert_eq!(state_of(catalog.alone(|w| w.put_role(of_itself))), SqlState::INVALID_GRANT_OPERATION);
    let of_nobody = granting(Object::Database, 7, Privileges::CREATE);
    assert_eq!(state_of(catalog.alone(|w| w.put_access(of_nobody))), SqlState::UNDEFINED_OBJECT);
    // Two that change one role: the second is refused.
    let (mut first, mut second) = (Workspace::new(catalog), Workspace::new(catalog));
    first.put_role(RoleDef { login: true, ..role(100, "a") }).unwrap();
    second.put_role(RoleDef { superuser: true, ..role(100, "a") }).unwrap();
    first.commit(Durability::Synced).unwrap();
    assert_eq!(state_of(second.commit(Durability::Synced)), SqlState::SERIALIZATION_FAILURE);
    assert!(!catalog.current().is_superuser(RoleId(100)));
}

#[test]
fn who_does_not_inherit_must_set_role() {
    let fixture = Fixture::new();
    fixture.catalog.alone(|w| w.create_role(role(100, "a"))).unwrap();
    let member_of = vec![Membership { role: RoleId(100), admin: false }];
    let member = RoleDef { inherit: false, member_of, ..role(101, "b") };
    fixture.catalog.alone(|w| w.create_role(member)).unwrap();
    let owned = AccessDef::initial(Object::Schema("public".into()), RoleId(100));
    fixture.catalog.alone(|w| w.put_access(vec![owned])).unwrap();
    let state = fixture.catalog.current();
    let schema = Object::Schema("public".into());
    assert!(state.owns(RoleId(100), &schema) && !state.owns(RoleId(101), &schema));
    assert!(state.can_become(RoleId(101), RoleId(100)) && !state.can_become(RoleId(100), RoleId(101)));
}

/// As the builds before roles made it; the last two had the same tables.
#[test]
fn a_catalog_without_roles_is_taken_over() {
    for version in [6, 7] {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(directory.path(), 2).unwrap();
        create(&catalog, "t");
        let before = describe(&catalog);
        drop(catalog);
        let old = rusqlite::Connection::open(directory.path().join(DATABASE)).unwrap();
        let as_it_was = format!("DROP TABLE roles; DROP TABLE access; PRAGMA user_version = {version};");
        old.execute_batch(&as_it_was).unwrap();
        drop(old);
        for _ in 0..2 {
            assert_eq!(describe(&Catalog::open(directory.path(), 2).unwrap()), before);
        }
        assert!(Catalog::open(directory.path(), 2).unwrap().current().role("damson").unwrap().superuser);
    }
}

on_postgres![roles_and_grants_outlive_the_master, what_does_not_fit_is_refused, who_does_not_inherit_must_set_role];
