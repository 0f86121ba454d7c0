//! INSERT.

use super::bind::Bound;
use super::change::BoundChange;
use super::constraints::unique_keys;
use super::copy::external_as_table;
use super::identity::takes_given;
use super::on_conflict::arbiter;
use super::returning::{visible_row, with_returning};
use super::{Outcome, Session, ast};
use crate::catalog::{CatalogState, TableEntry};
use crate::ddl::{find_table, find_writable, resolve_columns};
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion};
use crate::planner::WriteTarget;
use crate::sql::{self, ConflictAction, Insert, InsertSource, InsertValue, Name, OnConflict, Overriding, RelationName};
use crate::transaction::Transaction;
use damson_cluster::{ColumnDef, KeyDef, OnDuplicate, TableDef};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast, lit};
use datafusion::scalar::ScalarValue;
use futures::FutureExt;
use sqlparser::ast as syntax;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Session {
    pub(super) async fn insert(
        self: &Arc<Self>,
        insert: &Insert,
        parameters: Vec<ScalarValue>,
        transaction: &mut Transaction,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        if let Some(external) = find_writable(&transaction.state(), &insert.table, &self.search_schema())? {
            let catalog = transaction.state();
            return self.insert_external(insert, &external, parameters, catalog, cancel).boxed().await;
        }
        self.lock_to_add(transaction, &insert.table, &cancel).await?;
        let change = self.bind_insert(insert, transaction.state()).await?;
        let admitted = self.admit(&transaction.state(), &cancel).await?;
        if let InsertSource::Sent(rows) = &insert.source {
            rows.tell_waiting(admitted.place_use());
        }
        self.run_change(change, parameters, transaction, cancel).await
    }

    /// The rows to insert, with the table's columns and types in its order, and RETURNING's after them.
    pub(super) async fn bind_insert(&self, insert: &Insert, catalog: Arc<CatalogState>) -> SqlResult<BoundChange> {
        if let Some(external) = find_writable(&catalog, &insert.table, &self.search_schema())? {
            return self.bind_external_insert(insert, &external, catalog).boxed().await;
        }
        let entry = self.table(&catalog, &insert.table)?;
        let def = Arc::clone(&entry.def);
        let bound = self.bind_rows(insert, &def, Arc::clone(&catalog)).await?;
        let arbiter = arbiter(&def, insert)?;
        if let Some(OnConflict { action: ConflictAction::Update { assignments, selection }, .. }) = &insert.on_conflict
        {
            return self.bind_upsert(insert, &entry, bound, (assignments, selection.as_ref()), &arbiter).await;
        }
        let skips = |key: &KeyDef| if arbiter.contains(&key.name) { OnDuplicate::Skip } else { OnDuplicate::Fail };
        let mut table = self.checked(&catalog, &def, unique_keys(&def, |_| true, skips)).await?;
        let (bound, returning) = match &insert.returning {
            None => (bound, None),
            Some(items) => {
                let visible = visible_row(&def, insert.alias.as_deref(), 0);
                let (bound, names) = with_returning(bound, def.columns.len(), &visible, items)?;
                (bound, Some(names))
            }
        };
        table.returning = returning.as_ref().map_or(0, Vec::len);
        Ok(BoundChange { def, bound, target: WriteTarget::Table(table), tag: "INSERT 0", returning })
    }

    /// The rows that the statement gives, as the table's.
    pub(super) async fn bind_rows(
        &self,
        insert: &Insert,
        def: &Arc<TableDef>,
        catalog: Arc<CatalogState>,
    ) -> SqlResult<Bound> {
        let targets = resolve_columns(def, &insert.columns)?;
        let from_values = matches!(&insert.source, InsertSource::Values(_) | InsertSource::DefaultValues);
        let bound = match &insert.source {
            InsertSource::Query(query) => self.bind(catalog, query, "").await?,
            InsertSource::Values(rows) => {
                let query = values_query(def, &targets, rows, insert.overriding)?;
                self.bind(catalog, &query, "").await?
            }
            InsertSource::DefaultValues => {
                let plan = LogicalPlanBuilder::empty(true).build().map_err(of_datafusion)?;
                Bound { plan, ..self.bind_nothing(catalog)? }
            }
            InsertSource::Sent(rows) => Bound { plan: rows.plan()?, ..self.bind_nothing(catalog)? },
        };
        let width = bound.plan.schema().fields().len();
        // Of VALUES, what identity columns do not take was replaced above, value by value.
        let takes = |&target: &usize| match from_values {
            true => Ok(Some(target)),
            false => Ok(takes_given(&def.columns[target], insert.overriding)?.then_some(target)),
        };
        let given: Vec<Option<usize>> = match &insert.source {
            InsertSource::DefaultValues => vec![],
            _ if width > targets.len() => return Err(too_many()),
            _ => {
                let taken = targets.iter().take(width).map(takes).collect::<SqlResult<Vec<_>>>()?;
                taken.into_iter().chain(targets.iter().skip(width).copied().map(Some)).collect()
            }
        };
        let plan = assign(&bound.state, bound.plan, def, &given, from_values, !insert.columns.is_empty())?;
        Ok(Bound { plan, ..bound })
    }

    /// The columns that rows are inserted into: those with these names, or all; and whether they are an external table's. Reads nothing: who
    /// may insert may know them.
    ///
    /// # Errors
    /// 42P01; 42703, 42701; 42809 for what nothing is inserted into; 42501.
    pub(crate) async fn insert_columns(
        &self,
        table: &RelationName,
        names: &[Name],
    ) -> SqlResult<(Vec<ColumnDef>, bool)> {
        let state = self.snapshot().await?;
        self.authorize_insert(table, &state)?;
        let external = find_writable(&state, table, &self.search_schema())?;
        let def = match &external {
            Some(view) => Arc::new(external_as_table(view, &state)?),
            None => Arc::clone(&self.table(&state, table)?.def),
        };
        let columns = resolve_columns(&def, names)?.into_iter().map(|column| def.columns[column].clone());
        Ok((columns.collect(), external.is_some()))
    }

    pub(super) fn table(&self, catalog: &CatalogState, name: &RelationName) -> SqlResult<Arc<TableEntry>> {
        find_table(catalog, name, &self.search_schema())
    }
}

