//! `gp_stat_progress_copy`: COPYs that are under way.

use super::PG_CATALOG;
use super::cells::{Row, bigint, row, smallint, text};
use super::table::{SystemContext, SystemTable};

pub(super) const PROGRESS: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_stat_progress_copy",
    columns: &[
        bigint("pid"),
        text("query_id"),
        text("schemaname"),
        text("relname"),
        text("command"),
        text("phase"),
        smallint("segment"),
        bigint("files_total"),
        bigint("files_done"),
        bigint("bytes_total"),
        bigint("bytes_processed"),
        bigint("rows"),
        bigint("rejected"),
        bigint("elapsed_ms"),
    ],
    rows,
};

/// A row for each segment; while nobody has a share yet, one of all files with NULL as its segment. `pid` is the session's number. A file
/// that is cut counts once for each segment that has a piece of it.
fn rows(context: &SystemContext) -> Vec<Row> {
    let row = |copy: &crate::copies::CopyRow| {
        let counts = &copy.counts;
        row![
            copy.session.0,
            copy.query.map(|query| query.to_string()),
            copy.schema.as_str(),
            copy.table.as_str(),
            copy.command,
            copy.phase,
            copy.content.map(|content| content.0),
            counts.units,
            counts.units_done,
            counts.bytes,
            counts.bytes_done,
            counts.rows,
            counts.rejected,
            copy.elapsed_ms
        ]
    };
    context.copies.iter().map(row).collect()
}
