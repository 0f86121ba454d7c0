//! `nextval`: values of sequences as columns beside the rows.

use crate::{QeContext, codes, control};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use damson_cluster::{ContentId, Sequence, ValueBlock};
use damson_interconnect::{ControlError, InterconnectError, RouteError};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{exec_datafusion_err, internal_datafusion_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ColumnStatistics, ColumnarValue, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    PlanProperties, Statistics,
};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// One call of `nextval`, which becomes a column (Int64).
#[derive(Clone, Debug)]
pub struct NextValue {
    pub sequence: Sequence,
    /// The column's name.
    pub column: String,
    /// Over the input's columns: rows of which it is not true take no value, and are NULL. None: all rows take one.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
}

/// A [`NextValue`] without its expression, as it travels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NextValueSpec {
    sequence: Sequence,
    column: String,
    conditional: bool,
}

/// Segment → master, or master to itself: values that a batch needs, by sequence. The answer is a JSON list of the blocks of each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TakeValues {
    pub sequences: Vec<(Sequence, u64)>,
}

/// Appends a column for each call of `nextval` to the input's rows. It takes from the master what each batch needs, when the batch is
/// there. Calls of one sequence take its values in turns, row by row.
///
/// # Distribution
/// Kept; the rows are on one segment each, or on the master: what several have would take a value for each copy.
///
/// # Ordering
/// Kept. Values follow the order of the rows of one QE; those of several QEs lie between each other.
///
/// # Memory
/// A batch and its new columns.
///
/// # Cancellation
/// Dropping the stream drops the call to the master. Values that were taken are gone.
///
/// # Errors
/// 2200H for a sequence that has ended; the master's, if its catalog refuses; 08006 if it cannot be reached.
#[derive(Debug)]
pub struct NextValuesExec {
    values: Vec<NextValue>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl NextValuesExec {
    pub fn new(values: Vec<NextValue>, input: Arc<dyn ExecutionPlan>) -> Self {
        let new = values.iter().map(|value| Arc::new(Field::new(&value.column, DataType::Int64, true)));
        let fields: Vec<_> = input.schema().fields().iter().cloned().chain(new).collect();
        let orderings = input.equivalence_properties().oeq_class().iter().cloned().collect::<Vec<_>>();
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(Arc::new(Schema::new(fields)), orderings),
            input.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        NextValuesExec { values, input, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    pub fn values(&self) -> &[NextValue] {
        &self.values
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    fn conditions(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        self.values.iter().filter_map(|value| value.condition.as_ref())
    }

    /// What the codec writes; the conditions in their order are beside it.
    pub(crate) fn describe(&self) -> (Vec<NextValueSpec>, Vec<&Arc<dyn PhysicalExpr>>) {
        let spec = |value: &NextValue| NextValueSpec {
            sequence: value.sequence.clone(),
            column: value.column.clone(),
            conditional: value.condition.is_some(),
        };
        (self.values.iter().map(spec).collect(), self.conditions().collect())
    }

    /// The inverse of [`NextValuesExec::describe`].
    pub(crate) fn of_description(
        specs: Vec<NextValueSpec>,
        conditions: Vec<Arc<dyn PhysicalExpr>>,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Self> {
        let mut conditions = conditions.into_iter();
        let value = |spec: NextValueSpec| {
            let condition = match spec.conditional {
                true => Some(conditions.next().ok_or_else(|| internal_datafusion_err!("a condition is missing"))?),
                false => None,
            };
            Ok(NextValue { sequence: spec.sequence, column: spec.column, condition })
        };
        Ok(NextValuesExec::new(specs.into_iter().map(value).collect::<Result<_>>()?, input))
    }
}

impl DisplayAs for NextValuesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.values.iter().map(|value| value.sequence.name.as_str()).collect();
        write!(f, "NextValuesExec: sequences=[{}]", names.join(", "))
    }
}

impl ExecutionPlan for NextValuesExec {
    fn name(&self) -> &str {
        "NextValuesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let mut recursion = TreeNodeRecursion::Continue;
        for condition in self.conditions() {
            recursion = recursion.visit_sibling(|| f(condition))?;
        }
        Ok(recursion)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(NextValuesExec::new(self.values.clone(), children.swap_remove(0))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let taking = Arc::new(Taking {
            qe: QeContext::of(&context)?,
            values: self.values.clone(),
            schema: self.schema(),
            baseline: BaselineMetrics::new(&self.metrics, partition),
        });
        let append = move |batch: Result<RecordBatch>| {
            let taking = Arc::clone(&taking);
            async move { taking.append(batch?).await }
        };
        let rows = self.input.execute(partition, context)?.then(append);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn child_stats_requests(&self, _: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(None)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::clone(&inputs[0]);
        statistics.column_statistics.extend(self.values.iter().map(|_| ColumnStatistics::new_unknown()));
        statistics.total_byte_size = statistics.total_byte_size.to_inexact();
        Ok(Arc::new(statistics))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// One execution.
struct Taking {
    qe: Arc<QeContext>,
    values: Vec<NextValue>,
    schema: SchemaRef,
    baseline: BaselineMetrics,
}

impl Taking {
    async fn append(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let asking = Asking::of(&self.values, &batch)?;
        let taken = match asking.request.sequences.is_empty() {
            true => vec![],
            false => take(&self.qe, &asking.request).await?,
        };
        let _timer = self.baseline.elapsed_compute().timer();
        let appended = asking.append(&self.schema, &batch, taken)?;
        self.baseline.record_output(appended.num_rows());
        Ok(appended)
    }
}

/// What one batch needs.
struct Asking {
    request: TakeValues,
    /// For each sequence of the request, the columns that take from it.
    columns: Vec<Vec<usize>>,
    /// For each column, the rows that take a value; None: all.
    rows: Vec<Option<BooleanArray>>,
}

impl Asking {
    fn of(values: &[NextValue], batch: &RecordBatch) -> Result<Self> {
        let rows = values.iter().map(|value| value.condition.as_ref().map(|c| is_true(c, batch)).transpose());
        let rows = rows.collect::<Result<Vec<_>>>()?;
        let mut request: Vec<(Sequence, u64)> = vec![];
        let mut columns: Vec<Vec<usize>> = vec![];
        for (column, (value, rows)) in values.iter().zip(&rows).enumerate() {
            let count = rows.as_ref().map_or(batch.num_rows(), BooleanArray::true_count) as u64;
            if count == 0 {
                continue;
            }
            match request.iter().position(|(sequence, _)| *sequence == value.sequence) {
                Some(known) => {
                    request[known].1 += count;
                    columns[known].push(column);
                }
                None => {
                    request.push((value.sequence.clone(), count));
                    columns.push(vec![column]);
                }
            }
        }
        Ok(Asking { request: TakeValues { sequences: request }, columns, rows })
    }

    /// The batch with the values that came.
    fn append(self, schema: &SchemaRef, batch: &RecordBatch, taken: Vec<Vec<ValueBlock>>) -> Result<RecordBatch> {
        let wanted = self.request.sequences.len();
        if taken.len() != wanted {
            return Err(internal_datafusion_err!("values of {} sequences, not of {wanted}", taken.len()));
        }
        let takes = |row: usize, column: usize| self.rows[column].as_ref().is_none_or(|rows| rows.value(row));
        let mut new: Vec<Vec<Option<i64>>> = self.rows.iter().map(|_| vec![None; batch.num_rows()]).collect();
        for ((columns, blocks), (sequence, count)) in self.columns.iter().zip(taken).zip(&self.request.sequences) {
            let mut values = blocks.into_iter().flat_map(ValueBlock::values);
            let row_by_row = (0..batch.num_rows()).flat_map(|row| columns.iter().map(move |&column| (row, column)));
            for (row, column) in row_by_row.filter(|&(row, column)| takes(row, column)) {
                let value = values.next();
                let missing = || internal_datafusion_err!("fewer than {count} values of {}", sequence.name);
                new[column][row] = Some(value.ok_or_else(missing)?);
            }
        }
        let new = new.into_iter().map(|values| Arc::new(Int64Array::from(values)) as ArrayRef);
        let columns = batch.columns().iter().cloned().chain(new).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }
}

/// The rows of which a condition is true, and not NULL.
fn is_true(condition: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    let values = match condition.evaluate(batch)? {
        ColumnarValue::Array(values) => values,
        scalar => scalar.into_array(batch.num_rows())?,
    };
    let values = values.as_boolean_opt().ok_or_else(|| internal_datafusion_err!("a condition that is not boolean"))?;
    Ok(if values.null_count() == 0 { values.clone() } else { values.iter().map(|is| Some(is == Some(true))).collect() })
}

/// Asks the master.
async fn take(qe: &QeContext, request: &TakeValues) -> Result<Vec<Vec<ValueBlock>>> {
    let body = serde_json::to_vec(request).map_err(|e| DataFusionError::External(Box::new(e)))?;
    let called = qe.node.call(&qe.topology.master, ContentId::MASTER, control::TAKE_VALUES, Bytes::from(body)).await;
    let answer = match called {
        Ok(mut answers) => answers.next().await,
        Err(error) => Some(Err(error)),
    };
    let answer = answer.ok_or_else(|| exec_datafusion_err!("the master gave no values"))?;
    let answer = answer.map_err(|error| DataFusionError::External(Box::new(refusal(error))))?;
    serde_json::from_slice(&answer).map_err(|e| DataFusionError::External(Box::new(e)))
}

/// The master's refusal as a slice's failure, under its own code.
fn refusal(error: InterconnectError) -> RouteError {
    match error {
        InterconnectError::Control(ControlError { code, message }) => RouteError::Remote { code, message },
        lost => RouteError::Remote { code: codes::CONNECTION_FAILURE.into(), message: lost.to_string() },
    }
}

#[cfg(test)]
mod tests;
