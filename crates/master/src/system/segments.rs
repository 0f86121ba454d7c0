//! `gp_segment_configuration`.

use super::PG_CATALOG;
use super::cells::{Row, integer, row, smallint, text};
use super::table::{SystemContext, SystemTable};

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
    let row = |segment: &damson_cluster::SegmentDef| {
        let endpoint = segment.endpoint.0.as_str();
        // A node of one process with the master has no port.
        let (host, port) = match endpoint.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
            Some((host, port)) => (host, Some::<u16>(port)),
            None => (endpoint, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
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
