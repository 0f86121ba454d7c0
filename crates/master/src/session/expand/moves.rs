//! Which rows of a table leave their segments, and the plans that move them.

use super::is_hashed;
use super::pieces::Piece;
use super::shared::{is_in_bucket, share_copies, share_evenly, some_leave};
use crate::catalog::{CatalogState, Commit, FileKey, TableEntry};
use crate::engine::DamsonTable;
use crate::error::{SqlResult, internal, of_datafusion};
use crate::planner::{Output, TableTarget, WriteTarget};
use crate::session::Session;
use crate::session::bind::Bound;
use crate::session::write::{Changed, Reports, unchecked};
use damson_cluster::{
    BUCKETS, BucketMap, ContentId, Distribution, FILE_COLUMN, FileEntry, MapVersion, ROW_COLUMN, SnapshotId, TableDef,
    TableId,
};
use damson_motion::{HashFilterExec, Kept, Leaving, ModifyKind, ScanSpec, TableScanExec};
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, cast, col, lit, when};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Parts that the rows of a file are in, of which some leave: how exactly a random table is balanced.
const PARTS: u32 = 1 << 16;

/// Turns of the segments that take rows of a random table: how exactly they share them.
const TURNS: usize = 256;

/// What a table's new layout moves.
#[derive(Debug)]
pub(super) struct Moves {
    def: Arc<TableDef>,
    /// That it is laid out by.
    old: Arc<BucketMap>,
    map: Arc<BucketMap>,
    kind: Kind,
    /// Rows stay in their files, which get other readers.
    in_bucket: bool,
}

#[derive(Debug)]
enum Kind {
    /// Rows whose bucket another segment owns.
    Hashed,
    /// Of a random table: from these segments so many parts of [`PARTS`], to those in turn. Rows that came later are everywhere already, but
    /// from segments that own nothing all go.
    Random { from: BTreeMap<ContentId, u32>, to: Vec<ContentId>, until: SnapshotId },
    /// Of a replicated table: copies from one segment to those that have none.
    Copies { from: ContentId, to: Vec<ContentId> },
}

impl Moves {
    pub(super) fn of(catalog: &CatalogState, entry: &TableEntry, map: &Arc<BucketMap>) -> SqlResult<Self> {
        let def = Arc::clone(&entry.def);
        let missing = || internal(format!("no bucket map {}", def.map_version));
        let old = catalog.bucket_map(def.map_version).ok_or_else(missing)?;
        let kind = match &def.distribution {
            Distribution::Hashed(_) => Kind::Hashed,
            Distribution::Randomly => shares(catalog, entry, map),
            Distribution::Replicated => {
                let has_none = |content: &ContentId| !old.owns_any(*content);
                let to = map.owning_segments().iter().filter(has_none).collect();
                Kind::Copies { from: old.first_owner(), to }
            }
        };
        let (old, in_bucket) = (Arc::clone(old), is_in_bucket(catalog, entry));
        Ok(Moves { def, old, map: Arc::clone(map), kind, in_bucket })
    }

    /// Whether they are those of this definition and this map.
    pub(super) fn is_of(&self, def: &Arc<TableDef>, map: &BucketMap) -> bool {
        self.def == *def && self.map.version == map.version
    }

    pub(super) fn def(&self) -> &Arc<TableDef> {
        &self.def
    }

    pub(super) fn old(&self) -> &Arc<BucketMap> {
        &self.old
    }

    pub(super) fn map(&self) -> &Arc<BucketMap> {
        &self.map
    }

    pub(super) fn is_in_bucket(&self) -> bool {
        self.in_bucket
    }

    /// What the switch alone does: whole files of a bucket get other readers.
    pub(super) fn whole_files(&self, entry: &TableEntry) -> Option<Piece> {
        match &self.kind {
            Kind::Random { .. } if self.in_bucket => Some(share_evenly(entry, &self.map)),
            Kind::Copies { from, to } if self.in_bucket => Some(share_copies(entry, *from, to)),
            Kind::Hashed | Kind::Random { .. } | Kind::Copies { .. } => None,
        }
    }

    /// Whether rows of a file may leave, before the switch or with it.
    pub(super) fn concerns(&self, file: &FileEntry) -> bool {
        match &self.kind {
            Kind::Hashed if self.in_bucket => some_leave(file, &self.old, &self.map),
            Kind::Random { .. } | Kind::Copies { .. } if self.in_bucket => false,
            Kind::Hashed => {
                let (low, high) = file.buckets.unwrap_or((0, (BUCKETS - 1) as u16));
                (low..=high).any(|bucket| self.map.owner(bucket) != file.content)
            }
            Kind::Random { from, until, .. } => {
                from.contains_key(&file.content) && (file.created <= *until || !self.map.owns_any(file.content))
            }
            Kind::Copies { from, to } => file.content == *from && !to.is_empty(),
        }
    }

