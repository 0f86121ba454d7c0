//! Phase 1: the new segments, and the new bucket map.

use super::candidates;
use super::change::{Change, idle_segments, nothing_of, summary};
use super::cluster::Cluster;
use super::failure::ExpandFailure;
use super::record::{Detail, Record};
use super::tool::Tool;
use crate::shell::quoted;
use damson_gpexpand::{Event, Expansion, Step};

/// Records the change and carries it out.
///
/// # Errors
/// There is nothing to change; segments that do not come; the server's. Once it is recorded, the next run goes on.
pub(super) async fn set_up(tool: &mut Tool<'_>) -> Result<(), ExpandFailure> {
    let cluster = Cluster::read(&mut tool.session).await?;
    let tables = cluster.tables(&mut tool.session).await?;
    let change = Change::of_args(tool.args, &cluster, &tables)?;
    if change.is_nothing(&tables) {
        return Err(ExpandFailure::NothingToDo);
    }
    let (expansion, steps) = Expansion::new(change.plan);
    Record(&mut tool.session).create(&expansion).await?;
    tool.lock().await?;
    // Another tool may have gone on with it before the lock was this one's.
    match Record(&mut tool.session).load().await? {
        Some(now) if now == expansion => {}
        Some(now) => return Err(ExpandFailure::SetUpAlready(now.status())),
        None => return Err(ExpandFailure::NothingSetUp),
    }
    go_on(tool, expansion, steps).await
}

/// Carries out what phase 1 has left.
///
/// # Errors
/// As [`set_up`].
pub(super) async fn go_on(
    tool: &mut Tool<'_>,
    mut expansion: Expansion,
    steps: Vec<Step>,
) -> Result<(), ExpandFailure> {
    for step in steps {
        match step {
            Step::AddSegments(segments) => candidates::add(tool, &segments).await?,
            Step::SetMap(map) => {
                let old = Cluster::read(&mut tool.session).await?.newest().owners_text();
                if old != expansion.plan().old_map && old != map {
                    return Err(ExpandFailure::MapAltered { ours: map });
                }
                set_map(tool, &map).await?;
                Record(&mut tool.session).move_itself().await?;
                let cluster = Cluster::read(&mut tool.session).await?;
                let tables = cluster.tables_to_move(&mut tool.session).await?;
                let before = expansion.clone();
                let progress = tables.iter().map(super::cluster::Table::progress).collect();
                expansion.step(Event::MapSet { tables: progress })?;
                Record(&mut tool.session).save(&before, &expansion, &Detail::of_tables(&tables)).await?;
                tool.display
                    .say(&format!("The new bucket map is set: new tables are laid out by it; {}.", summary(&tables)));
                let idle = idle_segments(cluster.newest());
                if !idle.is_empty() {
                    tool.display.say(&format!("{} of new tables.", nothing_of(&idle)));
                }
                tool.display.say("Next: \"damson expand\" moves the tables, \"damson expand -r\" takes it back.");
            }
            // Of the other phases.
            Step::MoveNewTables | Step::MoveTable(_) | Step::CancelTable(_) | Step::DropRecord => {}
        }
    }
    Ok(())
}

/// Sets the map, unless it is set.
///
/// # Errors
/// The server's.
pub(super) async fn set_map(tool: &mut Tool<'_>, map: &str) -> Result<(), ExpandFailure> {
    let cluster = Cluster::read(&mut tool.session).await?;
    if cluster.newest().owners_text() != map {
        tool.session.execute(&format!("ALTER SYSTEM SET bucket_map = {}", quoted(map))).await?;
    }
    Ok(())
}
