//! The operator against a master in the same process.

use super::*;
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use damson_cluster::{Counting, Endpoint, QueryId, SequenceId, SequencePosition, Topology, next_block};
use damson_interconnect::{ControlHandler, ControlStream, Node, NodeConfig};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::physical_expr::expressions::{IsNotNullExpr, col};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::prelude::SessionConfig;
use futures::{TryStreamExt, stream};
use std::sync::Mutex;

fn sequence(id: u64, max: i64) -> Sequence {
    let counting = Counting { increment: 1, min: 1, max, cycle: false, cache: 1 };
    Sequence { id: SequenceId(id), name: format!("s{id}"), counting }
}

/// A master of sequences that all begin at 1. Blocks are of three values at most.
#[derive(Default)]
struct Master {
    given: Mutex<std::collections::HashMap<SequenceId, i64>>,
    asked: Mutex<Vec<u64>>,
}

#[async_trait]
impl ControlHandler for Master {
    async fn handle(&self, kind: &str, body: Bytes) -> Result<ControlStream, ControlError> {
        assert_eq!(kind, control::TAKE_VALUES);
        let request: TakeValues = serde_json::from_slice(&body).unwrap();
        let mut given = self.given.lock().unwrap();
        let mut answer: Vec<Vec<ValueBlock>> = vec![];
        for (sequence, count) in request.sequences {
            self.asked.lock().unwrap().push(count);
            let last = given.entry(sequence.id).or_default();
            let (mut blocks, mut missing) = (vec![], count);
            while missing > 0 {
                let position = SequencePosition { last: *last, is_called: true };
                let Some(block) = next_block(&sequence.counting, position, missing.min(3)) else {
                    let message = format!("nextval: reached maximum value of sequence \"{}\"", sequence.name);
                    return Err(ControlError { code: "2200H".into(), message });
                };
                *last = block.last();
                missing -= block.count;
                blocks.push(block);
            }
            answer.push(blocks);
        }
        let answer = Bytes::from(serde_json::to_vec(&answer).unwrap());
        Ok(stream::once(async { Ok(answer) }).boxed())
    }
}

/// A QE of a node that hosts the master, too.
fn qe(master: &Arc<Master>) -> Arc<TaskContext> {
    let node = Node::new(NodeConfig::new(Endpoint::in_process(), "test", tokio::runtime::Handle::current()));
    node.set_handler(ContentId::MASTER, Arc::clone(master) as Arc<dyn ControlHandler>);
    let topology = Topology { master: Endpoint::in_process(), segments: vec![Endpoint::in_process()] };
    let qe = QeContext {
        query: QueryId(1),
        content: ContentId(0),
        node,
        topology: Arc::new(topology),
        maps: std::collections::HashMap::new(),
        describe_error: |error| RouteError::Remote { code: "XX000".into(), message: error.to_string() },
    };
    let config = SessionConfig::new().with_extension(Arc::new(qe));
    Arc::new(TaskContext::default().with_session_config(config))
}

/// Batches of a column `k`.
fn rows(batches: &[&[Option<i64>]]) -> Arc<dyn ExecutionPlan> {
    let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
    let batch = |values: &&[Option<i64>]| {
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(values.to_vec()))]).unwrap()
    };
    let batches: Vec<RecordBatch> = batches.iter().map(batch).collect();
    MemorySourceConfig::try_new_exec(&[batches], schema, None).unwrap()
}

fn value(sequence: Sequence, column: &str, condition: Option<Arc<dyn PhysicalExpr>>) -> NextValue {
    NextValue { sequence, column: column.into(), condition }
}

