//! What the routes of queries that have ended did.

use super::{RouteStats, summary};
use crate::limits::{COUNTED_LINES_MAX, COUNTED_LINES_PER_QUERY_MAX, COUNTED_QUERIES_MAX};
use damson_cluster::QueryId;
use std::collections::VecDeque;

/// The last ended queries of a node and their routes, bounded in number and in lines.
#[derive(Default)]
pub(crate) struct History {
    /// The latest last.
    queries: VecDeque<(QueryId, Vec<RouteStats>)>,
    lines: usize,
}

impl History {
    /// Remembers ended routes of one query; a query can end in several steps.
    pub(crate) fn remember(&mut self, query: QueryId, mut routes: Vec<RouteStats>) {
        if routes.is_empty() {
            return;
        }
        if let Some(at) = self.queries.iter().rposition(|(known, _)| *known == query)
            && let Some((_, earlier)) = self.queries.remove(at)
        {
            self.lines -= earlier.len();
            routes.splice(0..0, earlier);
        }
        let lines = summary(routes, COUNTED_LINES_PER_QUERY_MAX);
        self.lines += lines.len();
        self.queries.push_back((query, lines));
        while self.queries.len() > COUNTED_QUERIES_MAX || (self.lines > COUNTED_LINES_MAX && self.queries.len() > 1) {
            if let Some((_, oldest)) = self.queries.pop_front() {
                self.lines -= oldest.len();
            }
        }
    }

    /// The oldest query first.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &RouteStats> {
        self.queries.iter().flat_map(|(_, lines)| lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{Direction, RouteCounters};
    use damson_cluster::{ContentId, MotionId, RouteKey};

    fn routes(query: u64, count: usize) -> Vec<RouteStats> {
        let route = |receiver| RouteKey {
            query: QueryId(query),
            motion: MotionId(1),
            sender: ContentId(0),
            receiver: ContentId(receiver),
        };
        let counters = RouteCounters::default();
        counters.add_rows(1);
        (0..count as i32).map(|receiver| counters.stats(route(receiver), Direction::Send)).collect()
    }

    fn queries(history: &History) -> Vec<u64> {
        history.queries.iter().map(|(query, _)| query.0).collect()
    }

    #[test]
    fn the_oldest_queries_are_forgotten() {
        let mut history = History::default();
        let last = COUNTED_QUERIES_MAX as u64 + 2;
        (1..=last).for_each(|query| history.remember(QueryId(query), routes(query, 2)));
        history.remember(QueryId(last + 1), vec![]);
        assert_eq!(queries(&history), (3..=last).collect::<Vec<_>>());
        assert_eq!((history.lines().count(), history.lines), (2 * COUNTED_QUERIES_MAX, 2 * COUNTED_QUERIES_MAX));
    }

    #[test]
    fn lines_are_bounded_whatever_the_queries_have() {
        let mut history = History::default();
        for query in 1..=20 {
            history.remember(QueryId(query), routes(query, COUNTED_LINES_PER_QUERY_MAX));
            assert!(history.lines <= COUNTED_LINES_MAX);
        }
        assert_eq!(queries(&history), [17, 18, 19, 20]);
        history.remember(QueryId(21), routes(21, COUNTED_LINES_PER_QUERY_MAX + 1));
        let summed: Vec<_> = history.lines().filter(|line| line.query == QueryId(21)).collect();
        assert_eq!(summed.len(), 1, "too many routes are one line");
        let expected = COUNTED_LINES_PER_QUERY_MAX as u64 + 1;
        assert_eq!((summed[0].routes, summed[0].moved.rows, summed[0].peer), (expected, expected, None));
    }

    #[test]
    fn a_query_that_ends_in_steps_is_one_query() {
        let mut history = History::default();
        history.remember(QueryId(1), routes(1, 2));
        history.remember(QueryId(2), routes(2, 1));
        history.remember(QueryId(1), routes(1, 3));
        assert_eq!(queries(&history), [2, 1]);
        assert_eq!((history.lines().count(), history.lines), (6, 6));
    }
}
