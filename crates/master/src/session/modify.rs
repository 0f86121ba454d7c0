//! UPDATE and DELETE: a query for the rows to change, each named by segment, file and number, and what they become.

use super::bind::Bound;
use super::change::BoundChange;
use super::constraints::unique_keys;
use super::identity::check_updatable;
use super::insert::{assign_value, check_assignable, default_value};
use super::relation_names::name_relations;
use super::returning::{Visible, visible_row, with_returning};
use super::write::unchecked;
use super::{Outcome, Session, ast};
use crate::catalog::CatalogState;
use crate::ddl::{find_table, resolve_columns};
use crate::engine::{DamsonTable, StatementNames};
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion};
use crate::locks::LockMode;
use crate::planner::WriteTarget;
use crate::sql::walk;
use crate::sql::{self, InsertValue, Modify, Name};
use crate::transaction::Transaction;
use damson_cluster::{Distribution, FILE_COLUMN, OnDuplicate, Once, ROW_COLUMN, TableDef};
use damson_motion::{ModifyKind, ScanSpec};
use datafusion::common::TableReference;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;
use sqlparser::ast as syntax;
use sqlparser::ast::{Visit, Visitor};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What the query for the rows calls the table. A user's statement that names it is refused.
pub(super) const TARGET: (&str, &str) = ("pg_damson", "target");

/// Columns of that query before the new row: file, row, segment.
pub(super) const LEAD: [&str; 3] = [FILE_COLUMN, ROW_COLUMN, ScanSpec::SEGMENT_ID];

impl Session {
    pub(super) async fn modify(
        self: &Arc<Self>,
        modify: &Modify,
        parameters: Vec<ScalarValue>,
        transaction: &mut Transaction,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        self.lock(transaction, &modify.table, LockMode::ShareUpdateExclusive, &cancel).await?;
        let change = self.bind_modify(modify, transaction.state()).await?;
        let _admitted = self.admit(&transaction.state(), &cancel).await?;
        self.run_change(change, parameters, transaction, cancel).await
    }

    /// The rows to change.
    pub(super) async fn bind_modify(&self, modify: &Modify, catalog: Arc<CatalogState>) -> SqlResult<BoundChange> {
        let entry = find_table(&catalog, &modify.table, &self.search_schema())?;
        let def = Arc::clone(&entry.def);
        values_of(modify).chain(&modify.selection).try_for_each(refuse_hidden)?;
        refuse_hidden(&modify.from)?;
        refuse_hidden(&modify.with)?;
        let assigned = assigned_columns(&def, modify)?;
        let names = self.names(Arc::clone(&catalog), mentions_segment_id(modify));
        let target = DamsonTable::with_row_ids(Arc::clone(&entry), catalog.current_map().owning_segments().len());
        names.prepare(TARGET.0, TARGET.1, Arc::new(target));
        let others = if modify.returning.is_some() { self.others(modify, &def, &names).await? } else { vec![] };
        let mut query = query_for(modify, &def, &assigned, &others)?;
        name_relations(&mut query, &self.search_schema(), modify.alias.is_none().then_some((&def, TARGET)))?;
        sql::check_query(&query)?;
        let bound = self.bind_named(names, query, "").await?;
        let (kind, plan) = match &modify.assignments {
            None => (ModifyKind::Delete, bound.plan.clone()),
            Some(_) => {
                let moves = matches!(&def.distribution, Distribution::Hashed(key) if key.iter().any(|c| assigned.contains_key(c)));
                let kind = if moves { ModifyKind::SplitUpdate } else { ModifyKind::Update };
                (kind, new_rows(&bound, &def, &assigned)?)
            }
        };
        let bound = Bound { plan, ..bound };
        let (bound, returning) = match &modify.returning {
            None => (bound, None),
            Some(items) => {
                let row = LEAD.len() + def.columns.len();
                let mut visible = visible_row(&def, modify.alias.as_deref(), LEAD.len());
                let others = others.into_iter().enumerate();
                visible.extend(others.map(|(i, (table, name))| Visible { table, name, position: row + i }));
                let kept = if kind == ModifyKind::Delete { LEAD.len() } else { row };
                let (bound, names) = with_returning(bound, kept, &visible, items)?;
                (bound, Some(names))
            }
        };
        let keys = unique_keys(&def, |column| assigned.contains_key(column), |_| OnDuplicate::Fail);
        let mut table = match kind {
            ModifyKind::Delete => unchecked(&def),
            _ => self.checked(&catalog, &def, keys).await?,
        };
        table.returning = returning.as_ref().map_or(0, Vec::len);
        let copies = kind != ModifyKind::Delete && def.distribution == Distribution::Replicated;
        let target = WriteTarget::Modify { table, kind, once: copies.then_some(Once::Copies) };
        let tag = if kind == ModifyKind::Delete { "DELETE" } else { "UPDATE" };
        Ok(BoundChange { def, bound, target, tag, returning })
    }

