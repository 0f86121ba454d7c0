//! Which segments are there, and where.

use crate::error::{SqlError, SqlResult, SqlState};
use damson_cluster::{BUCKETS, ContentId, Endpoint, SegmentDef, SegmentSet, Topology};
use damson_motion::RetrieveAddress;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A segment that has not called for so long is down until it calls again.
const HEARTBEAT_MISSED_AFTER: Duration = Duration::from_secs(5);

/// The segments as they registered. One a master.
pub(crate) struct Registry {
    master: Endpoint,
    segments: Mutex<Segments>,
}

#[derive(Default)]
struct Segments {
    /// The cluster's, by content.
    members: Vec<Option<Registered>>,
    /// Those with higher contents, which wait until they are added.
    candidates: BTreeMap<usize, Registered>,
}

/// Where a segment is.
#[derive(Clone, Debug)]
pub(crate) struct SegmentPlace {
    pub endpoint: Endpoint,
    pub data_dir: String,
    /// For clients.
    pub retrieve: Option<RetrieveAddress>,
}

struct Registered {
    place: SegmentPlace,
    /// None: a segment of this process, which is there as long as the master is.
    last_call: Option<Instant>,
    /// A query found it gone since that call.
    is_lost: bool,
}

impl Registry {
    pub(crate) fn new(master: Endpoint, segments: usize) -> Self {
        let members = (0..segments).map(|_| None).collect();
        Registry { master, segments: Mutex::new(Segments { members, candidates: BTreeMap::new() }) }
    }

    /// Records a segment's registration or heartbeat; false for one that the cluster does not have, or not yet.
    ///
    /// # Errors
    /// 22023 for a content id that no cluster has. 55006 for one that another process serves, which still calls: its rows
    /// are in that one's directory, and two would each have some of them.
    pub(crate) fn register(&self, content: ContentId, place: SegmentPlace, in_process: bool) -> SqlResult<bool> {
        let mut segments = self.segments.lock();
        let Segments { members, candidates } = &mut *segments;
        let Some(index) = usize::try_from(content.0).ok().filter(|index| *index < BUCKETS) else {
            let message = format!("{content} is no segment: a cluster has seg0 to seg{}", BUCKETS - 1);
            return Err(SqlError::new(SqlState::INVALID_PARAMETER, message));
        };
        let last_call = (!in_process).then(Instant::now);
        let present = members.get(index).map_or_else(|| candidates.get(&index), Option::as_ref);
        let is_other = |present: &&Registered| present.is_up() && present.place.endpoint != place.endpoint;
        if let Some(present) = present.filter(is_other) {
            let SegmentPlace { endpoint, data_dir, .. } = &present.place;
            let message = format!("{content} is served by {endpoint} from {data_dir}, which is up");
            return Err(SqlError::new(SqlState::OBJECT_IN_USE, message));
        }
        let registered = Registered { place, last_call, is_lost: false };
        match members.get_mut(index) {
            Some(member) => {
                *member = Some(registered);
                Ok(true)
            }
            None => {
                candidates.insert(index, registered);
                Ok(false)
            }
        }
    }

    /// Makes segments that wait members, until there are `count`.
    ///
    /// # Errors
    /// 57P03 if one of them does not wait; nothing is changed then.
    pub(crate) fn add(&self, count: usize) -> SqlResult<()> {
        let mut segments = self.segments.lock();
        let Segments { members, candidates } = &mut *segments;
        let is_up = |index: &usize| candidates.get(index).is_some_and(Registered::is_up);
        let missing: Vec<String> = (members.len()..count).filter(|i| !is_up(i)).map(|i| i.to_string()).collect();
        if !missing.is_empty() {
            let message = format!("cannot add segments that have not registered: {}", missing.join(", "));
            return Err(SqlError::new(SqlState::CANNOT_CONNECT_NOW, message).with_hint(
                "Start each with \"damson segment --content N\" and a data directory of its own, and try again.",
            ));
        }
        members.extend((members.len()..count).map(|index| candidates.remove(&index)));
        Ok(())
    }

    /// Takes a segment for down until it calls again.
    pub(crate) fn mark_down(&self, content: ContentId) {
        if let Ok(index) = usize::try_from(content.0)
            && let Some(Some(segment)) = self.segments.lock().members.get_mut(index)
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
        let endpoint = |(i, segment): (usize, &Option<Registered>)| match segment {
            Some(segment) if segment.is_up() => Ok(segment.place.endpoint.clone()),
            _ if needed.contains(&ContentId(i as i32)) => Err(down(ContentId(i as i32))),
            Some(segment) => Ok(segment.place.endpoint.clone()),
            None => Ok(Endpoint(String::new())),
        };
        let segments = segments.members.iter().enumerate().map(endpoint).collect::<SqlResult<Vec<_>>>()?;
        Ok(Topology { master: self.master.clone(), segments })
    }

    /// Rows of `gp_segment_configuration`, segments only.
    pub(crate) fn definitions(&self) -> Vec<SegmentDef> {
        let segments = self.segments.lock();
        let row = |(i, segment): (usize, &Option<Registered>)| SegmentDef {
            dbid: i as u32 + 2,
            content: ContentId(i as i32),
            endpoint: segment.as_ref().map_or_else(|| Endpoint(String::new()), |s| s.place.endpoint.clone()),
            data_dir: segment.as_ref().map_or_else(String::new, |s| s.place.data_dir.clone()),
            up: segment.as_ref().is_some_and(Registered::is_up),
        };
        segments.members.iter().enumerate().map(row).collect()
    }

