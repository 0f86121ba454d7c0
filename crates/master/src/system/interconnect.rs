//! `gp_interconnect_stats` and `gp_interconnect_nodes`: what routes did, and what nodes hold.

use super::PG_CATALOG;
use super::cells::{Row, bigint, double, integer, row, smallint, text};
use super::table::{SystemContext, SystemTable};
use damson_cluster::{ContentId, Endpoint};
use damson_interconnect::RouteStats;
use damson_motion::NodeReport;

/// One node of the cluster and what it said of itself.
#[derive(Clone, Debug)]
pub struct InterconnectNode {
    pub endpoint: Endpoint,
    pub contents: Vec<ContentId>,
    pub report: NodeReport,
}

pub(super) const STATS: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_interconnect_stats",
    columns: &[
        smallint("gp_segment_id"),
        text("query_id"),
        integer("motion"),
        text("direction"),
        smallint("peer"),
        bigint("routes"),
        text("driver"),
        text("state"),
        bigint("batches"),
        bigint("rows"),
        bigint("bytes"),
        double("blocked_ms"),
        bigint("spilled_bytes"),
    ],
    rows: stats,
};

fn stats(context: &SystemContext) -> Vec<Row> {
    let row = |route: &RouteStats| {
        let moved = &route.moved;
        row![
            route.content.0,
            route.query.to_string(),
            route.motion.0,
            route.direction.to_string(),
            route.peer.map(|peer| peer.0),
            route.routes,
            route.transport.map(|transport| transport.to_string()),
            route.state.to_string(),
            moved.batches,
            moved.rows,
            moved.bytes,
            moved.blocked_ns as f64 / 1e6,
            moved.spilled_bytes
        ]
    };
    context.interconnect.iter().flat_map(|node| &node.report.routes).map(row).collect()
}

pub(super) const NODES: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_interconnect_nodes",
    columns: &[
        text("endpoint"),
        text("contents"),
        bigint("connections"),
        bigint("open_queries"),
        bigint("open_routes"),
        bigint("buffered_bytes"),
    ],
    rows: nodes,
};

fn nodes(context: &SystemContext) -> Vec<Row> {
    let row = |node: &InterconnectNode| {
        let contents: Vec<String> = node.contents.iter().map(|content| content.0.to_string()).collect();
        let stats = &node.report.stats;
        row![
            node.endpoint.0.as_str(),
            contents.join(","),
            stats.connections,
            stats.open_queries,
            stats.open_routes,
            stats.buffered_bytes
        ]
    };
    context.interconnect.iter().map(row).collect()
}
