//! Every batch to many receivers.

use super::node::{BenchNode, route};
use super::{Run, ends};
use crate::error::BenchError;
use crate::message::{NodeSpec, Side, Task, Totals};
use crate::meter::Meter;
use crate::rows::{self, Rows};
use damson_cluster::Endpoint;
use damson_interconnect::BroadcastSender;
use std::sync::Arc;

/// One sender; each receiver has a task.
pub struct Broadcast {
    node: BenchNode,
    side: Side,
    receivers: usize,
}

impl Broadcast {
    pub fn new(spec: &NodeSpec, task: &Task, receivers: usize) -> Result<Self, BenchError> {
        Ok(Broadcast { node: BenchNode::new(spec, task)?, side: task.side, receivers })
    }
}

impl Run for Broadcast {
    fn address(&self) -> String {
        self.node.address()
    }

    fn run(&mut self, peer: &str, meter: &Arc<Meter>) -> Result<Totals, BenchError> {
        let (node, peer) = (&self.node.node, Endpoint(peer.into()));
        let mut totals = ends::run(&self.node, self.side, self.receivers, |tasks| {
            if self.side.receives() {
                for number in 0..self.receivers {
                    let receiver = node.receiver(route(0, number), rows::schema());
                    tasks.spawn(ends::receive_all(receiver, Arc::clone(meter)));
                }
            }
            if self.side.sends() {
                let routes: Vec<_> = (0..self.receivers).map(|number| (route(0, number), peer.clone())).collect();
                let sender = node.broadcast(&routes, rows::schema());
                let meter = Arc::clone(meter);
                tasks.spawn(async move { send_on(sender?, &meter).await });
            }
        })?;
        totals.broadcasts_encoded = self.node.node.stats().broadcasts_encoded;
        Ok(totals)
    }
}

async fn send_on(mut sender: BroadcastSender, meter: &Meter) -> Result<Totals, BenchError> {
    let batches = rows::batches(Rows::Random);
    let mut totals = Totals::default();
    for batch in batches.iter().cycle() {
        if meter.is_over() {
            break;
        }
        let bytes = ends::row_bytes(batch) * sender.send(batch.clone()).await?;
        meter.add(bytes);
        totals.bytes += bytes as u64;
        totals.batches += 1;
    }
    sender.finish().await?;
    Ok(totals)
}