    /// Segments that wait to be added and still call, by content.
    pub(crate) fn waiting(&self) -> Vec<SegmentDef> {
        let segments = self.segments.lock();
        let row = |(&i, segment): (&usize, &Registered)| SegmentDef {
            dbid: i as u32 + 2,
            content: ContentId(i as i32),
            endpoint: segment.place.endpoint.clone(),
            data_dir: segment.place.data_dir.clone(),
            up: true,
        };
        segments.candidates.iter().filter(|(_, segment)| segment.is_up()).map(row).collect()
    }

    /// The master's row of `gp_segment_configuration`.
    pub(crate) fn master_definition(&self) -> SegmentDef {
        let endpoint = self.master.clone();
        SegmentDef { dbid: 1, content: ContentId::MASTER, endpoint, data_dir: String::new(), up: true }
    }

    /// Of these, those that are members already.
    ///
    /// # Errors
    /// 57P03 if one is down.
    pub(crate) fn check_members_up(&self, contents: &SegmentSet) -> SqlResult<()> {
        let segments = self.segments.lock();
        let member = |content: &ContentId| segments.members.get(content.0 as usize);
        let is_down =
            |content: &ContentId| member(content).is_some_and(|member| !member.as_ref().is_some_and(Registered::is_up));
        contents.iter().find(is_down).map_or(Ok(()), |content| Err(down(content)))
    }

    /// Where clients can retrieve rows from these, in their order; None if they cannot from all of them.
    pub(crate) fn retrieve_addresses(&self, segments: &SegmentSet) -> Option<Vec<RetrieveAddress>> {
        let Segments { members, .. } = &*self.segments.lock();
        let address = |content: ContentId| members.get(content.0 as usize)?.as_ref()?.place.retrieve.clone();
        segments.iter().map(address).collect()
    }

    /// Whether clients can retrieve rows from some segment, over TLS if they must.
    pub(crate) fn lets_clients_in(&self, over_tls: bool) -> bool {
        let segments = self.segments.lock();
        let address = |member: &Registered| member.place.retrieve.as_ref().is_some_and(|at| at.has_tls || !over_tls);
        segments.members.iter().flatten().any(address)
    }

    /// Whether all of these are there.
    pub(crate) fn are_up(&self, needed: &SegmentSet) -> bool {
        let segments = self.segments.lock();
        let is_up = |content: ContentId| segments.members.get(content.0 as usize)?.as_ref().map(Registered::is_up);
        needed.iter().all(|content| is_up(content).unwrap_or(false))
    }
}

fn down(content: ContentId) -> SqlError {
    SqlError::new(SqlState::CANNOT_CONNECT_NOW, format!("segment {content} is down"))
        .with_hint("start it again with \"damson segment\"; it registers by itself")
}

impl Registered {
    fn is_up(&self) -> bool {
        self.last_call.is_none_or(|call| !self.is_lost && call.elapsed() < HEARTBEAT_MISSED_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(endpoint: &str) -> SegmentPlace {
        SegmentPlace { endpoint: Endpoint(endpoint.into()), data_dir: "/d".into(), retrieve: None }
    }

    #[test]
    fn clients_are_sent_where_all_segments_let_them_in() {
        let registry = Registry::new(Endpoint("m:1".into()), 3);
        let at = |port: u16| RetrieveAddress { address: format!("s:{port}"), has_tls: port == 2 };
        for (content, port) in [(0, Some(1)), (1, None), (2, Some(2))] {
            let place = SegmentPlace { retrieve: port.map(at), ..place(&format!("s:{content}")) };
            registry.register(ContentId(content), place, false).unwrap();
        }
        let of = |contents: &[i32]| registry.retrieve_addresses(&contents.iter().copied().map(ContentId).collect());
        assert_eq!(of(&[0, 2]), Some(vec![at(1), at(2)]));
        assert_eq!(of(&[0, 1]), None);
        assert_eq!(of(&[0, 7]), None);
        assert!(registry.lets_clients_in(true) && registry.lets_clients_in(false));
    }

    #[test]
    fn segments_wait_until_they_are_added() {
        let registry = Registry::new(Endpoint("m:1".into()), 1);
        let register = |content| registry.register(ContentId(content), place(&format!("s:{content}")), false);
        assert!(register(0).unwrap());
        assert!(!register(2).unwrap());
        let error = registry.add(3).unwrap_err();
        assert_eq!(error.state, SqlState::CANNOT_CONNECT_NOW);
        assert!(error.message.ends_with("registered: 1"), "{error}");
        assert_eq!(registry.definitions().len(), 1);
        assert_eq!(registry.waiting().iter().map(|segment| segment.content.0).collect::<Vec<_>>(), [2]);
        assert!(!register(1).unwrap());
        registry.add(3).unwrap();
        assert!(registry.waiting().is_empty());
        assert!(register(2).unwrap() && registry.are_up(&SegmentSet::first_of(3)));
        assert!(!registry.are_up(&SegmentSet::first_of(4)));
        let needed = BTreeSet::from([ContentId(2)]);
        assert_eq!(registry.topology(&needed).unwrap().segments.len(), 3);
        registry.add(2).expect("it has more");
        assert!(register(-1).is_err() && register(BUCKETS as i32).is_err());
    }

    #[test]
    fn a_content_that_is_served_is_not_taken_over() {
        let registry = Registry::new(Endpoint("m:1".into()), 2);
        let register = |endpoint: &str| {
            let registered = registry.register(ContentId(0), place(endpoint), false);
            registered.map(|_| ()).map_err(|error| (error.state, error.message))
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
