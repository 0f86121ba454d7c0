//! One query's run: requests to the segments, slice 0 here, and the watch over both.

use super::file_bounds::FilteredColumns;
use super::maps::maps_of;
use super::retrieving::{Clients, Retrieving};
use super::routes::query_routes;
use super::{Places, Registry, Shares};
use crate::catalog::{CatalogState, FileKey};
use crate::engine::PastRelations;
use crate::error::{SqlError, SqlResult, SqlState, of_call, of_datafusion};
use crate::planner::{Slice, SliceTable};
use bytes::Bytes;
use damson_cluster::{
    BucketMap, ContentId, CopyCounts, CopyUnit, FileEntry, PlaceSpec, QueryId, SliceId, SourceAccess, Topology,
};
use damson_interconnect::{ControlStream, Node, QueryRoutes, QuerySecret, RouteError};
use damson_motion::{
    ExecuteHead, ExecuteRequest, Gang, OperatorMetrics, QeContext, ScannedFiles, SliceEvent, SlicePlan,
    TableModifyExec, TableScanExec, TableWriteExec, encode_slice,
};
use datafusion::arrow::array::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::stream::SelectAll;
use futures::{Stream, StreamExt, future, stream};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, info_span};

/// Batches between slice 0 and the client's protocol module.
const CLIENT_BATCHES_MAX: usize = 2;

/// How long a broken route waits for the account of the segment that failed, or for its loss: peers of a lost segment find
/// out within a heartbeat of each other.
const CAUSE_WAIT: Duration = Duration::from_millis(1000);

/// Sends queries to segments. One a master.
pub(crate) struct Dispatcher {
    pub node: Arc<Node>,
    pub registry: Arc<Registry>,
    pub places: Arc<Places>,
    pub cpu: Handle,
    next_query: AtomicU64,
}

/// One query as it is dispatched.
pub(crate) struct Dispatch<'a> {
    pub table: &'a SliceTable,
    pub state: &'a SessionState,
    pub catalog: Arc<CatalogState>,
    /// What is read as it was.
    pub past: Arc<PastRelations>,
    /// What segments read of files, by leaf.
    pub copy_units: HashMap<u32, Shares>,
    /// How the places of COPY are reached.
    pub access: &'a SourceAccess,
    /// Scans read these files alone; None: all of their tables.
    pub only_files: Option<HashSet<FileKey>>,
    /// Wait for every slice's end, and keep its metrics: writes and EXPLAIN ANALYZE.
    pub to_the_end: bool,
    /// Of a query whose rows do not come here.
    pub retrieving: Option<Retrieving>,
    pub cancel: CancellationToken,
}

/// What each slice's QEs did: by slice, by content.
pub(crate) type SliceMetrics = BTreeMap<SliceId, BTreeMap<ContentId, Vec<OperatorMetrics>>>;

/// What segments that are done with COPY's files have read of them.
pub(crate) type Copied = BTreeMap<ContentId, CopyCounts>;

/// A query that runs. Dropping the stream cancels it.
pub(crate) struct Running {
    pub query: QueryId,
    pub stream: SendableRecordBatchStream,
    /// Complete when the stream has ended, if the dispatch asked for it.
    pub metrics: Arc<Mutex<SliceMetrics>>,
    /// As `metrics`.
    pub copied: Arc<Mutex<Copied>>,
}

impl Dispatcher {
    pub(crate) fn new(node: Arc<Node>, registry: Arc<Registry>, places: Arc<Places>, cpu: Handle, epoch: u64) -> Self {
        // The epoch, which grows at each start, keeps ids unique for the life of the cluster.
        Dispatcher { node, registry, places, cpu, next_query: AtomicU64::new((epoch << 32) + 1) }
    }