    /// Copies of a replicated table on segments that are to have none.
    pub(super) fn copies_dropped(&self, entry: &TableEntry) -> Vec<(TableId, FileKey)> {
        let Kind::Copies { .. } = self.kind else { return vec![] };
        let is_dropped = |file: &&Arc<FileEntry>| !self.map.owns_any(file.content);
        entry.files.iter().filter(is_dropped).map(|file| (self.def.id, FileKey::of(file))).collect()
    }
}

/// Segments that have more than their share of a random table's rows give what is too much, those that have less take it.
fn shares(catalog: &CatalogState, entry: &TableEntry, map: &BucketMap) -> Kind {
    let rows = |content: ContentId| entry.files.of(content).iter().map(|file| file.live_rows()).sum::<u64>();
    let segments: Vec<ContentId> = (0..map.segment_count() as i32).map(ContentId).collect();
    let total: u64 = segments.iter().map(|&content| rows(content)).sum();
    let (mut from, mut lacking) = (BTreeMap::new(), vec![]);
    for (&content, buckets) in segments.iter().zip(map.bucket_counts()) {
        let (has, share) = (rows(content), total as f64 * buckets as f64 / BUCKETS as f64);
        let parts = match buckets {
            0 => PARTS,
            _ if has as f64 > share => ((1.0 - share / has as f64) * f64::from(PARTS)).round() as u32,
            _ => 0,
        };
        if parts > 0 {
            from.insert(content, parts);
        } else if (has as f64) < share {
            lacking.push((content, share - has as f64));
        }
    }
    // A table that is empty, or balanced but for segments that own nothing.
    if lacking.is_empty() {
        lacking = map.owning_segments().iter().map(|content| (content, 1.0)).collect();
    }
    Kind::Random { from, to: turns(&lacking), until: catalog.snapshot }
}

/// Each as often as its weight says, well mixed.
fn turns(weights: &[(ContentId, f64)]) -> Vec<ContentId> {
    let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut given = vec![0.0; weights.len()];
    let next = |turn: usize| {
        let behind = |&i: &usize| weights[i].1 / sum * turn as f64 - given[i];
        let most = (0..weights.len()).max_by(|a, b| behind(a).total_cmp(&behind(b))).expect("somebody takes rows");
        given[most] += 1.0;
        weights[most].0
    };
    (1..=TURNS).map(next).collect()
}

impl Session {
    /// Moves the rows of some files that leave, and commits nothing.
    pub(super) async fn move_group(
        self: &Arc<Self>,
        catalog: &Arc<CatalogState>,
        moves: &Moves,
        files: &[Arc<FileEntry>],
        cancel: &CancellationToken,
    ) -> SqlResult<Piece> {
        let def = &moves.def;
        if let (Distribution::Hashed(key), true) = (&def.distribution, moves.in_bucket) {
            return self.share_group(catalog, moves, files, key, cancel).await;
        }
        if let Distribution::Hashed(key) = &def.distribution {
            return self.hand_over_group(catalog, moves, files, key, cancel).await;
        }
        Ok(Piece::new(files, self.move_rows(catalog, moves, files, None, cancel).await?))
    }

    /// Moves rows one by one; of a hashed table those that `leaving` says.
    pub(super) async fn move_rows(
        self: &Arc<Self>,
        catalog: &Arc<CatalogState>,
        moves: &Moves,
        files: &[Arc<FileEntry>],
        only_leaving: Option<Leaving>,
        cancel: &CancellationToken,
    ) -> SqlResult<Commit> {
        let def = &moves.def;
        let entry = catalog.table_by_id(def.id).ok_or_else(|| internal("a table that was found is not there"))?;
        let bound = self.bind_nothing(Arc::clone(catalog))?;
        let segments = catalog.current_map().owning_segments().len();
        let (rows, target, reports) = match &moves.kind {
            Kind::Copies { to, .. } => {
                let scan =
                    DamsonTable::new(Arc::clone(entry), false, segments).scan(&*bound.state, None, &[], None).await;
                let target = TableTarget { copies: Some(to.clone()), ..unchecked(def) };
                (scan.map_err(of_datafusion)?, WriteTarget::Table(target), Reports::Files)
            }
            Kind::Hashed | Kind::Random { .. } => {
                let scan =
                    DamsonTable::with_row_ids(Arc::clone(entry), segments).scan(&*bound.state, None, &[], None).await;
                let scan = scan_of(scan.map_err(of_datafusion)?, only_leaving)?;
                let leaving = leaving(&bound, moves, scan)?;
                let moves_to = match &moves.kind {
                    Kind::Random { to, .. } => to.clone(),
                    _ => vec![],
                };
                let table = TableTarget { map: moves.map.version, moves_to, ..unchecked(def) };
                let target = WriteTarget::Modify { table, kind: ModifyKind::SplitUpdate, once: None };
                (row_ids_first(leaving, def)?, target, Reports::Modifications)
            }
        };
        let slices = self.slice(&bound, rows, Output::Write(target))?;
        let only: HashSet<FileKey> = files.iter().map(|file| FileKey::of(file)).collect();
        let running = self.dispatch_over(&bound, &slices, only, cancel.clone()).await?;
        let Changed { commit, .. } = self.changed(&bound, running, def, reports, false).await?;
        Ok(commit)
    }
}

