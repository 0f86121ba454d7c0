//! MERGE: the source joined with the table, each row told what becomes of it by the first clause that fits.

use super::bind::Bound;
use super::change::BoundChange;
use super::constraints::unique_keys;
use super::identity::takes_given;
use super::insert::{assign_value, check_assignable, default_value};
use super::modify::{LEAD, TARGET, assigned_positions, refuse_hidden};
use super::relation_names::name_relations;
use super::returning::{Visible, visible_row, with_returning};
use super::{Outcome, Session, ast};
use crate::catalog::{CatalogState, TableEntry};
use crate::ddl::resolve_columns;
use crate::engine::{DamsonTable, StatementNames};
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion};
use crate::locks::LockMode;
use crate::planner::WriteTarget;
use crate::sql::walk_mut;
use crate::sql::{self, InsertValue, Merge, MergeAction, MergeClause, MergeWhen};
use crate::transaction::Transaction;
use damson_cluster::{Distribution, KeyDef, OnDuplicate, Once, RowChange, TableDef};
use damson_motion::{ModifyKind, ScanSpec};
use datafusion::common::TableReference;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast, lit, when};
use datafusion::scalar::ScalarValue;
use sqlparser::ast as syntax;
use sqlparser::ast::{Ident, Query, VisitorMut};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A column of the source that is NULL where a row of the table has no match.
const PRESENT: &str = "pg_damson present";

/// How a merge differs from others.
pub(super) struct Merging {
    pub once: Once,
    /// Names of the keys of which two new rows are an error of their own.
    pub repeats: BTreeSet<String>,
    pub tag: &'static str,
    /// Whether RETURNING sees the source.
    pub shows_source: bool,
}

impl Session {
    pub(super) async fn merge(
        self: &Arc<Self>,
        merge: &Merge,
        parameters: Vec<ScalarValue>,
        transaction: &mut Transaction,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        self.lock(transaction, &merge.table, LockMode::ShareUpdateExclusive, &cancel).await?;
        let change = self.bind_merge(merge, transaction.state()).await?;
        let _admitted = self.admit(&transaction.state(), &cancel).await?;
        self.run_change(change, parameters, transaction, cancel).await
    }

    pub(super) async fn bind_merge(&self, merge: &Merge, catalog: Arc<CatalogState>) -> SqlResult<BoundChange> {
        let entry = self.table(&catalog, &merge.table)?;
        refuse_hidden(&merge.source)?;
        refuse_hidden(&merge.with)?;
        expressions(merge).try_for_each(refuse_hidden)?;
        let names = self.merge_names(&entry, &catalog, merge, false);
        let merging = Merging { once: Once::Merge, repeats: BTreeSet::new(), tag: "MERGE", shows_source: true };
        self.bind_merged(merge, entry, names, merging).await
    }

    /// The names of a merge's query.
    pub(super) fn merge_names(
        &self,
        entry: &Arc<TableEntry>,
        catalog: &Arc<CatalogState>,
        merge: &Merge,
        segment_id: bool,
    ) -> StatementNames {
        let mentions = |text: String| text.contains(ScanSpec::SEGMENT_ID);
        let segment_id = segment_id
            || mentions(merge.source.to_string())
            || merge.with.iter().any(|with| mentions(with.to_string()))
            || expressions(merge).any(|expr| mentions(expr.to_string()));
        let names = self.names(Arc::clone(catalog), segment_id);
        let target = DamsonTable::with_row_ids(Arc::clone(entry), catalog.current_map().owning_segments().len());
        names.prepare(TARGET.0, TARGET.1, Arc::new(target));
        names
    }

