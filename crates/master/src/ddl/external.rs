//! CREATE EXTERNAL TABLE. Its files are looked at when it is read.

use super::CommandDone;
use super::columns::{check_new, define};
use super::relation::{already_exists, find_relation, skipped_existing, target_schema};
use crate::catalog::{ExternalDef, ViewDef, Workspace};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::CreateExternal;
use damson_cluster::OnBadRow;
use std::collections::BTreeSet;

/// # Errors
/// 42P07, 3F000, 42701; 0A000 for what external tables cannot do yet.
pub fn create_external(
    workspace: &mut Workspace,
    create: &CreateExternal,
    search_schema: &str,
) -> SqlResult<CommandDone> {
    let CreateExternal { table, if_not_exists, columns: specs, copy, writable } = create;
    let state = workspace.state();
    let schema = target_schema(&state, table, search_schema)?;
    let mut done = CommandDone::new("CREATE EXTERNAL TABLE");
    if find_relation(&state, table, search_schema).is_some() {
        if !if_not_exists {
            return Err(already_exists(&table.name).at(table.position));
        }
        done.notices.push(skipped_existing(&table.name));
        return Ok(done);
    }
    let refused = [
        ("FORCE", copy.force),
        ("VALIDATE", copy.is_validation()),
        ("LOG ERRORS", matches!(copy.on_bad_row, OnBadRow::Reject { log: true, .. })),
    ];
    if let Some((option, _)) = refused.into_iter().find(|(_, is_asked)| *is_asked) {
        let message = format!("{option} of an external table is not supported");
        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(table.position));
    }
    let mut columns = vec![];
    for spec in specs {
        check_new(&columns, &spec.name.text).map_err(|error| error.at(spec.name.position))?;
        columns.push(define(spec, &state, search_schema)?);
    }
    let external = ExternalDef {
        columns,
        locations: copy.sources.clone(),
        pattern: copy.pattern.clone(),
        format: copy.format.clone(),
        codec: copy.codec,
        on_bad_row: copy.on_bad_row,
        secret: copy.secret.as_ref().map(|name| name.text.clone()),
        writable: *writable,
    };
    let view = ViewDef {
        schema,
        name: table.name.clone(),
        columns: vec![],
        query: String::new(),
        references: BTreeSet::new(),
        search_schema: search_schema.to_owned(),
        external: Some(Box::new(external)),
    };
    workspace.create_view(view, false).map_err(|error| SqlError::from(error).at(table.position))?;
    Ok(done)
}
