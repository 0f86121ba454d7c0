//! Files on segments that nobody needs any more.

use super::places::places_in;
use super::{Places, Registry, Writes};
use crate::catalog::{Catalog, CatalogError, CatalogState, FileKey};
use crate::error::{SqlError, SqlResult, SqlState, internal, of_call, task_ended};
use crate::system::InterconnectNode;
use bytes::Bytes;
use damson_cluster::{BucketMap, ContentId, Endpoint, FileEntry, PlaceId, PlaceSpec, TableDef, TableId};
use damson_interconnect::{ControlStream, Node};
use damson_motion::{CheckFiles, ListFiles, NodeReport, RemoveFiles, RunningSlice, control};
use futures::{TryStreamExt, future};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// How long a statement that failed waits for a bucket to remove what it wrote there.
const REMOVE_WAIT: Duration = Duration::from_secs(10);

/// How long a check waits for the list of a segment's files in a bucket: longer than a bucket that refuses is asked again.
const CHECK_WAIT: Duration = Duration::from_secs(300);

/// Removes dropped files and orphans, and asks segments what they run and what their interconnect does.
pub(crate) struct FileService {
    pub node: Arc<Node>,
    pub registry: Arc<Registry>,
    pub places: Arc<Places>,
    pub catalog: Arc<Catalog>,
    pub writes: Writes,
}

/// What [`FileService::check`] found wrong.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub content: ContentId,
    /// None for a file that is no table's.
    pub table: Option<TableId>,
    pub path: String,
    pub problem: String,
}

/// Whether a segment does not answer, or is known not to.
pub(super) fn is_gone(error: &SqlError) -> bool {
    [SqlState::CONNECTION_FAILURE, SqlState::CANNOT_CONNECT_NOW].contains(&error.state)
}

impl FileService {
    /// Who does for the master, which opens no files itself, what one segment is enough for: the first that owns something. It may be down.
    pub(crate) fn any_segment(&self) -> ContentId {
        self.catalog.current().current_map().first_owner()
    }

    /// Removes the files whose drop is committed and that no statement reads. What cannot be removed now is tried again at
    /// the next call. Whether there were any.
    pub(crate) async fn collect_dropped(&self) -> bool {
        let collectable = self.in_catalog(Catalog::collectable).await;
        let collectable = collectable.unwrap_or_else(|error| {
            warn!(%error, "could not look for dropped files");
            vec![]
        });
        let has_found = !collectable.is_empty();
        let mut shares = vec![];
        for (content, paths) in collectable {
            match self.by_place(paths).await {
                Ok(by_place) => shares.extend(by_place.into_iter().map(|(place, paths)| (content, place, paths))),
                Err(error) => warn!(%content, %error, "could not look for where dropped files are"),
            }
        }
        // All at once: a bucket that does not answer takes its time.
        let collected = shares.into_iter().map(|(content, place, paths)| self.collect_at(content, place, paths));
        future::join_all(collected).await;
        has_found
    }

    async fn collect_at(&self, content: ContentId, place: PlaceId, paths: Vec<String>) {
        match self.remove_at(content, place, &paths).await {
            Ok(()) => {
                let keys: Vec<FileKey> = paths.into_iter().map(|path| FileKey { content, path }).collect();
                if let Err(error) = self.in_catalog(move |catalog| catalog.forget(&keys)).await {
                    warn!(%content, %place, %error, "could not forget removed files");
                }
            }
            Err(error) => warn!(%content, %place, %error, "could not remove dropped files"),
        }
    }

