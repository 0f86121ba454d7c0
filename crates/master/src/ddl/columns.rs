//! Columns of tables: definitions and positions.

use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{ColumnSpec, Name};
use damson_cluster::{ColumnDef, FILE_COLUMN, ROW_COLUMN, TableDef};

/// The column that every table has and no table may define: the content id of the segment that holds the row.
pub const SEGMENT_ID: &str = "gp_segment_id";

/// Positions of `names` in the table; all of them, in order, if `names` is empty. For INSERT and COPY.
///
/// # Errors
/// 42703, 42701, with positions.
pub fn resolve_columns(table: &TableDef, names: &[Name]) -> SqlResult<Vec<usize>> {
    if names.is_empty() {
        return Ok((0..table.columns.len()).collect());
    }
    positions(&table.columns, names, &format!("of relation \"{}\" ", table.name))
}

/// `of` completes `column "a" {of}does not exist`.
pub(super) fn positions(columns: &[ColumnDef], names: &[Name], of: &str) -> SqlResult<Vec<usize>> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let Some(position) = columns.iter().position(|column| column.name == name.text) else {
            let message = format!("column \"{}\" {of}does not exist", name.text);
            return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, message).at(name.position));
        };
        if found.contains(&position) {
            return Err(duplicate(&name.text).at(name.position));
        }
        found.push(position);
    }
    Ok(found)
}

pub(super) fn duplicate(name: &str) -> SqlError {
    SqlError::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once"))
}

/// Refuses a name that is taken by another column or by the system.
pub(super) fn check_new(columns: &[ColumnDef], name: &str) -> SqlResult<()> {
    if [SEGMENT_ID, FILE_COLUMN, ROW_COLUMN].contains(&name) {
        let message = format!("column name \"{name}\" conflicts with a system column name");
        return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
    }
    if columns.iter().any(|column| column.name == name) { Err(duplicate(name)) } else { Ok(()) }
}

/// # Errors
/// 0A000 for an identity, and for a default from a sequence.
pub(super) fn define(spec: &ColumnSpec) -> SqlResult<ColumnDef> {
    if let Some(identity) = &spec.identity {
        let what = if identity.serial { "serial" } else { "GENERATED AS IDENTITY" };
        let message = format!("{what} is not supported: there are no sequences");
        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(spec.name.position));
    }
    if spec.default.as_ref().is_some_and(|default| default.to_ascii_lowercase().contains("nextval(")) {
        let message = "DEFAULT nextval(...) is not supported: there are no sequences";
        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(spec.name.position));
    }
    // DEFAULT NULL is what a column without one has.
    let default = spec.default.clone().filter(|default| !default.eq_ignore_ascii_case("null"));
    Ok(ColumnDef {
        name: spec.name.text.clone(),
        sql_type: spec.sql_type.name.clone(),
        data_type: spec.sql_type.data_type.clone(),
        nullable: spec.nullable,
        default,
    })
}
