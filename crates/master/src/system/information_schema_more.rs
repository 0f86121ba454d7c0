//! `information_schema`: who may do what, what keys are made of, and functions.

use super::cells::{Cell, Row, integer, row, text};
use super::pg_roles::owner_name;
use super::pg_type::functions;
use super::table::{SystemContext, SystemTable};
use super::{INFORMATION_SCHEMA, PG_CATALOG};
use crate::catalog::{Object, Privileges, Relation};
use crate::sql::DATABASE;

/// There are no foreign keys.
pub(super) const REFERENTIAL_CONSTRAINTS: SystemTable = SystemTable {
    schema_name: INFORMATION_SCHEMA,
    name: "referential_constraints",
    columns: &[
        text("constraint_catalog"),
        text("constraint_schema"),
        text("constraint_name"),
        text("unique_constraint_catalog"),
        text("unique_constraint_schema"),
        text("unique_constraint_name"),
        text("match_option"),
        text("update_rule"),
        text("delete_rule"),
    ],
    rows: |_| vec![],
};

pub(super) const CONSTRAINT_COLUMN_USAGE: SystemTable = SystemTable {
    schema_name: INFORMATION_SCHEMA,
    name: "constraint_column_usage",
    columns: &[
        text("table_catalog"),
        text("table_schema"),
        text("table_name"),
        text("column_name"),
        text("constraint_catalog"),
        text("constraint_schema"),
        text("constraint_name"),
    ],
    rows: constraint_columns,
};

/// Of keys: the columns of a check's expression are not looked for.
fn constraint_columns(context: &SystemContext) -> Vec<Row> {
    let mut rows = vec![];
    for entry in context.state.tables() {
        let def = &entry.def;
        for key in &def.keys {
            for column in &key.columns {
                let (schema, column) = (def.schema.as_str(), def.columns[*column].name.as_str());
                let table = def.name.as_str();
                rows.push(row![DATABASE, schema, table, column, DATABASE, schema, key.name.as_str()]);
            }
        }
    }
    rows
}

pub(super) const TABLE_PRIVILEGES: SystemTable = SystemTable {
    schema_name: INFORMATION_SCHEMA,
    name: "table_privileges",
    columns: &[
        text("grantor"),
        text("grantee"),
        text("table_catalog"),
        text("table_schema"),
        text("table_name"),
        text("privilege_type"),
        text("is_grantable"),
        text("with_hierarchy"),
    ],
    rows: privileges,
};

/// The owner's, and what was granted, which does not remember by whom: the owner is shown.
fn privileges(context: &SystemContext) -> Vec<Row> {
    let mut rows = vec![];
    for relation in context.state.relations() {
        let (schema, name) = match relation {
            Relation::Table(entry) => (&entry.def.schema, &entry.def.name),
            Relation::View(view) => (&view.schema, &view.name),
            Relation::Sequence(_) => continue,
        };
        let object = Object::of(relation);
        let (access, owner) = (context.state.access(&object), owner_name(context, &object));
        let mut add = |grantee: &str, privileges: Privileges, grantable: Privileges| {
            for (kind, privilege) in privileges.each() {
                let is_grantable = if grantable.has(privilege) { "YES" } else { "NO" };
                let hierarchy = if kind == "SELECT" { "YES" } else { "NO" };
                let (owner, schema, name) = (owner.as_str(), schema.as_str(), name.as_str());
                rows.push(row![owner, grantee, DATABASE, schema, name, kind, is_grantable, hierarchy]);
            }
        };
        add(&owner, object.privileges(), object.privileges());
        for grant in &access.grants {
            let role = grant.grantee.map(|id| context.state.role_by_id(id).map(|role| role.name.as_str()));
            // A role that something is granted to is not dropped.
            let Some(grantee) = role.unwrap_or(Some("PUBLIC")) else { continue };
            add(grantee, grant.privileges, grant.grantable);
        }
    }
    rows
}

pub(super) const ROUTINES: SystemTable = SystemTable {
    schema_name: INFORMATION_SCHEMA,
    name: "routines",
    columns: &[
        text("specific_catalog"),
        text("specific_schema"),
        text("specific_name"),
        text("routine_catalog"),
        text("routine_schema"),
        text("routine_name"),
        text("routine_type"),
        text("data_type"),
        text("type_udt_catalog"),
        text("type_udt_schema"),
        text("type_udt_name"),
        text("routine_body"),
        text("routine_definition"),
        text("external_name"),
        text("external_language"),
        text("is_deterministic"),
        text("sql_data_access"),
        integer("max_dynamic_result_sets"),
        text("security_type"),
    ],
    rows: routines,
};

/// Functions; an aggregate or a window function has no `routine_type`, as in PostgreSQL.
fn routines(context: &SystemContext) -> Vec<Row> {
    let row = |(oid, name, kind): (u64, String, &'static str)| {
        row![
            DATABASE,
            PG_CATALOG,
            format!("{name}_{oid}"),
            DATABASE,
            PG_CATALOG,
            name,
            (kind == "f").then_some("FUNCTION"),
            Cell::Null,
            Cell::Null,
            Cell::Null,
            Cell::Null,
            "EXTERNAL",
            Cell::Null,
            Cell::Null,
            "INTERNAL",
            "NO",
            "MODIFIES",
            0,
            "INVOKER"
        ]
    };
    functions(context).into_iter().map(row).collect()
}
