//! Tables' error logs, which segments keep.

use super::files::{FileService, is_gone};
use crate::error::{SqlError, SqlResult, internal, of_call};
use bytes::Bytes;
use damson_cluster::{BadRow, ContentId, TableId};
use damson_motion::error_log_calls;
use futures::{Stream, StreamExt, TryStreamExt, future, stream};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tracing::{info, warn};

/// Rounds after which the collector looks without a reason: a segment may have been down when it had one.
const ROUNDS_WITHOUT_REASON: u64 = 60;

impl FileService {
    /// A table's log, one segment after the other, each the oldest rows first. What a segment had that was given up, and is gone, is left out.
    /// Dropping the stream ends it.
    ///
    /// # Memory
    /// One message: some hundred rows.
    ///
    /// # Errors
    /// 57P03 and 08006 for a segment that is not there, and those of its disk.
    pub(crate) fn read_error_log(
        self: Arc<Self>,
        table: TableId,
    ) -> impl Stream<Item = SqlResult<(ContentId, Vec<BadRow>)>> + Send {
        let segments = self.with_logs();
        let of_segment = move |(content, is_needed): (ContentId, bool)| {
            let files = Arc::clone(&self);
            async move {
                let body = serde_json::to_vec(&table).map_err(internal)?;
                let parts = match files.call(content, error_log_calls::READ_ERROR_LOG, body.into()).await {
                    Err(error) if is_gone(&error) && !is_needed => stream::empty().boxed(),
                    parts => parts?.boxed(),
                };
                let rows = move |part: Bytes| {
                    let rows: Vec<BadRow> = serde_json::from_slice(&part).map_err(internal)?;
                    Ok((content, rows))
                };
                Ok::<_, SqlError>(parts.map_err(of_call(content)).and_then(move |part| future::ready(rows(part))))
            }
        };
        stream::iter(segments).then(of_segment).try_flatten()
    }

    /// Forgets what is in logs; None: in all of them.
    ///
    /// # Errors
    /// As [`FileService::read_error_log`]; segments before the one that fails have forgotten it.
    pub(crate) async fn truncate_error_logs(&self, tables: Option<&[TableId]>) -> SqlResult<()> {
        let body = Bytes::from(serde_json::to_vec(&tables).map_err(internal)?);
        for (content, is_needed) in self.with_logs() {
            match self.ask::<()>(content, error_log_calls::TRUNCATE_ERROR_LOG, body.clone()).await {
                Err(error) if is_gone(&error) && !is_needed => {}
                forgotten => forgotten?,
            }
        }
        Ok(())
    }

    /// All segments, and whether each has to be there.
    fn with_logs(&self) -> Vec<(ContentId, bool)> {
        let in_use = self.catalog.current().segments_in_use();
        let segments = self.registry.definitions().into_iter();
        segments.map(|segment| (segment.content, in_use.contains(segment.content))).collect()
    }
}

/// Removes the logs of tables that were dropped. One a master.
#[derive(Default)]
pub(crate) struct ErrorLogCollector {
    /// By segment: tables with logs that the catalog does not know, and the number of the first statement that cannot be making one.
    suspects: HashMap<ContentId, (Vec<TableId>, u64)>,
    /// Segments that have not been looked at since there was a reason to.
    due: BTreeSet<ContentId>,
    rounds: u64,
}

impl ErrorLogCollector {
    /// Removes what turned out to be nobody's since the last call, and looks for others: always with a reason, else seldom.
    pub(crate) async fn collect(&mut self, files: &FileService, has_reason: bool) {
        let segments = files.registry.definitions();
        if has_reason || self.rounds.is_multiple_of(ROUNDS_WITHOUT_REASON) {
            self.due.extend(segments.iter().map(|segment| segment.content));
        }
        self.rounds += 1;
        for content in segments.into_iter().filter(|segment| segment.up).map(|segment| segment.content) {
            if let Err(error) = self.collect_of(files, content).await {
                warn!(%content, %error, "could not look for error logs of dropped tables");
            }
        }
    }

    async fn collect_of(&mut self, files: &FileService, content: ContentId) -> SqlResult<()> {
        if let Some((_, number)) = self.suspects.get(&content) {
            if !files.writes.have_ended_below(*number) {
                return Ok(());
            }
            let suspects = self.suspects.remove(&content).map_or(vec![], |(tables, _)| tables);
            // A transaction that was under way may have committed one of them.
            let gone = files.unknown_tables(suspects).await?;
            if !gone.is_empty() {
                let body = serde_json::to_vec(&gone).map_err(internal)?;
                files.ask::<()>(content, error_log_calls::DROP_ERROR_LOGS, body.into()).await?;
                info!(%content, tables = gone.len(), "removed error logs of dropped tables");
            }
        }
        if self.due.contains(&content) {
            let logged: Vec<TableId> = files.ask(content, error_log_calls::LIST_ERROR_LOGS, Bytes::new()).await?;
            // After the list: whoever has a log in it has begun.
            let number = files.writes.next();
            let unknown = files.unknown_tables(logged).await?;
            self.due.remove(&content);
            if !unknown.is_empty() {
                self.suspects.insert(content, (unknown, number));
            }
        }
        Ok(())
    }
}

impl FileService {
    /// Those that the newest snapshot does not have, among its external tables neither.
    async fn unknown_tables(&self, tables: Vec<TableId>) -> SqlResult<Vec<TableId>> {
        if tables.is_empty() {
            return Ok(tables);
        }
        let state = self.in_catalog(|catalog| Ok(catalog.current())).await?;
        let externals = state.views().filter(|view| view.external.is_some());
        let ids: BTreeSet<u64> = externals.filter_map(|view| state.view_id(&view.schema, &view.name)).collect();
        let is_unknown = |table: &TableId| state.table_by_id(*table).is_none() && !ids.contains(&table.0);
        Ok(tables.into_iter().filter(is_unknown).collect())
    }
}
