//! Where a motion's rows go.

use crate::route_rows::Splitter;
use crate::sender::Sender;
use crate::{MotionDef, MotionKind, QeContext};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use std::sync::Arc;

/// Decides each batch's or row's destination.
pub(crate) enum Router {
    One,
    All,
    InTurn {
        next: usize,
        /// Positions.
        receivers: Vec<usize>,
    },
    ByHash {
        keys: Vec<Arc<dyn PhysicalExpr>>,
        splitter: Box<Splitter>,
    },
    /// To the segment that the row names.
    Named {
        segment: Arc<dyn PhysicalExpr>,
        splitter: Box<Splitter>,
    },
}

impl Router {
    pub(crate) fn new(def: &MotionDef, qe: &QeContext, schema: &SchemaRef, message_bytes: usize) -> Result<Self> {
        Ok(match &def.kind {
            MotionKind::Gather { .. } => Router::One,
            MotionKind::Broadcast => Router::All,
            // Senders start at different receivers, and queries too, so that small inputs do not all go to the first.
            MotionKind::RoundRobin { map } => {
                let map = qe.map(*map)?;
                let receivers = def.receivers.contents().into_iter().enumerate();
                let owners = receivers.filter(|(_, receiver)| map.owns_any(*receiver));
                let receivers = owners.map(|(position, _)| position).collect();
                let next = (qe.query.0 as usize).wrapping_add(qe.content.0.max(0) as usize);
                Router::InTurn { next, receivers }
            }
            MotionKind::Explicit { segment } => {
                let destinations = def.receivers.contents().last().map_or(0, |last| last.0 as usize + 1);
                let splitter = Splitter::to_named(Arc::clone(schema), destinations, message_bytes);
                Router::Named { segment: Arc::clone(segment), splitter: Box::new(splitter) }
            }
            MotionKind::Redistribute { keys, map } => {
                let splitter = Splitter::new(Arc::clone(schema), qe.map(*map)?, message_bytes);
                Router::ByHash { keys: keys.clone(), splitter: Box::new(splitter) }
            }
        })
    }

    pub(crate) async fn send(&mut self, batch: RecordBatch, sender: &mut Sender) -> Result<()> {
        match self {
            Router::One => sender.send(0, batch).await,
            Router::All => sender.send_to_all(batch).await,
            Router::InTurn { next, receivers } => {
                let receiver = *next % receivers.len();
                *next = receiver + 1;
                sender.send(receivers[receiver], batch).await
            }
            Router::ByHash { keys, splitter } => split(splitter, keys, batch, sender).await,
            Router::Named { segment, splitter } => split(splitter, std::slice::from_ref(segment), batch, sender).await,
        }
    }

    /// Whether rows wait for more of their destination.
    pub(crate) fn is_gathering(&self) -> bool {
        match self {
            Router::ByHash { splitter, .. } | Router::Named { splitter, .. } => splitter.is_gathering(),
            Router::One | Router::All | Router::InTurn { .. } => false,
        }
    }

    pub(crate) async fn flush(&mut self, sender: &mut Sender) -> Result<()> {
        if let Router::ByHash { splitter, .. } | Router::Named { splitter, .. } = self {
            splitter.flush()?;
            drain(splitter, sender).await?;
        }
        Ok(())
    }
}

async fn split(
    splitter: &mut Splitter,
    routing: &[Arc<dyn PhysicalExpr>],
    batch: RecordBatch,
    sender: &mut Sender,
) -> Result<()> {
    let rows = sender.split_rows(&batch);
    for start in (0..batch.num_rows()).step_by(rows) {
        let batch = batch.slice(start, rows.min(batch.num_rows() - start));
        let columns = routing.iter().map(|e| e.evaluate(&batch)?.into_array(batch.num_rows()));
        splitter.push(&batch, &columns.collect::<Result<Vec<_>>>()?)?;
        drain(splitter, sender).await?;
    }
    sender.gathers(splitter.buffered_bytes())
}

async fn drain(splitter: &mut Splitter, sender: &mut Sender) -> Result<()> {
    sender.gathers(splitter.buffered_bytes())?;
    let ready: Vec<_> = std::iter::from_fn(|| splitter.next_ready()).collect();
    sender.send_each(ready).await
}