    pub(super) async fn bind_merged(
        &self,
        merge: &Merge,
        entry: Arc<TableEntry>,
        names: StatementNames,
        merging: Merging,
    ) -> SqlResult<BoundChange> {
        let def = Arc::clone(&entry.def);
        let catalog = Arc::clone(names.state());
        let source = self.source(merge, &names).await?;
        let clauses = clauses(&def, merge, &source)?;
        let mut query = self.query_for(merge, &def, &source, &clauses)?;
        let target = merge.alias.is_none().then_some((&*def, TARGET));
        name_relations(&mut query, &self.search_schema(), target)?;
        sql::check_query(&query)?;
        let bound = self.bind_named(names, query, "").await?;
        let bound = told(bound, &def, &clauses, source.columns.len())?;
        let (bound, returning) = match &merge.returning {
            None => (without_source(bound, &def)?, None),
            Some(items) => {
                let kept = LEAD.len() + 1 + def.columns.len();
                let of_source = |(i, (table, name)): (usize, &(Option<TableReference>, String))| Visible {
                    table: table.clone(),
                    name: name.clone(),
                    position: kept + i,
                };
                let shown = source.columns.iter().enumerate().filter(|_| merging.shows_source);
                let mut visible: Vec<Visible> = shown.map(of_source).collect();
                visible.extend(visible_row(&def, merge.alias.as_deref(), LEAD.len() + 1));
                let (bound, names) = with_returning(bound, kept, &visible, items)?;
                (bound, Some(names))
            }
        };
        let inserts = clauses.iter().any(|clause| matches!(clause.action, Action::Insert(_)));
        let assigned: BTreeSet<usize> = clauses.iter().flat_map(Clause::assigned).collect();
        let repeats =
            |key: &KeyDef| if merging.repeats.contains(&key.name) { OnDuplicate::Repeat } else { OnDuplicate::Fail };
        let keys = unique_keys(&def, |column| inserts || assigned.contains(column), repeats);
        let mut table = self.checked(&catalog, &def, keys).await?;
        table.returning = returning.as_ref().map_or(0, Vec::len);
        let target = WriteTarget::Modify { table, kind: ModifyKind::Merge, once: Some(merging.once) };
        Ok(BoundChange { def, bound, target, tag: merging.tag, returning })
    }

    /// What stands after USING, and its columns.
    async fn source(&self, merge: &Merge, names: &StatementNames) -> SqlResult<Source> {
        let mut probe = ast::select_from(TARGET.0, TARGET.1, "target")?;
        if let Some(select) = ast::select_of(&mut probe) {
            select.projection = vec![syntax::SelectItem::Wildcard(Default::default())];
            select.from = vec![merge.source.clone()];
        }
        ast::put_with(&mut probe, merge.with.as_ref());
        let bound = self.bind_named(names.clone(), probe, "").await?;
        let columns = bound.plan.schema().iter().map(|(table, field)| (table.cloned(), field.name().clone()));
        let columns = columns.filter(|(_, name)| name != ScanSpec::SEGMENT_ID).collect();
        let marks = merge.clauses.iter().any(|clause| clause.when == MergeWhen::NotMatchedBySource);
        let tables = if marks { ast::with_present(&merge.source, PRESENT)? } else { merge.source.clone() };
        let alias = ast::exposed(&merge.source.relation);
        Ok(Source { tables, columns, alias, marks })
    }

