//! SELECT.

use super::backup::until;
use super::bind::{Bound, external, located};
use super::column_names::plain;
use super::files::LeafUnits;
use super::setval::Setval;
use super::signal_backend::SignalBackend;
use super::sleep::Sleep;
use super::truncate_error_log::TruncateErrorLog;
use super::{Outcome, Session};
use crate::admission::Admitted;
use crate::catalog::{CatalogState, FileKey};
use crate::dispatch::{Dispatch, Running};
use crate::engine::{replace_scalar_subqueries, take_next_values};
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion};
use crate::planner::{self, Output, PlanContext, SliceTable, plain_text, plan};
use crate::sql::check_targets;
use damson_functions::datetime_text;
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ParamValues};
use datafusion::error::Result as PlanResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::expr::{Cast, Placeholder, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::scalar::ScalarValue;
use futures::{FutureExt, StreamExt};
use sqlparser::ast;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio_util::sync::CancellationToken;

const UNDEFINED_PARAMETER: SqlState = SqlState("42P02");
/// Parameters of a statement: the PostgreSQL protocol counts them in 16 bits.
const PARAMETERS_MAX: usize = 65_535;

impl Session {
    /// The one-line pipeline of a query: bind, place, init plans, plan, dispatch; a lookup's begins where others have been optimized.
    pub(super) async fn query(
        self: &Arc<Self>,
        query: &ast::Statement,
        text: &str,
        parameters: Vec<ScalarValue>,
        state: Arc<CatalogState>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        if let Some(bound) = until(&cancel, self.look_up(query, text, &parameters, &state).boxed()).await? {
            let admitted = self.admit(&state, &cancel).await?;
            let table = self.plan_optimized(&bound).boxed().await?;
            return self.rows(&bound, table, admitted, cancel).await;
        }
        // Looking at files that a query names can take long.
        let bound = until(&cancel, self.bind(state, query, text)).await?;
        check_targets(bound.plan.schema().fields().len())?;
        let bound = with_parameters(bound, parameters)?;
        let admitted = self.admit_query(&bound, &cancel).await?;
        let bound = self.run_init_plans(bound, &cancel).await?;
        let table = self.plan(&bound, Output::Rows).await?;
        self.rows(&bound, table, admitted, cancel).await
    }

    /// Of a query that was planned.
    async fn rows(
        &self,
        bound: &Bound,
        table: SliceTable,
        admitted: Admitted,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let is_plain = self.takes_plain_text.load(Ordering::Relaxed);
        let table = if is_plain { plain_text(table).map_err(of_datafusion)? } else { table };
        let running = self.dispatch(bound, &table, HashMap::new(), false, cancel).await?;
        let (schema, stream) = with_plain_names(admitted.over(running.stream));
        Ok(Outcome::Rows { schema, stream })
    }

    pub(super) async fn describe_query(
        &self,
        query: &ast::Statement,
        text: &str,
        state: Arc<CatalogState>,
    ) -> SqlResult<(SchemaRef, Vec<DataType>)> {
        if let Some(signal) = SignalBackend::of(query)? {
            return Ok((signal.schema(), vec![]));
        }
        if let Some(truncate) = TruncateErrorLog::of(query)? {
            return Ok((truncate.schema(), vec![]));
        }
        if let Some(sleep) = Sleep::of(query) {
            let bound = self.bind(state, &sleep.seconds, "").await?;
            return Ok((sleep.schema(), described_types(&bound.plan)?));
        }
        if let Some(setval) = Setval::of(query)? {
            let bound = self.bind(state, &setval.arguments, "").await?;
            return Ok((setval.schema(), parameter_types(&bound.plan)?));
        }
        if let Some(described) = self.described_lookup(text, &state) {
            return Ok(described);
        }
        let bound = self.bind(state, query, text).await?;
        let parameters = described_types(&bound.plan)?;
        let analyzed =
            bound.state.analyzer().execute_and_check(bound.plan.clone(), bound.state.config_options(), |_, _| {});
        // A parameter without a type stops the analyzer; the binder's schema is what is known then.
        let plan = match analyzed {
            Err(error) if parameters.is_empty() => return Err(located(error, text)),
            Err(_) => bound.plan,
            Ok(plan) => plan,
        };
        check_targets(plan.schema().fields().len())?;
        Ok((plain(&Arc::new(plan.schema().as_arrow().clone())), parameters))
    }

    /// The columns of a query whose parameters have these types; None where they depend on none.
    pub(super) async fn describe_bound(
        &self,
        query: &ast::Statement,
        text: &str,
        parameters: &[DataType],
        state: Arc<CatalogState>,
    ) -> SqlResult<Option<SchemaRef>> {
        if TruncateErrorLog::of(query)?.is_some() || Setval::of(query)?.is_some() || Sleep::of(query).is_some() {
            return Ok(None);
        }
        let bound = self.bind(state, query, text).await?;
        let nulls = parameters.iter().map(ScalarValue::try_from).collect::<Result<Vec<_>, _>>();
        let bound = with_parameters(bound, nulls.map_err(of_datafusion)?)?;
        let options = bound.state.config_options();
        let plan = bound.state.analyzer().execute_and_check(bound.plan, options, |_, _| {});
        let plan = plan.map_err(|error| located(error, text))?;
        Ok(Some(plain(&Arc::new(plan.schema().as_arrow().clone()))))
    }

    /// Runs uncorrelated scalar subqueries and puts their values in their place.
    pub(super) async fn run_init_plans(self: &Arc<Self>, bound: Bound, cancel: &CancellationToken) -> SqlResult<Bound> {
        let runner = self.scalar_runner(&bound, cancel);
        let replaced = replace_scalar_subqueries(bound.plan.clone(), &runner).await;
        Ok(Bound { plan: replaced.map_err(of_datafusion)?, ..bound })
    }

    /// Passes 2 to 7, off the thread that serves sockets: planning is CPU work and its recursion needs deep stacks.
    pub(super) async fn plan(&self, bound: &Bound, output: Output) -> SqlResult<SliceTable> {
        let (state, names, logical) = (Arc::clone(&bound.state), bound.names.clone(), bound.plan.clone());
        let work = async move {
            let map = names.newest_map();
            let context = PlanContext { state: &state, tables: &names, map: &map };
            let logical = take_next_values(logical, &names)?;
            plan(&context, &logical, output).await
        };
        let planned = self.master.cpu.spawn(work).await.map_err(crate::error::task_ended)?;
        planned.map_err(of_datafusion)
    }

    /// As [`Session::plan`], of a lookup, whose plan is small and optimized.
    async fn plan_optimized(&self, bound: &Bound) -> SqlResult<SliceTable> {
        let map = bound.names.newest_map();
        let context = PlanContext { state: &bound.state, tables: &bound.names, map: &map };
        planner::plan_optimized(&context, &bound.plan, Output::Rows).await.map_err(of_datafusion)
    }

    pub(super) async fn dispatch(
        &self,
        bound: &Bound,
        table: &SliceTable,
        copy_units: LeafUnits,
        to_the_end: bool,
        cancel: CancellationToken,
    ) -> SqlResult<Running> {
        let mut units = self.split_files(bound, table, &cancel).await?;
        units.extend(copy_units);
        let whole = dispatch_of(bound, table, cancel);
        self.master.dispatcher.run(Dispatch { copy_units: units, to_the_end, ..whole }).await
    }

    /// A write over some files of the tables that it reads.
    pub(super) async fn dispatch_over(
        &self,
        bound: &Bound,
        table: &SliceTable,
        files: HashSet<FileKey>,
        cancel: CancellationToken,
    ) -> SqlResult<Running> {
        let whole = dispatch_of(bound, table, cancel);
        self.master.dispatcher.run(Dispatch { only_files: Some(files), to_the_end: true, ..whole }).await
    }
}

/// Over all files of the tables, as of the statement's snapshot.
pub(super) fn dispatch_of<'a>(bound: &'a Bound, table: &'a SliceTable, cancel: CancellationToken) -> Dispatch<'a> {
    Dispatch {
        table,
        state: &bound.state,
        catalog: Arc::clone(bound.names.state()),
        past: Arc::clone(bound.names.past()),
        copy_units: HashMap::new(),
        access: &bound.access,
        only_files: None,
        to_the_end: false,
        retrieving: None,
        cancel,
    }
}

/// The rows under the names that the client sees, of which two may be the same.
fn with_plain_names(rows: SendableRecordBatchStream) -> (SchemaRef, SendableRecordBatchStream) {
    let schema = plain(&rows.schema());
    if Arc::ptr_eq(&schema, &rows.schema()) {
        return (schema, rows);
    }
    let named = Arc::clone(&schema);
    let rename = move |batch: RecordBatch| {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&named), batch.columns().to_vec(), &options)?)
    };
    let rows = rows.map(move |batch| batch.and_then(&rename));
    (Arc::clone(&schema), Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

/// Types of `$1`, `$2`, …, in order; Null where nothing tells. DataFusion's own `get_parameter_types` refuses a parameter that stands at
/// two places of which one tells nothing, or another type; PostgreSQL takes the first.
pub(super) fn parameter_types(plan: &LogicalPlan) -> SqlResult<Vec<DataType>> {
    let mut types: Vec<DataType> = vec![];
    let looked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Placeholder(placeholder) = expr {
                    let at = place_of(placeholder)?;
                    types.resize(types.len().max(at + 1), DataType::Null);
                    if let (DataType::Null, Some(field)) = (&types[at], &placeholder.field) {
                        types[at] = field.data_type().clone();
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    looked.map_err(of_datafusion)?;
    Ok(types)
}

/// 0 for `$1`.
pub(super) fn place_of(placeholder: &Placeholder) -> PlanResult<usize> {
    let digits = placeholder.id.strip_prefix('$').unwrap_or(&placeholder.id);
    let number: usize = digits.parse().map_err(|_| {
        let message = format!("parameter {} is not of the form $1", placeholder.id);
        external(SqlError::new(SqlState::SYNTAX_ERROR, message))
    })?;
    let place = number.checked_sub(1).filter(|_| number <= PARAMETERS_MAX);
    place.ok_or_else(|| external(SqlError::new(UNDEFINED_PARAMETER, format!("there is no parameter ${number}"))))
}

/// As [`parameter_types`], for who will bind them: one of which only a cast is known, as of those of VALUES, has its type,
/// and that of `x = ANY ($1)` is a list. Values are not cast to it when they are bound: an assignment rounds where Arrow
/// cuts.
pub(super) fn described_types(plan: &LogicalPlan) -> SqlResult<Vec<DataType>> {
    let mut types = parameter_types(plan)?;
    let looked = plan.apply_with_subqueries(|node| {
        let is_limit = matches!(node, LogicalPlan::Limit(_));
        let mut schema = DFSchema::empty();
        node.inputs().into_iter().for_each(|input| schema.merge(input.schema()));
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                let told = match expr {
                    // How many rows there are to be.
                    Expr::Placeholder(placeholder) if is_limit => Some((placeholder, DataType::Int64)),
                    _ => told_type(expr, &schema),
                };
                if let Some((placeholder, known)) = told
                    && let Some(data_type) = types.get_mut(place_of(placeholder)?)
                    && *data_type == DataType::Null
                {
                    *data_type = known;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    looked.map_err(of_datafusion)?;
    Ok(types)
}

/// A parameter, and the type that an expression around it gives it.
fn told_type<'a>(expr: &'a Expr, schema: &DFSchema) -> Option<(&'a Placeholder, DataType)> {
    match expr {
        Expr::Cast(Cast { expr, field }) => match expr.as_ref() {
            Expr::Placeholder(placeholder) => Some((placeholder, field.data_type().clone())),
            _ => None,
        },
        // The binder's word for ANY.
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "array_has" => match args.as_slice() {
            [Expr::Placeholder(placeholder), item] => {
                let item = item.get_type(schema).ok().filter(|item| *item != DataType::Null)?;
                Some((placeholder, DataType::new_list(item, true)))
            }
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn with_parameters(bound: Bound, values: Vec<ScalarValue>) -> SqlResult<Bound> {
    let types = parameter_types(&bound.plan)?;
    if types.len() > values.len() {
        let message = format!("there is no parameter ${}", values.len() + 1);
        let error = SqlError::new(UNDEFINED_PARAMETER, message);
        let hint = format!("The statement has {} parameters, {} were given.", types.len(), values.len());
        return Err(error.with_hint(hint));
    }
    if types.is_empty() {
        return Ok(bound);
    }
    let values = values.into_iter().zip(&types).map(|(value, data_type)| value_of_type(value, data_type));
    let values = values.collect::<PlanResult<Vec<_>>>();
    let values = values.map_err(of_datafusion)?;
    let plan = keeping_bigints(bound.plan.clone(), &values).map_err(of_datafusion)?;
    let plan = plan.with_param_values(ParamValues::from(values)).map_err(of_datafusion)?;
    Ok(Bound { plan, ..bound })
}

/// A value that a client gives for a parameter, as the statement takes it.
///
/// # Errors
/// Those of texts that are no value of the type.
pub(super) fn value_of_type(value: ScalarValue, data_type: &DataType) -> PlanResult<ScalarValue> {
    let text = value.try_as_str().flatten();
    match (data_type, text.and_then(|text| datetime_text::scalar(text, data_type))) {
        (DataType::Null, _) => Ok(value),
        (_, Some(read)) => Ok(read?),
        (_, None) if text.is_some() => value.cast_to(data_type),
        (_, None) => Ok(without_loss(value, data_type)),
    }
}

/// The value as one of the type that the statement's other operand has; where that cannot hold it, as it is: 2.75 stays so beside
/// 1.5, and a bigint beside an integer is no error.
fn without_loss(value: ScalarValue, data_type: &DataType) -> ScalarValue {
    match value.cast_to(data_type) {
        Ok(cast) if cast.cast_to(&value.data_type()).is_ok_and(|back| back == value) => cast,
        _ => value,
    }
}

/// A literal that fits integer is one, as SQL has it; a value of bigint is to stay what it is, and so stands in a cast.
fn keeping_bigints(plan: LogicalPlan, values: &[ScalarValue]) -> PlanResult<LogicalPlan> {
    let is_bigint = |value: &ScalarValue| matches!(value, ScalarValue::Int64(Some(_)));
    if !values.iter().any(is_bigint) {
        return Ok(plan);
    }
    let stands_for_bigint = |expr: &Expr| {
        let Expr::Placeholder(placeholder) = expr else { return false };
        place_of(placeholder).ok().and_then(|at| values.get(at)).is_some_and(is_bigint)
    };
    let in_cast = |expr: Expr| match &expr {
        // Its type is said already.
        Expr::Cast(cast) if stands_for_bigint(&cast.expr) => Ok(Transformed::new(expr, false, TreeNodeRecursion::Jump)),
        _ if stands_for_bigint(&expr) => {
            let cast = Expr::Cast(Cast::new(Box::new(expr), DataType::Int64));
            Ok(Transformed::new(cast, true, TreeNodeRecursion::Jump))
        }
        _ => Ok(Transformed::no(expr)),
    };
    let in_node = |node: LogicalPlan| match node {
        // Its numbers are to be literals.
        LogicalPlan::Limit(_) => Ok(Transformed::no(node)),
        _ => {
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(expr.transform_down(in_cast)?.update_data(|expr| name.restore(expr)))
            })
        }
    };
    plan.transform_up_with_subqueries(in_node).map(|transformed| transformed.data)
}