    /// Starts a query on every node that it needs.
    ///
    /// # Errors
    /// A segment that is down or refuses; a tablespace whose secret cannot be read. Nothing runs then.
    pub(crate) async fn run(&self, dispatch: Dispatch<'_>) -> SqlResult<Running> {
        let query = QueryId(self.next_query.fetch_add(1, Ordering::Relaxed));
        let topology = self.registry.topology(&contents(dispatch.table))?;
        let routes = query_routes(dispatch.table, &topology);
        let secret = QuerySecret::generate().map_err(crate::error::internal)?;
        let places = self.places.of_query(&dispatch).await?;
        let requests = requests(&dispatch, query, &topology, &places, (routes, secret)).map_err(of_datafusion)?;
        let slices = requests.values().map(|request| request.slices.len()).sum();
        self.node.open_query(query, routes, secret);
        // From here on, an early return ends what was started.
        let close = CloseOnDrop { node: Arc::clone(&self.node), query };
        let calls = requests.into_iter().map(|(content, request)| {
            let endpoint = topology.endpoint(content).clone();
            let node = Arc::clone(&self.node);
            async move {
                let body = request.encode().map_err(of_datafusion)?;
                let answer = node.call(&endpoint, content, damson_motion::control::EXECUTE, body).await;
                answer.map(|events| (content, events)).map_err(of_call(content))
            }
        });
        let answers = tokio::select! {
            biased;
            () = dispatch.cancel.cancelled() => return Err(SqlError::canceled()),
            answers = future::join_all(calls) => answers,
        };
        for answer in &answers {
            if let Err(error) = answer {
                self.note_failure(error);
            }
        }
        let answers = answers.into_iter().collect::<SqlResult<Vec<(ContentId, ControlStream)>>>()?;
        let maps = maps_of(dispatch.table, &dispatch.catalog, &dispatch.past).map_err(of_datafusion)?;
        let context = task_context(dispatch.state, query, &self.node, &topology, maps);
        self.watch(dispatch, query, context, (answers, slices), close)
    }

    /// Runs slice 0 and watches the segments, on the CPU runtime.
    fn watch(
        &self,
        dispatch: Dispatch<'_>,
        query: QueryId,
        context: Arc<TaskContext>,
        (answers, slices): (Vec<(ContentId, ControlStream)>, usize),
        close: CloseOnDrop,
    ) -> SqlResult<Running> {
        let root = single_partition(&dispatch.table.root().plan);
        let options = dispatch.state.config_options();
        let root = damson_motion::replan(root, options).map_err(of_datafusion)?;
        let senders = dispatch.table.slices[1..].iter().filter(|s| s.gang == Gang::Entry);
        let senders = senders.map(|s| Ok((s.id, damson_motion::replan(Arc::clone(&s.plan), options)?)));
        let senders = senders.collect::<Result<Vec<_>>>().map_err(of_datafusion)?;
        let schema = root.schema();
        let metrics = Arc::new(Mutex::new(SliceMetrics::new()));
        let copied = Arc::new(Mutex::new(Copied::new()));
        let (sender, receiver) = mpsc::channel(CLIENT_BATCHES_MAX);
        let watch = Watch {
            query,
            root: Arc::clone(&root),
            senders,
            events: answers.into_iter().map(|(content, events)| events.map(move |e| (content, e)).boxed()).collect(),
            metrics: Arc::clone(&metrics),
            copied: Arc::clone(&copied),
            to_the_end: dispatch.to_the_end,
            clients: Clients::of(dispatch.table, dispatch.retrieving),
            cancel: dispatch.cancel,
            registry: Arc::clone(&self.registry),
            _catalog: dispatch.catalog,
            _past: dispatch.past,
            close,
            tasks: JoinSet::new(),
            slices_left: slices,
        };
        let span = info_span!("execute_slice", %query, slice = 0, segment = -1);
        let task = self.cpu.spawn(watch.run(context, sender).instrument(span));
        let rows = rows_until_end(receiver, AbortOnDropHandle::new(task));
        let stream = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
        Ok(Running { query, stream, metrics, copied })
    }

    fn note_failure(&self, error: &SqlError) {
        if let Some(content) = error.lost {
            self.registry.mark_down(content);
        }
    }
}

/// What the task sends until it ends; dropping the stream aborts it. A task that died is an error, never a short result.
fn rows_until_end(
    receiver: mpsc::Receiver<Result<RecordBatch>>,
    task: AbortOnDropHandle<()>,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    stream::unfold(Some((receiver, task)), |running| async move {
        let (mut receiver, task) = running?;
        match receiver.recv().await {
            Some(batch) => Some((batch, Some((receiver, task)))),
            None => task.await.err().map(|died| (Err(DataFusionError::ExecutionJoin(Box::new(died))), None)),
        }
    })
}

