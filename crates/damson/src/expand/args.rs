//! The command line, with `gpexpand`'s letters where it has them.

use super::times::{duration, moment};
use crate::contents::Contents;
use crate::shell::Server;
use chrono::{DateTime, Local};
use damson_cluster::ContentId;
use damson_gpexpand::PARALLEL_TABLES_MAX;
use damson_master::bytes_of_size;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Grows the cluster, shrinks it, or shares its rows anew, while it serves.
///
/// Phase 1, with -i, --segments, --remove or --rebalance, adds the new segments and sets the new bucket map: new tables are laid out by
/// it. Phase 2, without any of these, moves the tables that are there, one after the other or several at once; it can be stopped and started
/// again at any time. Without anything set up, it asks on a terminal for the new segments and writes an input file.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "The record is in schema gpexpand: status, status_detail (UPDATE its rank to change the order), \
                        expansion_progress."
)]
pub struct ExpandArgs {
    #[command(flatten)]
    pub(super) server: Server,
    /// Phase 1: add the segments of this file: hostname|address|port|datadir|dbid|content|preferred_role on each line.
    #[arg(short = 'i', long, value_name = "FILE", group = "what")]
    pub(super) input: Option<PathBuf>,
    /// Phase 1: add so many segments on this host.
    #[arg(long, value_name = "N", group = "what", requires = "data_prefix")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) segments: Option<u16>,
    /// Of their data directories, which the content follows: /data/seg makes /data/seg2, /data/seg3.
    #[arg(long, value_name = "PREFIX", requires = "segments")]
    pub(super) data_prefix: Option<PathBuf>,
    /// Where the others reach them; without it, where the master is reached.
    #[arg(long, value_name = "HOST", requires = "segments")]
    pub(super) address: Option<String>,
    /// Phase 1: take all buckets from these segments: 3, or 2,3, or 4-7.
    #[arg(long, value_name = "CONTENTS", group = "what")]
    pub(super) remove: Option<Contents>,
    /// Phase 1: share the buckets by weights: 0=1,1=1,2=2.
    #[arg(long, value_name = "WEIGHTS", group = "what")]
    pub(super) rebalance: Option<Weights>,
    /// Set the old bucket map again, while no table has moved.
    #[arg(short = 'r', long, group = "what")]
    pub(super) rollback: bool,
    /// Drop the record of the expansion, when it is complete.
    #[arg(short = 'c', long, group = "what")]
    pub(super) clean: bool,
    /// Show where the expansion is.
    #[arg(long, group = "what", conflicts_with = "plan")]
    pub(super) status: bool,
    /// Show what would move, and do nothing.
    #[arg(long, conflicts_with_all = ["rollback", "clean"])]
    pub(super) plan: bool,
    /// Tables that are moved at once.
    #[arg(short = 'n', long, value_name = "TABLES", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=PARALLEL_TABLES_MAX as i64))]
    pub(super) parallel: u16,
    /// Bytes a second that are moved at most, of all tables that are moved at once: 50MB, 1GB.
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub(super) rate: Option<u64>,
    /// Stop phase 2 after so long.
    #[arg(short = 'd', long, value_name = "HH:MM:SS", value_parser = duration)]
    pub(super) duration: Option<Duration>,
    /// Stop phase 2 then, by the clock of this host.
    #[arg(short = 'e', long, value_name = "YYYY-MM-DD HH:MM:SS", value_parser = moment, conflicts_with = "duration")]
    pub(super) end: Option<DateTime<Local>>,
    /// How long phase 1 waits for the new segments.
    #[arg(long, value_name = "HH:MM:SS", value_parser = duration, default_value = "00:10:00")]
    pub(super) wait: Duration,
    /// TOML file of more options for the segments that are started here: memory, tls-dir.
    #[arg(long, value_name = "FILE")]
    pub(super) segment_config: Option<PathBuf>,
    /// Where the new segments find the master, or several of which one is active [default: as the master says].
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) master: Option<String>,
    /// Do not ask.
    #[arg(short = 'a', long)]
    pub(super) no_prompt: bool,
    /// Say nothing but errors.
    #[arg(short = 's', long)]
    pub(super) silent: bool,
    /// Lines instead of a bar that changes.
    #[arg(short = 'S', long, conflicts_with = "silent")]
    pub(super) simple_progress: bool,
}