    /// The columns of the tables after FROM or USING.
    async fn others(
        &self,
        modify: &Modify,
        def: &TableDef,
        names: &StatementNames,
    ) -> SqlResult<Vec<(Option<TableReference>, String)>> {
        if modify.from.is_empty() {
            return Ok(vec![]);
        }
        let alias = modify.alias.as_deref().unwrap_or(&def.name);
        let mut probe = ast::select_from(TARGET.0, TARGET.1, alias)?;
        if let Some(select) = ast::select_of(&mut probe) {
            select.projection = vec![syntax::SelectItem::Wildcard(Default::default())];
            select.from.extend(modify.from.iter().cloned());
        }
        ast::put_with(&mut probe, modify.with.as_ref());
        name_relations(&mut probe, &self.search_schema(), modify.alias.is_none().then_some((def, TARGET)))?;
        let bound = self.bind_named(names.clone(), probe, "").await?;
        let is_hidden = |name: &str| LEAD.contains(&name);
        let own = def.columns.len() + if names.has_segment_id() { LEAD.len() - 1 } else { LEAD.len() };
        let columns = bound.plan.schema().iter().skip(own);
        let columns = columns.map(|(table, field)| (table.cloned(), field.name().clone()));
        Ok(columns.filter(|(_, name)| !is_hidden(name)).collect())
    }
}

/// The assigned columns' values, by position.
fn assigned_columns<'a>(def: &TableDef, modify: &'a Modify) -> SqlResult<HashMap<usize, &'a InsertValue>> {
    let Some(assignments) = &modify.assignments else { return Ok(HashMap::new()) };
    let positions = assigned_positions(def, assignments)?;
    Ok(positions.into_iter().zip(assignments.iter().map(|(_, value)| value)).collect())
}

/// Positions of the columns that SET names.
///
/// # Errors
/// 42703; 42601 for a column that is named twice; 428C9 for an identity column that is set to a value of the statement's.
pub(super) fn assigned_positions(def: &TableDef, assignments: &[(Name, InsertValue)]) -> SqlResult<Vec<usize>> {
    let names: Vec<_> = assignments.iter().map(|(name, _)| name.clone()).collect();
    for (i, name) in names.iter().enumerate() {
        if names[..i].iter().any(|other| other.text == name.text) {
            let message = format!("multiple assignments to same column \"{}\"", name.text);
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(name.position));
        }
    }
    let positions = resolve_columns(def, &names)?;
    for (position, (name, value)) in positions.iter().zip(assignments) {
        if value.expr().is_some() {
            check_updatable(&def.columns[*position]).map_err(|error| error.at(name.position))?;
        }
    }
    Ok(positions)
}

/// `SELECT file, row, segment, new row, columns of others FROM target, … WHERE …`.
fn query_for(
    modify: &Modify,
    def: &TableDef,
    assigned: &HashMap<usize, &InsertValue>,
    others: &[(Option<TableReference>, String)],
) -> SqlResult<syntax::Statement> {
    let quoted = |name: &str| syntax::Ident::with_quote('"', name);
    let alias = modify.alias.as_deref().unwrap_or(&modify.table.name);
    let qualifier = match &modify.alias {
        Some(alias) => vec![quoted(alias)],
        // Beside a table of its name in another schema.
        None => vec![quoted(&def.schema), quoted(&def.name)],
    };
    let column =
        |name: &str| syntax::Expr::CompoundIdentifier(qualifier.iter().cloned().chain([quoted(name)]).collect());
    let mut items: Vec<syntax::Expr> = LEAD.iter().map(|name| column(name)).collect();
    if def.distribution == Distribution::Replicated {
        // Every copy is changed where it is, and a copy's segment is nothing that may decide what becomes of it.
        items[2] = sql::parse_expression("CAST(0 AS int)")?;
    }
    if modify.assignments.is_some() || modify.returning.is_some() {
        for (position, definition) in def.columns.iter().enumerate() {
            items.push(match assigned.get(&position) {
                None => column(&definition.name),
                // Its own plan puts it in: it does not depend on rows.
                Some(InsertValue::Default) => ast::null(),
                Some(InsertValue::Expr(expr)) => {
                    if ast::takes_type(expr, definition) {
                        ast::Cast::to(&definition.sql_type)?.of(expr.clone())
                    } else {
                        expr.clone()
                    }
                }
            });
        }
    }
    for (table, name) in others {
        let parts = table.iter().flat_map(|table| [table.schema(), Some(table.table())]).flatten();
        items.push(syntax::Expr::CompoundIdentifier(parts.chain([name.as_str()]).map(quoted).collect()));
    }
    let mut query = ast::select_from(TARGET.0, TARGET.1, alias)?;
    if let Some(select) = ast::select_of(&mut query) {
        let named = |(i, expr): (usize, syntax::Expr)| {
            let alias = quoted(&format!("column {i}"));
            syntax::SelectItem::ExprWithAlias { expr, alias }
        };
        select.projection = items.into_iter().enumerate().map(named).collect();
        select.from.extend(modify.from.iter().cloned());
        select.selection = modify.selection.clone();
    }
    ast::put_with(&mut query, modify.with.as_ref());
    Ok(query)
}

