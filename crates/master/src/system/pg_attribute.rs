//! `pg_attribute` and `pg_attrdef`: columns and their defaults.

use super::cells::{Cell, Row, boolean, integer, oid, row, smallint, text, texts};
use super::pg_types::{by_oid, of_sql_type};
use super::relations::relations;
use super::table::{SystemContext, SystemTable};
use super::{PG_CATALOG, oids};
use damson_cluster::{ColumnDef, Identity};

/// What PostgreSQL calls the collation of texts that have no other.
pub(super) const DEFAULT_COLLATION: u64 = 100;

pub(super) const ATTRIBUTE: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_attribute",
    columns: &[
        oid("attrelid"),
        text("attname"),
        oid("atttypid"),
        integer("attstattarget"),
        smallint("attlen"),
        smallint("attnum"),
        integer("attndims"),
        integer("attcacheoff"),
        integer("atttypmod"),
        boolean("attbyval"),
        text("attalign"),
        text("attstorage"),
        text("attcompression"),
        boolean("attnotnull"),
        boolean("atthasdef"),
        boolean("atthasmissing"),
        text("attidentity"),
        text("attgenerated"),
        boolean("attisdropped"),
        boolean("attislocal"),
        integer("attinhcount"),
        oid("attcollation"),
        texts("attacl"),
        texts("attoptions"),
        texts("attfdwoptions"),
        texts("attmissingval"),
    ],
    rows: attributes,
};

/// Columns from 1; of an index, those of its key.
fn attributes(context: &SystemContext) -> Vec<Row> {
    let mut rows = vec![];
    for relation in relations(context) {
        rows.extend(relation.columns.iter().enumerate().map(|(n, column)| attribute(relation.oid, n, column)));
        let Some(entry) = &relation.table else { continue };
        for (n, key) in entry.def.keys.iter().enumerate() {
            let Some(index) = oids::of_key(entry.def.id.0, n) else { continue };
            for (n, column) in key.columns.iter().enumerate() {
                let column =
                    ColumnDef { default: None, identity: None, nullable: true, ..entry.def.columns[*column].clone() };
                rows.push(attribute(index, n, &column));
            }
        }
    }
    rows
}

fn attribute(relation: u64, n: usize, column: &ColumnDef) -> Row {
    let (ty, modifier) = of_sql_type(&column.sql_type);
    let known = by_oid(ty);
    let length = known.map_or(-1, |known| known.length);
    let is_text = known.is_some_and(|known| known.category == "S" && known.name != "char");
    row![
        relation,
        column.name.as_str(),
        ty,
        -1,
        length,
        n + 1,
        i32::from(column.sql_type.ends_with("[]")),
        -1,
        modifier,
        (1..=8).contains(&length),
        alignment(length),
        if length > 0 { "p" } else { "x" },
        "",
        !column.nullable,
        has_default(column),
        false,
        match column.identity {
            Some(Identity::Always) => "a",
            Some(Identity::ByDefault) => "d",
            None => "",
        },
        "",
        false,
        true,
        0,
        if is_text { DEFAULT_COLLATION } else { 0 },
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
    ]
}

/// `typalign`.
pub(super) fn alignment(length: i16) -> &'static str {
    match length {
        1 | 64 => "c",
        2 => "s",
        8 | 16 => "d",
        _ => "i",
    }
}

/// An identity column's takes from its sequence, which is nothing of the user's.
fn has_default(column: &ColumnDef) -> bool {
    column.default.is_some() && column.identity.is_none()
}

pub(super) const ATTRDEF: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_attrdef",
    columns: &[oid("oid"), oid("adrelid"), smallint("adnum"), text("adbin")],
    rows: defaults,
};

/// `adbin` is the expression's text, which `pg_get_expr` gives back.
fn defaults(context: &SystemContext) -> Vec<Row> {
    let mut rows = vec![];
    for entry in context.state.tables() {
        let id = entry.def.id.0;
        for (n, column) in entry.def.columns.iter().enumerate().filter(|(_, column)| has_default(column)) {
            rows.push(row![oids::of_default(id, n), oids::of_id(id), n + 1, column.default.as_deref()]);
        }
    }
    rows
}
