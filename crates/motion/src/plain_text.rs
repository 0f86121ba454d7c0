//! Rows as clients take them.

use crate::limits::PLAIN_TEXT_BYTES;
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use damson_interconnect::{plain, plain_bytes, plain_type};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, stream};
use std::fmt;
use std::sync::Arc;

/// Text and bytea columns without views, which clients of Flight do not know: each value is copied, once, where its rows are made, instead
/// of by the motion above, which would copy it with its view, and by the master again. Made by the planner, on top of the slice whose
/// rows go to such a client.
///
/// # Distribution
/// Kept.
///
/// # Ordering
/// Kept, but not told.
///
/// # Memory
/// A batch, and [`PLAIN_TEXT_BYTES`] of its values: one of more comes in several.
#[derive(Debug)]
pub struct PlainTextExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl PlainTextExec {
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let schema = Self::schema_of(&input.schema());
        let properties = input.properties().as_ref().clone();
        let properties = properties.with_eq_properties(EquivalenceProperties::new(schema));
        PlainTextExec { input, properties: Arc::new(properties) }
    }

    /// The columns of rows that have these before.
    pub fn schema_of(schema: &SchemaRef) -> SchemaRef {
        let plain = |field: &Arc<Field>| match plain_type(field.data_type()) {
            same if same == *field.data_type() => Arc::clone(field),
            other => Arc::new(field.as_ref().clone().with_data_type(other)),
        };
        let fields = schema.fields().iter().map(plain).collect::<Vec<_>>();
        Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
    }
}

impl DisplayAs for PlainTextExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainTextExec")
    }
}

impl ExecutionPlan for PlainTextExec {
    fn name(&self) -> &str {
        "PlainTextExec"
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
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(PlainTextExec::new(children.swap_remove(0))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let to = Arc::clone(&schema);
        let batches = self.input.execute(partition, context)?.flat_map(move |batch| {
            let to = Arc::clone(&to);
            // One after the other, as they are asked for.
            let pieces: Vec<Result<RecordBatch>> = match batch {
                Ok(batch) => pieces(batch, PLAIN_TEXT_BYTES).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            stream::iter(pieces).map(move |piece| convert(&piece?, &to))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// Halves, and halves of these, until each has at most so many bytes of text, or one row.
fn pieces(batch: RecordBatch, bytes_max: u64) -> Vec<RecordBatch> {
    let (mut left, mut pieces) = (vec![batch], vec![]);
    while let Some(batch) = left.pop() {
        let rows = batch.num_rows();
        if rows <= 1 || batch.columns().iter().map(plain_bytes).sum::<u64>() <= bytes_max {
            pieces.push(batch);
            continue;
        }
        left.push(batch.slice(rows / 2, rows - rows / 2));
        left.push(batch.slice(0, rows / 2));
    }
    pieces
}

fn convert(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(plain).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray, Int32Array, StringViewArray};
    use arrow::compute::concat_batches;
    use arrow::datatypes::DataType;
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::physical_plan::collect;

    fn rows(texts: Vec<Option<String>>) -> RecordBatch {
        let numbers = Int32Array::from_iter_values(0..texts.len() as i32);
        let columns: [(&str, ArrayRef); 2] = [("n", Arc::new(numbers)), ("t", Arc::new(StringViewArray::from(texts)))];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[tokio::test]
    async fn rows_keep_their_values_and_order() {
        let short = rows(vec![Some("a".into()), None, Some("a text longer than twelve bytes".into())]);
        let long = rows((0..10).map(|row| Some(row.to_string().repeat(1 << 20))).collect());
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int32, true),
            Field::new("t", DataType::Utf8View, true).with_metadata([("of".into(), "t".into())].into()),
        ]));
        let of = |batch: &RecordBatch| RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()).unwrap();
        let partitions = [vec![of(&short), of(&long)]];
        let source = MemorySourceConfig::try_new_exec(&partitions, Arc::clone(&schema), None).unwrap();
        let plan: Arc<dyn ExecutionPlan> = Arc::new(PlainTextExec::new(source));
        let plain_schema = PlainTextExec::schema_of(&schema);
        assert_eq!(plan.schema(), plain_schema);
        assert_eq!(plain_schema.field(1).data_type(), &DataType::Utf8);
        assert_eq!(plain_schema.field(1).metadata(), schema.field(1).metadata());
        assert_eq!(plain_schema.field(0), schema.field(0));
        let found = collect(plan, Arc::new(TaskContext::default())).await.unwrap();
        // Ten MiB come in pieces of at most four.
        assert!(found.len() > 3 && found.iter().all(|batch| batch.schema() == plain_schema), "{}", found.len());
        let text_bytes = found.iter().map(|batch| batch.column(1).as_string::<i32>().values().len() as u64);
        assert!(text_bytes.max().unwrap() <= PLAIN_TEXT_BYTES);
        let wanted = concat_batches(&schema, [&of(&short), &of(&long)]).unwrap();
        let found = concat_batches(&plain_schema, &found).unwrap();
        assert_eq!(found.column(0), wanted.column(0));
        assert!(found.column(1).as_string::<i32>().iter().eq(wanted.column(1).as_string_view().iter()));
    }

    #[test]
    fn a_row_is_not_cut() {
        let batch = rows(vec![Some("x".repeat(100)), Some("y".into()), Some("z".into())]);
        let counts: Vec<usize> = pieces(batch, 10).iter().map(RecordBatch::num_rows).collect();
        assert_eq!(counts, [1, 2]);
    }
}