/// The new rows with the table's types, after what names the old ones.
fn new_rows(bound: &Bound, def: &TableDef, assigned: &HashMap<usize, &InsertValue>) -> SqlResult<LogicalPlan> {
    let columns = bound.plan.schema().columns();
    let mut projected: Vec<Expr> =
        columns.iter().zip(LEAD).map(|(column, name)| Expr::Column(column.clone()).alias(name)).collect();
    for (position, definition) in def.columns.iter().enumerate() {
        let value = Expr::Column(columns[LEAD.len() + position].clone());
        let value = match assigned.get(&position) {
            None => value,
            Some(InsertValue::Default) => default_value(&bound.state, definition)?,
            Some(InsertValue::Expr(expr)) => {
                let from = value.get_type(bound.plan.schema()).map_err(of_datafusion)?;
                check_assignable(&from, definition, ast::is_literal(expr))?;
                assign_value(value, definition)
            }
        };
        projected.push(value.alias(&definition.name));
    }
    let others = columns[LEAD.len() + def.columns.len()..].iter().enumerate();
    projected.extend(others.map(|(i, column)| Expr::Column(column.clone()).alias(format!("pg_damson other {i}"))));
    let source = LogicalPlanBuilder::from(bound.plan.clone());
    source.project(projected).and_then(LogicalPlanBuilder::build).map_err(of_datafusion)
}

/// What names rows within the statement's own query is not the user's to read: copies of a row have different numbers.
///
/// # Errors
/// 42703 and 42P01, as for what does not exist.
pub(super) fn refuse_hidden(written: &impl Visit) -> SqlResult<()> {
    let mut hidden = Hidden { found: None };
    let _ = walk(written, &mut hidden);
    hidden.found.map_or(Ok(()), Err)
}

/// Stops at a name that only the statement itself may use.
struct Hidden {
    found: Option<SqlError>,
}

impl Visitor for Hidden {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &syntax::Expr) -> ControlFlow<()> {
        let ident = match expr {
            syntax::Expr::Identifier(ident) => Some(ident),
            syntax::Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        let is_hidden = |ident: &&syntax::Ident| [FILE_COLUMN, ROW_COLUMN].contains(&sql::fold(ident).as_str());
        let Some(ident) = ident.filter(is_hidden) else { return ControlFlow::Continue(()) };
        let message = format!("column \"{}\" does not exist", ident.value);
        self.found = Some(SqlError::new(SqlState::UNDEFINED_COLUMN, message));
        ControlFlow::Break(())
    }

    fn pre_visit_relation(&mut self, relation: &syntax::ObjectName) -> ControlFlow<()> {
        let idents = relation.0.iter().filter_map(|part| part.as_ident());
        if !idents.map(sql::fold).any(|name| name == TARGET.0) {
            return ControlFlow::Continue(());
        }
        let message = format!("relation \"{relation}\" does not exist");
        self.found = Some(SqlError::new(SqlState::UNDEFINED_TABLE, message));
        ControlFlow::Break(())
    }
}

/// The values that the user has written.
fn values_of(modify: &Modify) -> impl Iterator<Item = &syntax::Expr> {
    modify.assignments.iter().flatten().filter_map(|(_, value)| value.expr())
}

/// Whether the user names the system column, so that the other tables have it, too.
fn mentions_segment_id(modify: &Modify) -> bool {
    let mentions = |text: String| text.contains(ScanSpec::SEGMENT_ID);
    values_of(modify).any(|expr| mentions(expr.to_string()))
        || modify.selection.as_ref().is_some_and(|expr| mentions(expr.to_string()))
        || modify.from.iter().any(|from| mentions(from.to_string()))
        || modify.with.iter().any(|with| mentions(with.to_string()))
}
