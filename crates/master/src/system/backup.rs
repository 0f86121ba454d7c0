//! `gp_stat_progress_backup`: backups and restores that are under way.

use super::PG_CATALOG;
use super::cells::{Row, bigint, row, text};
use super::table::{SystemContext, SystemTable};

pub(super) const PROGRESS: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_stat_progress_backup",
    columns: &[
        bigint("pid"),
        text("command"),
        text("place"),
        text("phase"),
        bigint("files_total"),
        bigint("files_done"),
        bigint("bytes_total"),
        bigint("bytes_done"),
        bigint("bytes_copied"),
        bigint("elapsed_ms"),
    ],
    rows,
};

/// `pid` is the session's number. What was there already is done, and not copied.
fn rows(context: &SystemContext) -> Vec<Row> {
    let row = |transfer: &crate::backup::TransferRow| {
        row![
            transfer.session.0,
            transfer.command,
            transfer.place.as_str(),
            transfer.phase,
            transfer.files_total,
            transfer.done.files,
            transfer.bytes_total,
            transfer.done.bytes,
            transfer.done.new_bytes,
            transfer.elapsed_ms
        ]
    };
    context.transfers.iter().map(row).collect()
}
