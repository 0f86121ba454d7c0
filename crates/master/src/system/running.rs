//! `gp_running_slices`: what every segment runs now.

use super::PG_CATALOG;
use super::cells::{Row, bigint, integer, row, smallint, text};
use super::table::{SystemContext, SystemTable};

pub(super) const RUNNING_SLICES: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_running_slices",
    columns: &[text("query_id"), integer("slice"), smallint("content"), bigint("elapsed_ms")],
    rows,
};

fn rows(context: &SystemContext) -> Vec<Row> {
    let row = |slice: &damson_motion::RunningSlice| {
        row![slice.query.to_string(), slice.slice.0, slice.content.0, slice.elapsed_ms as i64]
    };
    context.running.iter().map(row).collect()
}