/// Ends a query's routes on this node.
struct CloseOnDrop {
    node: Arc<Node>,
    query: QueryId,
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.node.close_content(self.query, ContentId::MASTER);
    }
}

type Event = (ContentId, std::result::Result<Bytes, damson_interconnect::InterconnectError>);

struct Watch {
    query: QueryId,
    root: Arc<dyn ExecutionPlan>,
    /// The master's other slices: they send what is in one place to the segments.
    senders: Vec<(SliceId, Arc<dyn ExecutionPlan>)>,
    events: SelectAll<stream::BoxStream<'static, Event>>,
    metrics: Arc<Mutex<SliceMetrics>>,
    copied: Arc<Mutex<Copied>>,
    to_the_end: bool,
    clients: Option<Clients>,
    cancel: CancellationToken,
    registry: Arc<Registry>,
    /// The snapshot's files stay as long as the query runs.
    _catalog: Arc<CatalogState>,
    _past: Arc<PastRelations>,
    close: CloseOnDrop,
    /// The master's other slices, at work.
    tasks: JoinSet<Result<()>>,
    /// How many slices of segments have not said yet how they ended.
    slices_left: usize,
}

impl Watch {
    async fn run(mut self, context: Arc<TaskContext>, sender: mpsc::Sender<Result<RecordBatch>>) {
        // The tasks end with this one.
        for (slice, plan) in &self.senders {
            let (plan, context) = (Arc::clone(plan), Arc::clone(&context));
            let span = info_span!("execute_slice", query = %self.query, slice = slice.0, segment = -1);
            self.tasks.spawn(send(plan, context).instrument(span));
        }
        let outcome = match self.root.execute(0, Arc::clone(&context)) {
            Ok(rows) => self.pump(rows, &sender, &context).await,
            Err(error) => Err(of_datafusion(error)),
        };
        if let Err(error) = outcome {
            let reason = RouteError::Cancelled { query: self.query };
            self.close.node.close_query(self.query, Some(reason));
            // Dropping the answers cancels the query on the segments, before the client hears of it.
            self.events.clear();
            if let Some(content) = error.lost {
                self.registry.mark_down(content);
            }
            // A client that has gone does not want the error either.
            let _ = sender.send(Err(DataFusionError::External(Box::new(error)))).await;
        }
    }

