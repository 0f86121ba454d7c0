//! How many routes a query has on the node that has the most: the sizes of its messages and credits follow.

use crate::planner::SliceTable;
use damson_cluster::{Endpoint, Topology};
use damson_interconnect::QueryRoutes;
use damson_motion::{Gang, MotionDef, MotionRecvExec};
use datafusion::physical_plan::ExecutionPlan;
use std::collections::HashMap;
use std::sync::Arc;

/// The routes of the most loaded node; what other nodes have is no more.
pub(super) fn query_routes(table: &SliceTable, topology: &Topology) -> QueryRoutes {
    let mut motions = vec![];
    table.slices.iter().for_each(|slice| collect_motions(&slice.plan, &mut motions));
    most_loaded(&motions, topology)
}

fn collect_motions(plan: &Arc<dyn ExecutionPlan>, motions: &mut Vec<MotionDef>) {
    motions.extend(plan.downcast_ref::<MotionRecvExec>().map(|receive| receive.def().clone()));
    plan.children().into_iter().for_each(|child| collect_motions(child, motions));
}

fn most_loaded(motions: &[MotionDef], topology: &Topology) -> QueryRoutes {
    let mut nodes: HashMap<&Endpoint, QueryRoutes> = HashMap::new();
    for motion in motions {
        let (senders, receivers) = (motion.senders.size(), motion.receivers.size());
        let (senders_of, receivers_of) = (by_node(&motion.senders, topology), by_node(&motion.receivers, topology));
        for (node, mine) in &receivers_of {
            nodes.entry(node).or_default().incoming += mine * senders;
        }
        for (node, mine) in &senders_of {
            let routes = nodes.entry(node).or_default();
            let here = receivers_of.get(node).copied().unwrap_or_default();
            routes.outgoing += mine * receivers;
            routes.to_peers += mine * (receivers - here);
        }
    }
    nodes.into_values().fold(QueryRoutes::default(), QueryRoutes::max)
}

/// How many of a gang's QEs each node has.
fn by_node<'a>(gang: &Gang, topology: &'a Topology) -> HashMap<&'a Endpoint, usize> {
    let mut nodes = HashMap::new();
    for content in gang.contents() {
        *nodes.entry(topology.endpoint(content)).or_default() += 1;
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::{MotionId, SegmentSet};
    use damson_motion::MotionKind;

    /// Segments dealt out to nodes in turn; the master is a node of its own.
    fn topology(segments: usize, nodes: usize) -> Topology {
        let segments = (0..segments).map(|i| Endpoint(format!("node{}:1", i % nodes))).collect();
        Topology { master: Endpoint("master:1".into()), segments }
    }

    fn first_of(segments: usize) -> Gang {
        Gang::Segments(SegmentSet::first_of(segments))
    }

    fn motion(id: u32, senders: Gang, receivers: Gang) -> MotionDef {
        MotionDef { id: MotionId(id), kind: MotionKind::Broadcast, senders, receivers }
    }

    #[test]
    fn the_most_loaded_node_counts() {
        // 10 segments on 4 nodes: two of them have three.
        let motions = [motion(1, first_of(10), first_of(10)), motion(2, first_of(10), Gang::Entry)];
        let routes = most_loaded(&motions, &topology(10, 4));
        assert_eq!(routes, QueryRoutes { incoming: 30, outgoing: 33, to_peers: 3 * 7 + 3 });
    }

    #[test]
    fn within_a_process_nothing_goes_to_peers() {
        let one = Topology { master: Endpoint::in_process(), segments: vec![Endpoint::in_process(); 4] };
        let motions = [motion(1, first_of(4), first_of(4)), motion(2, first_of(4), Gang::Entry)];
        assert_eq!(most_loaded(&motions, &one), QueryRoutes { incoming: 20, outgoing: 20, to_peers: 0 });
    }

    #[test]
    fn fifty_segments_on_each_of_twenty_hosts() {
        let routes = most_loaded(&[motion(1, first_of(1000), first_of(1000))], &topology(1000, 20));
        assert_eq!(routes, QueryRoutes { incoming: 50_000, outgoing: 50_000, to_peers: 47_500 });
    }
}
