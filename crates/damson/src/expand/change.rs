//! What the user asks for, as new owners of the buckets; and what that would move.

use super::args::ExpandArgs;
use super::cluster::{Cluster, Table};
use super::failure::{self, ExpandFailure};
use super::times::spoken;
use crate::limits::EXPAND_PLAN_BYTES_PER_SECOND;
use crate::shell::{size, tables as number_of_tables};
use damson_cluster::{BUCKETS, BucketMap, ContentId, MapVersion};
use damson_gpexpand::{
    BucketMove, NewSegment, Plan, PreferredRole, apply_moves, moves_to_add, moves_to_shrink, moves_to_weights,
    parse_input,
};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

/// New owners of the buckets.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub plan: Plan,
    pub old: BucketMap,
    pub new: BucketMap,
}

impl Change {
    /// # Errors
    /// A file that cannot be read or is malformed, segments that are not there, weights that share nothing.
    pub(super) fn of_args(args: &ExpandArgs, cluster: &Cluster, tables: &[Table]) -> Result<Self, ExpandFailure> {
        if args.input.is_some() || args.segments.is_some() {
            cluster.check_can_grow()?;
        }
        let segments = match (&args.input, args.segments) {
            (Some(file), _) => of_file(file, cluster)?,
            (None, Some(count)) => on_this_host(args, count, cluster)?,
            (None, None) => vec![],
        };
        let old = cluster.newest();
        let moves = if !segments.is_empty() {
            moves_to_add(old, &segments.iter().map(|segment| segment.content).collect::<Vec<_>>())?
        } else if let Some(removed) = &args.remove {
            moves_to_shrink(old, &removed.ids().collect::<Vec<_>>())?
        } else if let Some(weights) = &args.rebalance {
            moves_to_weights(old, &weights.0)?
        } else {
            vec![]
        };
        let change = Change::of_moves(old, segments, &moves);
        // The new ones are started, or waited for, later.
        let is_new = |content: &ContentId| change.plan.segments.iter().any(|segment| segment.content == *content);
        let owners = change.new.owning_segments().iter().filter(|content| !is_new(content));
        cluster.check_up(&owners.collect(), tables)?;
        Ok(change)
    }

    fn of_moves(old: &BucketMap, segments: Vec<NewSegment>, moves: &[BucketMove]) -> Self {
        let last = segments.iter().map(|segment| segment.content.0 as usize + 1).max().unwrap_or(0);
        let new = apply_moves(old, MapVersion(old.version.0 + 1), old.segment_count().max(last), moves);
        let plan = Plan { segments, old_map: old.owners_text(), new_map: new.owners_text() };
        Change { plan, old: old.clone(), new }
    }

    /// Whether all is as it would be afterwards.
    pub(super) fn is_nothing(&self, tables: &[Table]) -> bool {
        self.old.owners() == self.new.owners() && tables.iter().all(|table| table.is_laid_out_by(&self.old))
    }

    /// What would be done.
    pub(super) fn describe(&self, tables: &[Table]) -> String {
        let mut text = String::new();
        for segment in &self.plan.segments {
            let NewSegment { content, address, port, data_dir, .. } = segment;
            line(&mut text, &format!("{content} is added at {address}:{port}, with its tables in {data_dir}."));
        }
        text += &buckets(&self.old, &self.new);
        let moving: Vec<&Table> = tables.iter().filter(|table| table.has_other_owners(&self.new)).collect();
        text + &moves(&moving, &self.new)
    }
}

/// What an expansion that is under way has left.
pub(super) fn describe_rest(tables: &[&Table], newest: &BucketMap) -> String {
    moves(tables, newest)
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}

/// Which segments give and take buckets.
fn buckets(old: &BucketMap, new: &BucketMap) -> String {
    let moved = old.owners().iter().zip(new.owners()).filter(|(old, new)| old != new).count();
    let mut text = String::new();
    line(&mut text, &format!("{moved} of {BUCKETS} buckets get another owner:"));
    let (before, after) = (old.bucket_counts(), new.bucket_counts());
    for (content, &after) in after.iter().enumerate() {
        let before = before.get(content).copied().unwrap_or(0);
        if before != after {
            line(&mut text, &format!("  {:<8} {before:>6} -> {after:>6}", ContentId(content as i32).to_string()));
        }
    }
    text
}

/// The tables, and about how many bytes of each move.
fn moves(tables: &[&Table], map: &BucketMap) -> String {
    let mut text = String::new();
    let width = tables.iter().map(|table| table.full_name().chars().count()).max().unwrap_or(0);
    let mut sum = 0;
    for table in tables {
        let bytes = table.bytes_to_move(map);
        sum += bytes;
        let (name, policy, all) = (table.full_name(), table.policy.name(), size(table.source_bytes()));
        line(&mut text, &format!("  {name:<width$}  {policy:<10}  {all:>12}, of which {} move", size(bytes)));
    }
    let what = number_of_tables(tables.len() as u64);
    line(&mut text, &format!("{what} to move, {}.", traffic(sum)));
    text
}

/// `about 60 MB between segments: 1 s at 50 MB/s`.
fn traffic(bytes: u64) -> String {
    let rate = EXPAND_PLAN_BYTES_PER_SECOND / 1_000_000;
    let time = match bytes / EXPAND_PLAN_BYTES_PER_SECOND {
        0 if bytes == 0 => return "nothing between segments".into(),
        0 => "less than a second".into(),
        seconds => spoken(Duration::from_secs(seconds)),
    };
    format!("about {} between segments: {time} at {rate} MB/s", size(bytes))
}

