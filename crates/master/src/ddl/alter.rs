//! ALTER TABLE.

use super::column_sequence::kept_default;
use super::columns::{SEGMENT_ID, check_count, check_name, define};
use super::constraints::{self, Constraints};
use super::layout::laid_out;
use super::relation::{already_exists, find_relation, find_table};
use super::{CommandDone, alter_constraints, distribution};
use crate::catalog::{CatalogError, CatalogState, Relation, TableEntry, ViewDef, Workspace};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{AlterAction, AlterTable, CheckSpec, ColumnSpec, Name};
use damson_cluster::{CheckDef, ColumnDef, TableDef};
use std::sync::Arc;

const TAG: &str = "ALTER TABLE";

/// Executes what changes the catalog alone. That the table's rows keep a constraint that is added was found out before.
///
/// # Errors
/// 42P01, 42809, 42P07, 42701, 42703, 42704, 42710, 42P16, 2BP01, 0A000, and the catalog's.
pub fn alter_table(workspace: &mut Workspace, alter: &AlterTable, search_schema: &str) -> SqlResult<CommandDone> {
    let state = workspace.state();
    if let AlterAction::RenameTo(name) = &alter.action
        && let Some(Relation::View(view)) = find_relation(&state, &alter.table, search_schema)
        && view.external.is_none()
    {
        return rename_view(workspace, &state, view, name);
    }
    let Some(entry) = target(&state, alter, search_schema)? else { return Ok(skipped(alter)) };
    match &alter.action {
        AlterAction::RenameTo(name) => rename_table(workspace, &state, &entry, name),
        AlterAction::RenameColumn { from, to } => rename_column(workspace, &state, &entry, from, to),
        AlterAction::AddColumn { column, if_not_exists, checks } => {
            add_column(workspace, &entry, (column, checks), *if_not_exists, search_schema)
        }
        AlterAction::SetDistributed { .. } => {
            Err(SqlError::new(SqlState::INTERNAL_ERROR, "SET DISTRIBUTED is the session's to run"))
        }
        AlterAction::SetDefault { column, default } => {
            let default = kept_default(default, &state, search_schema)?.unwrap_or_else(|| "NULL".to_owned());
            let action = AlterAction::SetDefault { column: column.clone(), default };
            alter_constraints::alter(workspace, &entry.def, &action)
        }
        action => alter_constraints::alter(workspace, &entry.def, action),
    }
}

/// None: it is not there, and IF EXISTS was written.
fn target(state: &CatalogState, alter: &AlterTable, search_schema: &str) -> SqlResult<Option<Arc<TableEntry>>> {
    if alter.if_exists && find_relation(state, &alter.table, search_schema).is_none() {
        return Ok(None);
    }
    find_table(state, &alter.table, search_schema).map(Some)
}

fn skipped(alter: &AlterTable) -> CommandDone {
    let notice = format!("relation \"{}\" does not exist, skipping", alter.table.name);
    CommandDone { notices: vec![notice], ..CommandDone::new(TAG) }
}

/// A view keeps its query as text: names in it must stay.
fn refuse_if_viewed(state: &CatalogState, relation: (&str, &str), what: &str) -> SqlResult<()> {
    let views = state.dependent_views(relation.0, relation.1);
    let views: Vec<String> = views.map(|view| view.qualified_name()).collect();
    if views.is_empty() {
        return Ok(());
    }
    let message = format!("cannot rename {what} because views use \"{}\"", relation.1);
    Err(SqlError::new(SqlState::DEPENDENT_OBJECTS, message)
        .with_detail(format!("Views: {}.", views.join(", ")))
        .with_hint("Drop the views, and create them again after the change."))
}

fn rename_table(
    workspace: &mut Workspace,
    state: &CatalogState,
    entry: &TableEntry,
    name: &Name,
) -> SqlResult<CommandDone> {
    refuse_if_viewed(state, names(&entry.def), &format!("table \"{}\"", entry.def.name))?;
    workspace.rename_table(entry.def.id, &name.text).map_err(|error| cannot_rename(error, name))?;
    Ok(CommandDone::new(TAG))
}

/// ALTER TABLE renames views, too, as PostgreSQL's does.
fn rename_view(workspace: &mut Workspace, state: &CatalogState, view: &ViewDef, name: &Name) -> SqlResult<CommandDone> {
    refuse_if_viewed(state, (&view.schema, &view.name), &format!("view \"{}\"", view.name))?;
    workspace.rename_view(&view.schema, &view.name, &name.text).map_err(|error| cannot_rename(error, name))?;
    Ok(CommandDone::new(TAG))
}

fn cannot_rename(error: CatalogError, name: &Name) -> SqlError {
    match error {
        CatalogError::RelationExists(name_taken) => already_exists(&name_taken).at(name.position),
        error => error.into(),
    }
}

fn names(def: &TableDef) -> (&str, &str) {
    (&def.schema, &def.name)
}

fn rename_column(
    workspace: &mut Workspace,
    state: &CatalogState,
    entry: &TableEntry,
    from: &Name,
    to: &Name,
) -> SqlResult<CommandDone> {
    if from.text == SEGMENT_ID {
        let message = format!("cannot rename system column \"{SEGMENT_ID}\"");
        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(from.position));
    }
    let Some(position) = entry.def.columns.iter().position(|column| column.name == from.text) else {
        let message = format!("column \"{}\" does not exist", from.text);
        return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, message).at(from.position));
    };
    check_column(entry, to)?;
    refuse_if_viewed(state, names(&entry.def), &format!("column \"{}\"", from.text))?;
    let renamed = |check| constraints::rename_column(check, &from.text, &to.text);
    let checks = entry.def.checks.iter().map(renamed).collect::<SqlResult<Vec<_>>>()?;
    workspace.rename_column(entry.def.id, position, &to.text, checks)?;
    Ok(CommandDone::new(TAG))
}

