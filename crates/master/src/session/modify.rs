//! UPDATE and DELETE: a query for the rows to change, each named by segment, file and number, and what they become.

use super::bind::Bound;
use super::insert::{assign_value, check_assignable, default_value};
use super::query::{parameter_types, with_parameters};
use super::relation_names::name_relations;
use super::write::table_spec;
use super::{Outcome, Session, ast};
use crate::catalog::{CatalogState, TableEntry};
use crate::ddl::{find_table, resolve_columns};
use crate::engine::DamsonTable;
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion};
use crate::locks::LockMode;
use crate::planner::{Output, WriteTarget};
use crate::sql::{self, InsertValue, Modify};
use crate::transaction::Transaction;
use damson_cluster::{Distribution, FILE_COLUMN, ROW_COLUMN, TableDef};
use damson_motion::{ModifyKind, ScanSpec, TableModifySpec};
use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;
use sqlparser::ast as syntax;
use sqlparser::ast::{Visit, Visitor};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What the query for the rows calls the table. A user's statement that names it is refused.
const TARGET: (&str, &str) = ("pg_damson", "target");

/// Columns of that query before the new row: file, row, segment.
const LEAD: [&str; 3] = [FILE_COLUMN, ROW_COLUMN, ScanSpec::SEGMENT_ID];

/// A bound UPDATE or DELETE.
pub(super) struct BoundModify {
    pub entry: Arc<TableEntry>,
    pub bound: Bound,
    pub spec: TableModifySpec,
}

impl BoundModify {
    pub(super) fn target(&self) -> WriteTarget {
        let def = &self.entry.def;
        WriteTarget::Modify { spec: self.spec.clone(), distribution: def.distribution.clone(), map: def.map_version }
    }

    /// `UPDATE 3`.
    pub(super) fn tag(&self, rows: u64) -> String {
        match self.spec.kind {
            ModifyKind::Delete => format!("DELETE {rows}"),
            ModifyKind::Update | ModifyKind::SplitUpdate => format!("UPDATE {rows}"),
        }
    }
}

impl Session {
    pub(super) async fn modify(
        self: &Arc<Self>,
        modify: &Modify,
        parameters: Vec<ScalarValue>,
        transaction: &mut Transaction,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        self.lock(transaction, &modify.table, LockMode::ShareUpdateExclusive, &cancel).await?;
        let modify = self.bind_modify(modify, transaction.state()).await?;
        let bound = with_parameters(modify.bound, parameters)?;
        let bound = self.run_init_plans(bound, &cancel).await?;
        let modify = BoundModify { bound, ..modify };
        let table = self.plan(&modify.bound, Output::Write(modify.target())).await?;
        let running = self.dispatch(&modify.bound, &table, HashMap::new(), true, cancel.clone()).await?;
        let modified = self.modified(running, &modify.entry.def).await?;
        let rows = modified.rows;
        self.add(transaction, &modify.bound, modified.commit(modify.spec.write.table), &cancel).await?;
        Ok(Outcome::changed(modify.tag(rows), rows))
    }

    pub(super) async fn describe_modify(
        &self,
        modify: &Modify,
        catalog: Arc<CatalogState>,
    ) -> SqlResult<Vec<DataType>> {
        parameter_types(&self.bind_modify(modify, catalog).await?.bound.plan)
    }