fn of_file(file: &Path, cluster: &Cluster) -> Result<Vec<NewSegment>, ExpandFailure> {
    let text = std::fs::read_to_string(file).map_err(|source| ExpandFailure::File { path: file.to_owned(), source })?;
    let segments = parse_input(&text, &cluster.members())
        .map_err(|source| ExpandFailure::Input { path: file.to_owned(), source })?;
    match segments.iter().find(|segment| segment.preferred_role == PreferredRole::Mirror) {
        Some(mirror) => Err(ExpandFailure::Mirror(mirror.content)),
        None => Ok(segments),
    }
}

/// Segments after the cluster's last, at free ports of this host.
fn on_this_host(args: &ExpandArgs, count: u16, cluster: &Cluster) -> Result<Vec<NewSegment>, ExpandFailure> {
    let address = match (&args.address, &cluster.master) {
        (Some(address), _) | (None, Some((address, _))) => address.clone(),
        (None, None) => return Err(ExpandFailure::NoMasterAddress),
    };
    let prefix = args.data_prefix.clone().unwrap_or_default();
    let prefix = std::path::absolute(&prefix).map_err(|source| ExpandFailure::File { path: prefix, source })?;
    // All at once, so that they differ.
    let not_here = |_| ExpandFailure::NotThisHost(address.clone());
    let listeners = (0..count).map(|_| TcpListener::bind((address.as_str(), 0)).map_err(not_here));
    let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
    let segment = |(offset, listener): (usize, &TcpListener)| -> Result<NewSegment, ExpandFailure> {
        let content = (cluster.segments.len() + offset) as i32;
        Ok(NewSegment {
            hostname: address.clone(),
            address: address.clone(),
            port: listener.local_addr().map_err(not_here)?.port(),
            data_dir: format!("{}{content}", prefix.display()),
            dbid: content as u32 + 2,
            content: ContentId(content),
            preferred_role: PreferredRole::Primary,
        })
    };
    listeners.iter().enumerate().map(segment).collect()
}

/// `seg3 owns nothing`, `seg2, seg3 own nothing`.
pub(super) fn nothing_of(idle: &[ContentId]) -> String {
    format!("{} {} nothing", failure::spoken(idle), if idle.len() == 1 { "owns" } else { "own" })
}

/// The segments of a map that own nothing.
pub(super) fn idle_segments(map: &BucketMap) -> Vec<ContentId> {
    (0..map.segment_count() as i32).map(ContentId).filter(|content| !map.owns_any(*content)).collect()
}

/// How many tables of which policy there are; for the summary of phase 1.
pub(super) fn summary(tables: &[Table]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for table in tables {
        *counts.entry(table.policy.name()).or_default() += 1;
    }
    let parts: Vec<String> = counts.iter().map(|(policy, count)| format!("{count} {policy}")).collect();
    let bytes = tables.iter().map(Table::source_bytes).sum();
    match tables.len() {
        0 => "no table has to move".into(),
        count => format!("{} of {} to move ({})", number_of_tables(count as u64), size(bytes), parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expand::cluster::Policy;
    use damson_cluster::TableId;

    #[test]
    fn a_plan_names_segments_buckets_and_tables() {
        let old = BucketMap::uniform(MapVersion(1), 2);
        let moves = moves_to_shrink(&old, &[ContentId(1)]).unwrap();
        let change = Change::of_moves(&old, vec![], &moves);
        assert_eq!((change.plan.old_map.as_str(), change.plan.new_map.as_str()), ("0*8192 1*8192", "0*16384"));
        assert_eq!(idle_segments(&change.new), [ContentId(1)]);
        let table = |id, map: &BucketMap| Table {
            id: TableId(id),
            schema: "public".into(),
            name: format!("t{id}"),
            policy: Policy::Hashed,
            map: map.clone(),
            bytes: BTreeMap::from([(ContentId(0), 40_000_000), (ContentId(1), 60_000_000)]),
        };
        let tables = [table(1, &old), table(2, &change.new)];
        assert_eq!(
            change.describe(&tables),
            "8192 of 16384 buckets get another owner:\n  seg0       8192 ->  16384\n  seg1       8192 ->      0\n  \
             public.t1  hashed            100 MB, of which 60 MB move\n\
             1 table to move, about 60 MB between segments: 1 s at 50 MB/s.\n"
        );
        assert_eq!(traffic(90_000), "about 90 kB between segments: less than a second at 50 MB/s");
        assert!(change.describe(&tables[1..]).ends_with("0 tables to move, nothing between segments.\n"));
        assert_eq!(summary(&tables), "2 tables of 200 MB to move (2 hashed)");
    }

    #[test]
    fn new_segments_make_a_larger_map() {
        let old = BucketMap::uniform(MapVersion(1), 2);
        let segment = NewSegment::parse("h|h|1|/d|4|2|p").unwrap();
        let moves = moves_to_add(&old, &[ContentId(2)]).unwrap();
        let change = Change::of_moves(&old, vec![segment], &moves);
        assert_eq!(change.new.bucket_counts(), [5462, 5461, 5461]);
        assert!(change.describe(&[]).starts_with("seg2 is added at h:1, with its tables in /d.\n"));
    }
}