/// Without the row groups of which no row is to leave.
fn scan_of(scan: Arc<dyn ExecutionPlan>, only: Option<Leaving>) -> SqlResult<Arc<dyn ExecutionPlan>> {
    let Some(leaving) = only else { return Ok(scan) };
    let scan = scan.downcast_ref::<TableScanExec>().ok_or_else(|| internal("a table's scan is something else"))?;
    Ok(Arc::new(scan.leaving(leaving).map_err(of_datafusion)?))
}

/// The rows that leave their segments.
fn leaving(bound: &Bound, moves: &Moves, scan: Arc<dyn ExecutionPlan>) -> SqlResult<Arc<dyn ExecutionPlan>> {
    let Distribution::Hashed(key) = &moves.def.distribution else {
        let Kind::Random { from, .. } = &moves.kind else { unreachable!("copies do not leave") };
        let schema = DFSchema::try_from(scan.schema()).map_err(of_datafusion)?;
        let condition =
            bound.state.create_physical_expr(is_in_part(from, moves.map.version)?, &schema).map_err(of_datafusion)?;
        return Ok(Arc::new(FilterExec::try_new(condition, scan).map_err(of_datafusion)?));
    };
    debug_assert!(is_hashed(&moves.def));
    let schema = scan.schema();
    let column =
        |&position: &usize| -> Arc<dyn PhysicalExpr> { Arc::new(Column::new(schema.field(position).name(), position)) };
    let keys = key.iter().map(column).collect();
    Ok(Arc::new(HashFilterExec::new(Kept::Leaving(keys), moves.map.version, scan)))
}

/// Rows of a file are spread over [`PARTS`] parts, one after the other in steps that meet all of them; other steps for each map, as what an
/// earlier one has left is no sample of all.
fn is_in_part(from: &BTreeMap<ContentId, u32>, map: MapVersion) -> SqlResult<Expr> {
    const FILE_STEP: i64 = 10_007;
    // Odd, so that it meets all parts.
    let row_step = ((40_503 + 15_838 * i64::from(map.0)) % i64::from(PARTS)) | 1;
    let spread = cast(col(FILE_COLUMN), DataType::Int64) * lit(FILE_STEP) + col(ROW_COLUMN) * lit(row_step);
    let part = spread % lit(i64::from(PARTS));
    let mut parts = when(lit(false), lit(0_i64));
    for (content, share) in from {
        parts = parts.when(col(ScanSpec::SEGMENT_ID).eq(lit(content.0)), lit(i64::from(*share)));
    }
    Ok(part.lt(parts.otherwise(lit(0_i64)).map_err(of_datafusion)?))
}

/// File, row and segment, then the row.
fn row_ids_first(rows: Arc<dyn ExecutionPlan>, def: &TableDef) -> SqlResult<Arc<dyn ExecutionPlan>> {
    let schema = rows.schema();
    let columns = def.columns.len();
    debug_assert_eq!(schema.fields().len(), columns + 3);
    let column = |position: usize| -> (Arc<dyn PhysicalExpr>, String) {
        let name = schema.field(position).name();
        (Arc::new(Column::new(name, position)), name.clone())
    };
    let order = (columns..columns + 3).chain(0..columns).map(column).collect::<Vec<_>>();
    Ok(Arc::new(ProjectionExec::try_new(order, rows).map_err(of_datafusion)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_as_the_weights() {
        let to = turns(&[(ContentId(2), 3.0), (ContentId(5), 1.0)]);
        let count = |content| to.iter().filter(|&&c| c == ContentId(content)).count();
        assert_eq!((count(2), count(5)), (TURNS * 3 / 4, TURNS / 4));
        // Well mixed: no long runs of one.
        assert!(to.chunks(4).all(|four| four.contains(&ContentId(5))));
    }
}
