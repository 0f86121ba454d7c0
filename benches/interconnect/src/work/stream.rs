//! Batches on one or more routes between two nodes.

use super::node::{BenchNode, route};
use super::{Run, ends};
use crate::error::BenchError;
use crate::message::{NodeSpec, Side, Task, Totals};
use crate::meter::Meter;
use crate::rows::{self, Rows};
use damson_cluster::Endpoint;
use std::sync::Arc;

/// Every route has a task at each end, which does nothing else.
pub struct Stream {
    node: BenchNode,
    side: Side,
    rows: Rows,
    routes: usize,
}

impl Stream {
    pub fn new(spec: &NodeSpec, task: &Task, rows: Rows, routes: usize) -> Result<Self, BenchError> {
        Ok(Stream { node: BenchNode::new(spec, task)?, side: task.side, rows, routes })
    }
}

impl Run for Stream {
    fn address(&self) -> String {
        self.node.address()
    }

    fn run(&mut self, peer: &str, meter: &Arc<Meter>) -> Result<Totals, BenchError> {
        let (node, peer) = (&self.node.node, Endpoint(peer.into()));
        ends::run(&self.node, self.side, self.routes, |tasks| {
            if self.side.receives() {
                for number in 0..self.routes {
                    let receiver = node.receiver(route(number, number), rows::schema());
                    tasks.spawn(ends::receive_all(receiver, Arc::clone(meter)));
                }
            }
            if self.side.sends() {
                let batches = Arc::new(rows::batches(self.rows));
                for number in 0..self.routes {
                    let sender = node.sender(route(number, number), &peer, rows::schema());
                    tasks.spawn(ends::send_on(sender, Arc::clone(&batches), Arc::clone(meter)));
                }
            }
        })
    }
}
