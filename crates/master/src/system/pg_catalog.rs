//! PostgreSQL's own views that are cheap to have.

use super::PG_CATALOG;
use super::cells::{Row, boolean, row, text};
use super::pg_roles::owner_name;
use super::table::{SystemContext, SystemTable};
use crate::catalog::{Object, ViewDef};

pub(super) const TABLES: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_tables",
    columns: &[
        text("schemaname"),
        text("tablename"),
        text("tableowner"),
        text("tablespace"),
        boolean("hasindexes"),
        boolean("hasrules"),
        boolean("hastriggers"),
        boolean("rowsecurity"),
    ],
    rows: tables,
};

fn tables(context: &SystemContext) -> Vec<Row> {
    let tables = context.state.tables();
    tables
        .map(|entry| {
            let def = &entry.def;
            // NULL is the default one's.
            let tablespace = def.tablespace.and_then(|id| context.state.tablespace_by_id(id));
            let tablespace = tablespace.map(|tablespace| tablespace.name.as_str());
            let owner = owner_name(context, &Object::Table(def.id));
            row![def.schema.as_str(), def.name.as_str(), owner, tablespace, false, false, false, false]
        })
        .collect()
}

pub(super) const VIEWS: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_views",
    columns: &[text("schemaname"), text("viewname"), text("viewowner"), text("definition")],
    rows: views,
};

fn views(context: &SystemContext) -> Vec<Row> {
    let views = context.state.views().filter(|view| view.external.is_none());
    let owner = |view: &ViewDef| owner_name(context, &Object::View(view.schema.clone(), view.name.clone()));
    views.map(|view| row![view.schema.as_str(), view.name.as_str(), owner(view), view.query.as_str()]).collect()
}