    /// `SELECT file, row, segment, action, old row, values of each clause, source FROM source JOIN target ON …`.
    fn query_for(
        &self,
        merge: &Merge,
        def: &TableDef,
        source: &Source,
        clauses: &[Clause],
    ) -> SqlResult<syntax::Statement> {
        let alias = merge.alias.as_deref().unwrap_or(&def.name);
        let target = |name: &str| match &merge.alias {
            Some(alias) => ast::compound(&[alias, name]),
            // Beside a table of its name in another schema.
            None => ast::compound(&[&def.schema, &def.name, name]),
        };
        let mut items: Vec<syntax::Expr> = LEAD.iter().map(|name| target(name)).collect();
        if def.distribution == Distribution::Replicated {
            // Every copy is changed where it is, and a copy's segment is nothing that may decide what becomes of it.
            items[2] = sql::parse_expression("CAST(0 AS int)")?;
        }
        let is_there = |expr: syntax::Expr, there: bool| match there {
            true => syntax::Expr::IsNotNull(Box::new(expr)),
            false => syntax::Expr::IsNull(Box::new(expr)),
        };
        let old = target(LEAD[1]);
        let conditions: Vec<syntax::Expr> = clauses
            .iter()
            .map(|clause| {
                let mut condition = is_there(old.clone(), clause.when != MergeWhen::NotMatched);
                if source.marks && clause.when != MergeWhen::NotMatched {
                    let present = is_there(ast::compound(&[PRESENT]), clause.when == MergeWhen::Matched);
                    condition = and(condition, present);
                }
                match &clause.condition {
                    Some(written) => and(condition, syntax::Expr::Nested(Box::new(written.clone()))),
                    None => condition,
                }
            })
            .collect();
        // The action's number, by the first clause that fits.
        let number = |number: usize| sql::parse_expression(&number.to_string());
        let numbers = (0..clauses.len()).map(number).collect::<SqlResult<Vec<_>>>()?;
        items.push(case(conditions.iter().cloned().zip(numbers)));
        items.extend(def.columns.iter().map(|column| target(&column.name)));
        for (k, clause) in clauses.iter().enumerate() {
            for (_, value) in clause.action.values() {
                let Some(expr) = value else { continue };
                items.push(if cannot_fail(expr) {
                    expr.clone()
                } else {
                    // Only of rows that come to this clause.
                    let earlier = conditions[..k].iter().map(|condition| (condition.clone(), ast::null()));
                    case(earlier.chain([(conditions[k].clone(), expr.clone())]))
                });
            }
        }
        for (table, name) in &source.columns {
            let parts = table.iter().flat_map(|table| [table.schema(), Some(table.table())]).flatten();
            items.push(ast::compound(&parts.chain([name.as_str()]).collect::<Vec<_>>()));
        }
        let mut query = ast::select_from(TARGET.0, TARGET.1, alias)?;
        if let Some(select) = ast::select_of(&mut query) {
            let named = |(i, expr): (usize, syntax::Expr)| {
                let alias = Ident::with_quote('"', format!("column {i}"));
                syntax::SelectItem::ExprWithAlias { expr, alias }
            };
            select.projection = items.into_iter().enumerate().map(named).collect();
            let table = std::mem::take(&mut select.from).remove(0).relation;
            let has = |when: MergeWhen| clauses.iter().any(|clause| clause.when == when);
            let on = syntax::JoinConstraint::On(merge.on.clone());
            let join_operator = match (has(MergeWhen::NotMatched), has(MergeWhen::NotMatchedBySource)) {
                (true, true) => syntax::JoinOperator::FullOuter(on),
                (true, false) => syntax::JoinOperator::Left(on),
                (false, true) => syntax::JoinOperator::Right(on),
                (false, false) => syntax::JoinOperator::Inner(on),
            };
            let mut from = source.tables.clone();
            from.joins.push(syntax::Join { relation: table, global: false, join_operator });
            select.from = vec![from];
        }
        ast::put_with(&mut query, merge.with.as_ref());
        Ok(query)
    }
}

/// What stands after USING.
struct Source {
    /// With [`PRESENT`] if `marks`.
    tables: syntax::TableWithJoins,
    columns: Vec<(Option<TableReference>, String)>,
    /// What its columns are qualified with.
    alias: Option<String>,
    marks: bool,
}

/// A clause of the statement, its names looked up.
struct Clause {
    when: MergeWhen,
    condition: Option<syntax::Expr>,
    action: Action,
}

enum Action {
    Nothing,
    Delete,
    /// Values by position; None is DEFAULT.
    Update(Vec<(usize, Option<syntax::Expr>)>),
    Insert(Vec<(usize, Option<syntax::Expr>)>),
}

