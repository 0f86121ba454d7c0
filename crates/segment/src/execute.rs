//! Stop 6 of a query's walk: a segment runs the slices of one query.

use crate::errors::{code_and_message, describe};
use crate::resolve::resolve;
use crate::running::RunningGuard;
use crate::segment::Segment;
use crate::stores::Stores;
use bytes::Bytes;
use damson_cluster::{ContentId, QueryId, SliceId};
use damson_interconnect::{ControlStream, Node};
use damson_motion::{
    ExecuteHead, ExecuteRequest, QeContext, SliceEvent, SlicePlan, WaitsForClient, codes, collect_metrics,
    decode_slice, replan, stop_unread,
};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::{FutureExt, StreamExt, stream};
use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{Instrument, info_span};

/// Runs a request's slices on the CPU runtime; the answer has one event per slice. Dropping the answer cancels them.
pub(crate) fn execute(segment: &Segment, request: ExecuteRequest, stores: Stores) -> ControlStream {
    let ExecuteRequest { head, slices } = request;
    let query = head.query;
    let node = Arc::clone(&segment.node);
    node.open_query(query, head.routes, head.secret);
    let (events, receiver) = mpsc::channel(slices.len().max(1));
    let mut tasks = JoinSet::new();
    let waits = Arc::new(WaitsForClient::default());
    let told = waits.0.subscribe();
    let (context, functions) = (task_context(segment, &head, waits), Arc::clone(&segment.functions));
    let head = Arc::new(head);
    for SlicePlan { slice, plan } in slices {
        let guard = segment.running.enter(query, slice);
        let span = info_span!("execute_slice", %query, slice = slice.0, segment = segment.content.0);
        let (stores, exports) = (stores.clone(), segment.exports.clone());
        let (head, context, events) = (Arc::clone(&head), Arc::clone(&context), events.clone());
        let functions = Arc::clone(&functions);
        let witness = events.clone();
        let work = async move {
            let prepared = decode_slice(&plan, &functions)
                .and_then(|plan| resolve(&stores, &exports, &head, &guard, plan))
                .and_then(|plan| replan(plan, context.session_config().options()));
            run_slice(prepared, context, slice, head.analyze, events, guard).await;
        };
        let work = or_witness(work, slice, witness);
        tasks.spawn_on(work.instrument(span), &segment.cpu);
    }
    let finish = QueryGuard { node, query, content: head.content, _tasks: tasks };
    let answer = stream::unfold((receiver, told, finish), |(mut receiver, mut told, finish)| async move {
        let event: SliceEvent = tokio::select! {
            biased;
            event = receiver.recv() => event?,
            // Once its other end is gone, with the last slice, only events are left.
            Ok(()) = told.changed() => SliceEvent::Waits { for_client: *told.borrow_and_update() },
        };
        let body =
            serde_json::to_vec(&event).map(Bytes::from).map_err(damson_interconnect::InterconnectError::internal);
        Some((body, (receiver, told, finish)))
    });
    answer.boxed()
}

/// A slice that panics is a failed one: whoever waits for its word would wait for ever.
async fn or_witness(work: impl Future<Output = ()>, slice: SliceId, events: mpsc::Sender<SliceEvent>) {
    if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
        let message = format!("a slice panicked: {}", panic_message(&*panic));
        // A master that no longer listens has cancelled the query.
        let _ = events.send(SliceEvent::Failed { slice, code: codes::INTERNAL.into(), message }).await;
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

/// Ends a query on this node: its slices' tasks are aborted with the set, its routes closed.
struct QueryGuard {
    node: Arc<Node>,
    query: QueryId,
    content: ContentId,
    _tasks: JoinSet<()>,
}

impl Drop for QueryGuard {
    fn drop(&mut self) {
        self.node.close_content(self.query, self.content);
    }
}

/// Without functions, hundreds of which would be copied for each query: plans that run have theirs.
fn task_context(segment: &Segment, head: &ExecuteHead, waits: Arc<WaitsForClient>) -> Arc<TaskContext> {
    let qe = QeContext {
        query: head.query,
        content: head.content,
        node: Arc::clone(&segment.node),
        topology: Arc::new(head.topology.clone()),
        maps: head.maps.iter().map(|map| (map.version, Arc::new(map.clone()))).collect(),
        describe_error: describe,
    };
    let state = &segment.state;
    let config = state.config().clone().with_extension(Arc::new(qe));
    let config = config.with_extension(Arc::clone(&segment.retrievals)).with_extension(waits);
    Arc::new(TaskContext::new(
        Some(format!("{} {}", head.query, head.content)),
        head.query.to_string(),
        config,
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        Arc::clone(state.runtime_env()),
    ))
}

async fn run_slice(
    plan: Result<Arc<dyn ExecutionPlan>>,
    context: Arc<TaskContext>,
    slice: SliceId,
    analyze: bool,
    events: mpsc::Sender<SliceEvent>,
    running: RunningGuard,
) {
    let result = match plan {
        Ok(plan) => match drain(&plan, Arc::clone(&context)).await {
            Ok(()) => stop_unread(&plan, &context).map(|()| plan),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let copied = running.copied();
    drop(running);
    let event = match result {
        Ok(plan) => {
            let operators = if analyze { collect_metrics(&plan) } else { vec![] };
            SliceEvent::Done { slice, operators, copied }
        }
        Err(error) => {
            let (code, message) = code_and_message(&error);
            SliceEvent::Failed { slice, code, message }
        }
    };
    // A master that no longer listens has cancelled the query.
    let _ = events.send(event).await;
}

/// Runs a slice to its end; its root sends, so that nothing comes out.
async fn drain(plan: &Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<()> {
    let partitions = plan.output_partitioning().partition_count();
    if partitions != 1 {
        return Err(DataFusionError::Internal(format!("a slice's root has {partitions} partitions, not one")));
    }
    let mut rows = plan.execute(0, context)?;
    while let Some(batch) = rows.next().await {
        batch?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slice_that_panics_says_so() {
        let (events, mut words) = mpsc::channel(1);
        or_witness(async { panic!("offset {}", "overflow") }, SliceId(3), events).await;
        let Some(SliceEvent::Failed { slice, code, message }) = words.recv().await else { panic!("no word") };
        assert_eq!(
            (slice, code.as_str(), message.as_str()),
            (SliceId(3), "XX000", "a slice panicked: offset overflow")
        );
        assert!(words.recv().await.is_none());
    }
}
