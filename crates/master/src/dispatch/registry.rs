//! Which segments are there, and where.

use crate::error::{SqlError, SqlResult, SqlState};
use damson_cluster::{ContentId, Endpoint, SegmentDef, Topology};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A segment that has not called for so long is down until it calls again.
const HEARTBEAT_MISSED_AFTER: Duration = Duration::from_secs(5);

/// The segments as they registered. One a master.
pub(crate) struct Registry {
    master: Endpoint,
    segments: Mutex<Vec<Option<Registered>>>,
}

struct Registered {
    endpoint: Endpoint,
    data_dir: String,
    /// None: a segment of this process, which is there as long as the master is.
    last_call: Option<Instant>,
}

impl Registry {
    pub(crate) fn new(master: Endpoint, segments: usize) -> Self {
        Registry { master, segments: Mutex::new((0..segments).map(|_| None).collect()) }
    }

    /// Records a segment's registration or heartbeat.
    ///
    /// # Errors
    /// A content id that the cluster does not have.
    pub(crate) fn register(
        &self,
        content: ContentId,
        endpoint: Endpoint,
        data_dir: String,
        in_process: bool,
    ) -> SqlResult<()> {
        let mut segments = self.segments.lock();
        let count = segments.len();
        let slot = usize::try_from(content.0).ok().and_then(|i| segments.get_mut(i));
        let unknown = || {
            SqlError::new(SqlState::INVALID_PARAMETER, format!("{content} is not in this cluster of {count} segments"))
        };
        let last_call = (!in_process).then(Instant::now);
        *slot.ok_or_else(unknown)? = Some(Registered { endpoint, data_dir, last_call });
        Ok(())
    }

    /// Takes a segment for down until it calls again.
    pub(crate) fn mark_down(&self, content: ContentId) {
        if let Ok(index) = usize::try_from(content.0)
            && let Some(Some(segment)) = self.segments.lock().get_mut(index)
            && segment.last_call.is_some()
        {
            segment.last_call = Instant::now().checked_sub(HEARTBEAT_MISSED_AFTER);
        }
    }

    /// Every node, for a query that is about to start on `needed`. One that is not needed may be down; its endpoint is
    /// then its last, or empty.
    ///
    /// # Errors
    /// 57P03 if a segment that is needed is down.
    pub(crate) fn topology(&self, needed: &BTreeSet<ContentId>) -> SqlResult<Topology> {
        let segments = self.segments.lock();
        let down = |i: usize| {
            SqlError::new(SqlState::CANNOT_CONNECT_NOW, format!("segment {} is down", ContentId(i as i32)))
                .with_hint("start it again with \"damson segment\"; it registers by itself")
        };
        let endpoint = |(i, segment): (usize, &Option<Registered>)| match segment {
            Some(segment) if segment.is_up() => Ok(segment.endpoint.clone()),
            _ if needed.contains(&ContentId(i as i32)) => Err(down(i)),
            Some(segment) => Ok(segment.endpoint.clone()),
            None => Ok(Endpoint(String::new())),
        };
        let segments = segments.iter().enumerate().map(endpoint).collect::<SqlResult<Vec<_>>>()?;
        Ok(Topology { master: self.master.clone(), segments })
    }

    /// Rows of `gp_segment_configuration`, segments only.
    pub(crate) fn definitions(&self) -> Vec<SegmentDef> {
        let segments = self.segments.lock();
        let row = |(i, segment): (usize, &Option<Registered>)| SegmentDef {
            dbid: i as u32 + 2,
            content: ContentId(i as i32),
            endpoint: segment.as_ref().map_or_else(|| Endpoint(String::new()), |s| s.endpoint.clone()),
            data_dir: segment.as_ref().map_or_else(String::new, |s| s.data_dir.clone()),
            up: segment.as_ref().is_some_and(Registered::is_up),
        };
        segments.iter().enumerate().map(row).collect()
    }

    /// The master's row of `gp_segment_configuration`.
    pub(crate) fn master_definition(&self) -> SegmentDef {
        let endpoint = self.master.clone();
        SegmentDef { dbid: 1, content: ContentId::MASTER, endpoint, data_dir: String::new(), up: true }
    }

    pub(crate) fn all_up(&self) -> bool {
        self.segments.lock().iter().all(|s| s.as_ref().is_some_and(Registered::is_up))
    }
}

impl Registered {
    fn is_up(&self) -> bool {
        self.last_call.is_none_or(|call| call.elapsed() < HEARTBEAT_MISSED_AFTER)
    }
}