    /// Asks the catalog where it may block: it waits for commits, and for its database.
    pub(crate) async fn in_catalog<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Catalog) -> Result<T, CatalogError> + Send + 'static,
    ) -> SqlResult<T> {
        let catalog = Arc::clone(&self.catalog);
        let answer = tokio::task::spawn_blocking(move || ask(&catalog)).await.map_err(task_ended)?;
        Ok(answer?)
    }

    /// A place as the newest state has it.
    async fn at(&self, place: PlaceId) -> SqlResult<Option<PlaceSpec>> {
        let state = self.catalog.current();
        self.places.spec(&state, place).await
    }

    /// Files by where they are. Those of a table that was never committed can be anywhere.
    async fn by_place(&self, paths: Vec<String>) -> SqlResult<BTreeMap<PlaceId, Vec<String>>> {
        let anywhere = places_in(&self.catalog.current());
        if anywhere == [PlaceId::LOCAL] {
            return Ok(BTreeMap::from([(PlaceId::LOCAL, paths)]));
        }
        let tables: BTreeSet<TableId> = paths.iter().filter_map(|path| FileEntry::table_of(path)).collect();
        let known = self.in_catalog(move |catalog| catalog.places_of(&tables)).await?;
        let mut by_place: BTreeMap<PlaceId, Vec<String>> = BTreeMap::new();
        for path in paths {
            let known = FileEntry::table_of(&path).and_then(|table| known.get(&table));
            for place in known.map_or(anywhere.as_slice(), std::slice::from_ref) {
                by_place.entry(*place).or_default().push(path.clone());
            }
        }
        Ok(by_place)
    }

    /// Files of a segment at a place that the catalog does not know: of statements that have not committed yet, or never will.
    pub(super) async fn unknown_files(&self, content: ContentId, place: PlaceId) -> SqlResult<HashSet<String>> {
        let at = self.at(place).await?;
        let body = serde_json::to_vec(&ListFiles { at }).map_err(internal)?;
        let on_disk: Vec<(String, u64)> = self.ask(content, control::LIST_FILES, body.into()).await?;
        let known = self.in_catalog(move |catalog| catalog.known_paths(content)).await?;
        Ok(on_disk.into_iter().map(|(path, _)| path).filter(|path| !known.contains(path)).collect())
    }

    /// Removes files on a segment's own disk that the catalog does not know: what a crash left of statements that never committed. Only right
    /// while no statement writes: the master calls it before it serves.
    pub(crate) async fn collect_orphans(&self, content: ContentId) -> SqlResult<usize> {
        let orphans: Vec<String> = self.unknown_files(content, PlaceId::LOCAL).await?.into_iter().collect();
        if !orphans.is_empty() {
            self.remove_at(content, PlaceId::LOCAL, &orphans).await?;
        }
        Ok(orphans.len())
    }

    /// Removes what a failed statement wrote, wherever it is. All places are tried; the first error is given.
    pub(crate) async fn remove(&self, content: ContentId, paths: Vec<String>) -> SqlResult<()> {
        let mut outcome = Ok(());
        for (place, paths) in self.by_place(paths).await? {
            if place.is_local() {
                outcome = outcome.and(self.remove_at(content, place, &paths).await);
                continue;
            }
            // A bucket that does not answer is not waited for: what is left there is looked for as orphans.
            let removed = tokio::time::timeout(REMOVE_WAIT, self.remove_at(content, place, &paths)).await;
            outcome = outcome.and(removed.unwrap_or_else(|_| Err(late(place, REMOVE_WAIT))));
        }
        outcome
    }

    pub(super) async fn remove_at(&self, content: ContentId, place: PlaceId, paths: &[String]) -> SqlResult<()> {
        let at = self.at(place).await?;
        let body = serde_json::to_vec(&RemoveFiles { at, paths: paths.to_vec() }).map_err(internal)?;
        self.ask::<usize>(content, control::REMOVE_FILES, body.into()).await.map(|_| ())
    }

    /// What every segment runs now.
    pub(crate) async fn running(&self) -> Vec<RunningSlice> {
        let mut all = vec![];
        for segment in self.registry.definitions().into_iter().filter(|s| s.up) {
            match self.ask::<Vec<RunningSlice>>(segment.content, control::RUNNING_SLICES, Bytes::new()).await {
                Ok(slices) => all.extend(slices),
                Err(error) => warn!(content = %segment.content, %error, "could not ask for running slices"),
            }
        }
        all
    }

    /// What every node's interconnect holds and has done. Each node is asked once, whatever it hosts; one that does not
    /// answer is missing.
    pub(crate) async fn interconnect(&self) -> Vec<InterconnectNode> {
        let master = self.registry.master_definition();
        let segments = self.registry.definitions().into_iter().filter(|s| s.up);
        let mut nodes: BTreeMap<Endpoint, Vec<ContentId>> = BTreeMap::new();
        for node in std::iter::once(master).chain(segments) {
            nodes.entry(node.endpoint).or_default().push(node.content);
        }
        let asked = nodes.into_iter().map(async |(endpoint, contents)| {
            let content = contents[0];
            let report = if content.is_master() {
                NodeReport::of(&self.node)
            } else {
                match self.ask(content, control::INTERCONNECT_STATS, Bytes::new()).await {
                    Ok(report) => report,
                    Err(error) => {
                        warn!(%content, %error, "could not ask for the interconnect's counters");
                        return None;
                    }
                }
            };
            Some(InterconnectNode { endpoint, contents, report })
        });
        future::join_all(asked).await.into_iter().flatten().collect()
    }

    /// Compares every file of a snapshot with what is there, and each place with the catalog. A bucket that does not answer, and a
    /// tablespace whose secret cannot be read, are findings: what is elsewhere is checked all the same.
    ///
    /// # Errors
    /// A segment that does not answer.
    pub(crate) async fn check(&self, state: &Arc<CatalogState>) -> SqlResult<Vec<Finding>> {
        // Who was given up, and has nothing, may be gone.
        let in_use = state.segments_in_use();
        let contents = self.registry.definitions().into_iter().map(|segment| segment.content);
        let found = future::join_all(contents.map(async |content| match self.check_content(state, content).await {
            Err(error) if is_gone(&error) && !in_use.contains(content) => Ok(vec![]),
            found => found,
        }));
        let found = found.await;
        let found: Vec<Vec<Finding>> = found.into_iter().collect::<SqlResult<_>>()?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn check_content(&self, state: &CatalogState, content: ContentId) -> SqlResult<Vec<Finding>> {
        let mut findings = vec![];
        let places = future::join_all(places_in(state).into_iter().map(async |place| {
            let listed = self.orphans(content, place);
            match place.is_local() {
                true => (place, listed.await),
                // All that is asked of it would take its time.
                false => (
                    place,
                    tokio::time::timeout(CHECK_WAIT, listed).await.unwrap_or_else(|_| Err(late(place, CHECK_WAIT))),
                ),
            }
        }));
        let (mut orphans, mut away) = (vec![], BTreeSet::new());
        for (place, listed) in places.await {
            match listed {
                Ok(paths) => orphans.extend(paths),
                Err(error) if place.is_local() => return Err(error),
                Err(error) => {
                    away.insert(place);
                    let def = place.tablespace().and_then(|id| state.tablespace_by_id(id));
                    let path = def.map_or_else(|| place.to_string(), |def| def.location.clone());
                    let problem = format!("it cannot be read, and its files were not checked: {}", error.message);
                    findings.push(Finding { content, table: None, path, problem });
                }
            }
        }
        for entry in state.tables().filter(|entry| !away.contains(&entry.def.place())) {
            let files: Vec<FileEntry> = entry.files.of(content).iter().map(|file| FileEntry::clone(file)).collect();
            let missing = || internal(format!("no bucket map {}", entry.def.map_version));
            let map = BucketMap::clone(state.bucket_map(entry.def.map_version).ok_or_else(missing)?);
            if files.is_empty() {
                continue;
            }
            let at = self.places.spec(state, entry.def.place()).await?;
            let request = CheckFiles { at, table: TableDef::clone(&entry.def), map, files };
            let body = serde_json::to_vec(&request).map_err(internal)?;
            let problems: Vec<(String, String)> = self.ask(content, control::CHECK_FILES, body.into()).await?;
            let table = Some(entry.def.id);
            let finding = |(path, problem)| Finding { content, table, path, problem };
            findings.extend(problems.into_iter().map(finding));
        }
        findings.extend(orphans.into_iter().map(|path| Finding {
            content,
            table: None,
            path,
            problem: "the catalog does not know it: an orphan, which will be removed".into(),
        }));
        Ok(findings)
    }

    /// Files that the catalog does not know, and that no statement can be writing. Not all of them while any statement writes.
    async fn orphans(&self, content: ContentId, place: PlaceId) -> SqlResult<Vec<String>> {
        let unknown = self.unknown_files(content, place).await?;
        if !self.writes.have_ended_below(self.writes.next()) {
            return Ok(vec![]);
        }
        // Those that wrote when the list was made have ended: they may have committed.
        let known = self.in_catalog(move |catalog| catalog.known_paths(content)).await?;
        let mut orphans: Vec<String> = unknown.into_iter().filter(|path| !known.contains(path)).collect();
        orphans.sort();
        Ok(orphans)
    }

    /// A call of a segment that answers once.
    ///
    /// # Errors
    /// As [`FileService::call`].
    pub(crate) async fn ask<T: DeserializeOwned>(&self, content: ContentId, kind: &str, body: Bytes) -> SqlResult<T> {
        let answer = self.call(content, kind, body).await?;
        let answer: Vec<Bytes> = answer.try_collect().await.map_err(of_call(content))?;
        serde_json::from_slice(&answer.concat()).map_err(internal)
    }

    /// A call of a segment. Dropping the answer ends it.
    ///
    /// # Errors
    /// The segment's refusal; 57P03 and 08006 for one that is not there.
    pub(crate) async fn call(&self, content: ContentId, kind: &str, body: Bytes) -> SqlResult<ControlStream> {
        let topology = self.registry.topology(&BTreeSet::from([content]))?;
        let answer = self.node.call(topology.endpoint(content), content, kind, body).await;
        answer.map_err(of_call(content))
    }
}

fn late(place: PlaceId, wait: Duration) -> SqlError {
    let message = format!("{place} does not answer within {} s", wait.as_secs());
    SqlError::new(SqlState::CONNECTION_FAILURE, message)
}
