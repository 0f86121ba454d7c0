//! `gp_check`: files that are not as the catalog says. Reading it reads every file of every table.

use super::PG_CATALOG;
use super::cells::{Row, row, smallint, text};
use super::table::{SystemContext, SystemTable};

pub(super) const CHECK: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "gp_check",
    columns: &[smallint("gp_segment_id"), text("table_name"), text("path"), text("problem")],
    rows,
};

fn rows(context: &SystemContext) -> Vec<Row> {
    let row = |finding: &crate::dispatch::Finding| {
        let entry = finding.table.and_then(|table| context.state.table_by_id(table));
        let name = entry.map(|entry| entry.def.qualified_name());
        row![finding.content.0, name, finding.path.as_str(), finding.problem.as_str()]
    };
    context.findings.iter().map(row).collect()
}
