//! Constraints of the rows that a statement writes, and of those that are there when one is added.

use super::bind::Bound;
use super::insert::default_value;
use super::write::unchecked;
use super::{Session, ast};
use crate::catalog::CatalogState;
use crate::ddl::find_table;
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion};
use crate::planner::{Output, TableTarget};
use crate::sql::{self, RelationName, Statement};
use damson_cluster::{CheckDef, KeyDef, OnDuplicate, TableDef, UniqueKey};
use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{ExprSchemable, LogicalPlan, cast};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use futures::StreamExt;
use sqlparser::ast as syntax;
use std::collections::HashMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What the query for a check's expression calls the table.
const ROW: (&str, &str) = ("pg_damson", "row");

/// The keys that a statement could repeat: all of them, or those with an assigned column.
pub(super) fn unique_keys(
    def: &TableDef,
    is_assigned: impl Fn(&usize) -> bool,
    on_duplicate: impl Fn(&KeyDef) -> OnDuplicate,
) -> Vec<UniqueKey> {
    let written = def.keys.iter().filter(|key| key.columns.iter().any(&is_assigned));
    let unique = |key: &KeyDef| {
        let (constraint, columns) = (key.name.clone(), key.columns.clone());
        UniqueKey { constraint, columns, on_duplicate: on_duplicate(key) }
    };
    written.map(unique).collect()
}

impl Session {
    /// A table with its checks, and with `keys` of its keys.
    pub(super) async fn checked(
        &self,
        catalog: &Arc<CatalogState>,
        def: &TableDef,
        keys: Vec<UniqueKey>,
    ) -> SqlResult<TableTarget> {
        let mut target = unchecked(def);
        target.spec.keys = keys;
        if !def.checks.is_empty() {
            target.checks = self.checks(catalog, def).await?;
            target.spec.checks = def.checks.iter().map(|check| check.name.clone()).collect();
        }
        Ok(target)
    }

    /// The table's checks over a row of it.
    ///
    /// # Errors
    /// 42804 for one that is not boolean, 42803 for an aggregate, 42P17 for what differs from one time to another; the binder's.
    pub(super) async fn checks(
        &self,
        catalog: &Arc<CatalogState>,
        def: &TableDef,
    ) -> SqlResult<Vec<Arc<dyn PhysicalExpr>>> {
        let mut query = ast::select_from(ROW.0, ROW.1, &def.name)?;
        if let syntax::Statement::Query(query) = &mut query
            && let syntax::SetExpr::Select(select) = query.body.as_mut()
        {
            let item = |(i, check): (usize, &CheckDef)| {
                let expr = sql::parse_expression(&check.expression)?;
                Ok(syntax::SelectItem::ExprWithAlias {
                    expr,
                    alias: syntax::Ident::with_quote('"', format!("check {i}")),
                })
            };
            select.projection = def.checks.iter().enumerate().map(item).collect::<SqlResult<Vec<_>>>()?;
        }
        let names = self.names(Arc::clone(catalog), false);
        names.prepare(ROW.0, ROW.1, Arc::new(EmptyTable::new(def.arrow_schema())));
        let bound = self.bind_named(names, query, "").await?;
        physical_checks(&bound, def)
    }

    /// Whether the defaults and checks of a table that the statement has defined can be evaluated.
    ///
    /// # Errors
    /// As [`Session::checks`]; what a constant default raises.
    pub(super) async fn try_checks(&self, statement: &Statement, catalog: &Arc<CatalogState>) -> SqlResult<()> {
        let name = match statement {
            Statement::CreateTable(create) => &create.table,
            Statement::AlterTable(alter) => &alter.table,
            _ => return Ok(()),
        };
        // Renamed, or not there and skipped.
        let Ok(entry) = find_table(catalog, name, &self.search_schema()) else { return Ok(()) };
        let bound = self.bind_nothing(Arc::clone(catalog))?;
        let none = Arc::new(DFSchema::empty());
        for column in entry.def.columns.iter().filter(|column| column.default.is_some()) {
            let value = default_value(&bound.state, column)?;
            simplifier(&bound.state, &none).simplify(value).map_err(of_datafusion)?;
        }
        match entry.def.checks.is_empty() {
            true => Ok(()),
            false => self.checks(catalog, &entry.def).await.map(|_| ()),
        }
    }

