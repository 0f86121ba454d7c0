//! The open routes of a motion's sending end.

use crate::limits::SPLIT_ROWS_MAX;
use crate::memory::MotionMemory;
use crate::route_metrics::RouteMetrics;
use crate::send::route_error;
use crate::{MotionDef, MotionKind, QeContext};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use damson_cluster::ContentId;
use damson_interconnect::{BroadcastSender, RouteError, RouteSender, Sent, batch_bytes};
use datafusion::error::Result;
use futures::future::try_join_all;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The routes of one motion out of one QE, with what they cost and count.
pub(crate) struct Sender {
    /// By position, ascending.
    pub(crate) receivers: Vec<ContentId>,
    pub(crate) routes: Routes,
    pub(crate) metrics: RouteMetrics,
    pub(crate) memory: MotionMemory,
    /// What is reserved for gathering.
    pub(crate) gathered_bytes: usize,
}

/// By how many receivers get the same rows.
pub(crate) enum Routes {
    /// By position of the receiver; None once it has stopped.
    Each(Vec<Option<RouteSender>>),
    /// All receivers, for whom a batch is encoded once; None once the streams have ended.
    All(Option<Box<BroadcastSender>>),
}

impl Routes {
    /// Opens a motion's routes, each with at most `window_bytes` under way to a peer.
    ///
    /// # Errors
    /// A type that cannot be sent.
    pub(crate) fn open(def: &MotionDef, qe: &QeContext, schema: &SchemaRef, window_bytes: usize) -> Result<Self> {
        let receivers = def.receivers.contents().into_iter();
        let routes = receivers.map(|r| (qe.route(def.id, qe.content, r), qe.topology.endpoint(r).clone()));
        if matches!(def.kind, MotionKind::Broadcast) {
            let routes: Vec<_> = routes.collect();
            let mut all = qe.node.broadcast(&routes, Arc::clone(schema)).map_err(route_error)?;
            all.set_window(window_bytes);
            return Ok(Routes::All(Some(Box::new(all))));
        }
        let each = routes.map(|(route, endpoint)| {
            let mut route = qe.node.sender(route, &endpoint, Arc::clone(schema));
            route.set_window(window_bytes);
            Some(route)
        });
        Ok(Routes::Each(each.collect()))
    }
}

impl Sender {
    /// To the receiver at a position.
    pub(crate) async fn send(&mut self, receiver: usize, batch: RecordBatch) -> Result<()> {
        match &mut self.routes {
            Routes::Each(routes) => send(&mut routes[receiver], batch, &self.metrics).await,
            Routes::All(_) => unreachable!("a broadcast has no single receiver"),
        }
    }

    pub(crate) async fn send_to_all(&mut self, batch: RecordBatch) -> Result<()> {
        let Routes::All(Some(all)) = &mut self.routes else { unreachable!("only an open broadcast sends to all") };
        let before = all.moved();
        let sent = all.send(batch).await;
        self.metrics.add(all.moved() - before);
        sent.map(|_| ()).map_err(route_error)
    }

    /// Sends to several receivers at once: one that must wait for credit holds up none of the others' batches. Those of
    /// one receiver stay in order.
    ///
    /// # Panics
    /// If rows are for a segment that is not among the receivers: a plan's gang has every owner of each of its maps.
    pub(crate) async fn send_each(&mut self, mut batches: Vec<(ContentId, RecordBatch)>) -> Result<()> {
        if batches.len() <= 1 {
            let Some((receiver, batch)) = batches.pop() else { return Ok(()) };
            let position = self.receivers.binary_search(&receiver);
            let position = position.unwrap_or_else(|_| panic!("rows for {receiver}, which does not receive"));
            return self.send(position, batch).await;
        }
        batches.sort_by_key(|(receiver, _)| *receiver);
        let mut batches = batches.into_iter().peekable();
        let Routes::Each(routes) = &mut self.routes else { unreachable!("a broadcast has no single receiver") };
        let sends = routes.iter_mut().zip(&self.receivers).filter_map(|(route, receiver)| {
            let is_its = |(to, _): &(ContentId, RecordBatch)| to == receiver;
            let its: Vec<_> = std::iter::from_fn(|| batches.next_if(is_its)).collect();
            (!its.is_empty()).then_some((route, its))
        });
        let sends: Vec<_> = sends.collect();
        let left = batches.next().map(|(receiver, _)| receiver);
        assert!(left.is_none(), "rows for {left:?}, which does not receive");
        let metrics = &self.metrics;
        let sends = sends.into_iter().map(async |(route, batches)| {
            for (_, batch) in batches {
                send(route, batch, metrics).await?;
            }
            Ok(())
        });
        try_join_all(sends).await.map(|_: Vec<()>| ())
    }

    /// How many of a batch's rows to split at once: what is ready then waits beside what is gathered, half a message for each
    /// destination on average.
    pub(crate) fn split_rows(&self, batch: &RecordBatch) -> usize {
        let row_bytes = batch_bytes(batch) as usize / batch.num_rows().max(1);
        (self.gathered_bytes / 2 / row_bytes.max(1)).clamp(1, SPLIT_ROWS_MAX)
    }

    /// Notes how much the splitter holds.
    pub(crate) fn gathers(&self, bytes: usize) -> Result<()> {
        self.memory.hold_more(bytes.saturating_sub(self.gathered_bytes))
    }

    pub(crate) fn all_stopped(&self) -> bool {
        match &self.routes {
            Routes::Each(routes) => routes.iter().all(|route| route.as_ref().is_none_or(RouteSender::is_stopped)),
            Routes::All(all) => all.as_ref().is_none_or(|all| all.all_stopped()),
        }
    }

    /// Ready once no receiver wants more rows, or none can be reached.
    pub(crate) fn poll_closed(&self, context: &mut Context<'_>) -> Poll<()> {
        let is_open = match &self.routes {
            // One that is open is enough to wait for.
            Routes::Each(routes) => routes.iter().flatten().any(|route| route.poll_closed(context).is_pending()),
            Routes::All(all) => all.as_ref().is_some_and(|all| all.poll_closed(context).is_pending()),
        };
        if is_open { Poll::Pending } else { Poll::Ready(()) }
    }

    pub(crate) async fn finish(&mut self) -> Result<()> {
        match &mut self.routes {
            Routes::Each(routes) => {
                // All ends leave before the first arrival is waited for.
                let ends = routes.iter_mut().filter_map(Option::take).map(RouteSender::finish);
                try_join_all(ends).await.map(|_: Vec<()>| ()).map_err(route_error)
            }
            Routes::All(all) => match all.take() {
                Some(all) => all.finish().await.map_err(route_error),
                None => Ok(()),
            },
        }
    }

    pub(crate) async fn fail(&mut self, cause: RouteError) {
        match &mut self.routes {
            Routes::Each(routes) => {
                for route in routes.iter_mut().filter_map(Option::take) {
                    route.fail(cause.clone()).await;
                }
            }
            Routes::All(all) => {
                if let Some(all) = all.take() {
                    all.fail(cause).await;
                }
            }
        }
    }
}

/// Sends on one route, which is None once its receiver has stopped.
async fn send(slot: &mut Option<RouteSender>, batch: RecordBatch, metrics: &RouteMetrics) -> Result<()> {
    let Some(route) = slot else { return Ok(()) };
    let before = route.moved();
    let sent = route.send(batch).await;
    metrics.add(route.moved() - before);
    if sent.map_err(route_error)? == Sent::Stopped {
        *slot = None;
    }
    Ok(())
}
