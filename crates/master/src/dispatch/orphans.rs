//! Files that no commit names and no statement is writing: what segments that were killed, and masters, have left.

use super::files::FileService;
use super::places::places_in;
use crate::error::SqlResult;
use damson_cluster::{ContentId, PlaceId};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tracing::{info, warn};

/// Rounds after which the collector looks without a reason: a segment may leave what no statement of this master knows.
const ROUNDS_WITHOUT_REASON: u64 = 60;

/// The statements that may be writing files. One a master.
#[derive(Clone, Default)]
pub(crate) struct Writes(Arc<Mutex<Numbers>>);

#[derive(Default)]
struct Numbers {
    next: u64,
    running: BTreeSet<u64>,
    /// Statements that did not end well, since somebody looked for what they left.
    failed: u64,
}

/// Held by a statement from before it is dispatched until what it wrote is committed, or nobody's.
pub(crate) struct Write {
    writes: Writes,
    number: u64,
    has_succeeded: bool,
}

impl Write {
    /// It has committed all that it wrote.
    pub(crate) fn succeeded(mut self) {
        self.has_succeeded = true;
    }
}

impl Writes {
    pub(crate) fn begin(&self) -> Write {
        let mut numbers = self.0.lock();
        let number = numbers.next;
        numbers.next += 1;
        numbers.running.insert(number);
        Write { writes: self.clone(), number, has_succeeded: false }
    }

    /// The number of the next statement: all that have begun have lower ones.
    pub(super) fn next(&self) -> u64 {
        self.0.lock().next
    }

    /// How many have failed since the last call.
    fn take_failed(&self) -> u64 {
        std::mem::take(&mut self.0.lock().failed)
    }

    /// Whether every statement below `number` has ended.
    pub(super) fn have_ended_below(&self, number: u64) -> bool {
        self.0.lock().running.first().is_none_or(|&first| first >= number)
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        let mut numbers = self.writes.0.lock();
        numbers.running.remove(&self.number);
        numbers.failed += u64::from(!self.has_succeeded);
    }
}

/// A segment's files at one place. A bucket that does not answer keeps nobody from looking at disks.
type Share = (ContentId, PlaceId);

/// Looks for orphans again and again. A file that the catalog does not know may be one that a statement will commit; once all
/// statements that can have made it have ended, it is not.
#[derive(Default)]
pub(crate) struct OrphanCollector {
    /// Unknown files, and the number of the first statement that cannot have made them.
    suspects: HashMap<Share, (HashSet<String>, u64)>,
    /// Those that have not been looked at since a statement failed: a segment that is down is looked at when it is back.
    due: BTreeSet<Share>,
    rounds: u64,
}

impl OrphanCollector {
    /// Removes what turned out to be orphans since the last call, and looks for others.
    pub(crate) async fn collect(&mut self, files: &FileService) {
        let segments = files.registry.definitions();
        // A list of all files costs too much to be made for nothing.
        let has_reason = files.writes.take_failed() > 0 || self.rounds.is_multiple_of(ROUNDS_WITHOUT_REASON);
        self.rounds += 1;
        let places = places_in(&files.catalog.current());
        let of_segment = |content: ContentId| places.iter().map(move |place| (content, *place));
        // A place is forgotten with its tablespace.
        self.due.retain(|(_, place)| places.contains(place));
        self.suspects.retain(|(_, place), _| places.contains(place));
        if has_reason {
            self.due.extend(segments.iter().flat_map(|segment| of_segment(segment.content)));
        }
        let up = segments.iter().filter(|segment| segment.up);
        let mut shares: Vec<Share> = up.flat_map(|segment| of_segment(segment.content)).collect();
        // A bucket that does not answer takes its time: disks come first.
        shares.sort_unstable_by_key(|(content, place)| (*place, *content));
        for share in shares {
            let has_suspects = self.suspects.contains_key(&share);
            if !has_suspects && !self.due.contains(&share) {
                continue;
            }
            match self.collect_of(files, share).await {
                // The list was made now, where there were no suspects to be judged.
                Ok(()) if !has_suspects => _ = self.due.remove(&share),
                Ok(()) => {}
                Err(error) => {
                    self.due.insert(share);
                    let (content, place) = share;
                    warn!(%content, %place, %error, "could not look for orphans");
                }
            }
        }
    }

    async fn collect_of(&mut self, files: &FileService, share: Share) -> SqlResult<()> {
        let (content, place) = share;
        let Some((paths, number)) = self.suspects.remove(&share) else {
            let unknown = files.unknown_files(content, place).await?;
            // After the list: whoever has a file in it has begun.
            let number = files.writes.next();
            if !unknown.is_empty() {
                self.suspects.insert(share, (unknown, number));
            }
            return Ok(());
        };
        if !files.writes.have_ended_below(number) {
            self.suspects.insert(share, (paths, number));
            return Ok(());
        }
        let orphans = files.in_catalog(move |catalog| catalog.condemn(content, paths)).await?;
        if !orphans.is_empty() {
            files.remove_at(content, place, &orphans).await?;
            info!(%content, %place, files = orphans.len(), "removed files of statements that never committed");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_statement_is_not_waited_for() {
        let writes = Writes::default();
        let (first, second) = (writes.begin(), writes.begin());
        let number = writes.next();
        let third = writes.begin();
        assert!(!writes.have_ended_below(number));
        drop(second);
        assert!(!writes.have_ended_below(number));
        drop(first);
        assert!(writes.have_ended_below(number));
        assert!(!writes.have_ended_below(writes.next()));
        assert_eq!(writes.take_failed(), 2);
        third.succeeded();
        assert!(writes.have_ended_below(writes.next()));
        assert_eq!(writes.take_failed(), 0);
    }
}
