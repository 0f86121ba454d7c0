//! The counters as they are shown.

use damson_cluster::{ContentId, MotionId, QueryId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{AddAssign, Sub};

/// What has passed one end of a route, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// As they travelled: between processes a large batch is cut.
    pub batches: u64,
    pub rows: u64,
    /// Encoded, to and from peers; in memory within the process.
    pub bytes: u64,
    /// The sender's time without credit; the receiver's time without data.
    pub blocked_ns: u64,
    /// Written to disk by the reader, so that the sender could go on.
    pub spilled_bytes: u64,
}

impl AddAssign for Moved {
    fn add_assign(&mut self, other: Moved) {
        self.batches += other.batches;
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.blocked_ns += other.blocked_ns;
        self.spilled_bytes += other.spilled_bytes;
    }
}

/// What has passed since an earlier look.
impl Sub for Moved {
    type Output = Moved;

    fn sub(self, earlier: Moved) -> Moved {
        Moved {
            batches: self.batches - earlier.batches,
            rows: self.rows - earlier.rows,
            bytes: self.bytes - earlier.bytes,
            // That of a wait under way can be read a moment short.
            blocked_ns: self.blocked_ns.saturating_sub(earlier.blocked_ns),
            spilled_bytes: self.spilled_bytes - earlier.spilled_bytes,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Send,
    Receive,
}

/// What carries a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Transport {
    /// By pointer.
    InProcess,
    FlightUnix,
    FlightTls,
    FlightTcp,
    Quic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RouteState {
    Open,
    /// By end-of-stream.
    Ended,
    /// The receiver wanted no more.
    Stopped,
    Failed,
    /// The query ended here before the route did.
    Cancelled,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Send => "send",
            Direction::Receive => "receive",
        })
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::InProcess => "in-process",
            Transport::FlightUnix => "flight-unix",
            Transport::FlightTls => "flight-tls",
            Transport::FlightTcp => "flight-tcp",
            Transport::Quic => "quic",
        })
    }
}

impl fmt::Display for RouteState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RouteState::Open => "open",
            RouteState::Ended => "ended",
            RouteState::Stopped => "stopped",
            RouteState::Failed => "failed",
            RouteState::Cancelled => "cancelled",
        })
    }
}

/// One end of a route, or the ends of several of a motion that agree in everything but the peer. Made by
/// [`Node::route_stats`](crate::Node::route_stats).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStats {
    pub query: QueryId,
    pub motion: MotionId,
    pub direction: Direction,
    /// At this end.
    pub content: ContentId,
    /// At the other end; None where several routes are one line.
    pub peer: Option<ContentId>,
    /// How many ends this is about.
    pub routes: u64,
    /// None while no peer has come.
    pub transport: Option<Transport>,
    pub state: RouteState,
    pub moved: Moved,
}

/// Of one query: the routes themselves if they are at most `lines_max`, else a line for each motion, direction, content,
/// transport and state.
pub(crate) fn summary(routes: Vec<RouteStats>, lines_max: usize) -> Vec<RouteStats> {
    if routes.len() <= lines_max {
        return routes;
    }
    let mut lines: BTreeMap<_, RouteStats> = BTreeMap::new();
    for route in routes {
        let key = (route.motion, route.direction, route.content, route.transport, route.state);
        lines
            .entry(key)
            .and_modify(|line| {
                line.routes += route.routes;
                line.moved += route.moved;
            })
            .or_insert(RouteStats { peer: None, ..route });
    }
    lines.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(motion: u32, peer: i32, state: RouteState) -> RouteStats {
        RouteStats {
            query: QueryId(1),
            motion: MotionId(motion),
            direction: Direction::Send,
            content: ContentId(0),
            peer: Some(ContentId(peer)),
            routes: 1,
            transport: Some(Transport::InProcess),
            state,
            moved: Moved { batches: 1, rows: 2, bytes: 3, blocked_ns: 4, spilled_bytes: 5 },
        }
    }

    #[test]
    fn many_routes_become_a_line_a_motion() {
        let mut routes: Vec<_> = (0..9).map(|peer| route(1, peer, RouteState::Ended)).collect();
        routes.extend((0..3).map(|peer| route(2, peer, RouteState::Ended)));
        routes.push(route(2, 3, RouteState::Failed));
        assert_eq!(summary(routes.clone(), 13), routes);
        let lines = summary(routes, 12);
        let shape: Vec<_> = lines.iter().map(|l| (l.motion.0, l.routes, l.peer, l.state, l.moved.rows)).collect();
        let (ended, failed) = (RouteState::Ended, RouteState::Failed);
        assert_eq!(shape, [(1, 9, None, ended, 18), (2, 3, None, ended, 6), (2, 1, None, failed, 2)]);
        // A summary can be summed up again.
        assert_eq!(summary(lines.clone(), 1), lines);
    }
}
