//! `damson state`, Greenplum's `gpstate`: which segments are up, and with `-x` where an expansion is.

use super::cluster::Cluster;
use super::failure::{ExpandFailure, spoken};
use super::record::{PROGRESS_IN_ORDER, Record, TOOL_TABLE};
use super::session::Session;
use crate::shell::{Failure, Interrupt, Server, TableOutput, run_statement, say, tables};
use damson_cluster::ContentId;
use damson_gpexpand::ExpansionStatus;
use std::io;
use std::process::ExitCode;

const SEGMENTS: &str = "SELECT content, hostname, port, datadir, CASE WHEN status = 'u' THEN 'up' ELSE 'down' END AS status \
                        FROM gp_segment_configuration ORDER BY content";
const SINCE: &str = "SELECT max(updated) FROM gpexpand.status";
const TABLES_LEFT: &str = "SELECT fq_name, rank, status, source_bytes FROM gpexpand.status_detail \
                           WHERE status IN ('NOT STARTED', 'IN PROGRESS') ORDER BY rank, table_oid";

/// Shows the segments and whether they are up, or with -x where an expansion of the cluster is.
///
/// Without -x it exits with 1 if a segment is down.
#[derive(Clone, Debug, clap::Args)]
pub struct StateArgs {
    #[command(flatten)]
    server: Server,
    /// Where an expansion is, whether "damson expand" is at work, and which tables are left.
    #[arg(short = 'x', long)]
    expansion: bool,
}

/// Runs it to its end. Errors go to stderr.
pub fn state(args: &StateArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ERROR:  cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(work(args)) {
        Ok(code) => code,
        Err(failure) => {
            eprint!("{}", failure.report());
            ExitCode::FAILURE
        }
    }
}

async fn work(args: &StateArgs) -> Result<ExitCode, ExpandFailure> {
    let mut interrupt = Interrupt::install().map_err(Failure::from)?;
    let mut session = Session::open(&args.server).await?;
    let done = match args.expansion {
        true => show_expansion(&mut session, &mut interrupt).await.map(|()| ExitCode::SUCCESS),
        false => show_segments(&mut session, &mut interrupt).await,
    };
    session.close().await;
    done
}

async fn show_segments(session: &mut Session, interrupt: &mut Interrupt) -> Result<ExitCode, ExpandFailure> {
    show(session, SEGMENTS, interrupt).await?;
    let cluster = Cluster::read(session).await?;
    let in_use = cluster.in_use(&cluster.tables(session).await?);
    let (down, stopped): (Vec<ContentId>, Vec<ContentId>) =
        cluster.down().partition(|content| in_use.contains(*content));
    say(&summary(cluster.segments.len() - stopped.len(), &down, &stopped))?;
    Ok(if down.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `stopped`: down, too, and nobody needs them.
fn summary(segments: usize, down: &[ContentId], stopped: &[ContentId]) -> String {
    let count = format!("{segments} segment{}", if segments == 1 { "" } else { "s" });
    let mut text = match down {
        [] => format!("{count}, none of them is down."),
        [one] => format!("{count}, of which 1 is down: {one}."),
        down => format!("{count}, of which {} are down: {}.", down.len(), spoken(down)),
    };
    if !stopped.is_empty() {
        text.push_str(&format!(" Stopped, and not needed, as they have no rows: {}.", spoken(stopped)));
    }
    text
}

async fn show_expansion(session: &mut Session, interrupt: &mut Interrupt) -> Result<(), ExpandFailure> {
    let Some(expansion) = Record(session).load().await? else {
        let left = Cluster::read(session).await?.tables_to_move(session).await?.len();
        say("Cluster Expansion State = No Expansion Detected")?;
        if left > 0 {
            say(&format!("{} on an older bucket map; the next expansion moves them.", tables(left as u64)))?;
        }
        return Ok(());
    };
    let is_at_work = is_at_work(session).await?;
    let since = session.rows(SINCE).await?;
    let since = since.first().map(|row| row.text(0)).transpose()?.unwrap_or_default();
    say(&format!("Cluster Expansion State = {}", phase(expansion.status(), is_at_work)))?;
    say(&format!("{} since {since} UTC\n", expansion.status()))?;
    show(session, PROGRESS_IN_ORDER, interrupt).await?;
    show(session, TABLES_LEFT, interrupt).await
}

async fn show(session: &mut Session, query: &str, interrupt: &mut Interrupt) -> Result<(), ExpandFailure> {
    let mut output = TableOutput::new(io::stdout(), false);
    run_statement(&mut session.0, query, &mut output, interrupt).await?;
    Ok(())
}

/// Whether a tool holds the lock of the one that works. One that was killed does for 20 seconds.
async fn is_at_work(session: &mut Session) -> Result<bool, ExpandFailure> {
    let locks =
        format!("SELECT 1 FROM pg_locks WHERE relation_name = '{TOOL_TABLE}' AND mode = 'ExclusiveLock' AND granted");
    Ok(!session.rows(&locks).await?.is_empty())
}

/// As `gpstate -x` says it.
fn phase(status: ExpansionStatus, is_at_work: bool) -> String {
    let what = match status {
        ExpansionStatus::Setup => "Adding Segments",
        ExpansionStatus::SetupDone | ExpansionStatus::Started | ExpansionStatus::Stopped => "Data Distribution",
        ExpansionStatus::RollingBack => "Rolling Back",
        ExpansionStatus::Complete => return "Expansion Complete".into(),
    };
    format!("{what} - {}", if is_at_work { "Active" } else { "Paused" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phase_is_gpstates() {
        assert_eq!(phase(ExpansionStatus::Started, true), "Data Distribution - Active");
        // The tool was killed.
        assert_eq!(phase(ExpansionStatus::Started, false), "Data Distribution - Paused");
        assert_eq!(phase(ExpansionStatus::Setup, true), "Adding Segments - Active");
        assert_eq!(phase(ExpansionStatus::Complete, true), "Expansion Complete");
    }

    #[test]
    fn segments_that_are_down_are_named() {
        assert_eq!(summary(1, &[], &[]), "1 segment, none of them is down.");
        assert_eq!(summary(4, &[ContentId(1)], &[]), "4 segments, of which 1 is down: seg1.");
        assert_eq!(summary(4, &[ContentId(1), ContentId(3)], &[]), "4 segments, of which 2 are down: seg1, seg3.");
        assert_eq!(
            summary(3, &[], &[ContentId(3)]),
            "3 segments, none of them is down. Stopped, and not needed, as they have no rows: seg3."
        );
    }
}
