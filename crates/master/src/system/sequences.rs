//! Sequences: the SQL standard's view of them, and PostgreSQL's.

use super::cells::{Cell, Row, bigint, boolean, integer, row, text};
use super::pg_roles::owner_name;
use super::table::{SystemContext, SystemTable};
use super::{INFORMATION_SCHEMA, PG_CATALOG};
use crate::catalog::{Object, SequenceDef};
use crate::sql::DATABASE;
use std::sync::Arc;

pub(super) const STANDARD: SystemTable = SystemTable {
    schema_name: INFORMATION_SCHEMA,
    name: "sequences",
    columns: &[
        text("sequence_catalog"),
        text("sequence_schema"),
        text("sequence_name"),
        text("data_type"),
        integer("numeric_precision"),
        integer("numeric_precision_radix"),
        integer("numeric_scale"),
        text("start_value"),
        text("minimum_value"),
        text("maximum_value"),
        text("increment"),
        text("cycle_option"),
    ],
    rows: standard,
};

fn standard(context: &SystemContext) -> Vec<Row> {
    // An identity column's is not the user's, to the standard.
    let is_own = |identity: Option<bool>| identity != Some(true);
    let sequences = context.state.sequences().filter(|def| is_own(def.owner.map(|owner| owner.identity)));
    let row = |def: &Arc<SequenceDef>| {
        let precision = match def.sql_type.as_str() {
            "smallint" => 16,
            "integer" => 32,
            _ => 64,
        };
        row![
            DATABASE,
            def.schema.as_str(),
            def.name.as_str(),
            def.sql_type.as_str(),
            precision,
            2,
            0,
            def.start.to_string(),
            def.counting.min.to_string(),
            def.counting.max.to_string(),
            def.counting.increment.to_string(),
            if def.counting.cycle { "YES" } else { "NO" },
        ]
    };
    sequences.map(row).collect()
}

pub(super) const POSTGRES: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_sequences",
    columns: &[
        text("schemaname"),
        text("sequencename"),
        text("sequenceowner"),
        text("data_type"),
        bigint("start_value"),
        bigint("min_value"),
        bigint("max_value"),
        bigint("increment_by"),
        boolean("cycle"),
        bigint("cache_size"),
        bigint("last_value"),
    ],
    rows: postgres,
};

/// `last_value`: the last one that the master has given out, NULL before the first.
fn postgres(context: &SystemContext) -> Vec<Row> {
    let row = |def: &Arc<SequenceDef>| {
        let position = context.positions.get(&def.id).filter(|position| position.is_called);
        row![
            def.schema.as_str(),
            def.name.as_str(),
            owner_name(context, &Object::Sequence(def.schema.clone(), def.name.clone())),
            def.sql_type.as_str(),
            def.start,
            def.counting.min,
            def.counting.max,
            def.counting.increment,
            def.counting.cycle,
            def.counting.cache,
            position.map_or(Cell::Null, |position| position.last.into()),
        ]
    };
    context.state.sequences().map(row).collect()
}
