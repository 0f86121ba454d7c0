//! Columns of tables: definitions and positions.

use super::column_sequence::kept_default;
use crate::catalog::CatalogState;
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{ColumnSpec, Name};
use damson_cluster::{ColumnDef, FILE_COLUMN, Identity, ROW_COLUMN, TableDef};

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

/// Columns of a table or view, as in PostgreSQL: planning, statistics and each file's footer take time for each of them.
pub(crate) const COLUMNS_MAX: usize = 1_600;

/// # Errors
/// 54011.
pub(super) fn check_count(columns: usize, what: &str) -> SqlResult<()> {
    if columns <= COLUMNS_MAX {
        return Ok(());
    }
    let message = format!("{what} can have at most {COLUMNS_MAX} columns");
    Err(SqlError::new(SqlState::TOO_MANY_COLUMNS, message))
}

pub(super) fn duplicate(name: &str) -> SqlError {
    SqlError::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once"))
}

/// Refuses a name that is taken by another column or by the system, and one column too many.
pub(super) fn check_new(columns: &[ColumnDef], name: &str) -> SqlResult<()> {
    check_count(columns.len() + 1, "tables")?;
    check_name(columns, name)
}

/// Refuses a name that is taken by another column or by the system.
pub(super) fn check_name(columns: &[ColumnDef], name: &str) -> SqlResult<()> {
    if [SEGMENT_ID, FILE_COLUMN, ROW_COLUMN].contains(&name) {
        let message = format!("column name \"{name}\" conflicts with a system column name");
        return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
    }
    if columns.iter().any(|column| column.name == name) { Err(duplicate(name)) } else { Ok(()) }
}

/// The column as it is kept. Where it is serial, or an identity, its default is that of its sequence.
///
/// # Errors
/// 42P01, 42809 for a default from what is no sequence.
pub(super) fn define(spec: &ColumnSpec, state: &CatalogState, search_schema: &str) -> SqlResult<ColumnDef> {
    let default = match (&spec.identity, &spec.default) {
        (Some(_), default) => default.clone(),
        (None, Some(default)) => {
            kept_default(default, state, search_schema).map_err(|error| error.at(spec.name.position))?
        }
        (None, None) => None,
    };
    let identity = spec.identity.as_ref().filter(|identity| !identity.serial);
    Ok(ColumnDef {
        name: spec.name.text.clone(),
        sql_type: spec.sql_type.name.clone(),
        data_type: spec.sql_type.data_type.clone(),
        nullable: spec.nullable,
        default,
        identity: identity.map(|identity| if identity.always { Identity::Always } else { Identity::ByDefault }),
    })
}