    /// Rows to the client until the root ends, a slice fails, or the client cancels or leaves.
    async fn pump(
        &mut self,
        mut rows: SendableRecordBatchStream,
        sender: &mpsc::Sender<Result<RecordBatch>>,
        context: &TaskContext,
    ) -> SqlResult<()> {
        let cancel = self.cancel.clone();
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(SqlError::canceled()),
                () = sender.closed() => return Err(SqlError::canceled()),
                ended = self.tasks.join_next(), if !self.tasks.is_empty() => self.slice_ended(ended).await?,
                event = self.events.next(), if !self.events.is_empty() => {
                    if let Err(error) = self.take_or_end(event) {
                        return Err(self.cause_of(error).await);
                    }
                }
                batch = rows.next() => match batch {
                    None => break,
                    Some(Ok(batch)) => {
                        let sent = tokio::select! {
                            biased;
                            () = cancel.cancelled() => return Err(SqlError::canceled()),
                            sent = sender.send(Ok(batch)) => sent,
                        };
                        if sent.is_err() {
                            return Err(SqlError::canceled());
                        }
                    }
                    Some(Err(error)) => return Err(self.cause_of(of_datafusion(error)).await),
                },
            }
        }
        if self.to_the_end {
            damson_motion::stop_unread(&self.root, context).map_err(of_datafusion)?;
            self.finish(&cancel).await?;
        }
        Ok(())
    }

    /// Waits for the slices that are still at work.
    async fn finish(&mut self, cancel: &CancellationToken) -> SqlResult<()> {
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(SqlError::canceled()),
                ended = self.tasks.join_next(), if !self.tasks.is_empty() => self.slice_ended(ended).await?,
                event = self.events.next() => {
                    let is_end = event.is_none();
                    if let Err(error) = self.take_or_end(event) {
                        return Err(self.cause_of(error).await);
                    }
                    if is_end {
                        break;
                    }
                }
            }
        }
        let mut metrics = self.metrics.lock();
        let on_master = self.senders.iter().map(|(slice, plan)| (*slice, plan)).chain([(SliceId(0), &self.root)]);
        for (slice, plan) in on_master {
            metrics.entry(slice).or_default().insert(ContentId::MASTER, damson_motion::collect_metrics(plan));
        }
        Ok(())
    }

    /// A slice of the master's ended. Its failure is told here: a slice that fails before its routes are open cannot tell its
    /// receivers, who would wait for ever.
    async fn slice_ended(&mut self, ended: Option<std::result::Result<Result<()>, JoinError>>) -> SqlResult<()> {
        let failed = match ended {
            None | Some(Ok(Ok(()))) => return Ok(()),
            Some(Ok(Err(error))) => error,
            Some(Err(died)) => DataFusionError::ExecutionJoin(Box::new(died)),
        };
        Err(self.cause_of(of_datafusion(failed)).await)
    }

    /// One segment's word, or the end of all that they have to say: of each of their slices.
    fn take_or_end(&mut self, event: Option<Event>) -> SqlResult<()> {
        match event {
            Some(event) => self.take(event),
            None if self.slices_left == 0 => Ok(()),
            None => {
                let message = format!("{}: {} slices ended without a word", self.query, self.slices_left);
                Err(SqlError::new(SqlState::INTERNAL_ERROR, message))
            }
        }
    }

    /// One segment's word.
    fn take(&mut self, (content, event): Event) -> SqlResult<()> {
        let body = event.map_err(|error| of_call(content)(error).in_query(self.query))?;
        match serde_json::from_slice(&body).map_err(crate::error::internal)? {
            SliceEvent::Waits { for_client } => {
                if let Some(clients) = &mut self.clients {
                    clients.waits(content, for_client);
                }
                Ok(())
            }
            SliceEvent::Done { slice, operators, copied } => {
                self.slices_left = self.slices_left.saturating_sub(1);
                if let Some(clients) = &mut self.clients {
                    clients.ended(content, slice);
                }
                if let Some(copied) = copied {
                    self.copied.lock().insert(content, copied);
                }
                self.metrics.lock().entry(slice).or_default().insert(content, operators);
                Ok(())
            }
            SliceEvent::Failed { slice, code, message } => {
                self.slices_left = self.slices_left.saturating_sub(1);
                Err(crate::error::of_slice(&code, message, slice, content))
            }
        }
    }

    /// A route that broke is an effect, wherever it was noticed: another slice's own error, or a segment's loss, is the
    /// cause. It follows at once, unless the two ends of the route only do not see each other.
    async fn cause_of(&mut self, mut error: SqlError) -> SqlError {
        let deadline = tokio::time::Instant::now() + CAUSE_WAIT;
        while error.is_effect() {
            let Ok(Some(event)) = tokio::time::timeout_at(deadline, self.events.next()).await else { break };
            // A slice is cancelled because a route broke, never the other way round.
            if let Err(other) = self.take(event)
                && (!other.is_effect() || error.state == SqlState::QUERY_CANCELED)
            {
                error = other;
            }
        }
        error
    }
}

