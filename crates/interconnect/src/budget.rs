//! How large the messages and credits of a query's routes may be, so that what its motions hold on a node is bounded.

use crate::limits::{MESSAGE_BYTES, MESSAGE_BYTES_MIN, MESSAGE_BYTES_SHORT};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// Routes of one query on its most loaded node; every node is told the same by the master, so that a sender's messages fit
/// its receivers' reserves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryRoutes {
    /// Read by the node's contents.
    pub incoming: usize,
    /// Written by the node's contents.
    pub outgoing: usize,
    /// Those among `outgoing` that leave the process: what is under way on the others is the receiver's.
    pub to_peers: usize,
}

impl QueryRoutes {
    /// The larger of each number.
    #[must_use]
    pub fn max(self, other: QueryRoutes) -> QueryRoutes {
        QueryRoutes {
            incoming: self.incoming.max(other.incoming),
            outgoing: self.outgoing.max(other.outgoing),
            to_peers: self.to_peers.max(other.to_peers),
        }
    }
}

impl From<usize> for QueryRoutes {
    /// As many in as out, all of them to peers.
    fn from(routes: usize) -> Self {
        QueryRoutes { incoming: routes, outgoing: routes, to_peers: routes }
    }
}

/// Sizes for each route of a query. On one node the query's motions hold at most [`RouteBudget::bytes`]: what has arrived and
/// was not taken, what was sent and is not acknowledged, and what gathers for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteBudget {
    /// Most unacknowledged bytes; at least a message, so that each route has one reserved.
    pub credit_bytes: usize,
    /// Most bytes of rows in a message; a larger row goes alone.
    pub message_bytes: usize,
}

impl RouteBudget {
    /// The largest sizes that `memory_bytes_max` allows. As routes grow, first the credit shrinks, from `credit_bytes_max`
    /// to two messages; then the message, as long as it is no short one; then the credit to one message; then both.
    ///
    /// Below [`MESSAGE_BYTES_MIN`] nothing shrinks: the bound is then [`RouteBudget::bytes`], which grows with the routes.
    pub(crate) fn new(memory_bytes_max: usize, credit_bytes_max: usize, routes: QueryRoutes) -> Self {
        let credits = routes.incoming + routes.to_peers;
        let share = |parts: usize| NonZeroUsize::new(parts).map_or(usize::MAX, |parts| memory_bytes_max / parts);
        let credit_with = |message_bytes: usize| {
            let rest = memory_bytes_max.saturating_sub(routes.outgoing.saturating_mul(message_bytes));
            NonZeroUsize::new(credits).map_or(credit_bytes_max, |credits| rest / credits)
        };
        let message_bytes = if credit_with(MESSAGE_BYTES) >= 2 * MESSAGE_BYTES {
            MESSAGE_BYTES
        } else {
            let with_two = share(2 * credits + routes.outgoing);
            let with_one = share(credits + routes.outgoing);
            with_two.max(with_one.min(MESSAGE_BYTES_SHORT)).clamp(MESSAGE_BYTES_MIN, MESSAGE_BYTES)
        };
        let credit_bytes = credit_with(message_bytes).min(credit_bytes_max).max(message_bytes);
        RouteBudget { credit_bytes, message_bytes }
    }

    /// Most bytes that a query of so many routes holds with these sizes.
    pub fn bytes(self, routes: QueryRoutes) -> usize {
        (routes.incoming + routes.to_peers) * self.credit_bytes + routes.outgoing * self.message_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MOTION_MEMORY_BYTES_MAX, ROUTE_CREDIT_BYTES};

    /// One Redistribute between all segments, on hosts with equal shares of them.
    fn redistribute(segments: usize, hosts: usize) -> QueryRoutes {
        let mine = segments.div_ceil(hosts);
        QueryRoutes { incoming: mine * segments, outgoing: mine * segments, to_peers: mine * (segments - mine) }
    }

    fn budget(memory: usize, routes: QueryRoutes) -> RouteBudget {
        RouteBudget::new(memory, ROUTE_CREDIT_BYTES, routes)
    }

    #[test]
    fn the_bound_holds_up_to_a_thousand_segments() {
        for hosts in 1..=20 {
            for segments in hosts..=1000 {
                let routes = redistribute(segments, hosts);
                let budget = budget(MOTION_MEMORY_BYTES_MAX, routes);
                // All of 1,000 segments on one or two hosts are more than the smallest messages can make good.
                let has_room = routes.incoming + routes.outgoing + routes.to_peers <= MOTION_MEMORY_BYTES_MAX >> 10;
                assert!(budget.bytes(routes) <= MOTION_MEMORY_BYTES_MAX || !has_room, "{segments} on {hosts}");
                assert!(budget.credit_bytes >= budget.message_bytes, "{segments} on {hosts}: a message is reserved");
                assert!(budget.message_bytes >= MESSAGE_BYTES_MIN);
            }
        }
    }

    #[test]
    fn sizes_only_shrink_as_routes_grow() {
        for hosts in [1, 4, 20] {
            let budgets =
                (hosts..=1000).step_by(hosts).map(|n| budget(MOTION_MEMORY_BYTES_MAX, redistribute(n, hosts)));
            let budgets: Vec<_> = budgets.collect();
            for pair in budgets.windows(2) {
                assert!(pair[0].message_bytes >= pair[1].message_bytes, "{pair:?}");
            }
        }
    }

    #[test]
    fn the_table_of_the_architecture_is_calculated() {
        let architecture = include_str!("../../../ARCHITECTURE.md");
        let kib = |bytes: usize| format!("{:.1}", bytes as f64 / 1024.0);
        for (segments, hosts) in [(4, 1), (4, 4), (16, 4), (64, 4), (64, 1), (256, 4), (512, 10), (1000, 20)] {
            let routes = redistribute(segments, hosts);
            let budget = budget(MOTION_MEMORY_BYTES_MAX, routes);
            let row = format!(
                "| {segments} | {hosts} | {} | {} | {} | {} | {:.1} | {:.1} |",
                routes.incoming,
                routes.to_peers,
                kib(budget.message_bytes),
                kib(budget.credit_bytes),
                budget.bytes(routes) as f64 / f64::from(1 << 20),
                (routes.incoming * (256 << 10)) as f64 / f64::from(1 << 20),
            );
            assert!(architecture.contains(&row), "ARCHITECTURE.md lacks the row\n{row}");
        }
    }

    #[test]
    fn a_query_without_routes_has_the_largest_sizes() {
        let largest = RouteBudget { credit_bytes: ROUTE_CREDIT_BYTES, message_bytes: MESSAGE_BYTES };
        assert_eq!(budget(MOTION_MEMORY_BYTES_MAX, QueryRoutes::default()), largest);
        assert_eq!(budget(MOTION_MEMORY_BYTES_MAX, QueryRoutes::from(1)), largest);
        let tiny = budget(0, QueryRoutes::from(1));
        assert_eq!(tiny, RouteBudget { credit_bytes: MESSAGE_BYTES_MIN, message_bytes: MESSAGE_BYTES_MIN });
    }
}
