//! Many routes, one of whose receivers sleeps in every second window: what that does to the others.

use super::node::{BenchNode, route};
use super::{Run, ends};
use crate::error::BenchError;
use crate::message::{NodeSpec, Side, Task, Totals};
use crate::meter::{Meter, Phase};
use crate::rows::{self, Rows};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use damson_cluster::Endpoint;
use damson_interconnect::{RouteReceiver, RouteSender};
use futures::StreamExt;
use std::sync::Arc;

/// The first route is the slow one; only the others count at the receiving side.
pub struct SlowReceiver {
    node: BenchNode,
    side: Side,
    routes: usize,
}

impl SlowReceiver {
    pub fn new(spec: &NodeSpec, task: &Task, routes: usize) -> Result<Self, BenchError> {
        Ok(SlowReceiver { node: BenchNode::new(spec, task)?, side: task.side, routes })
    }
}

impl Run for SlowReceiver {
    fn address(&self) -> String {
        self.node.address()
    }

    fn run(&mut self, peer: &str, meter: &Arc<Meter>) -> Result<Totals, BenchError> {
        let (node, peer) = (&self.node.node, Endpoint(peer.into()));
        let batches = Arc::new(if self.side.sends() { rows::batches(Rows::Random) } else { vec![] });
        ends::run(&self.node, self.side, self.routes, |tasks| {
            for number in 0..self.routes {
                if self.side.receives() {
                    let receiver = node.receiver(route(number, number), rows::schema());
                    match number {
                        0 => tasks.spawn(receive_now_and_then(receiver, Arc::clone(meter))),
                        _ => tasks.spawn(ends::receive_all(receiver, Arc::clone(meter))),
                    };
                }
                if self.side.sends() {
                    let sender = node.sender(route(number, number), &peer, rows::schema());
                    tasks.spawn(send_copies(sender, Arc::clone(&batches), Arc::clone(meter)));
                }
            }
        })
    }
}

/// Every batch has memory of its own, so that what the sender holds can be seen.
async fn send_copies(
    mut sender: RouteSender,
    batches: Arc<Vec<RecordBatch>>,
    meter: Arc<Meter>,
) -> Result<Totals, BenchError> {
    let mut totals = Totals::default();
    for batch in batches.iter().cycle() {
        if meter.is_over() {
            break;
        }
        ends::send(&mut sender, copy(batch), &meter, &mut totals).await?;
    }
    ends::finish(sender, totals).await
}

fn copy(batch: &RecordBatch) -> RecordBatch {
    let columns = batch
        .columns()
        .iter()
        .map(|column| -> ArrayRef { Arc::new(Int64Array::from(column.as_primitive::<Int64Type>().values().to_vec())) });
    RecordBatch::try_new(batch.schema(), columns.collect()).expect("the same columns")
}

/// Takes nothing in windows of odd number.
async fn receive_now_and_then(mut receiver: RouteReceiver, meter: Arc<Meter>) -> Result<Totals, BenchError> {
    let mut phases = meter.phases();
    let is_asleep = |phase: &Phase| matches!(phase, Phase::Window(number) if number % 2 == 1);
    let mut totals = Totals::default();
    loop {
        // The meter outlives the receiver: there is always another phase.
        let _ = phases.wait_for(|phase| !is_asleep(phase)).await;
        match receiver.next().await {
            None => return Ok(totals),
            Some(batch) => totals.bytes += ends::row_bytes(&batch?) as u64,
        }
    }
}
