//! `information_schema`: the SQL standard's views, PostgreSQL's main columns.

use super::cells::{Cell, Row, integer, row, text};
use super::pg_roles::owner_name;
use super::relations::column_of;
use super::table::{SystemContext, SystemTable, system_tables};
use super::{INFORMATION_SCHEMA, PG_CATALOG};
use crate::catalog::{Object, Relation, TableEntry};
use crate::sql::DATABASE;
use arrow::datatypes::DataType;
use damson_cluster::{CheckDef, ColumnDef, Identity, KeyDef};
use std::sync::Arc;

pub(super) const SCHEMATA: SystemTable = SystemTable {
    schema_name: INFORMATION_SCHEMA,
    name: "schemata",
    columns: &[
        text("catalog_name"),
        text("schema_name"),
        text("schema_owner"),
        text("default_character_set_catalog"),
        text("default_character_set_schema"),
        text("default_character_set_name"),
        text("sql_path"),
    ],
    rows: schemata,
};

fn schemata(context: &SystemContext) -> Vec<Row> {
    let system = [INFORMATION_SCHEMA, PG_CATALOG];
    let schemas = system.into_iter().chain(context.state.schemas());
    let owner = |schema: &str| owner_name(context, &Object::Schema(schema.to_owned()));
    schemas
        .map(|schema| row![DATABASE, schema, owner(schema), Cell::Null, Cell::Null, Cell::Null, Cell::Null])
        .collect()
}

pub(super) const TABLES: SystemTable = SystemTable {
    schema_name: INFORMATION_SCHEMA,
    name: "tables",
    columns: &[
        text("table_catalog"),
        text("table_schema"),
        text("table_name"),
        text("table_type"),
        text("is_insertable_into"),
        text("is_typed"),
    ],
    rows: tables,
};

fn tables(context: &SystemContext) -> Vec<Row> {
    let row = |schema: &str, name: &str, table: bool| {
        let is_external = context.state.view(schema, name).is_some_and(|view| view.external.is_some());
        let kind = match (table, is_external) {
            (true, _) => "BASE TABLE",
            (false, true) => "FOREIGN",
            (false, false) => "VIEW",
        };
        row![DATABASE, schema, name, kind, yes_no(table), "NO"]
    };
    let relations = context.state.relations().filter_map(|relation| match relation {
        Relation::Table(entry) => Some(row(&entry.def.schema, &entry.def.name, true)),
        Relation::View(view) => Some(row(&view.schema, &view.name, false)),
        Relation::Sequence(_) => None,
    });
    relations.chain(system_tables().iter().map(|table| row(table.schema_name, table.name, false))).collect()
}

pub(super) const COLUMNS: SystemTable = SystemTable {
    schema_name: INFORMATION_SCHEMA,
    name: "columns",
    columns: &[
        text("table_catalog"),
        text("table_schema"),
        text("table_name"),
        text("column_name"),
        integer("ordinal_position"),
        text("column_default"),
        text("is_nullable"),
        text("data_type"),
        integer("character_maximum_length"),
        integer("character_octet_length"),
        integer("numeric_precision"),
        integer("numeric_precision_radix"),
        integer("numeric_scale"),
        integer("datetime_precision"),
        text("udt_catalog"),
        text("udt_schema"),
        text("udt_name"),
        text("is_identity"),
        text("identity_generation"),
        text("is_generated"),
        text("is_updatable"),
    ],
    rows: columns,
};

fn columns(context: &SystemContext) -> Vec<Row> {
    let mut rows = Vec::new();
    for relation in context.state.relations() {
        match relation {
            Relation::Table(entry) => {
                for (index, column) in entry.def.columns.iter().enumerate() {
                    rows.push(column_row(&entry.def.schema, &entry.def.name, index, column, true));
                }
            }
            Relation::View(view) if view.external.is_some() => {
                let columns = view.external.iter().flat_map(|external| &external.columns).enumerate();
                rows.extend(columns.map(|(index, column)| column_row(&view.schema, &view.name, index, column, false)));
            }
            Relation::View(view) => {
                let Some(schema) = context.view_schemas.get(&(view.schema.clone(), view.name.clone())) else {
                    continue;
                };
                for (index, field) in schema.fields().iter().enumerate() {
                    let mut column = column_of(field);
                    if let Some(name) = view.columns.get(index) {
                        column.name.clone_from(name);
                    }
                    rows.push(column_row(&view.schema, &view.name, index, &column, false));
                }
            }
            Relation::Sequence(_) => {}
        }
    }
    for table in system_tables() {
        for (index, field) in table.schema().fields().iter().enumerate() {
            rows.push(column_row(table.schema_name, table.name, index, &column_of(field), false));
        }
    }
    rows
}

fn column_row(schema: &str, table: &str, index: usize, column: &ColumnDef, is_table: bool) -> Row {
    // `numeric(15,2)` is data_type `numeric`; the numbers have columns of their own.
    let (data_type, modifier) = match column.sql_type.split_once('(') {
        Some((name, rest)) => (name, rest.trim_end_matches(')').parse::<i32>().ok()),
        None => (column.sql_type.as_str(), None),
    };
    let is_text = data_type.starts_with("character") || data_type == "text";
    let length = modifier.filter(|_| data_type.starts_with("character"));
    // PostgreSQL counts four bytes a character; text is bounded by its 1 GiB.
    let octets = is_text.then(|| length.map_or(1 << 30, |length| length.saturating_mul(4)));
    let (precision, radix, scale) = numeric_facts(column, data_type);
    let datetime = match &column.data_type {
        DataType::Date32 => Some(0),
        DataType::Time64(_) | DataType::Timestamp(..) | DataType::Interval(_) => Some(6),
        _ => None,
    };
    row![
        DATABASE,
        schema,
        table,
        column.name.as_str(),
        index + 1,
        // An identity's is its sequence's, which is nothing of the user's.
        column.default.clone().filter(|_| column.identity.is_none()),
        yes_no(column.nullable),
        data_type,
        length,
        octets,
        precision,
        radix,
        scale,
        datetime,
        DATABASE,
        PG_CATALOG,
        udt_name(data_type),
        yes_no(column.identity.is_some()),
        column.identity.map(|identity| match identity {
            Identity::Always => "ALWAYS",
            Identity::ByDefault => "BY DEFAULT",
        }),
        "NEVER",
        yes_no(is_table)
    ]
}

