//! ALTER TABLE: constraints, what a column may be, and how files are laid out.

use super::CommandDone;
use super::columns::positions;
use super::constraints::{Constraints, exists};
use super::distribution::check_keys;
use super::layout::laid_out;
use crate::catalog::Workspace;
use crate::error::{SqlError, SqlResult, SqlState, internal};
use crate::sql::{AlterAction, Name};
use damson_cluster::{Distribution, TableDef};

const TAG: &str = "ALTER TABLE";

/// The table as the action makes it, whether its rows must be looked at first, and notices.
pub struct Altered {
    pub def: TableDef,
    /// What the action adds must hold of the rows that are there.
    pub needs_rows: bool,
    pub notices: Vec<String>,
}

pub(super) fn alter(workspace: &mut Workspace, def: &TableDef, action: &AlterAction) -> SqlResult<CommandDone> {
    let Altered { def: new, needs_rows, notices } = altered(def, action)?;
    if new != *def {
        workspace.redefine(new, needs_rows)?;
    }
    Ok(CommandDone { notices, ..CommandDone::new(TAG) })
}

/// What the action makes of a table.
///
/// # Errors
/// 42701, 42703, 42704, 42710, 42883, 42P16, 0A000.
pub fn altered(def: &TableDef, action: &AlterAction) -> SqlResult<Altered> {
    let mut new = def.clone();
    let mut constraints = Constraints::of(def);
    let altered = |new: TableDef, needs_rows| Ok(Altered { def: new, needs_rows, notices: vec![] });
    match action {
        AlterAction::AddKey(spec) => {
            constraints.add_key(spec, &mut new.columns)?;
            check_keys(&new.distribution, &new.columns, &constraints.keys)?;
            new.keys = constraints.keys;
            altered(new, true)
        }
        AlterAction::AddCheck(spec) => {
            constraints.add_check(spec, &new.columns)?;
            new.checks = constraints.checks;
            altered(new, true)
        }
        AlterAction::AddForeignKey => {
            let notices = vec!["FOREIGN KEY constraints are not enforced, and not kept.".into()];
            Ok(Altered { def: new, needs_rows: false, notices })
        }
        AlterAction::DropConstraint { name, if_exists, .. } => drop_constraint(new, name, *if_exists),
        AlterAction::RenameConstraint { from, to } => {
            let is_taken = |name: &str| name == to.text;
            let keys = new.keys.iter().map(|key| key.name.as_str());
            if keys.chain(new.checks.iter().map(|check| check.name.as_str())).any(is_taken) {
                return Err(exists(&to.text, &new.name).at(to.position));
            }
            let names = new.keys.iter_mut().map(|key| &mut key.name);
            let mut names = names.chain(new.checks.iter_mut().map(|check| &mut check.name));
            match names.find(|name| **name == from.text) {
                Some(name) => *name = to.text.clone(),
                None => return Err(no_constraint(from, &def.name)),
            }
            drop(names);
            altered(new, false)
        }
        AlterAction::SetNotNull(name) => {
            let position = column(&new, name)?;
            new.columns[position].nullable = false;
            altered(new, true)
        }
        AlterAction::DropNotNull(name) => {
            let position = column(&new, name)?;
            refuse_identity(&new, name, position)?;
            if new.primary_key().is_some_and(|key| key.columns.contains(&position)) {
                let message = format!("column \"{}\" is in a primary key", name.text);
                return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message).at(name.position));
            }
            new.columns[position].nullable = true;
            altered(new, false)
        }
        AlterAction::SetDefault { column: name, default } => {
            let position = column(&new, name)?;
            refuse_identity(&new, name, position)?;
            new.columns[position].default = Some(default.clone()).filter(|text| !text.eq_ignore_ascii_case("null"));
            altered(new, false)
        }
        AlterAction::DropDefault(name) => {
            let position = column(&new, name)?;
            refuse_identity(&new, name, position)?;
            new.columns[position].default = None;
            altered(new, false)
        }
        AlterAction::SetLayout(options) => {
            new.layout = laid_out(&def.layout, options, &def.columns)?;
            altered(new, false)
        }
        AlterAction::DropColumn { column, .. } => {
            let message = "ALTER TABLE ... DROP COLUMN is not supported";
            Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(column.position))
        }
        AlterAction::RenameTo(_)
        | AlterAction::RenameColumn { .. }
        | AlterAction::AddColumn { .. }
        | AlterAction::SetDistributed { .. } => Err(internal("not a constraint's change")),
    }
}

fn column(def: &TableDef, name: &Name) -> SqlResult<usize> {
    let of = format!("of relation \"{}\" ", def.name);
    Ok(positions(&def.columns, std::slice::from_ref(name), &of)?[0])
}

/// An identity column has the default of its sequence, and is not NULL.
fn refuse_identity(def: &TableDef, name: &Name, position: usize) -> SqlResult<()> {
    if def.columns[position].identity.is_none() {
        return Ok(());
    }
    let message = format!("column \"{}\" of relation \"{}\" is an identity column", name.text, def.name);
    Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(name.position))
}

fn drop_constraint(mut new: TableDef, name: &Name, if_exists: bool) -> SqlResult<Altered> {
    let before = new.keys.len() + new.checks.len();
    new.keys.retain(|key| key.name != name.text);
    new.checks.retain(|check| check.name != name.text);
    let mut notices = vec![];
    if new.keys.len() + new.checks.len() == before {
        if !if_exists {
            return Err(no_constraint(name, &new.name));
        }
        notices.push(format!("constraint \"{}\" of relation \"{}\" does not exist, skipping", name.text, new.name));
    }
    debug_assert!(new.keys.is_empty() || new.distribution != Distribution::Randomly, "keys meet on a segment");
    Ok(Altered { def: new, needs_rows: false, notices })
}

fn no_constraint(name: &Name, table: &str) -> SqlError {
    let message = format!("constraint \"{}\" of relation \"{table}\" does not exist", name.text);
    SqlError::new(SqlState::UNDEFINED_OBJECT, message).at(name.position)
}
