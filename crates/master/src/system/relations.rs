//! What `pg_class` has a row of, and its columns: users' relations and system tables.

use super::oids;
use super::pg_roles::relation_owner;
use super::table::{SystemContext, SystemTable, system_tables};
use crate::catalog::{Relation, TableEntry, ViewDef};
use crate::sql::sql_type_name;
use arrow::datatypes::{Field, Schema};
use damson_cluster::ColumnDef;
use std::sync::Arc;

/// `relkind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Table,
    View,
    Foreign,
    Sequence,
}

impl Kind {
    pub fn letter(self) -> &'static str {
        match self {
            Kind::Table => "r",
            Kind::View => "v",
            Kind::Foreign => "f",
            Kind::Sequence => "S",
        }
    }
}

/// A relation under its id.
pub(super) struct Listed {
    pub oid: u64,
    pub schema: String,
    pub name: String,
    /// A role's id.
    pub owner: u64,
    pub kind: Kind,
    pub columns: Vec<ColumnDef>,
    /// A user's table.
    pub table: Option<Arc<TableEntry>>,
}

/// Users' relations, by schema and name, and then the system's.
pub(super) fn relations(context: &SystemContext) -> Vec<Listed> {
    let users = context.state.relations().map(|relation| {
        let id = Id { oid: oids::of_relation(&context.state, relation), owner: relation_owner(context, relation) };
        match relation {
            Relation::Table(entry) => {
                let def = &entry.def;
                listed(id, &def.schema, &def.name, Kind::Table, def.columns.clone(), Some(Arc::clone(entry)))
            }
            Relation::View(view) => {
                let kind = if view.external.is_some() { Kind::Foreign } else { Kind::View };
                listed(id, &view.schema, &view.name, kind, view_columns(context, view), None)
            }
            Relation::Sequence(def) => listed(id, &def.schema, &def.name, Kind::Sequence, vec![], None),
        }
    });
    let system = |table: &'static SystemTable| {
        let columns = columns_of(&table.schema());
        let id = Id { oid: oids::of_system_table(table), owner: oids::OWNER_OID };
        listed(id, table.schema_name, table.name, Kind::View, columns, None)
    };
    users.chain(system_tables().iter().map(system)).collect()
}

/// What a relation is, and whose.
#[derive(Clone, Copy)]
struct Id {
    oid: u64,
    owner: u64,
}

fn listed(
    id: Id,
    schema: &str,
    name: &str,
    kind: Kind,
    columns: Vec<ColumnDef>,
    table: Option<Arc<TableEntry>>,
) -> Listed {
    let (schema, name) = (schema.to_owned(), name.to_owned());
    Listed { oid: id.oid, owner: id.owner, schema, name, kind, columns, table }
}

/// A view's, as far as it was planned; an external table's.
fn view_columns(context: &SystemContext, view: &ViewDef) -> Vec<ColumnDef> {
    if let Some(external) = &view.external {
        return external.columns.clone();
    }
    let planned = context.view_schemas.get(&(view.schema.clone(), view.name.clone()));
    let mut columns = planned.map(|schema| columns_of(schema)).unwrap_or_default();
    // What a view's rows cannot have is nobody's declaration.
    columns.iter_mut().for_each(|column| column.nullable = true);
    for (column, name) in columns.iter_mut().zip(&view.columns) {
        column.name.clone_from(name);
    }
    columns
}

fn columns_of(schema: &Schema) -> Vec<ColumnDef> {
    schema.fields().iter().map(|field| column_of(field)).collect()
}

/// A column that was not declared.
pub(super) fn column_of(field: &Field) -> ColumnDef {
    ColumnDef {
        name: field.name().clone(),
        sql_type: sql_type_name(field.data_type()),
        data_type: field.data_type().clone(),
        nullable: field.is_nullable(),
        default: None,
        identity: None,
    }
}
