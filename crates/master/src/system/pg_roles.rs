//! Roles, and who owns what, as PostgreSQL shows them. Passwords are not shown to anybody.

use super::cells::{Cell, Row, boolean, integer, oid, row, text, texts, time};
use super::table::{SystemContext, SystemTable};
use super::{OWNER, PG_CATALOG, oids};
use crate::auth::ValidUntil;
use crate::catalog::{CatalogState, Object, Relation, RoleDef, RoleId};

const PASSWORD: &str = "********";

pub(super) const ROLES: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_roles",
    columns: &[
        text("rolname"),
        boolean("rolsuper"),
        boolean("rolinherit"),
        boolean("rolcreaterole"),
        boolean("rolcreatedb"),
        boolean("rolcanlogin"),
        boolean("rolreplication"),
        integer("rolconnlimit"),
        text("rolpassword"),
        time("rolvaliduntil"),
        boolean("rolbypassrls"),
        texts("rolconfig"),
        oid("oid"),
    ],
    rows: |context| {
        let roles = context.state.roles();
        roles
            .map(|role| {
                row![
                    role.name.as_str(),
                    role.superuser,
                    role.inherit,
                    role.createrole,
                    role.createdb,
                    role.login,
                    false,
                    connections(role),
                    PASSWORD,
                    valid_until(role),
                    role.superuser,
                    Cell::Null,
                    of_role(role.id)
                ]
            })
            .collect()
    },
};

pub(super) const USER: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_user",
    columns: &[
        text("usename"),
        oid("usesysid"),
        boolean("usecreatedb"),
        boolean("usesuper"),
        boolean("userepl"),
        boolean("usebypassrls"),
        text("passwd"),
        time("valuntil"),
        texts("useconfig"),
    ],
    rows: |context| {
        let users = context.state.roles().filter(|role| role.login);
        users
            .map(|role| {
                row![
                    role.name.as_str(),
                    of_role(role.id),
                    role.createdb,
                    role.superuser,
                    false,
                    role.superuser,
                    PASSWORD,
                    valid_until(role),
                    Cell::Null
                ]
            })
            .collect()
    },
};

/// A grant of a role does not remember who made it: it is the bootstrap superuser's.
pub(super) const AUTH_MEMBERS: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_auth_members",
    columns: &[oid("roleid"), oid("member"), oid("grantor"), boolean("admin_option")],
    rows: |context| {
        let mut rows: Vec<Row> = vec![];
        for member in context.state.roles() {
            rows.extend(
                member
                    .member_of
                    .iter()
                    .map(|of| row![of_role(of.role), of_role(member.id), of_role(RoleId::BOOTSTRAP), of.admin]),
            );
        }
        rows
    },
};

fn connections(role: &RoleDef) -> i64 {
    role.connection_limit.map_or(-1, i64::from)
}

fn valid_until(role: &RoleDef) -> Cell {
    // What is for ever has no time here; ALTER ROLE has seen that it is one.
    let until = role.valid_until.as_deref().and_then(|text| ValidUntil::parse(text).ok());
    Cell::from(until.and_then(ValidUntil::micros))
}

/// A role's OID: the bootstrap superuser's is PostgreSQL's.
pub(super) fn of_role(id: RoleId) -> u64 {
    if id == RoleId::BOOTSTRAP { oids::OWNER_OID } else { oids::of_id(id.0) }
}

pub(super) fn role_of_oid(state: &CatalogState, oid: u64) -> Option<&RoleDef> {
    state.roles().find(|role| of_role(role.id) == oid).map(|role| &**role)
}

pub(super) fn owner_oid(context: &SystemContext, object: &Object) -> u64 {
    of_role(context.state.access(object).owner)
}

/// The owner's name of a relation or schema.
pub(super) fn owner_name(context: &SystemContext, object: &Object) -> String {
    let owner = context.state.role_by_id(context.state.access(object).owner);
    owner.map_or_else(|| OWNER.to_owned(), |role| role.name.clone())
}

pub(super) fn relation_owner(context: &SystemContext, relation: &Relation) -> u64 {
    owner_oid(context, &Object::of(relation))
}
