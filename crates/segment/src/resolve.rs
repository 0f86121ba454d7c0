//! Leaves and sinks of a slice become operators over this segment's files.

use crate::running::RunningGuard;
use crate::stores::Stores;
use damson_cluster::{BucketMap, Departures, FileEntry, MapVersion, OnBadRow};
use damson_motion::{
    CopyReadExec, CopyWriteExec, ExecuteHead, FileScanExec, FileScanSpec, Leave, Leaving, ModifyKind, ScanSpec,
    SegmentIdExec, TableModifyExec, TableScanExec, TableWriteExec, TableWriteSpec,
};
use damson_storage::{
    Check, CopyProgress, CopyRead, CopyWriteSpec, Exports, ModifySpec, StorageError, TableStore, WriteSpec, Writes,
    copy_read, copy_read_columns, copy_write,
};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::FilterExec;
use std::sync::Arc;

/// A slice runs in one partition: the master planned it for one, and a segment has one core.
const SLICE_PARTITIONS: usize = 1;

/// Puts the segment's own scans and writers into a slice. Every operator stays one operator, so that metrics find back
/// to the master's plan by position, except that a scan with `gp_segment_id` becomes two.
pub(crate) fn resolve(
    stores: &Stores,
    exports: &Exports,
    head: &ExecuteHead,
    running: &RunningGuard,
    plan: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let resolve_one = |plan: Arc<dyn ExecutionPlan>| {
        let resolved = if let Some(scan) = plan.downcast_ref::<TableScanExec>() {
            let spec = scan.spec();
            let is_read = spec.only.is_none_or(|only| only == head.content);
            let files = if is_read { head.files_of(spec.table, spec.as_of) } else { &[] };
            let store = stores.at(spec.place)?;
            if let Some(leaving) = &spec.leaving {
                return Ok(Transformed::yes(leaving_of(head, store, spec, leaving, files)?));
            }
            let rows = match spec.row_ids {
                true => store.scan_with_row_ids(&spec.table_schema, &spec.projection, files),
                false => store.scan(&spec.table_schema, &spec.projection, files, SLICE_PARTITIONS),
            };
            let rows = rows.map_err(external)?;
            if spec.segment_id { Arc::new(SegmentIdExec::new(rows)) } else { rows }
        } else if let Some(read) = plan.downcast_ref::<CopyReadExec>() {
            let units = head.copy_units.get(&read.spec().leaf).cloned().unwrap_or_default();
            let spec = read.spec();
            let in_files = spec.schema.fields().len() - spec.partition_columns;
            let progress = CopyProgress::new(&units);
            running.show(&progress);
            let logs = matches!(spec.on_bad_row, OnBadRow::Reject { log: true, .. });
            let read = CopyRead {
                content: head.content,
                format: spec.format.clone(),
                schema: Arc::clone(&spec.schema),
                partition_columns: (in_files..spec.schema.fields().len()).collect(),
                max_chars: spec.max_chars.clone(),
                on_bad_row: spec.on_bad_row,
                access: head.access.clone(),
                progress,
                units,
                error_log: logs.then(|| stores.local().error_log(spec.table).writer()),
            };
            copy_read(read).map_err(external)?
        } else if let Some(scan) = plan.downcast_ref::<FileScanExec>() {
            scan_files(head, scan.spec(), stores).map_err(external)?
        } else if let Some(write) = plan.downcast_ref::<TableWriteExec>() {
            let store = stores.at(write.spec().place)?;
            let spec = write_spec(head, write.spec(), write.checks())?;
            store.write(spec, Arc::clone(write.input())).map_err(external)?
        } else if let Some(modify) = plan.downcast_ref::<TableModifyExec>() {
            let spec = modify.spec();
            let store = stores.at(spec.write.place)?;
            if spec.kind == ModifyKind::RowGroups {
                let table = spec.write.table;
                let taken = store.take_row_groups(table, head.files_of(table, None), Arc::clone(modify.input()));
                return Ok(Transformed::yes(taken.map_err(external)?));
            }
            let spec = ModifySpec {
                write: write_spec(head, &spec.write, modify.checks())?,
                writes: match spec.kind {
                    ModifyKind::Delete => Writes::Nothing,
                    ModifyKind::Update => Writes::InPlace,
                    ModifyKind::SplitUpdate | ModifyKind::Merge => Writes::AsTold,
                    ModifyKind::RowGroups => return internal_err!("row groups are no rows"),
                },
                once: spec.once,
            };
            store.modify(spec, Arc::clone(modify.input())).map_err(external)?
        } else if let Some(write) = plan.downcast_ref::<CopyWriteExec>() {
            let progress = CopyProgress::writing();
            running.show(&progress);
            let spec = CopyWriteSpec {
                content: head.content,
                target: write.spec().target.of_segment(head.content),
                access: head.access.clone(),
                exports: exports.clone(),
                progress,
                data_dir: Some(stores.local().data_dir().to_owned()),
            };
            copy_write(Arc::clone(write.input()), spec).map_err(external)?
        } else {
            return Ok(Transformed::no(plan));
        };
        Ok(Transformed::yes(resolved))
    };
    let over_scan = |plan: Arc<dyn ExecutionPlan>| {
        let scan = plan.downcast_ref::<FilterExec>().map(FilterExec::input);
        let Some(scan) = scan.filter(|scan| scan.downcast_ref::<TableScanExec>().is_some()) else {
            return Ok(Transformed::no(plan));
        };
        let rows = resolve_one(Arc::clone(scan))?.data;
        // What a filter makes of its input's properties takes a while to find out, and these are the same.
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
        Ok(Transformed::new(plan.replace_children(vec![rows], options)?, true, TreeNodeRecursion::Jump))
    };
    plan.transform_down(over_scan).data()?.transform_up(resolve_one).data()
}

