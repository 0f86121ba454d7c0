//! A query whose rows its client retrieves from segments: whether the client takes any.

use crate::admission::PlaceUse;
use crate::planner::SliceTable;
use damson_cluster::{ContentId, SliceId};
use damson_motion::RetrieveExec;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Who is to know.
pub(crate) struct Retrieving {
    /// The statement's place among those that work on segments. None: it needs none.
    pub place: Option<PlaceUse>,
    /// Whether every segment that has rows left waits for the client.
    pub is_idle: Arc<watch::Sender<bool>>,
}

/// What the segments say.
pub(super) struct Clients {
    slice: SliceId,
    /// The segments that have rows left, and whether each waits for the client.
    waits: BTreeMap<ContentId, bool>,
    told: Retrieving,
}

impl Clients {
    /// None if no slice's rows are retrieved.
    pub(super) fn of(table: &SliceTable, told: Option<Retrieving>) -> Option<Self> {
        let told = told?;
        let top = table.slices.iter().find(|slice| slice.plan.downcast_ref::<RetrieveExec>().is_some())?;
        let waits = top.gang.contents().into_iter().map(|content| (content, false)).collect();
        Some(Clients { slice: top.id, waits, told })
    }

    pub(super) fn waits(&mut self, content: ContentId, for_client: bool) {
        if let Some(waits) = self.waits.get_mut(&content) {
            *waits = for_client;
            self.tell();
        }
    }

    pub(super) fn ended(&mut self, content: ContentId, slice: SliceId) {
        if slice == self.slice {
            self.waits.remove(&content);
            self.tell();
        }
    }

    fn tell(&mut self) {
        let is_idle = !self.waits.is_empty() && self.waits.values().all(|waits| *waits);
        match &mut self.told.place {
            Some(place) if is_idle => place.waits_for_client(),
            Some(place) => place.works(),
            None => {}
        }
        self.told.is_idle.send_if_modified(|told| std::mem::replace(told, is_idle) != is_idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_idle_while_all_that_are_left_wait() {
        let (first, second, slice) = (ContentId(0), ContentId(2), SliceId(1));
        let is_idle = Arc::new(watch::Sender::new(false));
        let told = Retrieving { place: None, is_idle: Arc::clone(&is_idle) };
        let mut clients = Clients { slice, waits: [(first, false), (second, false)].into(), told };
        let mut says = |change: fn(&mut Clients, ContentId, SliceId), content| {
            change(&mut clients, content, slice);
            *is_idle.borrow()
        };
        let waits: fn(&mut Clients, ContentId, SliceId) = |clients, content, _| clients.waits(content, true);
        let works: fn(&mut Clients, ContentId, SliceId) = |clients, content, _| clients.waits(content, false);
        assert!(!says(waits, first));
        assert!(says(waits, second));
        assert!(!says(works, first));
        assert!(!says(|clients, content, _| clients.ended(content, SliceId(2)), first), "another slice's end");
        assert!(says(Clients::ended, first), "the other one waits");
        assert!(says(works, first), "it has no rows any more");
        assert!(!says(Clients::ended, second), "the end is no waiting");
    }
}
