//! `gp_copy_history`: which files were loaded into which tables.

use super::PG_CATALOG;
use super::cells::{Cell, Row, bigint, row, text, time};
use super::table::{SystemContext, SystemTable};

pub(super) const HISTORY: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_copy_history",
    columns: &[
        text("table_schema"),
        text("table_name"),
        text("url"),
        text("etag"),
        bigint("bytes"),
        time("modified"),
        bigint("rows"),
        time("loaded_at"),
        bigint("snapshot"),
    ],
    rows,
};

/// `rows` is of the statement that loaded the file. What TRUNCATE and DROP have forgotten is not there; nor is a table that the
/// statement's snapshot does not have.
fn rows(context: &SystemContext) -> Vec<Row> {
    let row = |copied: &crate::catalog::CopiedFile| {
        let def = &context.state.table_by_id(copied.table)?.def;
        Some(row![
            def.schema.as_str(),
            def.name.as_str(),
            copied.file.url.as_str(),
            copied.file.etag.as_deref(),
            copied.file.bytes,
            copied.file.modified_us,
            copied.rows,
            Cell::Int(copied.loaded_us),
            copied.snapshot.0
        ])
    };
    context.copied.iter().filter_map(row).collect()
}