    /// Whether the rows of a table, of which one more constraint is to be kept, keep it.
    ///
    /// # Errors
    /// 23502, 23505, 23514.
    pub(super) async fn validate(
        self: &Arc<Self>,
        catalog: &Arc<CatalogState>,
        table: &RelationName,
        constraint: &Constraint<'_>,
        cancel: &CancellationToken,
    ) -> SqlResult<()> {
        let def = Arc::clone(&find_table(catalog, table, &self.search_schema())?.def);
        let quoted = |name: &str| syntax::Ident::with_quote('"', name).to_string();
        let from = format!("{}.{}", quoted(&def.schema), quoted(&def.name));
        let column = |position: &usize| quoted(&def.columns[*position].name);
        let text = match constraint {
            Constraint::NotNull(name) => format!("SELECT 1 FROM {from} WHERE {} IS NULL LIMIT 1", quoted(name)),
            Constraint::Check(check) => format!("SELECT 1 FROM {from} WHERE NOT ({}) LIMIT 1", check.expression),
            Constraint::Key(key) => {
                let columns: Vec<String> = key.columns.iter().map(column).collect();
                let whole: Vec<String> = columns.iter().map(|column| format!("{column} IS NOT NULL")).collect();
                let (columns, whole) = (columns.join(", "), whole.join(" AND "));
                format!("SELECT {columns} FROM {from} WHERE {whole} GROUP BY {columns} HAVING count(*) > 1 LIMIT 1")
            }
        };
        let Some(found) = self.first_row(Arc::clone(catalog), &text, cancel).await? else { return Ok(()) };
        Err(match constraint {
            Constraint::NotNull(name) => {
                let message = format!("column \"{name}\" of relation \"{}\" contains null values", def.name);
                SqlError::new(SqlState::NOT_NULL_VIOLATION, message)
            }
            Constraint::Check(check) => {
                let message =
                    format!("check constraint \"{}\" of relation \"{}\" is violated by some row", check.name, def.name);
                SqlError::new(SqlState::CHECK_VIOLATION, message)
            }
            Constraint::Key(key) => {
                let names: Vec<&str> = key.columns.iter().map(|&c| def.columns[c].name.as_str()).collect();
                let value = |column: &Arc<dyn Array>| array_value_to_string(column, 0).unwrap_or_default();
                let values: Vec<String> = found.columns().iter().map(value).collect();
                let message = format!("could not create unique index \"{}\"", key.name);
                let detail = format!("Key ({})=({}) is duplicated.", names.join(", "), values.join(", "));
                SqlError::new(SqlState::UNIQUE_VIOLATION, message).with_detail(detail)
            }
        })
    }

    /// The first row of a query of the server's own.
    async fn first_row(
        self: &Arc<Self>,
        catalog: Arc<CatalogState>,
        text: &str,
        cancel: &CancellationToken,
    ) -> SqlResult<Option<RecordBatch>> {
        let sql::Statement::Query(query) = sql::parse(text)? else {
            return Err(crate::error::internal(format!("{text} is not a query")));
        };
        let bound = self.bind(catalog, &query, "").await?;
        let _admitted = self.admit_query(&bound, cancel).await?;
        let bound = self.run_init_plans(bound, cancel).await?;
        let table = self.plan(&bound, Output::Rows).await?;
        let mut running = self.dispatch(&bound, &table, HashMap::new(), false, cancel.clone()).await?;
        while let Some(batch) = running.stream.next().await {
            let batch = batch.map_err(of_datafusion)?;
            if batch.num_rows() > 0 {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}

/// A constraint to be added.
pub(super) enum Constraint<'a> {
    /// Of the column of this name.
    NotNull(&'a str),
    Check(&'a CheckDef),
    Key(&'a KeyDef),
}

fn physical_checks(bound: &Bound, def: &TableDef) -> SqlResult<Vec<Arc<dyn PhysicalExpr>>> {
    let state: &SessionState = &bound.state;
    let analyzed = state.analyzer().execute_and_check(bound.plan.clone(), state.config_options(), |_, _| {});
    let analyzed = damson_functions::guard_plan(analyzed.map_err(of_datafusion)?).map_err(of_datafusion)?;
    let LogicalPlan::Projection(projection) = analyzed else {
        let message = "aggregate and window functions are not allowed in check constraints";
        return Err(SqlError::new(SqlState::GROUPING_ERROR, message));
    };
    if !matches!(projection.input.as_ref(), LogicalPlan::TableScan(_) | LogicalPlan::SubqueryAlias(_)) {
        let message = "aggregate and window functions are not allowed in check constraints";
        return Err(SqlError::new(SqlState::GROUPING_ERROR, message));
    }
    let schema = projection.input.schema();
    let simplifier = simplifier(state, schema);
    let check = |(expr, check): (datafusion::logical_expr::Expr, &CheckDef)| {
        let expr = expr.unalias();
        let data_type = expr.get_type(schema).map_err(of_datafusion)?;
        if !matches!(data_type, DataType::Boolean | DataType::Null) {
            let message =
                format!("argument of CHECK must be type boolean, not type {}", sql::sql_type_name(&data_type));
            return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message));
        }
        if expr.is_volatile() {
            let message = format!("check constraint \"{}\" calls a function whose result can change", check.name);
            return Err(SqlError::new(SqlState::INVALID_OBJECT_DEFINITION, message));
        }
        // A NULL without a type is NULL of every row.
        let expr = if data_type == DataType::Null { cast(expr, DataType::Boolean) } else { expr };
        let expr = simplifier.simplify(expr).map_err(of_datafusion)?;
        state.create_physical_expr(expr, schema).map_err(of_datafusion)
    };
    projection.expr.iter().cloned().zip(&def.checks).map(check).collect()
}

/// What evaluates constants, `now()` among them.
fn simplifier(state: &SessionState, schema: &DFSchemaRef) -> ExprSimplifier {
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(schema))
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(state.execution_props().query_execution_start_time)
        .build();
    ExprSimplifier::new(context)
}
