//! CREATE VIEW. Its query is kept as text, and planned where the view is used.

use super::CommandDone;
use super::columns::{check_count, duplicate};
use super::relation::target_schema;
use crate::catalog::{CatalogError, ViewDef, Workspace};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::CreateView;
use std::collections::BTreeSet;

/// Makes a view. `query_columns` are the names of its query's columns: the session has bound the query, so that a wrong one
/// is refused now and not at its first use.
///
/// # Errors
/// 42P07, 3F000, 42701, 42601 for too many names, 54011, 42P17 for a view that uses itself, and the catalog's.
pub fn create_view(
    workspace: &mut Workspace,
    create: &CreateView,
    query_columns: &[String],
    search_schema: &str,
) -> SqlResult<CommandDone> {
    let state = workspace.state();
    let schema = target_schema(&state, &create.view, search_schema)?;
    if let Some(extra) = create.columns.get(query_columns.len()) {
        let message = "CREATE VIEW specifies more column names than columns";
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(extra.position));
    }
    let given: Vec<String> = create.columns.iter().map(|name| name.text.clone()).collect();
    let all = given.iter().chain(query_columns.iter().skip(given.len()));
    check_count(query_columns.len(), "views")?;
    let mut seen = BTreeSet::new();
    if let Some(twice) = all.into_iter().find(|name| !seen.insert(name.as_str())) {
        return Err(duplicate(twice).at(create.view.position));
    }
    let references = create.references.iter().map(|name| (name.schema_or(search_schema).to_owned(), name.name.clone()));
    // System tables are nobody's to drop.
    let references = references.filter(|(schema, name)| state.relation(schema, name).is_some()).collect();
    let view = ViewDef {
        schema,
        name: create.view.name.clone(),
        columns: given,
        query: create.query_text.clone(),
        references,
        search_schema: search_schema.to_owned(),
        external: None,
    };
    workspace.create_view(view, create.or_replace).map_err(|error| match error {
        CatalogError::RelationExists(_) | CatalogError::RecursiveView(_) => {
            SqlError::from(error).at(create.view.position)
        }
        error => error.into(),
    })?;
    Ok(CommandDone::new("CREATE VIEW"))
}
