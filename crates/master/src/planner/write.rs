//! The one write path: rows to their owners, a writer on each segment, its report to the master.

use super::distribute::{Distributor, Placed, Target, on_segments};
use super::locus::Locus;
use super::modify::{disagreeing, modify};
use damson_cluster::{BucketMap, ContentId, Distribution, MapVersion, MotionId, OnDuplicate, Once};
use damson_motion::{
    CopyWriteExec, CopyWriteSpec, Gang, ModifyKind, MotionDef, MotionExec, MotionKind, Returning, TableWriteExec,
    TableWriteSpec,
};
use datafusion::arrow::datatypes::Schema;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use std::sync::Arc;

/// Where written rows go.
pub(crate) enum WriteTarget {
    /// Into new files of a table.
    Table(TableTarget),
    /// Rows of a table are deleted, and others take their place: a plan of file, row, segment, with [`ModifyKind::Merge`] what becomes of
    /// the row, and the new row.
    Modify { table: TableTarget, kind: ModifyKind, once: Option<Once> },
    /// Into files that each segment names by itself. `key`: columns whose hash chooses the segment; empty: rows are written where they are.
    Files { spec: CopyWriteSpec, key: Vec<usize> },
}

/// A table that is written.
#[derive(Clone)]
pub(crate) struct TableTarget {
    pub spec: TableWriteSpec,
    /// Of the spec's CHECK constraints.
    pub checks: Vec<Arc<dyn PhysicalExpr>>,
    pub distribution: Distribution,
    pub map: MapVersion,
    /// Columns of the plan after the new row, which come back for each row that was changed: RETURNING. The spec gets their types.
    pub returning: usize,
    /// Its rows are written anew where they are: each copy of a replicated table from itself.
    pub in_place: bool,
    /// Where rows of a table without a key go that leave their segments.
    pub moves_to: Vec<ContentId>,
    /// Of a replicated table the copies that are written; None: all.
    pub copies: Option<Vec<ContentId>>,
}

impl TableTarget {
    /// The spec, of writers on top of `rows`. Copies of a row are given back once.
    pub(super) fn spec_over(&self, rows: &Arc<dyn ExecutionPlan>, map: &BucketMap) -> TableWriteSpec {
        let spec = TableWriteSpec { map: self.map, ..self.spec.clone() };
        if self.returning == 0 {
            return spec;
        }
        let fields = rows.schema();
        let columns = fields.fields().iter().skip(fields.fields().len() - self.returning).cloned();
        let columns = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
        let only = (self.distribution == Distribution::Replicated).then(|| map.first_owner());
        TableWriteSpec { returning: Some(Returning { columns, only }), ..spec }
    }
}

impl WriteTarget {
    pub(super) fn is_in_place(&self) -> bool {
        matches!(self, WriteTarget::Table(table) if table.in_place)
    }

    /// True if every segment must compute all of the rows: each changes its own copy.
    pub(super) fn is_everywhere(&self) -> bool {
        matches!(self, WriteTarget::Modify { table, .. } if table.distribution == Distribution::Replicated)
    }
}

/// Puts the writer on top of a plan whose columns are the table's.
pub(super) fn write(distributor: &Distributor<'_>, rows: Placed, target: WriteTarget) -> Result<Placed> {
    match target {
        WriteTarget::Table(table) => {
            let target = match table.distribution.clone() {
                Distribution::Hashed(columns) => Target::Hashed { columns, map: table.map },
                Distribution::Randomly => Target::Strewn,
                Distribution::Replicated => Target::Everywhere,
            };
            // Copies lie in different orders, and each has a segment of its own: what depends on that is computed once. And of rows
            // that have one key the same must come first everywhere, where the others are left out.
            let skips = table.spec.keys.iter().any(|key| key.on_duplicate == OnDuplicate::Skip);
            let differs = || skips || rows.locus.is_whole() && disagreeing(&rows.plan).is_some();
            let rows = if target == Target::Everywhere && differs() { distributor.to_entry(rows)? } else { rows };
            let map = distributor.bucket_map(table.map)?;
            let owned = match target {
                Target::Strewn if !table.in_place => distributor.to_strewn_on_owners(rows)?.plan,
                _ => distributor.move_to(rows, &target)?.plan,
            };
            let owned = match (&target, &table.copies) {
                (Target::Everywhere, Some(copies)) => on_segments(owned, copies.iter().copied().collect(), table.map),
                (Target::Everywhere, None) => distributor.on_owners(owned, &map),
                _ => owned,
            };
            let spec = table.spec_over(&owned, &map);
            Ok(Placed { plan: Arc::new(TableWriteExec::new(spec, table.checks, owned)), locus: Locus::Strewn })
        }
        WriteTarget::Modify { table, kind, once } => modify(distributor, rows, table, kind, once),
        WriteTarget::Files { spec, key } => {
            let rows = match rows.locus {
                _ if !key.is_empty() => {
                    distributor.move_to(rows, &Target::Hashed { columns: key, map: distributor.map })?
                }
                Locus::Entry | Locus::General => to_first(distributor, rows, Gang::Entry),
                Locus::Replicated => to_first(distributor, distributor.to_entry(rows)?, Gang::Entry),
                Locus::Hashed { .. } | Locus::Strewn if spec.target.single => {
                    to_first(distributor, rows, distributor.gang())
                }
                Locus::Hashed { .. } | Locus::Strewn => rows,
            };
            Ok(Placed { plan: Arc::new(CopyWriteExec::new(spec, vec![], rows.plan)), locus: Locus::Strewn })
        }
    }
}

/// The master has no files of its own: what it holds is written by the newest map's first owner, in its order. So is what is to be in one file; sorted rows
/// of several segments are merged.
fn to_first(distributor: &Distributor<'_>, rows: Placed, senders: Gang) -> Placed {
    let receivers = Gang::Single(distributor.first);
    let merge = if senders == Gang::Entry { None } else { rows.plan.output_ordering().cloned() };
    let def = MotionDef { id: MotionId(0), kind: MotionKind::Gather { merge }, senders, receivers };
    Placed { plan: Arc::new(MotionExec::new(def, rows.plan)), locus: Locus::Strewn }
}
