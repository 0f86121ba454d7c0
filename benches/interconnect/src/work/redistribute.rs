//! Rows by the hash of their key to the contents that own them, with the product's own kernel.

use super::Run;
use super::ends::{self, Tasks};
use super::node::{BenchNode, route};
use crate::error::BenchError;
use crate::message::{NodeSpec, Side, Task, Totals};
use crate::meter::Meter;
use crate::rows::{self, Rows};
use arrow::array::RecordBatch;
use damson_cluster::{BucketMap, Endpoint, MapVersion};
use damson_interconnect::RouteSender;
use damson_motion::Splitter;
use damson_motion::limits::SEND_MESSAGE_BYTES;
use std::sync::Arc;

/// As many sending as receiving contents, each a task; every sender has a route to every receiver, and all of them are
/// between the two processes.
pub struct Redistribute {
    node: BenchNode,
    side: Side,
    contents: usize,
}

impl Redistribute {
    pub fn new(spec: &NodeSpec, task: &Task, contents: usize) -> Result<Self, BenchError> {
        Ok(Redistribute { node: BenchNode::new(spec, task)?, side: task.side, contents })
    }

    fn receive(&self, tasks: &mut Tasks, meter: &Arc<Meter>) {
        for (sender, receiver) in self.pairs() {
            let receiver = self.node.node.receiver(route(sender, receiver), rows::schema());
            tasks.spawn(ends::receive_all(receiver, Arc::clone(meter)));
        }
    }

    fn send(&self, tasks: &mut Tasks, peer: &Endpoint, meter: &Arc<Meter>) {
        let batches = Arc::new(rows::batches(Rows::Random));
        let map = Arc::new(BucketMap::uniform(MapVersion(1), self.contents));
        for sender in 0..self.contents {
            let routes =
                (0..self.contents).map(|receiver| self.node.node.sender(route(sender, receiver), peer, rows::schema()));
            let splitter = Splitter::new(rows::schema(), Arc::clone(&map), SEND_MESSAGE_BYTES);
            tasks.spawn(send_on(routes.collect(), splitter, Arc::clone(&batches), Arc::clone(meter)));
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let contents = self.contents;
        (0..contents * contents).map(move |number| (number / contents, number % contents))
    }
}

impl Run for Redistribute {
    fn address(&self) -> String {
        self.node.address()
    }

    fn run(&mut self, peer: &str, meter: &Arc<Meter>) -> Result<Totals, BenchError> {
        ends::run(&self.node, self.side, self.contents * self.contents, |tasks| {
            if self.side.receives() {
                self.receive(tasks, meter);
            }
            if self.side.sends() {
                self.send(tasks, &Endpoint(peer.into()), meter);
            }
        })
    }
}

async fn send_on(
    mut routes: Vec<RouteSender>,
    mut splitter: Splitter,
    batches: Arc<Vec<RecordBatch>>,
    meter: Arc<Meter>,
) -> Result<Totals, BenchError> {
    let mut totals = Totals::default();
    let failed = |error: &dyn std::fmt::Display| BenchError::Kernel(error.to_string());
    for batch in batches.iter().cycle() {
        let is_over = meter.is_over();
        if is_over {
            splitter.flush().map_err(|error| failed(&error))?;
        } else {
            splitter.push(batch, &batch.columns()[..1]).map_err(|error| failed(&error))?;
        }
        while let Some((receiver, piece)) = splitter.next_ready() {
            ends::send(&mut routes[receiver.0 as usize], piece, &meter, &mut totals).await?;
        }
        if is_over {
            break;
        }
    }
    for route in routes {
        totals = ends::finish(route, totals).await?;
    }
    Ok(totals)
}
