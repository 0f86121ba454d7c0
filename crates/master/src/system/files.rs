//! Damson's own: files, rows per segment, skew.

use super::PG_CATALOG;
use super::cells::{Row, bigint, double, integer, row, smallint, text};
use super::table::{SystemContext, SystemTable};
use crate::catalog::TableEntry;
use damson_cluster::ContentId;
use std::collections::BTreeSet;

/// Every live file.
pub(super) const FILES: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_files",
    columns: &[
        text("table_schema"),
        text("table_name"),
        smallint("content"),
        text("path"),
        bigint("rows"),
        bigint("bytes"),
        integer("bucket_low"),
        integer("bucket_high"),
        text("checksum"),
        bigint("snapshot"),
    ],
    rows: files,
};

fn files(context: &SystemContext) -> Vec<Row> {
    let mut rows = Vec::new();
    for entry in context.state.tables() {
        for file in entry.files.iter() {
            rows.push(row![
                entry.def.schema.as_str(),
                entry.def.name.as_str(),
                file.content.0,
                file.path.as_str(),
                file.rows,
                file.bytes,
                file.buckets.map(|(low, _)| i32::from(low)),
                file.buckets.map(|(_, high)| i32::from(high)),
                format!("{:016x}", file.checksum),
                file.created.0
            ]);
        }
    }
    rows
}

/// Rows of each table on each segment, empty ones included.
pub(super) const SEGMENT_ROWS: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_segment_rows",
    columns: &[
        text("table_schema"),
        text("table_name"),
        smallint("content"),
        bigint("files"),
        bigint("rows"),
        bigint("bytes"),
    ],
    rows: segment_rows,
};

fn segment_rows(context: &SystemContext) -> Vec<Row> {
    let mut rows = Vec::new();
    for entry in context.state.tables() {
        for content in contents(context, entry) {
            let files = entry.files.of(content);
            let bytes: u64 = files.iter().map(|file| file.bytes).sum();
            rows.push(row![
                entry.def.schema.as_str(),
                entry.def.name.as_str(),
                content.0,
                files.len(),
                entry.files.rows_of(content),
                bytes
            ]);
        }
    }
    rows
}

/// The segments that a table is laid out over, and any others that have rows of it: of a random one, before it is laid out by the newest map.
fn contents(context: &SystemContext, entry: &TableEntry) -> BTreeSet<ContentId> {
    let map = context.state.bucket_map(entry.def.map_version);
    let owning = map.into_iter().flat_map(|map| map.owning_segments().iter());
    owning.chain(entry.files.contents().map(|(content, _)| content)).collect()
}

/// How evenly each table's rows lie: `skew` is how much more than the average the fullest segment has, 0 where even.
pub(super) const SKEW: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_skew",
    columns: &[
        text("table_schema"),
        text("table_name"),
        integer("segments"),
        bigint("rows_min"),
        double("rows_avg"),
        bigint("rows_max"),
        double("skew"),
    ],
    rows: skew,
};

fn skew(context: &SystemContext) -> Vec<Row> {
    let mut rows = Vec::new();
    for entry in context.state.tables() {
        let counts: Vec<u64> =
            contents(context, entry).into_iter().map(|content| entry.files.rows_of(content)).collect();
        let (min, max) = (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
        let average = counts.iter().sum::<u64>() as f64 / counts.len().max(1) as f64;
        let skew = if max == 0 { 0.0 } else { max as f64 / average - 1.0 };
        rows.push(row![entry.def.schema.as_str(), entry.def.name.as_str(), counts.len(), min, average, max, skew]);
    }
    rows
}