impl ExpandArgs {
    /// Whether phase 1 is asked for.
    pub(super) fn names_a_change(&self) -> bool {
        self.input.is_some() || self.segments.is_some() || self.remove.is_some() || self.rebalance.is_some()
    }

    /// Whether what is there is asked for, or its end.
    pub(super) fn names_an_end(&self) -> bool {
        self.rollback || self.clean || self.status
    }

    /// When phase 2 is to stop, in milliseconds since 1970, if it began `now_ms`.
    pub(super) fn deadline_ms(&self, now_ms: u64) -> Option<u64> {
        match (self.duration, self.end) {
            (Some(duration), _) => Some(now_ms.saturating_add(duration.as_millis() as u64)),
            // A time before 1970 is past.
            (None, Some(end)) => Some(u64::try_from(end.timestamp_millis()).unwrap_or(0)),
            (None, None) => None,
        }
    }
}

/// `0=1,1=1,2=2`: each segment's weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Weights(pub BTreeMap<ContentId, u32>);

impl ExpandArgs {
    /// Bytes a second, of each of the tables that are moved at once.
    pub(super) fn rate_of_a_table(&self) -> Option<u64> {
        self.rate.map(|rate| (rate / u64::from(self.parallel)).max(1))
    }
}

fn rate(text: &str) -> Result<u64, String> {
    bytes_of_size(text).ok_or_else(|| format!("{text:?} is no number of bytes such as 50MB"))
}

impl FromStr for Weights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut weights = BTreeMap::new();
        for part in text.split(',') {
            let parsed = part.split_once('=').and_then(|(content, weight)| {
                Some((content.trim().parse::<u16>().ok()?, weight.trim().parse::<u32>().ok()?))
            });
            let (content, weight) =
                parsed.ok_or_else(|| format!("{part:?} is not a segment and its weight, as in 0=1,1=1,2=2"))?;
            if weights.insert(ContentId(i32::from(content)), weight).is_some() {
                return Err(format!("segment {content} has two weights"));
            }
        }
        Ok(Weights(weights))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ExpandArgs,
    }

    fn parse(line: &str) -> Result<ExpandArgs, String> {
        let words = std::iter::once("gpexpand").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
    }

    #[test]
    fn the_letters_are_greenplums() {
        let args = parse("-i /tmp/new -n 4 -d 01:00:00 -s").unwrap();
        assert!(args.names_a_change() && args.silent);
        assert_eq!((args.input, args.parallel), (Some("/tmp/new".into()), 4));
        let args = parse("").unwrap();
        assert!(!args.names_a_change() && !args.rollback);
        assert_eq!((args.parallel, args.wait, args.rate), (1, Duration::from_secs(600), None));
        assert_eq!(args.deadline_ms(5), None);
        assert_eq!(parse("-d 00:00:02").unwrap().deadline_ms(5), Some(2005));
        assert_eq!(parse("-d 0").unwrap().deadline_ms(5), Some(5));
        assert!(parse("-r").unwrap().rollback && parse("-c -a").unwrap().no_prompt);
        assert!(parse("--segments 2 --data-prefix /data/seg").unwrap().names_a_change());
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for line in [
            "-i a --remove 1",
            "-r -c",
            "--status --rebalance 0=1",
            "--status --plan",
            "--plan -r",
            "--segments 2",
            "--data-prefix /data/seg",
            "--segments 0 --data-prefix /d",
            "-n 0",
            "-n 97",
            "-s -S",
            "-d 1:2",
            "--remove x",
            "--rebalance 0",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn weights_are_read() {
        let weights: Weights = "0=1, 2=10".parse().unwrap();
        assert_eq!(weights.0, BTreeMap::from([(ContentId(0), 1), (ContentId(2), 10)]));
        for wrong in ["", "0", "0=x", "0=-1", "0=1,0=2", "0=1,"] {
            assert!(wrong.parse::<Weights>().is_err(), "{wrong}");
        }
    }
}