/// `VALUES …` as a query, DEFAULT written out, parameters and literals typed by their columns.
fn values_query(
    def: &TableDef,
    targets: &[usize],
    rows: &[Vec<InsertValue>],
    overriding: Option<Overriding>,
) -> SqlResult<syntax::Statement> {
    let default = |column: &ColumnDef| match &column.default {
        Some(text) => sql::parse_expression(text),
        None => Ok(ast::null()),
    };
    let cast = |&column: &usize| ast::Cast::to(&def.columns[column].sql_type);
    let casts = targets.iter().map(cast).collect::<SqlResult<Vec<_>>>()?;
    let written = |row: &Vec<InsertValue>| -> SqlResult<Vec<syntax::Expr>> {
        let value = |(i, value): (usize, &InsertValue)| match (value, targets.get(i).map(|&t| &def.columns[t])) {
            (InsertValue::Default, Some(column)) => default(column),
            (InsertValue::Expr(_), Some(column)) if !takes_given(column, overriding)? => default(column),
            (InsertValue::Expr(expr), Some(column)) => {
                Ok(if ast::takes_type(expr, column) { casts[i].of(expr.clone()) } else { expr.clone() })
            }
            (InsertValue::Expr(expr), None) => Ok(expr.clone()),
            (InsertValue::Default, None) => Err(too_many()),
        };
        row.iter().enumerate().map(value).collect()
    };
    let rows = rows.iter().map(written).collect::<SqlResult<Vec<_>>>()?;
    Ok(*sql::values_query(rows))
}

/// Projects the source onto the table: each column its value, its default, or NULL, with the column's type. `given`: the columns that
/// the source's are for; None for one that is not taken.
pub(super) fn assign(
    state: &SessionState,
    source: LogicalPlan,
    def: &TableDef,
    given: &[Option<usize>],
    from_values: bool,
    named: bool,
) -> SqlResult<LogicalPlan> {
    let columns = source.schema().columns();
    if columns.len() > given.len() && !(given.is_empty() && from_values) {
        return Err(too_many());
    }
    if columns.len() < given.len() && named {
        let message = "INSERT has more target columns than expressions";
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
    }
    let schema = Arc::clone(source.schema());
    let projected = def.columns.iter().enumerate().map(|(position, column)| {
        let value = match given.iter().take(columns.len()).position(|&g| g == Some(position)) {
            Some(i) => {
                let value = Expr::Column(columns[i].clone());
                let from = value.get_type(&schema).map_err(of_datafusion)?;
                check_assignable(&from, column, from_values)?;
                assign_value(value, column)
            }
            None => default_value(state, column)?,
        };
        Ok(value.alias(&column.name))
    });
    let projected = projected.collect::<SqlResult<Vec<_>>>()?;
    LogicalPlanBuilder::from(source).project(projected).and_then(LogicalPlanBuilder::build).map_err(of_datafusion)
}

/// The value as the column has it. Cast even where it seems to have the type: the analyzer, which comes later, can give it another
/// one (`int4 % 1000`, `real / int4`). Casts to the type that a value has are dropped by the planner.
pub(super) fn assign_value(value: Expr, column: &ColumnDef) -> Expr {
    damson_functions::assign_text(cast(value, column.data_type.clone()), &column.sql_type)
}

/// The column's default with its type.
pub(super) fn default_value(state: &SessionState, column: &ColumnDef) -> SqlResult<Expr> {
    let value = match &column.default {
        Some(text) => state.create_logical_expr(text, &DFSchema::empty()).map_err(of_datafusion)?,
        None => lit(ScalarValue::Null),
    };
    Ok(assign_value(value, column))
}

fn too_many() -> SqlError {
    SqlError::new(SqlState::SYNTAX_ERROR, "INSERT has more expressions than target columns")
}

/// PostgreSQL's assignment casts, by kind of type. Values written as text take any type.
pub(super) fn check_assignable(from: &DataType, column: &ColumnDef, from_values: bool) -> SqlResult<()> {
    let to = &column.data_type;
    let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let temporal = |t: &DataType| matches!(t, DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _));
    let fits = from == to
        || *from == DataType::Null
        || text(to)
        || (text(from) && from_values)
        || (from.is_numeric() && to.is_numeric())
        || (temporal(from) && temporal(to))
        || matches!(
            (from, to),
            (DataType::Time64(_) | DataType::Time32(_), DataType::Time64(_))
                | (DataType::Interval(_), DataType::Interval(_))
                | (DataType::Binary | DataType::BinaryView | DataType::LargeBinary, DataType::BinaryView)
        );
    if fits {
        return Ok(());
    }
    let message = format!(
        "column \"{}\" is of type {} but expression is of type {}",
        column.name,
        column.sql_type,
        sql::sql_type_name(from)
    );
    Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message)
        .with_hint("You will need to rewrite or cast the expression."))
}