impl Action {
    fn values(&self) -> &[(usize, Option<syntax::Expr>)] {
        match self {
            Action::Nothing | Action::Delete => &[],
            Action::Update(values) | Action::Insert(values) => values,
        }
    }

    fn change(&self) -> Option<RowChange> {
        match self {
            Action::Nothing => None,
            Action::Delete => Some(RowChange::Delete),
            Action::Update(_) => Some(RowChange::Replace),
            Action::Insert(_) => Some(RowChange::Insert),
        }
    }
}

impl Clause {
    fn assigned(&self) -> Vec<usize> {
        match &self.action {
            Action::Update(values) => values.iter().map(|(position, _)| *position).collect(),
            _ => vec![],
        }
    }
}

/// Looks up the columns that the clauses name.
fn clauses(def: &TableDef, merge: &Merge, source: &Source) -> SqlResult<Vec<Clause>> {
    let alias = merge.alias.as_deref().unwrap_or(&def.name);
    let clause = |clause: &MergeClause| {
        let scope = Scope { when: clause.when, def, alias, source };
        let condition = clause.condition.as_ref().map(|condition| scope.resolved(condition)).transpose()?;
        let value = |position: usize, value: &InsertValue| match value {
            InsertValue::Default => Ok((position, None)),
            InsertValue::Expr(expr) => {
                let column = &def.columns[position];
                let typed = ast::takes_type(expr, column);
                let expr = scope.resolved(expr)?;
                Ok((position, Some(if typed { ast::Cast::to(&column.sql_type)?.of(expr) } else { expr })))
            }
        };
        let action = match &clause.action {
            MergeAction::Nothing => Action::Nothing,
            MergeAction::Delete => Action::Delete,
            MergeAction::Update(assignments) => {
                let positions = assigned_positions(def, assignments)?.into_iter();
                let values = positions.zip(assignments).map(|(position, (_, given))| value(position, given));
                Action::Update(values.collect::<SqlResult<Vec<_>>>()?)
            }
            MergeAction::Insert { values: None, .. } => Action::Insert(vec![]),
            MergeAction::Insert { columns, overriding, values: Some(values) } => {
                let positions = resolve_columns(def, columns)?;
                if values.len() > positions.len() {
                    let message = "INSERT has more expressions than target columns";
                    return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
                }
                if values.len() < positions.len() && !columns.is_empty() {
                    let message = "INSERT has more target columns than expressions";
                    return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
                }
                let value = |(position, given): (usize, &InsertValue)| match given {
                    InsertValue::Expr(_) if !takes_given(&def.columns[position], *overriding)? => Ok((position, None)),
                    given => value(position, given),
                };
                let values = positions.into_iter().zip(values).map(value);
                Action::Insert(values.collect::<SqlResult<Vec<_>>>()?)
            }
        };
        Ok(Clause { when: clause.when, condition, action })
    };
    merge.clauses.iter().map(clause).collect()
}

