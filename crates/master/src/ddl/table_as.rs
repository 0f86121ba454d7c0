//! CREATE TABLE AS: the definition. The session runs the query, and commits table and files at once.

use super::columns::check_new;
use super::layout::laid_out;
use super::relation::{already_exists, find_relation, skipped_existing, target_schema};
use super::table::DEFAULT_COMPRESSION;
use super::{CommandDone, distribution};
use crate::catalog::{CatalogState, NewTable};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{CreateTableAs, stored_type_of};
use arrow::datatypes::Schema;
use damson_cluster::{ColumnDef, TableLayout};

/// What is to be done for a CREATE TABLE AS.
#[derive(Clone, Debug)]
pub enum TableAs {
    /// The name is taken, and IF NOT EXISTS was written: nothing.
    Exists(CommandDone),
    /// Run the query, cast its columns to the table's types, write, and create the table with the files.
    New { table: Box<NewTable>, notices: Vec<String> },
}

/// The table for a query whose columns are `query`. Every column may be NULL, whatever the query says.
///
/// # Errors
/// 42P07, 42701, 42703, 3F000, 42P16, 42601 for too many names, 0A000 for a type that is not stored.
pub fn define_table_as(
    state: &CatalogState,
    create: &CreateTableAs,
    query: &Schema,
    search_schema: &str,
) -> SqlResult<TableAs> {
    let schema = target_schema(state, &create.table, search_schema)?;
    if find_relation(state, &create.table, search_schema).is_some() {
        if !create.if_not_exists {
            return Err(already_exists(&create.table.name).at(create.table.position));
        }
        let notices = vec![skipped_existing(&create.table.name)];
        return Ok(TableAs::Exists(CommandDone { notices, ..CommandDone::new("CREATE TABLE AS") }));
    }
    if let Some(extra) = create.columns.get(query.fields().len()) {
        let message = "too many column names were specified";
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(extra.position));
    }
    if query.fields().is_empty() {
        let message = "a table must have at least one column";
        return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message).at(create.table.position));
    }
    let mut columns: Vec<ColumnDef> = Vec::with_capacity(query.fields().len());
    for (index, field) in query.fields().iter().enumerate() {
        let given = create.columns.get(index);
        let name = given.map_or(field.name(), |name| &name.text);
        let at = |error: SqlError| match given {
            Some(name) => error.at(name.position),
            None => error.with_hint("Give the query's column another name with AS."),
        };
        check_new(&columns, name).map_err(at)?;
        let sql_type = stored_type_of(field.data_type()).map_err(|error| {
            let message = format!("column \"{name}\": {}", error.message);
            SqlError { message, ..error }
        })?;
        columns.push(ColumnDef {
            name: name.clone(),
            sql_type: sql_type.name,
            data_type: sql_type.data_type,
            nullable: true,
            default: None,
            identity: None,
        });
    }
    let (distribution, notice) = match &create.distribution {
        Some(clause) => (distribution::of_clause(clause, &columns, &[])?, None),
        None => distribution::by_default(&columns, &[])?,
    };
    let layout = laid_out(&TableLayout::default(), &create.layout, &columns)?;
    let table = NewTable {
        id: None,
        schema,
        name: create.table.name.clone(),
        columns,
        distribution,
        map_version: None,
        keys: Vec::new(),
        checks: Vec::new(),
        compression: create.compression.unwrap_or(DEFAULT_COMPRESSION),
        layout,
        tablespace: None,
    };
    Ok(TableAs::New { table: Box::new(table), notices: notice.into_iter().collect() })
}
