//! `sort_key` and `bloom_filter_columns` of a table's options.

use super::columns::positions;
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{LayoutOptions, Name, SortSpec};
use arrow::datatypes::DataType;
use damson_cluster::{ColumnDef, SortColumn, TableLayout, has_bloom_filter};

/// `before` with what the options say.
///
/// # Errors
/// 42703 and 42701 for names; 42883 and 0A000 for a type that has no order; 0A000 for one that has no Bloom filters.
pub(super) fn laid_out(before: &TableLayout, options: &LayoutOptions, columns: &[ColumnDef]) -> SqlResult<TableLayout> {
    let mut layout = before.clone();
    if let Some(sort_key) = &options.sort_key {
        let names: Vec<Name> = sort_key.iter().map(|sort| sort.column.clone()).collect();
        let found = positions(columns, &names, "named in sort_key ")?;
        for (position, name) in found.iter().zip(&names) {
            check_sortable(&columns[*position], name)?;
        }
        let column = |(column, sort): (usize, &SortSpec)| SortColumn { column, descending: sort.descending };
        layout.sort_key = found.into_iter().zip(sort_key).map(column).collect();
    }
    if let Some(names) = &options.bloom_filter_columns {
        let found = positions(columns, names, "named in bloom_filter_columns ")?;
        for (position, name) in found.iter().zip(names) {
            check_filterable(&columns[*position], name)?;
        }
        layout.bloom_filter_columns = found;
    }
    Ok(layout)
}

fn check_sortable(column: &ColumnDef, name: &Name) -> SqlResult<()> {
    if column.sql_type == "json" {
        let message = "could not identify an ordering operator for type json";
        return Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, message).at(name.position));
    }
    if matches!(column.data_type, DataType::Interval(_)) {
        let message = format!("column \"{}\" of type {} cannot be in sort_key", column.name, column.sql_type);
        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(name.position));
    }
    Ok(())
}

fn check_filterable(column: &ColumnDef, name: &Name) -> SqlResult<()> {
    if has_bloom_filter(&column.data_type) {
        return Ok(());
    }
    let message = format!("column \"{}\" of type {} cannot be in bloom_filter_columns", column.name, column.sql_type);
    Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
        .with_hint("Integers, dates, times, timestamps and texts can have Bloom filters.")
        .at(name.position))
}