fn check_column(entry: &TableEntry, name: &Name) -> SqlResult<()> {
    check_name(&entry.def.columns, &name.text).map_err(|error| {
        let message = match name.text.as_str() {
            SEGMENT_ID => error.message,
            text => format!("column \"{text}\" of relation \"{}\" already exists", entry.def.name),
        };
        SqlError::new(SqlState::DUPLICATE_COLUMN, message).at(name.position)
    })
}

fn add_column(
    workspace: &mut Workspace,
    entry: &TableEntry,
    (column, checks): (&ColumnSpec, &[CheckSpec]),
    if_not_exists: bool,
    search_schema: &str,
) -> SqlResult<CommandDone> {
    let mut done = CommandDone::new(TAG);
    if let Err(error) = check_column(entry, &column.name) {
        if !if_not_exists || column.name.text == SEGMENT_ID {
            return Err(error);
        }
        done.notices.push(format!("{}, skipping", error.message));
        return Ok(done);
    }
    check_count(entry.def.columns.len() + 1, "tables").map_err(|error| error.at(column.name.position))?;
    let (def, checks) = added(&entry.def, (column, checks), &workspace.state(), search_schema)?;
    if !entry.files.is_empty() && !def.nullable {
        let message = format!("column \"{}\" of relation \"{}\" contains null values", def.name, entry.def.name);
        return Err(SqlError::new(SqlState::NOT_NULL_VIOLATION, message)
            .with_hint("Existing rows have NULL in a new column.")
            .at(column.name.position));
    }
    workspace.add_column(entry.def.id, def, checks)?;
    Ok(done)
}

/// The column, and the checks that come with it.
fn added(
    table: &TableDef,
    (column, checks): (&ColumnSpec, &[CheckSpec]),
    state: &CatalogState,
    search_schema: &str,
) -> SqlResult<(ColumnDef, Vec<CheckDef>)> {
    let def = define(column, state, search_schema)?;
    let columns: Vec<ColumnDef> = table.columns.iter().cloned().chain([def.clone()]).collect();
    let mut constraints = Constraints::of(table);
    for check in checks {
        constraints.add_check(check, &columns)?;
    }
    Ok((def, constraints.checks.split_off(table.checks.len())))
}

/// A table whose rows are to be written anew: read `entry`'s, write them as `def` says, and give the transaction the new
/// files, all of `entry`'s as drops, and `def` as the new definition.
#[derive(Clone, Debug)]
pub struct Rewrite {
    pub entry: Arc<TableEntry>,
    pub def: TableDef,
}

/// What ADD COLUMN with a default, or checks, has to do on a table that has rows; None where [`alter_table`] does, or refuses, it.
///
/// # Errors
/// 42P01, 42809, 42701.
///
/// # Panics
/// If `alter` is another action.
pub fn add_column_with_default(
    state: &CatalogState,
    alter: &AlterTable,
    search_schema: &str,
) -> SqlResult<Option<Rewrite>> {
    let AlterAction::AddColumn { column, checks, .. } = &alter.action else { panic!("not an ADD COLUMN: {alter:?}") };
    let Some(entry) = target(state, alter, search_schema)? else { return Ok(None) };
    let needs_rows = column.default.is_some() || !checks.is_empty();
    if entry.files.is_empty() || !needs_rows || check_column(&entry, &column.name).is_err() {
        return Ok(None);
    }
    let (added, checks) = added(&entry.def, (column, checks), state, search_schema)?;
    let mut def = (*entry.def).clone();
    def.columns.push(added);
    def.checks.extend(checks);
    Ok(Some(Rewrite { entry, def }))
}

/// What SET DISTRIBUTED has to do; `Err` of the inner result is a command that is done already.
///
/// # Errors
/// 42P01, 42809, 42703, 42701, 42P16, 0A000.
///
/// # Panics
/// If `alter` is another action.
pub fn set_distributed(
    state: &CatalogState,
    alter: &AlterTable,
    search_schema: &str,
) -> SqlResult<Result<Rewrite, CommandDone>> {
    let AlterAction::SetDistributed { distribution, reorganize, layout } = &alter.action else {
        panic!("not a SET DISTRIBUTED: {alter:?}");
    };
    let Some(entry) = target(state, alter, search_schema)? else { return Ok(Err(skipped(alter))) };
    if *reorganize == Some(false) {
        let message = "REORGANIZE=false is not supported";
        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
            .with_hint("Rows are always where the table's distribution says."));
    }
    let mut def = (*entry.def).clone();
    if let Some(clause) = distribution {
        def.distribution = distribution::of_clause(clause, &def.columns, &def.keys)?;
    }
    def.layout = laid_out(&def.layout, layout, &def.columns)?;
    def.map_version = state.current_map().version;
    if def == *entry.def && *reorganize != Some(true) {
        let notice = format!(
            "distribution policy of relation \"{}\" already set; use ALTER TABLE \"{}\" SET WITH (REORGANIZE=TRUE) to \
             force redistribution",
            def.name, def.name
        );
        return Ok(Err(CommandDone { notices: vec![notice], ..CommandDone::new(TAG) }));
    }
    Ok(Ok(Rewrite { entry, def }))
}
