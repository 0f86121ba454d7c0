//! How far COPYs are: `gp_stat_progress_copy`.

use crate::dispatch::{Copied, Running, Shares};
use damson_cluster::{ContentId, CopyCounts, CopyFile, CopyUnit, QueryId, SessionId};
use damson_motion::RunningSlice;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The COPYs that are under way. One a master; a clone is the same.
#[derive(Clone, Default)]
pub(crate) struct Copies {
    all: Arc<Mutex<BTreeMap<u64, CopyState>>>,
    next: Arc<AtomicU64>,
}

struct CopyState {
    /// With what was found, while nobody reads it yet.
    row: CopyRow,
    began: Instant,
    /// What each segment is given to read, once it is known.
    shares: BTreeMap<ContentId, CopyCounts>,
    /// Of the query that reads or writes, what segments that are done have read or written.
    done: Option<(QueryId, Arc<Mutex<Copied>>)>,
}

/// A row of `gp_stat_progress_copy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CopyRow {
    pub session: SessionId,
    /// None until it is dispatched.
    pub query: Option<QueryId>,
    pub schema: String,
    pub table: String,
    pub command: &'static str,
    pub phase: &'static str,
    /// None: nobody has a share yet.
    pub content: Option<ContentId>,
    /// Of the segment, or of all that was found.
    pub counts: CopyCounts,
    pub elapsed_ms: u64,
}

impl Copies {
    /// Shows a COPY of a table, or of a query, whose names are empty, until what comes back is dropped.
    pub(crate) fn begin(&self, session: SessionId, command: &'static str, (schema, table): (&str, &str)) -> CopyWatch {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let row = CopyRow {
            session,
            query: None,
            schema: schema.to_owned(),
            table: table.to_owned(),
            command,
            phase: "listing files",
            content: None,
            counts: CopyCounts::default(),
            elapsed_ms: 0,
        };
        let state = CopyState { row, began: Instant::now(), shares: BTreeMap::new(), done: None };
        self.all.lock().insert(number, state);
        CopyWatch { copies: self.clone(), number }
    }

    /// As of now, the oldest first; `running` is what segments say.
    pub(crate) fn rows(&self, running: &[RunningSlice]) -> Vec<CopyRow> {
        self.all.lock().values().flat_map(|state| state.rows(running)).collect()
    }
}

impl CopyState {
    fn rows(&self, running: &[RunningSlice]) -> Vec<CopyRow> {
        let elapsed_ms = self.began.elapsed().as_millis() as u64;
        let query = self.done.as_ref().map(|(query, _)| *query);
        let whole = CopyRow { query, elapsed_ms, ..self.row.clone() };
        if self.shares.is_empty() {
            return vec![whole];
        }
        let done = self.done.as_ref().map(|(_, done)| done.lock().clone()).unwrap_or_default();
        let of_segment = |(&content, share): (&ContentId, &CopyCounts)| {
            let is_its = |slice: &&RunningSlice| Some(slice.query) == query && slice.content == content;
            let live = || running.iter().filter(is_its).find_map(|slice| slice.copied);
            let counts = done.get(&content).copied().or_else(live).unwrap_or(*share);
            CopyRow { content: Some(content), counts, ..whole.clone() }
        };
        self.shares.iter().map(of_segment).collect()
    }
}

/// One COPY.
pub(crate) struct CopyWatch {
    copies: Copies,
    number: u64,
}

impl CopyWatch {
    pub(crate) fn enter(&self, phase: &'static str) {
        self.change(|state| state.row.phase = phase);
    }

    /// The files that it is about.
    pub(crate) fn expect(&self, files: &[CopyFile]) {
        let bytes = files.iter().map(|file| file.bytes).sum();
        let counts = CopyCounts { units: files.len() as u64, bytes, ..CopyCounts::default() };
        self.change(|state| state.row.counts = counts);
    }