/// Runs a slice of the master that sends; its root yields nothing.
async fn send(plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<()> {
    let mut nothing = plan.execute(0, Arc::clone(&context))?;
    while let Some(batch) = nothing.next().await {
        batch?;
    }
    damson_motion::stop_unread(&plan, &context)
}

fn single_partition(plan: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    if plan.output_partitioning().partition_count() == 1 {
        Arc::clone(plan)
    } else {
        Arc::new(CoalescePartitionsExec::new(Arc::clone(plan)))
    }
}

/// The segments that run a slice.
fn contents(table: &SliceTable) -> BTreeSet<ContentId> {
    table.slices.iter().flat_map(|s| s.gang.contents()).filter(|c| !c.is_master()).collect()
}

/// One request per segment that runs a slice.
fn requests(
    dispatch: &Dispatch<'_>,
    query: QueryId,
    topology: &Topology,
    places: &[PlaceSpec],
    (routes, secret): (QueryRoutes, QuerySecret),
) -> Result<BTreeMap<ContentId, ExecuteRequest>> {
    let slices = &dispatch.table.slices[1..];
    // The master's own slices stay here: what they read may not be able to travel.
    let travelling = slices.iter().filter(|s| s.gang != Gang::Entry);
    let encoded = travelling.map(|s| Ok((s.id, encode_slice(Arc::clone(&s.plan))?)));
    let encoded: HashMap<SliceId, Bytes> = encoded.collect::<Result<_>>()?;
    let maps = maps_of(dispatch.table, &dispatch.catalog, &dispatch.past)?;
    let maps: Vec<BucketMap> = maps.iter().map(|map| (**map).clone()).collect();
    let contents = contents(dispatch.table);
    let shares = dispatch.copy_units.values().flatten().filter(|(_, units)| !units.is_empty());
    if let Some((content, _)) = shares.into_iter().find(|(content, _)| !contents.contains(content)) {
        return Err(DataFusionError::Internal(format!("{content} has files to read, and does not take part")));
    }
    let mut requests = BTreeMap::new();
    for content in contents {
        let mine: Vec<&Slice> = slices.iter().filter(|s| s.gang.contains(content)).collect();
        let head = ExecuteHead {
            query,
            content,
            topology: topology.clone(),
            maps: maps.clone(),
            files: files_of(&mine, dispatch, content),
            places: places.to_vec(),
            copy_units: units_of(&dispatch.copy_units, content),
            access: dispatch.access.clone(),
            routes,
            secret,
            analyze: dispatch.to_the_end && dispatch.retrieving.is_none(),
        };
        let plans = mine.iter().map(|s| SlicePlan { slice: s.id, plan: encoded[&s.id].clone() }).collect();
        requests.insert(content, ExecuteRequest { head, slices: plans });
    }
    Ok(requests)
}

/// The content's files of every table that its slices scan, change, or look for keys in; of their statistics, what filters may exclude them
/// by.
fn files_of(slices: &[&Slice], dispatch: &Dispatch<'_>, content: ContentId) -> Vec<ScannedFiles> {
    let is_read =
        |file: &&Arc<FileEntry>| dispatch.only_files.as_ref().is_none_or(|only| only.contains(&FileKey::of(file)));
    let filtered = FilteredColumns::of(slices.iter().map(|slice| &slice.plan));
    let mut scanned: Vec<ScannedFiles> = vec![];
    for slice in slices {
        visit(&slice.plan, &mut |plan| {
            let read = plan.downcast_ref::<TableScanExec>().map(|scan| (scan.spec().table, scan.spec().as_of));
            let modified = || plan.downcast_ref::<TableModifyExec>().map(|modify| (modify.spec().write.table, None));
            // Where its keys are looked for.
            let written = || {
                let spec = plan.downcast_ref::<TableWriteExec>().map(TableWriteExec::spec)?;
                (!spec.keys.is_empty()).then_some((spec.table, None))
            };
            let Some((table, as_of)) = read.or_else(modified).or_else(written) else { return };
            if scanned.iter().any(|known| (known.table, known.as_of) == (table, as_of)) {
                return;
            }
            let past = as_of.and_then(|snapshot| dispatch.past.state(snapshot));
            let state = if as_of.is_some() { past.as_ref() } else { Some(&dispatch.catalog) };
            let Some(entry) = state.and_then(|state| state.table_by_id(table)) else { return };
            let known = filtered.positions(&entry.def);
            let files = entry.files.of(content).iter().filter(is_read).map(|file| known.entry(file)).collect();
            scanned.push(ScannedFiles { table, as_of, files });
        });
    }
    scanned
}

fn units_of(units: &HashMap<u32, Shares>, content: ContentId) -> HashMap<u32, Vec<CopyUnit>> {
    units.iter().map(|(leaf, shares)| (*leaf, shares.get(&content).cloned().unwrap_or_default())).collect()
}

pub(super) fn visit(plan: &Arc<dyn ExecutionPlan>, f: &mut impl FnMut(&Arc<dyn ExecutionPlan>)) {
    f(plan);
    plan.children().into_iter().for_each(|child| visit(child, f));
}

/// Without functions, hundreds of which would be copied for each query: plans that run have theirs.
fn task_context(
    state: &SessionState,
    query: QueryId,
    node: &Arc<Node>,
    topology: &Topology,
    maps: Vec<Arc<BucketMap>>,
) -> Arc<TaskContext> {
    let qe = QeContext {
        query,
        content: ContentId::MASTER,
        node: Arc::clone(node),
        topology: Arc::new(topology.clone()),
        maps: maps.into_iter().map(|map| (map.version, map)).collect(),
        describe_error: crate::error::describe,
    };
    Arc::new(TaskContext::new(
        Some(format!("{query} master")),
        query.to_string(),
        state.config().clone().with_extension(Arc::new(qe)),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        Arc::clone(state.runtime_env()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use damson_cluster::{Endpoint, MotionId};
    use damson_interconnect::NodeConfig;
    use damson_motion::{MotionDef, MotionKind, MotionRecvExec, MotionSendExec};
    use datafusion::arrow::datatypes::{Schema, SchemaRef};
    use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
    use datafusion::prelude::SessionContext;

    /// A slice of the master that fails before it has a route cannot tell its receiver, who would wait for ever.
    #[tokio::test]
    async fn a_slice_of_the_master_that_fails_early_fails_the_query() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(directory.path(), 1).unwrap().current();
        let node = Node::new(NodeConfig::new(Endpoint::in_process(), "test", Handle::current()));
        let topology = Topology { master: Endpoint::in_process(), segments: vec![] };
        let query = QueryId(1);
        node.open_query(query, 1, QuerySecret::from_bytes([1; 16]));
        let kind = MotionKind::Gather { merge: None };
        let def = MotionDef { id: MotionId(1), kind, senders: Gang::Entry, receivers: Gang::Entry };
        let schema: SchemaRef = Arc::new(Schema::empty());
        // Two partitions cannot be sent, which is found before the routes are opened.
        let input = Arc::new(PlaceholderRowExec::new(Arc::clone(&schema)).with_partitions(2));
        let state = SessionContext::new().state();
        let maps = vec![Arc::clone(catalog.current_map())];
        let context = task_context(&state, query, &node, &topology, maps);
        let (sender, mut receiver) = mpsc::channel(1);
        let watch = Watch {
            query,
            root: Arc::new(MotionRecvExec::new(def.clone(), schema)),
            senders: vec![(SliceId(1), Arc::new(MotionSendExec::new(def, input)))],
            events: SelectAll::new(),
            metrics: Arc::default(),
            copied: Arc::default(),
            to_the_end: true,
            clients: None,
            cancel: CancellationToken::new(),
            registry: Arc::new(Registry::new(Endpoint::in_process(), 1)),
            _catalog: catalog,
            _past: Arc::default(),
            close: CloseOnDrop { node: Arc::clone(&node), query },
            tasks: JoinSet::new(),
            slices_left: 0,
        };
        let running = tokio::time::timeout(Duration::from_secs(30), watch.run(context, sender));
        let ((), error) = tokio::join!(async { running.await.expect("it hangs") }, receiver.recv());
        let error = error.expect("an error").unwrap_err().to_string();
        assert!(error.contains("2 partitions"), "{error}");
    }

    #[tokio::test]
    async fn a_task_that_dies_is_an_error_after_its_rows() {
        for dies in [false, true] {
            let (sender, receiver) = mpsc::channel(1);
            let task = tokio::spawn(async move {
                let batch = RecordBatch::new_empty(Arc::new(Schema::empty()));
                sender.send(Ok(batch)).await.expect("it is read");
                assert!(!dies, "offset overflow");
            });
            let rows: Vec<_> = rows_until_end(receiver, AbortOnDropHandle::new(task)).collect().await;
            assert!(rows[0].is_ok());
            let end: Vec<_> = rows[1..].iter().map(|row| row.as_ref().unwrap_err().to_string()).collect();
            assert_eq!(end.len(), usize::from(dies), "{end:?}");
            assert!(end.iter().all(|error| error.contains("offset overflow")), "{end:?}");
        }
    }
}
