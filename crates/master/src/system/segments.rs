//! `gp_segment_configuration` and `gp_waiting_segments`.

use super::PG_CATALOG;
use super::cells::{Row, integer, row, smallint, text};
use super::table::{SystemContext, SystemTable};
use damson_cluster::SegmentDef;

pub(super) const SEGMENT_CONFIGURATION: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_segment_configuration",
    columns: &[
        smallint("dbid"),
        smallint("content"),
        text("role"),
        text("preferred_role"),
        text("mode"),
        text("status"),
        integer("port"),
        text("hostname"),
        text("address"),
        text("datadir"),
    ],
    rows,
};

/// Without mirrors every role is primary (`p`) and every mode is not in sync (`n`).
fn rows(context: &SystemContext) -> Vec<Row> {
    let row = |segment: &SegmentDef| {
        let (host, port) = host_and_port(segment);
        let status = if segment.up { "u" } else { "d" };
        row![
            segment.dbid,
            segment.content.0,
            "p",
            "p",
            "n",
            status,
            port.map(i32::from),
            host,
            host,
            segment.data_dir.as_str()
        ]
    };
    context.segments.iter().map(row).collect()
}

/// A node of one process with the master has no port.
fn host_and_port(segment: &SegmentDef) -> (&str, Option<u16>) {
    let endpoint = segment.endpoint.0.as_str();
    let (host, port) = match endpoint.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => (host, Some(port)),
        None => (endpoint, None),
    };
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

/// Segments that have registered, and that the cluster has only once its bucket map names them.
pub(super) const WAITING_SEGMENTS: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_waiting_segments",
    columns: &[smallint("content"), integer("port"), text("address"), text("datadir")],
    rows: waiting,
};

fn waiting(context: &SystemContext) -> Vec<Row> {
    let row = |segment: &SegmentDef| {
        let (host, port) = host_and_port(segment);
        row![segment.content.0, port.map(i32::from), host, segment.data_dir.as_str()]
    };
    context.waiting.iter().map(row).collect()
}
