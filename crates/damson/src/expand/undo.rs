//! `-r` and `-c`: back to the old map, and the end of the record.

use super::change::{idle_segments, nothing_of};
use super::cluster::Cluster;
use super::failure::ExpandFailure;
use super::interview::on_terminal;
use super::record::{Detail, Record};
use super::setup::set_map;
use super::tool::Tool;
use damson_gpexpand::{Event, Expansion, ExpansionError, Step};
use std::io::{self, IsTerminal, Write};

/// Sets the old map, brings tables that were made meanwhile back to it, and drops the record.
///
/// # Errors
/// A table has moved already; the server's. The next rollback goes on then.
pub(super) async fn roll_back(tool: &mut Tool<'_>, mut expansion: Expansion) -> Result<(), ExpandFailure> {
    let before = expansion.clone();
    expansion.recover();
    // Another's map is not taken back with ours.
    let newest = Cluster::read(&mut tool.session).await?.newest().owners_text();
    let plan = expansion.plan();
    if newest != plan.old_map && newest != plan.new_map {
        return Err(ExpandFailure::MapAltered { ours: plan.new_map.clone() });
    }
    let steps = expansion.step(Event::Rollback)?;
    Record(&mut tool.session).save(&before, &expansion, &Detail::default()).await?;
    for step in steps {
        match step {
            Step::SetMap(map) => set_map(tool, &map).await?,
            Step::MoveNewTables => {
                let cluster = Cluster::read(&mut tool.session).await?;
                for table in cluster.tables_to_move(&mut tool.session).await? {
                    tool.display.waiting(&format!("moving {} back", table.full_name()));
                    tool.session.execute(&format!("ALTER TABLE IF EXISTS {} EXPAND TABLE", table.sql_name())).await?;
                }
                tool.display.waited();
            }
            Step::DropRecord => drop_record(tool).await?,
            // Of the other phases.
            Step::AddSegments(_) | Step::MoveTable(_) | Step::CancelTable(_) => {}
        }
    }
    tool.display.say("The old bucket map is set again, and the expansion's record is dropped.");
    let cluster = Cluster::read(&mut tool.session).await?;
    let idle = idle_segments(cluster.newest());
    if !idle.is_empty() {
        tool.display.say(&format!(
            "{}. They stay part of the cluster, and -i FILE can give them buckets again.",
            nothing_of(&idle)
        ));
    }
    Ok(())
}

/// Drops the record.
///
/// # Errors
/// Tables are left, and that is not confirmed; the server's.
pub(super) async fn clean(tool: &mut Tool<'_>, mut expansion: Expansion) -> Result<(), ExpandFailure> {
    expansion.recover();
    let is_confirmed = tool.args.no_prompt;
    match expansion.step(Event::Clean { is_confirmed }) {
        Ok(_) => {}
        Err(error @ ExpansionError::NotComplete { .. }) => {
            let question = format!("{error}. Drop the record all the same? [y/N] ");
            if !io::stdin().is_terminal() || !on_terminal(move || confirm(&question)).await? {
                return Err(error.into());
            }
            expansion.step(Event::Clean { is_confirmed: true })?;
        }
        Err(error) => return Err(error.into()),
    }
    drop_record(tool).await?;
    tool.display.say("The expansion's record is dropped.");
    let left = Cluster::read(&mut tool.session).await?.tables_to_move(&mut tool.session).await?;
    if !left.is_empty() {
        // Of transactions that are older than the map, or of an expansion that was given up.
        let names: Vec<String> = left.iter().map(|table| table.full_name()).collect();
        tool.display.say(&format!(
            "Laid out by an older bucket map, on segments that have to run: {}. The next expansion, or ALTER TABLE … EXPAND TABLE, moves what has to.",
            names.join(", ")
        ));
    }
    Ok(())
}

/// The lock is of one of its tables.
async fn drop_record(tool: &mut Tool<'_>) -> Result<(), ExpandFailure> {
    tool.unlock().await;
    Record(&mut tool.session).drop().await
}

fn confirm(question: &str) -> io::Result<bool> {
    eprint!("{question}");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