    /// The rows to change.
    pub(super) async fn bind_modify(&self, modify: &Modify, catalog: Arc<CatalogState>) -> SqlResult<BoundModify> {
        let entry = find_table(&catalog, &modify.table, &self.search_schema())?;
        let def = Arc::clone(&entry.def);
        refuse_names(modify)?;
        let assigned = assigned_columns(&def, modify)?;
        let mut query = query_for(modify, &def, &assigned)?;
        name_relations(&mut query, &self.search_schema(), modify.alias.is_none().then_some((&def, TARGET)))?;
        sql::check_query(&query)?;
        let names = self.names(Arc::clone(&catalog), mentions_segment_id(modify));
        let target = DamsonTable::with_row_ids(Arc::clone(&entry), catalog.current_map().segment_count());
        names.prepare(TARGET.0, TARGET.1, Arc::new(target));
        let bound = self.bind_named(names, query, "").await?;
        let (kind, plan) = match &modify.assignments {
            None => (ModifyKind::Delete, bound.plan.clone()),
            Some(_) => {
                let moves = matches!(&def.distribution, Distribution::Hashed(key) if key.iter().any(|c| assigned.contains_key(c)));
                let kind = if moves { ModifyKind::SplitUpdate } else { ModifyKind::Update };
                (kind, new_rows(&bound, &def, &assigned)?)
            }
        };
        let once = kind != ModifyKind::Delete && def.distribution == Distribution::Replicated;
        let spec = TableModifySpec { write: table_spec(&def), kind, once };
        Ok(BoundModify { entry, bound: Bound { plan, ..bound }, spec })
    }
}

/// The assigned columns' values, by position.
fn assigned_columns<'a>(def: &TableDef, modify: &'a Modify) -> SqlResult<HashMap<usize, &'a InsertValue>> {
    let Some(assignments) = &modify.assignments else { return Ok(HashMap::new()) };
    let names: Vec<_> = assignments.iter().map(|(name, _)| name.clone()).collect();
    let positions = resolve_columns(def, &names)?;
    Ok(positions.into_iter().zip(assignments.iter().map(|(_, value)| value)).collect())
}

/// `SELECT file, row, segment, new row FROM target, … WHERE …`.
fn query_for(modify: &Modify, def: &TableDef, assigned: &HashMap<usize, &InsertValue>) -> SqlResult<syntax::Statement> {
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
    if modify.assignments.is_some() {
        for (position, definition) in def.columns.iter().enumerate() {
            items.push(match assigned.get(&position) {
                None => column(&definition.name),
                // Its own plan puts it in: it does not depend on rows.
                Some(InsertValue::Default) => ast::null(),
                Some(InsertValue::Expr(expr)) => {
                    let typed = ast::is_parameter(expr) || definition.data_type.is_numeric() && ast::is_literal(expr);
                    if typed { ast::Cast::to(&definition.sql_type)?.of(expr.clone()) } else { expr.clone() }
                }
            });
        }
    }
    let mut query = ast::select_from(TARGET.0, TARGET.1, alias)?;
    if let syntax::Statement::Query(query) = &mut query
        && let syntax::SetExpr::Select(select) = query.body.as_mut()
    {
        let named = |(i, expr): (usize, syntax::Expr)| {
            let alias = quoted(&format!("column {i}"));
            syntax::SelectItem::ExprWithAlias { expr, alias }
        };
        select.projection = items.into_iter().enumerate().map(named).collect();
        select.from.extend(modify.from.iter().cloned());
        select.selection = modify.selection.clone();
    }
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
    let source = LogicalPlanBuilder::from(bound.plan.clone());
    source.project(projected).and_then(LogicalPlanBuilder::build).map_err(of_datafusion)
}

/// What names rows within the statement's own query is not the user's to read: copies of a row have different numbers.
///
/// # Errors
/// 42703 and 42P01, as for what does not exist.
fn refuse_names(modify: &Modify) -> SqlResult<()> {
    let mut hidden = Hidden { found: None };
    for part in values_of(modify).chain(&modify.selection) {
        let _ = part.visit(&mut hidden);
    }
    let _ = modify.from.visit(&mut hidden);
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
    modify.assignments.iter().flatten().filter_map(|(_, value)| match value {
        InsertValue::Expr(expr) => Some(expr),
        InsertValue::Default => None,
    })
}

/// Whether the user names the system column, so that the other tables have it, too.
fn mentions_segment_id(modify: &Modify) -> bool {
    let mentions = |text: String| text.contains(ScanSpec::SEGMENT_ID);
    values_of(modify).any(|expr| mentions(expr.to_string()))
        || modify.selection.as_ref().is_some_and(|expr| mentions(expr.to_string()))
        || modify.from.iter().any(|from| mentions(from.to_string()))
}
