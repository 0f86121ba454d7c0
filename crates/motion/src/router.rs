//! Where a motion's rows go.

use crate::limits::SPLIT_ROWS_MAX;
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
    InTurn { next: usize, receivers: usize },
    ByHash { keys: Vec<Arc<dyn PhysicalExpr>>, splitter: Box<Splitter> },
}

impl Router {
    pub(crate) fn new(def: &MotionDef, qe: &QeContext, schema: &SchemaRef, message_bytes: usize) -> Result<Self> {
        Ok(match &def.kind {
            MotionKind::Gather { .. } => Router::One,
            MotionKind::Broadcast => Router::All,
            // Senders start at different receivers, so that small inputs do not all go to the first.
            MotionKind::RoundRobin => {
                Router::InTurn { next: qe.content.0.max(0) as usize, receivers: def.receivers.size() }
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
                let receiver = *next % *receivers;
                *next = receiver + 1;
                sender.send(receiver, batch).await
            }
            Router::ByHash { keys, splitter } => {
                for start in (0..batch.num_rows()).step_by(SPLIT_ROWS_MAX) {
                    let batch = batch.slice(start, SPLIT_ROWS_MAX.min(batch.num_rows() - start));
                    let columns = keys.iter().map(|k| k.evaluate(&batch)?.into_array(batch.num_rows()));
                    splitter.push(&batch, &columns.collect::<Result<Vec<_>>>()?)?;
                    drain(splitter, sender).await?;
                }
                sender.gathers(splitter.buffered_bytes())
            }
        }
    }

    /// Whether rows wait for more of their destination.
    pub(crate) fn is_gathering(&self) -> bool {
        matches!(self, Router::ByHash { splitter, .. } if splitter.is_gathering())
    }

    pub(crate) async fn flush(&mut self, sender: &mut Sender) -> Result<()> {
        if let Router::ByHash { splitter, .. } = self {
            splitter.flush()?;
            drain(splitter, sender).await?;
        }
        Ok(())
    }
}

async fn drain(splitter: &mut Splitter, sender: &mut Sender) -> Result<()> {
    sender.gathers(splitter.buffered_bytes())?;
    let ready: Vec<_> = std::iter::from_fn(|| splitter.next_ready()).collect();
    sender.send_each(ready).await
}