    /// What each segment is to read.
    pub(crate) fn share(&self, shares: &Shares) {
        let count = |units: &Vec<CopyUnit>| CopyCounts {
            units: units.len() as u64,
            bytes: units.iter().map(CopyUnit::bytes).sum(),
            ..CopyCounts::default()
        };
        let shares = shares.iter().map(|(&content, units)| (content, count(units))).collect();
        self.change(|state| state.shares = shares);
    }

    /// These segments write.
    pub(crate) fn writes(&self, segments: &[ContentId]) {
        let shares = segments.iter().map(|&content| (content, CopyCounts::default())).collect();
        self.change(|state| state.shares = shares);
    }

    /// The query that reads or writes.
    pub(crate) fn runs(&self, running: &Running) {
        let done = (running.query, Arc::clone(&running.copied));
        self.change(|state| state.done = Some(done));
    }

    fn change(&self, change: impl FnOnce(&mut CopyState)) {
        if let Some(state) = self.copies.all.lock().get_mut(&self.number) {
            change(state);
        }
    }
}

impl Drop for CopyWatch {
    fn drop(&mut self) {
        self.copies.all.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::{Codec, SliceId};

    fn unit(end: u64) -> CopyUnit {
        let file = CopyFile { url: "/f".into(), bytes: 100, etag: None, modified_us: None, partition: vec![] };
        CopyUnit::Records { file, codec: Codec::None, newline: None, start: 0, end }
    }

    #[test]
    fn who_writes_has_a_row_for_each_segment() {
        let copies = Copies::default();
        let watch = copies.begin(SessionId(3), "COPY TO", ("", ""));
        watch.writes(&[ContentId(0), ContentId(1)]);
        watch.enter("writing files");
        watch.change(|state| state.done = Some((QueryId(9), Arc::default())));
        let written = CopyCounts { units: 3, units_done: 2, bytes_done: 70, rows: 5, ..CopyCounts::default() };
        let slice = RunningSlice {
            query: QueryId(9),
            slice: SliceId(1),
            content: ContentId(1),
            elapsed_ms: 1,
            copied: Some(written),
        };
        let rows = copies.rows(&[slice]);
        let counts: Vec<CopyCounts> = rows.iter().map(|row| row.counts).collect();
        assert_eq!(counts, [CopyCounts::default(), written]);
    }

    #[test]
    fn a_copy_has_a_row_for_each_segment_once_they_have_shares() {
        let copies = Copies::default();
        let watch = copies.begin(SessionId(3), "COPY FROM", ("public", "t"));
        let [row] = copies.rows(&[]).try_into().unwrap();
        assert_eq!((row.phase, row.content, row.query), ("listing files", None, None));
        watch.enter("reading files");
        let units = [vec![unit(30), unit(40)], vec![unit(100)], vec![]];
        watch.share(&(0..).map(ContentId).zip(units).collect());
        let done = Arc::new(Mutex::new(Copied::new()));
        watch.change(|state| state.done = Some((QueryId(9), Arc::clone(&done))));
        let of_first = CopyCounts { units: 2, units_done: 2, bytes: 70, bytes_done: 70, rows: 5, rejected: 1 };
        done.lock().insert(ContentId(0), of_first);
        let copied = |query: u64, rows: u64| RunningSlice {
            query: QueryId(query),
            slice: SliceId(1),
            content: ContentId(1),
            elapsed_ms: 1,
            copied: (rows > 0).then_some(CopyCounts { units: 1, bytes: 100, rows, ..CopyCounts::default() }),
        };
        // Another query's, and the slice that only writes.
        let rows = copies.rows(&[copied(8, 4), copied(9, 0), copied(9, 6)]);
        let told: Vec<_> = rows.iter().map(|row| (row.content, row.counts.rows, row.counts.bytes)).collect();
        let segment = |content| Some(ContentId(content));
        assert_eq!(told, [(segment(0), 5, 70), (segment(1), 6, 100), (segment(2), 0, 0)]);
        assert!(rows.iter().all(|row| row.query == Some(QueryId(9)) && row.phase == "reading files"));
        drop(watch);
        assert!(copies.rows(&[]).is_empty());
    }
}