/// `numeric_precision`, its radix, and `numeric_scale`.
fn numeric_facts(column: &ColumnDef, data_type: &str) -> (Option<i32>, Option<i32>, Option<i32>) {
    match &column.data_type {
        DataType::Int16 => (Some(16), Some(2), Some(0)),
        DataType::Int32 => (Some(32), Some(2), Some(0)),
        DataType::Int64 => (Some(64), Some(2), Some(0)),
        DataType::Float32 => (Some(24), Some(2), None),
        DataType::Float64 => (Some(53), Some(2), None),
        // Without a modifier the user left both open.
        DataType::Decimal64(..) | DataType::Decimal128(..) if column.sql_type == data_type => (None, Some(10), None),
        DataType::Decimal64(precision, scale) | DataType::Decimal128(precision, scale) => {
            (Some(i32::from(*precision)), Some(10), Some(i32::from(*scale)))
        }
        _ => (None, None, None),
    }
}

/// PostgreSQL's internal name of a type.
fn udt_name(data_type: &str) -> &str {
    match data_type {
        "smallint" => "int2",
        "integer" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "double precision" => "float8",
        "boolean" => "bool",
        "character varying" => "varchar",
        "character" => "bpchar",
        "time without time zone" => "time",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        other => other,
    }
}

pub(super) const VIEWS: SystemTable = SystemTable {
    schema_name: INFORMATION_SCHEMA,
    name: "views",
    columns: &[
        text("table_catalog"),
        text("table_schema"),
        text("table_name"),
        text("view_definition"),
        text("check_option"),
        text("is_updatable"),
        text("is_insertable_into"),
    ],
    rows: views,
};

fn views(context: &SystemContext) -> Vec<Row> {
    let views = context.state.views();
    views
        .filter(|view| view.external.is_none())
        .map(|view| row![DATABASE, view.schema.as_str(), view.name.as_str(), view.query.as_str(), "NONE", "NO", "NO"])
        .collect()
}

pub(super) const TABLE_CONSTRAINTS: SystemTable = SystemTable {
    schema_name: INFORMATION_SCHEMA,
    name: "table_constraints",
    columns: &[
        text("constraint_catalog"),
        text("constraint_schema"),
        text("constraint_name"),
        text("table_catalog"),
        text("table_schema"),
        text("table_name"),
        text("constraint_type"),
        text("is_deferrable"),
        text("initially_deferred"),
        text("enforced"),
    ],
    rows: table_constraints,
};

fn table_constraints(context: &SystemContext) -> Vec<Row> {
    let mut rows = Vec::new();
    for entry in context.state.tables() {
        let (schema, table) = (entry.def.schema.as_str(), entry.def.name.as_str());
        let kind = |key: &KeyDef| if key.primary { "PRIMARY KEY" } else { "UNIQUE" };
        let keys = entry.def.keys.iter().map(|key| (key.name.as_str(), kind(key)));
        let checks = entry.def.checks.iter().map(|check| (check.name.as_str(), "CHECK"));
        for (name, kind) in keys.chain(checks) {
            rows.push(row![DATABASE, schema, name, DATABASE, schema, table, kind, "NO", "NO", "YES"]);
        }
    }
    rows
}

pub(super) const CHECK_CONSTRAINTS: SystemTable = SystemTable {
    schema_name: INFORMATION_SCHEMA,
    name: "check_constraints",
    columns: &[text("constraint_catalog"), text("constraint_schema"), text("constraint_name"), text("check_clause")],
    rows: check_constraints,
};

fn check_constraints(context: &SystemContext) -> Vec<Row> {
    let checks = |entry: &Arc<TableEntry>| {
        let schema = entry.def.schema.clone();
        let row =
            move |check: &CheckDef| row![DATABASE, schema.as_str(), check.name.as_str(), check.expression.as_str()];
        entry.def.checks.iter().map(row).collect::<Vec<_>>()
    };
    context.state.tables().flat_map(checks).collect()
}

pub(super) const KEY_COLUMN_USAGE: SystemTable = SystemTable {
    schema_name: INFORMATION_SCHEMA,
    name: "key_column_usage",
    columns: &[
        text("constraint_catalog"),
        text("constraint_schema"),
        text("constraint_name"),
        text("table_catalog"),
        text("table_schema"),
        text("table_name"),
        text("column_name"),
        integer("ordinal_position"),
        integer("position_in_unique_constraint"),
    ],
    rows: key_column_usage,
};

fn key_column_usage(context: &SystemContext) -> Vec<Row> {
    let mut rows = Vec::new();
    for entry in context.state.tables() {
        let def = &entry.def;
        for key in &def.keys {
            for (index, column) in key.columns.iter().enumerate() {
                rows.push(row![
                    DATABASE,
                    def.schema.as_str(),
                    key.name.as_str(),
                    DATABASE,
                    def.schema.as_str(),
                    def.name.as_str(),
                    def.columns[*column].name.as_str(),
                    index + 1,
                    Cell::Null
                ]);
            }
        }
    }
    rows
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "YES" } else { "NO" }
}
