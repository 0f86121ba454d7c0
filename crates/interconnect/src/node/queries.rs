//! Which queries and routes a node has, and which it has had.

use super::NodeStats;
use crate::counters::{RouteState, RouteStats, summary};
use crate::inbox::Inbox;
use crate::limits::{COUNTED_LINES_PER_QUERY_MAX, ENDED_QUERIES_MAX, UNCLAIMED_ROUTE_LIFE};
use crate::outbox::Outbox;
use crate::{QueryRoutes, QuerySecret, RouteBudget, RouteError, Ticket};
use damson_cluster::{ContentId, QueryId, RouteKey};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Why a route is not opened.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The receiver's content has ended its part of the query: no more rows are wanted.
    Stopped,
    Failed(RouteError),
}

#[derive(Default)]
pub(super) struct Queries {
    live: HashMap<QueryId, Query>,
    /// Remembered so that late frames are refused, not held; the oldest are forgotten.
    ended: HashMap<QueryId, Ended>,
    ended_order: VecDeque<QueryId>,
    /// The newest query that has been forgotten. Ids only grow: an older one that is not live has ended, too.
    forgotten: Option<QueryId>,
}

/// A query with routes here. Frames may come before the query is opened: it is not open then.
#[derive(Default)]
struct Query {
    /// How many contents have opened it and not closed.
    open_count: usize,
    /// Of whoever opened it first; all were given the same.
    secret: Option<QuerySecret>,
    /// The most that it was opened with.
    routes: QueryRoutes,
    inboxes: HashMap<RouteKey, Arc<Inbox>>,
    outboxes: HashMap<RouteKey, Arc<Outbox>>,
}

#[derive(Default)]
struct Ended {
    /// None after a normal end, which is that of the named contents only: others may yet begin.
    reason: Option<RouteError>,
    receivers: HashSet<ContentId>,
}

/// Routes that are over; [`EndedRoutes::end`] tells their ends, without the lock on [`Queries`].
#[derive(Default)]
#[must_use]
pub(super) struct EndedRoutes {
    inboxes: Vec<(Arc<Inbox>, RouteError)>,
    outboxes: Vec<(Arc<Outbox>, RouteError)>,
    /// Of a content that has ended its part, and wants no more.
    unwanted: Vec<Arc<Inbox>>,
}

impl EndedRoutes {
    pub(super) fn end(self) {
        self.unwanted.into_iter().for_each(|inbox| inbox.stop());
        self.inboxes.into_iter().for_each(|(inbox, reason)| inbox.fail(reason));
        self.outboxes.into_iter().for_each(|(outbox, reason)| outbox.cancel(reason));
    }

    /// What the routes did; those that were open count as cancelled.
    pub(super) fn stats(&self) -> Vec<RouteStats> {
        let inboxes = self.inboxes.iter().map(|(inbox, _)| inbox).chain(&self.unwanted);
        let received = inboxes.flat_map(|inbox| inbox.route_stats());
        let mut stats: Vec<_> = received.chain(self.outboxes.iter().map(|(outbox, _)| outbox.route_stats())).collect();
        for route in stats.iter_mut().filter(|route| route.state == RouteState::Open) {
            route.state = RouteState::Cancelled;
        }
        stats
    }
}

impl Queries {
    /// Gives the routes that peers without the right to them had taken early.
    pub(super) fn open(
        &mut self,
        query: QueryId,
        routes: QueryRoutes,
        secret: QuerySecret,
        budget: impl Fn(QueryRoutes) -> RouteBudget,
    ) -> EndedRoutes {
        let live = self.live.entry(query).or_default();
        live.open_count += 1;
        let mut forged = EndedRoutes::default();
        if live.secret.is_none() {
            live.secret = Some(secret);
            let early = live.inboxes.extract_if(|_, inbox| !inbox.has_right_feeder(&secret));
            forged.inboxes.extend(early.map(|(route, inbox)| (inbox, RouteError::Forbidden { route })));
        }
        let routes = live.routes.max(routes);
        if routes != std::mem::replace(&mut live.routes, routes) {
            let credit = budget(routes).credit_bytes as u64;
            live.inboxes.values().for_each(|inbox| inbox.lower_credit(credit));
        }
        forged
    }

    /// The right to send on a route.
    ///
    /// # Errors
    /// The query has ended here, with a reason, or is not open.
    pub(super) fn ticket(&self, route: &RouteKey) -> Result<Ticket, RouteError> {
        if let Some(Ended { reason: Some(reason), .. }) = self.ended.get(&route.query) {
            return Err(reason.clone());
        }
        let secret = self.secret(route.query).ok_or(RouteError::Cancelled { query: route.query })?;
        Ok(secret.ticket(route))
    }

    /// None if the query is not open here.
    pub(super) fn secret(&self, query: QueryId) -> Option<QuerySecret> {
        self.live.get(&query).and_then(|live| live.secret)
    }

    pub(super) fn routes(&self, query: QueryId) -> QueryRoutes {
        self.live.get(&query).map_or_else(QueryRoutes::default, |live| live.routes)
    }