/// The columns that the operator adds to `k`.
async fn run(plan: &Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<Vec<Vec<Option<i64>>>> {
    let batches: Vec<RecordBatch> = plan.execute(0, context)?.try_collect().await?;
    let mut columns = vec![vec![]; plan.schema().fields().len() - 1];
    for batch in batches {
        for (i, column) in columns.iter_mut().enumerate() {
            column.extend(batch.column(i + 1).as_primitive::<Int64Type>().iter());
        }
    }
    Ok(columns)
}

fn some(values: &[i64]) -> Vec<Option<i64>> {
    values.iter().copied().map(Some).collect()
}

#[tokio::test]
async fn each_row_takes_a_value_and_calls_of_one_sequence_take_turns() {
    let master = Arc::new(Master::default());
    let input = rows(&[&[Some(7), None, Some(8)], &[], &[None]]);
    let values = vec![
        value(sequence(1, 100), "a", None),
        value(sequence(2, 100), "b", None),
        value(sequence(1, 100), "c", None),
    ];
    let plan: Arc<dyn ExecutionPlan> = Arc::new(NextValuesExec::new(values, input));
    let columns = run(&plan, qe(&master)).await.unwrap();
    assert_eq!(columns, [some(&[1, 3, 5, 7]), some(&[1, 2, 3, 4]), some(&[2, 4, 6, 8])]);
    // What each batch needs, and nothing for the one without rows.
    assert_eq!(*master.asked.lock().unwrap(), [6, 3, 2, 1]);
}

#[tokio::test]
async fn rows_of_which_the_condition_is_not_true_take_none() {
    let master = Arc::new(Master::default());
    let input = rows(&[&[Some(7), None, Some(8)], &[None]]);
    let condition: Arc<dyn PhysicalExpr> = Arc::new(IsNotNullExpr::new(col("k", &input.schema()).unwrap()));
    let plan = NextValuesExec::new(vec![value(sequence(1, 100), "a", Some(condition))], input);
    // As a segment has it.
    let conditions = plan.describe().1.into_iter().cloned().collect();
    let specs = serde_json::from_slice(&serde_json::to_vec(&plan.describe().0).unwrap()).unwrap();
    let decoded = NextValuesExec::of_description(specs, conditions, Arc::clone(plan.input())).unwrap();
    let plan: Arc<dyn ExecutionPlan> = Arc::new(decoded);
    let columns = run(&plan, qe(&master)).await.unwrap();
    assert_eq!(columns, [vec![Some(1), None, Some(2), None]]);
    assert_eq!(*master.asked.lock().unwrap(), [2], "a batch that needs none asks for none");
}

#[test]
fn it_travels_to_segments() {
    let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
    let condition: Arc<dyn PhysicalExpr> = Arc::new(IsNotNullExpr::new(col("k", &schema).unwrap()));
    let values = vec![value(sequence(1, 9), "a", Some(condition)), value(sequence(2, 9), "b", None)];
    let plan = Arc::new(NextValuesExec::new(values, Arc::new(EmptyExec::new(schema))));
    let bytes = crate::encode_slice(Arc::clone(&plan) as Arc<dyn ExecutionPlan>).unwrap();
    let decoded = crate::decode_slice(&bytes, &TaskContext::default()).unwrap();
    let decoded = decoded.downcast_ref::<NextValuesExec>().unwrap();
    assert_eq!(decoded.schema(), plan.schema());
    let described = |plan: &NextValuesExec| {
        let value = |v: &NextValue| (v.sequence.clone(), v.column.clone(), v.condition.as_ref().map(|c| c.to_string()));
        plan.values().iter().map(value).collect::<Vec<_>>()
    };
    assert_eq!(described(decoded), described(&plan));
}

#[tokio::test]
async fn the_masters_refusal_keeps_its_code() {
    let master = Arc::new(Master::default());
    let plan: Arc<dyn ExecutionPlan> =
        Arc::new(NextValuesExec::new(vec![value(sequence(1, 2), "a", None)], rows(&[&[None, None, None]])));
    let error = run(&plan, qe(&master)).await.unwrap_err();
    let DataFusionError::External(cause) = error else { panic!("{error}") };
    let cause = cause.downcast_ref::<RouteError>().expect("what travels to the client");
    let message = "nextval: reached maximum value of sequence \"s1\"".to_owned();
    assert_eq!(*cause, RouteError::Remote { code: "2200H".into(), message });
}