/// The rows of a merge's query as their writers take them: file, row, segment, change, new row; then the source's columns.
fn told(bound: Bound, def: &TableDef, clauses: &[Clause], source: usize) -> SqlResult<Bound> {
    let columns = bound.plan.schema().columns();
    let column = |position: usize| Expr::Column(columns[position].clone());
    let action = column(LEAD.len());
    let is_volatile = |plan: &LogicalPlan| plan.expressions().get(LEAD.len()).is_some_and(Expr::is_volatile);
    if is_volatile(&bound.plan) {
        let message = "a WHEN condition of MERGE cannot call a function whose result can change";
        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
    }
    let old = |position: usize| column(LEAD.len() + 1 + position);
    // Values of the clauses follow the old row, in their order.
    let mut next = LEAD.len() + 1 + def.columns.len();
    let mut values: Vec<HashMap<usize, Expr>> = vec![];
    for clause in clauses {
        let mut of_clause = HashMap::new();
        for (position, value) in clause.action.values() {
            let definition = &def.columns[*position];
            let assigned = match value {
                None => default_value(&bound.state, definition)?,
                Some(expr) => {
                    let given = column(next);
                    next += 1;
                    let from = given.get_type(bound.plan.schema()).map_err(of_datafusion)?;
                    check_assignable(&from, definition, ast::is_literal(expr))?;
                    assign_value(given, definition)
                }
            };
            of_clause.insert(*position, assigned);
        }
        if matches!(clause.action, Action::Insert(_)) {
            for (position, definition) in def.columns.iter().enumerate() {
                if let Entry::Vacant(value) = of_clause.entry(position) {
                    value.insert(default_value(&bound.state, definition)?);
                }
            }
        }
        values.push(of_clause);
    }
    let acting: Vec<(usize, RowChange)> =
        clauses.iter().enumerate().filter_map(|(k, clause)| Some((k, clause.action.change()?))).collect();
    let number = |k: usize| lit(k as i64);
    let by_action = |of: &dyn Fn(usize) -> Expr| -> SqlResult<Expr> {
        let Some(((last, _), before)) = acting.split_last() else { return Ok(lit(ScalarValue::Null)) };
        let Some(((first, _), rest)) = before.split_first() else { return Ok(of(*last)) };
        let mut builder = when(action.clone().eq(number(*first)), of(*first));
        for (k, _) in rest {
            builder = builder.when(action.clone().eq(number(*k)), of(*k));
        }
        builder.otherwise(of(*last)).map_err(of_datafusion)
    };
    let change = |k: usize| lit(clauses[k].action.change().unwrap_or(RowChange::Delete) as u8);
    let mut projected: Vec<Expr> = LEAD.iter().enumerate().map(|(i, name)| column(i).alias(*name)).collect();
    projected.push(cast(by_action(&change)?, datafusion::arrow::datatypes::DataType::UInt8).alias("change"));
    for (position, definition) in def.columns.iter().enumerate() {
        let value = |k: usize| values[k].get(&position).cloned().unwrap_or_else(|| old(position));
        let value = cast(by_action(&value)?, definition.data_type.clone());
        projected.push(value.alias(format!("new {position}")));
    }
    let first = columns.len() - source;
    projected.extend((0..source).map(|i| column(first + i).alias(format!("source {i}"))));
    let acts = action.clone().in_list(acting.iter().map(|(k, _)| number(*k)).collect(), false);
    let filter = if acting.is_empty() { lit(false) } else { acts };
    let plan = LogicalPlanBuilder::from(bound.plan.clone()).filter(filter).and_then(|plan| plan.project(projected));
    let plan = plan.and_then(LogicalPlanBuilder::build).map_err(of_datafusion)?;
    Ok(Bound { plan, ..bound })
}

/// The plan without what only RETURNING needs.
fn without_source(bound: Bound, def: &TableDef) -> SqlResult<Bound> {
    let columns = bound.plan.schema().columns().into_iter().take(LEAD.len() + 1 + def.columns.len());
    let plan = LogicalPlanBuilder::from(bound.plan.clone()).project(columns.map(Expr::Column).collect::<Vec<_>>());
    let plan = plan.and_then(LogicalPlanBuilder::build).map_err(of_datafusion)?;
    Ok(Bound { plan, ..bound })
}

/// What the names of a clause's expressions mean.
struct Scope<'a> {
    when: MergeWhen,
    def: &'a TableDef,
    alias: &'a str,
    source: &'a Source,
}

impl Scope<'_> {
    /// The expression, where a column that both sides have is of the one that the clause sees.
    fn resolved(&self, expr: &syntax::Expr) -> SqlResult<syntax::Expr> {
        let mut expr = expr.clone();
        match walk_mut(&mut expr, &mut Resolving { scope: self, depth: 0 }) {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(expr),
        }
    }
}

