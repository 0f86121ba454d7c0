//! INSERT … ON CONFLICT: which key it is about, and DO UPDATE as a MERGE of the new rows.

use super::bind::Bound;
use super::change::BoundChange;
use super::merge::Merging;
use super::modify::refuse_hidden;
use super::{Session, ast};
use crate::catalog::TableEntry;
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{
    ConflictTarget, Insert, InsertValue, Merge, MergeAction, MergeClause, MergeWhen, Name, OnConflict, Overriding,
};
use damson_cluster::{Once, TableDef};
use datafusion::catalog::view::ViewTable;
use sqlparser::ast as syntax;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What the query of an upsert calls the new rows.
const NEW_ROWS: (&str, &str) = ("pg_damson", "excluded");

/// What the user calls them.
const EXCLUDED: &str = "excluded";

/// Names of the keys of which new rows are left out, or update the old ones; none without ON CONFLICT.
///
/// # Errors
/// 42P10 if no key is of the columns that are named, 42703 for one that is no column, 42704 for no constraint.
pub(super) fn arbiter(def: &TableDef, insert: &Insert) -> SqlResult<BTreeSet<String>> {
    let Some(OnConflict { target, .. }) = &insert.on_conflict else { return Ok(BTreeSet::new()) };
    match target {
        ConflictTarget::Any => Ok(def.keys.iter().map(|key| key.name.clone()).collect()),
        ConflictTarget::Constraint(name) => match def.keys.iter().find(|key| key.name == name.text) {
            Some(key) => Ok([key.name.clone()].into()),
            None if def.checks.iter().any(|check| check.name == name.text) => {
                let message = "constraint in ON CONFLICT clause has no associated index";
                Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message).at(name.position))
            }
            None => {
                let message = format!("constraint \"{}\" for table \"{}\" does not exist", name.text, def.name);
                Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message).at(name.position))
            }
        },
        ConflictTarget::Columns(names) => {
            let position = |name: &Name| {
                let position = def.columns.iter().position(|column| column.name == name.text);
                position.ok_or_else(|| {
                    let message = format!("column \"{}\" does not exist", name.text);
                    SqlError::new(SqlState::UNDEFINED_COLUMN, message).at(name.position)
                })
            };
            let wanted = names.iter().map(position).collect::<SqlResult<BTreeSet<usize>>>()?;
            let is_wanted = |columns: &[usize]| columns.iter().copied().collect::<BTreeSet<_>>() == wanted;
            let keys: BTreeSet<String> =
                def.keys.iter().filter(|key| is_wanted(&key.columns)).map(|key| key.name.clone()).collect();
            if keys.is_empty() {
                let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
                return Err(SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message));
            }
            Ok(keys)
        }
    }
}

impl Session {
    /// DO UPDATE: the new rows joined with the table by the key.
    pub(super) async fn bind_upsert(
        &self,
        insert: &Insert,
        entry: &Arc<TableEntry>,
        rows: Bound,
        (assignments, selection): (&[(Name, InsertValue)], Option<&syntax::Expr>),
        arbiter: &BTreeSet<String>,
    ) -> SqlResult<BoundChange> {
        // Names of the query that this becomes are not the user's.
        let written = assignments.iter().filter_map(|(_, value)| value.expr());
        written.chain(selection).try_for_each(refuse_hidden)?;
        let def = &entry.def;
        let alias = insert.alias.as_deref().unwrap_or(&def.name);
        let is_arbiter = |key: &&damson_cluster::KeyDef| arbiter.contains(&key.name);
        let key = def.keys.iter().find(is_arbiter).ok_or_else(|| crate::error::internal("a conflict without a key"))?;
        let new = |name: &str| ast::compound(&[EXCLUDED, name]);
        let equal = |&column: &usize| {
            let name = def.columns[column].name.as_str();
            let op = syntax::BinaryOperator::Eq;
            syntax::Expr::BinaryOp { left: Box::new(new(name)), op, right: Box::new(ast::compound(&[alias, name])) }
        };
        let on = key.columns.iter().map(equal).reduce(|left, right| syntax::Expr::BinaryOp {
            left: Box::new(left),
            op: syntax::BinaryOperator::And,
            right: Box::new(right),
        });
        let update = MergeAction::Update(assignments.to_vec());
        let condition = selection.cloned();
        let values = def.columns.iter().map(|column| InsertValue::Expr(new(&column.name))).collect();
        // What identity columns take was seen to where the new rows were bound.
        let overriding = Some(Overriding::System);
        let insert_row = MergeAction::Insert { columns: vec![], overriding, values: Some(values) };
        let merge = Merge {
            with: None,
            table: insert.table.clone(),
            alias: insert.alias.clone(),
            source: ast::table_as(NEW_ROWS.0, NEW_ROWS.1, EXCLUDED)?,
            on: on.ok_or_else(|| crate::error::internal("a key without columns"))?,
            clauses: vec![
                MergeClause { when: MergeWhen::Matched, condition, action: update },
                MergeClause { when: MergeWhen::NotMatched, condition: None, action: insert_row },
            ],
            returning: insert.returning.clone(),
        };
        let names = self.merge_names(entry, rows.names.state(), &merge, rows.names.has_segment_id());
        let names = names.with_past(&rows.names);
        names.prepare(NEW_ROWS.0, NEW_ROWS.1, Arc::new(ViewTable::new(rows.plan, None)));
        let merging =
            Merging { once: Once::OnConflict, repeats: arbiter.clone(), tag: "INSERT 0", shows_source: false };
        self.bind_merged(&merge, Arc::clone(entry), names, merging).await
    }
}