/// What leaves the segment when a table is laid out by another map.
fn leaving_of(
    head: &ExecuteHead,
    store: &TableStore,
    spec: &ScanSpec,
    leaving: &Leaving,
    files: &[FileEntry],
) -> Result<Arc<dyn ExecutionPlan>> {
    let map = |version| map_of(head, version);
    let departures = Departures::of(head.content, map(leaving.maps.from)?, map(leaving.maps.to)?);
    let departures = Arc::new(departures);
    let (schema, key) = (&spec.table_schema, &leaving.key);
    match leaving.how {
        Leave::AsRowGroups => Ok(store.give_row_groups(schema, files, key, &departures)),
        Leave::InPlace => Ok(store.share_files(schema, files, key, &departures)),
        Leave::RowByRow => {
            let rows = store.scan_leaving(schema, &spec.projection, files, key, &departures).map_err(external)?;
            Ok(if spec.segment_id { Arc::new(SegmentIdExec::new(rows)) } else { rows })
        }
    }
}

/// # Errors
/// The master did not send it.
fn map_of(head: &ExecuteHead, version: MapVersion) -> Result<&BucketMap> {
    let map = head.maps.iter().find(|map| map.version == version);
    map.ok_or_else(|| internal_datafusion_err!("bucket map {version} is missing"))
}

fn scan_files(
    head: &ExecuteHead,
    spec: &FileScanSpec,
    stores: &Stores,
) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    let units = head.copy_units.get(&spec.leaf).cloned().unwrap_or_default();
    let read = CopyRead {
        content: head.content,
        format: spec.format.clone(),
        schema: Arc::clone(&spec.schema),
        partition_columns: spec.partition_columns.clone(),
        max_chars: spec.max_chars.clone(),
        on_bad_row: spec.on_bad_row,
        access: spec.access.clone(),
        progress: CopyProgress::new(&units),
        units,
        error_log: spec.error_log.map(|table| stores.local().error_log(table).writer()),
    };
    copy_read_columns(read, &spec.projection)
}

fn write_spec(head: &ExecuteHead, spec: &TableWriteSpec, checks: &[Arc<dyn PhysicalExpr>]) -> Result<WriteSpec> {
    let buckets = match &spec.distribution_key[..] {
        [] => vec![],
        _ => map_of(head, spec.map)?.owned_by(head.content),
    };
    let named = spec.checks.iter().cloned().zip(checks.iter().cloned());
    let returning = spec.returning.as_ref();
    Ok(WriteSpec {
        name: spec.name.clone(),
        buckets,
        filtered: spec.filtered.clone(),
        sorted_by: spec.sorted_by().to_vec(),
        checks: named.map(|(constraint, expression)| Check { constraint, expression }).collect(),
        keys: spec.keys.clone(),
        files: head.files_of(spec.table, None).to_vec(),
        returning: returning.map_or(0, |returning| returning.columns.fields().len()),
        gives_returned: returning.is_some_and(|returning| returning.only.is_none_or(|only| only == head.content)),
        ..WriteSpec::new(spec.table, Arc::clone(&spec.schema), spec.compression, spec.distribution_key.clone())
    })
}

fn external(error: StorageError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
