//! What is kept of the past.

use super::PG_CATALOG;
use super::cells::{Row, bigint, row, text, time};
use super::table::{SystemContext, SystemTable};
use crate::system::cells::Cell;

/// Snapshots with names: `AS OF RESTORE POINT` reads them.
pub(super) const RESTORE_POINTS: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_restore_points",
    columns: &[text("name"), bigint("snapshot"), time("created")],
    rows: restore_points,
};

fn restore_points(context: &SystemContext) -> Vec<Row> {
    let points = context.history.restore_points.iter();
    points.map(|(name, point)| row![name.as_str(), point.snapshot.0, Cell::Int(point.created_us)]).collect()
}
