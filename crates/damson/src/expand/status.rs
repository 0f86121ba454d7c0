//! `--status` and `--plan`: what is, and what would be.

use super::change::{Change, describe_rest};
use super::cluster::{Cluster, Table};
use super::failure::ExpandFailure;
use super::record::PROGRESS_IN_ORDER;
use super::tool::Tool;
use crate::shell::{Interrupt, TableOutput, run_statement, say};
use damson_gpexpand::Expansion;
use std::io;

const TABLES: &str = "SELECT fq_name, rank, status, expansion_started, expansion_finished, source_bytes, rows_moved, \
                      bytes_moved FROM gpexpand.status_detail ORDER BY rank, table_oid";
const SINCE: &str = "SELECT max(updated) FROM gpexpand.status";

/// # Errors
/// The server's.
pub(super) async fn show(
    tool: &mut Tool<'_>,
    expansion: &Expansion,
    interrupt: &mut Interrupt,
) -> Result<(), ExpandFailure> {
    let since = tool.session.rows(SINCE).await?;
    let since = since.first().map(|row| row.text(0)).transpose()?.unwrap_or_default();
    say(&format!("{} since {since} UTC\n", expansion.status()))?;
    for query in [PROGRESS_IN_ORDER, TABLES] {
        let mut output = TableOutput::new(io::stdout(), false);
        run_statement(&mut tool.session.0, query, &mut output, interrupt).await?;
    }
    Ok(())
}

/// What the options would do; without any, what is left to do.
///
/// # Errors
/// As the change itself; the server's.
pub(super) async fn plan(tool: &mut Tool<'_>) -> Result<(), ExpandFailure> {
    let cluster = Cluster::read(&mut tool.session).await?;
    let tables = cluster.tables(&mut tool.session).await?;
    if tool.args.names_a_change() {
        return Ok(say(Change::of_args(tool.args, &cluster, &tables)?.describe(&tables).trim_end())?);
    }
    let left: Vec<&Table> = tables.iter().filter(|table| !table.is_laid_out_by(cluster.newest())).collect();
    Ok(say(describe_rest(&left, cluster.newest()).trim_end())?)
}
