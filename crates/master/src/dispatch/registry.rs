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
    /// A query found it gone since that call.
    is_lost: bool,
}

impl Registry {
    pub(crate) fn new(master: Endpoint, segments: usize) -> Self {
        Registry { master, segments: Mutex::new((0..segments).map(|_| None).collect()) }
    }

    /// Records a segment's registration or heartbeat.
    ///
    /// # Errors
    /// A content id that the cluster does not have. 55006 for one that another process serves, which still calls: its rows
    /// are in that one's directory, and two would each have some of them.
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
        let slot = slot.ok_or_else(unknown)?;
        if let Some(present) = slot.as_ref().filter(|present| present.is_up() && present.endpoint != endpoint) {
            let message = format!("{content} is served by {} from {}, which is up", present.endpoint, present.data_dir);
            return Err(SqlError::new(SqlState::OBJECT_IN_USE, message));
        }
        *slot = Some(Registered { endpoint, data_dir, last_call, is_lost: false });
        Ok(())
    }

    /// Takes a segment for down until it calls again.
    pub(crate) fn mark_down(&self, content: ContentId) {
        if let Ok(index) = usize::try_from(content.0)
            && let Some(Some(segment)) = self.segments.lock().get_mut(index)
            && segment.last_call.is_some()
        {
            segment.is_lost = true;
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
        self.last_call.is_none_or(|call| !self.is_lost && call.elapsed() < HEARTBEAT_MISSED_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_that_is_served_is_not_taken_over() {
        let registry = Registry::new(Endpoint("m:1".into()), 2);
        let register = |endpoint: &str| {
            let registered = registry.register(ContentId(0), Endpoint(endpoint.into()), "/d".into(), false);
            registered.map_err(|error| (error.state, error.message))
        };
        register("a:1").unwrap();
        register("a:1").expect("a heartbeat");
        let (state, message) = register("b:1").unwrap_err();
        assert_eq!(state, SqlState::OBJECT_IN_USE);
        assert_eq!(message, "seg0 is served by a:1 from /d, which is up");
        registry.mark_down(ContentId(0));
        register("b:1").expect("a query found the first gone");
        assert!(register("a:1").is_err());
    }
}
