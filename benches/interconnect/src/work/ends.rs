//! Tasks that send and receive on routes, and what they add up to.

use super::node::{BenchNode, QUERY};
use crate::error::BenchError;
use crate::limits::ROW_BYTES;
use crate::message::{Side, Totals};
use crate::meter::Meter;
use arrow::array::RecordBatch;
use damson_interconnect::{QueryRoutes, QuerySecret, RouteReceiver, RouteSender, Sent};
use futures::StreamExt;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Of the one query: both processes are the benchmark's.
const SECRET: QuerySecret = QuerySecret::from_bytes([0; 16]);

/// Tasks of one process; each gives its totals.
pub type Tasks = JoinSet<Result<Totals, BenchError>>;

/// Opens the query of so many routes, starts the tasks on the threads for rows, and waits for all of them.
pub fn run(node: &BenchNode, side: Side, routes: usize, start: impl FnOnce(&mut Tasks)) -> Result<Totals, BenchError> {
    // Both nodes are told the same, so that they agree on the size of messages.
    let to_peers = if side == Side::Both { 0 } else { routes };
    node.node.open_query(QUERY, QueryRoutes { incoming: routes, outgoing: routes, to_peers }, SECRET);
    let result = node.block_on(async {
        let mut tasks = JoinSet::new();
        start(&mut tasks);
        let mut totals = Totals::default();
        while let Some(done) = tasks.join_next().await {
            let done = done.map_err(|error| BenchError::Process(error.to_string()))??;
            totals.bytes += done.bytes;
            totals.encoded_bytes += done.encoded_bytes;
            totals.batches += done.batches;
        }
        Ok(totals)
    });
    node.node.close_query(QUERY, None);
    result
}

/// Bytes of a batch's rows, as they are counted on both sides.
pub fn row_bytes(batch: &RecordBatch) -> usize {
    batch.num_rows() * ROW_BYTES
}

/// Sends the batches again and again until the time is over.
pub async fn send_on(
    mut sender: RouteSender,
    batches: Arc<Vec<RecordBatch>>,
    meter: Arc<Meter>,
) -> Result<Totals, BenchError> {
    let mut totals = Totals::default();
    for batch in batches.iter().cycle() {
        if meter.is_over() {
            break;
        }
        send(&mut sender, batch.clone(), &meter, &mut totals).await?;
    }
    finish(sender, totals).await
}

/// Sends one batch and counts it.
pub async fn send(
    sender: &mut RouteSender,
    batch: RecordBatch,
    meter: &Meter,
    totals: &mut Totals,
) -> Result<(), BenchError> {
    let bytes = row_bytes(&batch);
    if sender.send(batch).await? == Sent::Stopped {
        return Err(BenchError::Process(format!("{}: the receiver stopped", sender.route())));
    }
    meter.add(bytes);
    totals.bytes += bytes as u64;
    totals.batches += 1;
    Ok(())
}

/// Ends a route; its encoded bytes are in the totals then.
pub async fn finish(sender: RouteSender, mut totals: Totals) -> Result<Totals, BenchError> {
    totals.encoded_bytes += sender.bytes_sent();
    sender.finish().await?;
    Ok(totals)
}

/// Takes batches until they end.
pub async fn receive_all(mut receiver: RouteReceiver, meter: Arc<Meter>) -> Result<Totals, BenchError> {
    let mut totals = Totals::default();
    while let Some(batch) = receiver.next().await {
        let bytes = row_bytes(&batch?);
        meter.add(bytes);
        totals.bytes += bytes as u64;
    }
    Ok(totals)
}