struct Resolving<'a> {
    scope: &'a Scope<'a>,
    /// Subqueries around: they have names of their own.
    depth: usize,
}

impl VisitorMut for Resolving<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<SqlError> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut syntax::Expr) -> ControlFlow<SqlError> {
        let Scope { when, def, alias, source } = self.scope;
        match expr {
            syntax::Expr::Identifier(ident) if self.depth == 0 => {
                let name = sql::fold(ident);
                let in_target = def.columns.iter().any(|column| column.name == name);
                let mut in_source = source.columns.iter().filter(|(_, column)| *column == name);
                match (when, in_source.next()) {
                    (MergeWhen::NotMatched, Some((Some(table), _))) if in_target => {
                        *expr = ast::compound(&[table.table(), &name]);
                    }
                    (MergeWhen::NotMatched, None) if in_target => {
                        return ControlFlow::Break(not_visible(&name, alias));
                    }
                    (MergeWhen::NotMatchedBySource, Some(_)) if in_target => *expr = ast::compound(&[alias, &name]),
                    _ => {}
                }
            }
            syntax::Expr::CompoundIdentifier(parts) if parts.len() >= 2 => {
                let table = sql::fold(&parts[parts.len() - 2]);
                let is_source = source.alias.as_deref() == Some(table.as_str());
                let hidden = match when {
                    MergeWhen::Matched => false,
                    MergeWhen::NotMatched => table == *alias && !is_source && self.depth == 0,
                    MergeWhen::NotMatchedBySource => is_source && table != *alias && self.depth == 0,
                };
                if hidden {
                    return ControlFlow::Break(not_visible(&table, &table));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn not_visible(name: &str, table: &str) -> SqlError {
    let message = match name == table {
        true => format!("invalid reference to FROM-clause entry for table \"{table}\""),
        false => format!("column \"{name}\" does not exist"),
    };
    let state = if name == table { SqlState::UNDEFINED_TABLE } else { SqlState::UNDEFINED_COLUMN };
    SqlError::new(state, message).with_detail(format!(
        "There is an entry for table \"{table}\", but it cannot be referenced from this part of the query."
    ))
}

/// All that the user has written as an expression, but for RETURNING.
fn expressions(merge: &Merge) -> impl Iterator<Item = &syntax::Expr> {
    let of_clauses = merge.clauses.iter().flat_map(|clause| clause.condition.iter().chain(values_of(clause)));
    [&merge.on].into_iter().chain(of_clauses)
}

fn values_of(clause: &MergeClause) -> Vec<&syntax::Expr> {
    let values: Vec<&InsertValue> = match &clause.action {
        MergeAction::Update(assignments) => assignments.iter().map(|(_, value)| value).collect(),
        MergeAction::Insert { values: Some(values), .. } => values.iter().collect(),
        _ => vec![],
    };
    values.into_iter().filter_map(InsertValue::expr).collect()
}

/// Whether an expression gives a value of every row.
fn cannot_fail(expr: &syntax::Expr) -> bool {
    matches!(expr, syntax::Expr::Identifier(_) | syntax::Expr::CompoundIdentifier(_)) || ast::is_literal(expr)
}

fn and(left: syntax::Expr, right: syntax::Expr) -> syntax::Expr {
    syntax::Expr::BinaryOp { left: Box::new(left), op: syntax::BinaryOperator::And, right: Box::new(right) }
}

/// `CASE WHEN … THEN … END`.
fn case(branches: impl Iterator<Item = (syntax::Expr, syntax::Expr)>) -> syntax::Expr {
    let conditions = branches.map(|(condition, result)| syntax::CaseWhen { condition, result }).collect();
    syntax::Expr::Case {
        case_token: syntax::helpers::attached_token::AttachedToken::empty(),
        end_token: syntax::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions,
        else_result: None,
    }
}