    /// `content`: whose part of the query ends, if it is that of one; nothing more is wanted for it.
    pub(super) fn close(
        &mut self,
        query: QueryId,
        content: Option<ContentId>,
        reason: Option<RouteError>,
    ) -> EndedRoutes {
        let mut over = EndedRoutes::default();
        if content.is_some() {
            self.note_ended(query, None, content);
        }
        let Some(live) = self.live.get_mut(&query) else {
            if reason.is_some() {
                self.note_ended(query, reason, []);
            }
            return over;
        };
        live.open_count = live.open_count.saturating_sub(1);
        let unwanted = live.inboxes.extract_if(|route, inbox| Some(route.receiver) == content && !inbox.is_claimed());
        over.unwanted.extend(unwanted.map(|(_, inbox)| inbox));
        if reason.is_none() && live.open_count > 0 {
            return over;
        }
        let mut live = self.live.remove(&query).unwrap_or_default();
        let cause = reason.clone().unwrap_or(RouteError::Cancelled { query });
        let mut receivers = HashSet::new();
        let mut unclaimed = HashMap::new();
        for (route, inbox) in live.inboxes.drain() {
            // Routes that came early, for a content that has not begun, stay: a normal end is not theirs.
            if reason.is_none() && !inbox.is_claimed() {
                unclaimed.insert(route, inbox);
            } else {
                receivers.insert(route.receiver);
                over.inboxes.push((inbox, cause.clone()));
            }
        }
        over.outboxes.extend(live.outboxes.drain().map(|(_, outbox)| (outbox, cause.clone())));
        if !unclaimed.is_empty() {
            self.live.insert(query, Query { inboxes: unclaimed, secret: live.secret, ..Query::default() });
        }
        self.note_ended(query, reason, receivers);
        over
    }

    fn note_ended(
        &mut self,
        query: QueryId,
        reason: Option<RouteError>,
        receivers: impl IntoIterator<Item = ContentId>,
    ) {
        let ended = self.ended.entry(query).or_insert_with(|| {
            self.ended_order.push_back(query);
            Ended::default()
        });
        ended.reason = ended.reason.take().or(reason);
        ended.receivers.extend(receivers);
        while self.ended_order.len() > ENDED_QUERIES_MAX {
            let Some(oldest) = self.ended_order.pop_front() else { break };
            self.ended.remove(&oldest);
            self.forgotten = self.forgotten.max(Some(oldest));
        }
    }

    /// A route's receiving side; the first of its two ends makes it.
    pub(super) fn inbox(&mut self, route: RouteKey, now: Instant) -> Result<Arc<Inbox>, Refusal> {
        if let Some(inbox) = self.live.get(&route.query).and_then(|live| live.inboxes.get(&route)) {
            return Ok(Arc::clone(inbox));
        }
        match self.ended.get(&route.query) {
            Some(Ended { reason: Some(reason), .. }) => return Err(Refusal::Failed(reason.clone())),
            Some(ended) if ended.receivers.contains(&route.receiver) => return Err(Refusal::Stopped),
            None if self.forgotten >= Some(route.query) && !self.live.contains_key(&route.query) => {
                return Err(Refusal::Failed(RouteError::Cancelled { query: route.query }));
            }
            _ => {}
        }
        let inbox = Arc::new(Inbox::new(route, now));
        self.live.entry(route.query).or_default().inboxes.insert(route, Arc::clone(&inbox));
        Ok(inbox)
    }

    /// # Errors
    /// The query has ended here, or the route has a sender.
    pub(super) fn add_outbox(&mut self, outbox: &Arc<Outbox>) -> Result<(), RouteError> {
        let route = outbox.route;
        if let Some(Ended { reason: Some(reason), .. }) = self.ended.get(&route.query) {
            return Err(reason.clone());
        }
        let live = self.live.get_mut(&route.query);
        let Some(live) = live.filter(|live| live.open_count > 0) else {
            return Err(RouteError::Cancelled { query: route.query });
        };
        match live.outboxes.insert(route, Arc::clone(outbox)) {
            None => Ok(()),
            Some(first) => {
                live.outboxes.insert(route, first);
                Err(RouteError::Protocol { route, message: "the route has a sender already".into() })
            }
        }
    }

    /// Takes out the routes of queries that are not open and that nobody has claimed in time.
    pub(super) fn collect(&mut self, now: Instant) -> EndedRoutes {
        let mut over = EndedRoutes::default();
        self.live.retain(|_, live| {
            if live.open_count > 0 {
                return true;
            }
            live.inboxes.retain(|&route, inbox| {
                let is_young = now.saturating_duration_since(inbox.made()) < UNCLAIMED_ROUTE_LIFE;
                if !is_young {
                    let message = "no receiver has claimed the route".into();
                    over.inboxes.push((Arc::clone(inbox), RouteError::Protocol { route, message }));
                }
                is_young
            });
            !live.inboxes.is_empty()
        });
        over
    }

    /// What the routes of open queries did so far.
    pub(super) fn route_stats(&self) -> Vec<RouteStats> {
        let of_query = |live: &Query| {
            let received = live.inboxes.values().flat_map(|inbox| inbox.route_stats());
            let routes = received.chain(live.outboxes.values().map(|outbox| outbox.route_stats())).collect();
            summary(routes, COUNTED_LINES_PER_QUERY_MAX)
        };
        self.live.values().flat_map(of_query).collect()
    }

    pub(super) fn stats(&self) -> NodeStats {
        let mut stats = NodeStats::default();
        for live in self.live.values() {
            stats.open_queries += usize::from(live.open_count > 0);
            stats.open_routes += live.inboxes.values().filter(|inbox| inbox.is_open()).count();
            stats.open_routes += live.outboxes.values().filter(|outbox| outbox.is_open()).count();
            stats.buffered_bytes += live.inboxes.values().map(|inbox| inbox.buffered_bytes()).sum::<u64>();
        }
        stats
    }
}
