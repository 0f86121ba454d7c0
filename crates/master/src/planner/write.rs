//! The one write path: rows to their owners, a writer on each segment, its report to the master.

use super::distribute::{Distributor, Placed, Target};
use super::locus::Locus;
use super::modify::{disagreeing, modify};
use damson_cluster::{ContentId, Distribution, MapVersion, MotionId};
use damson_motion::{
    CopyWriteExec, CopyWriteSpec, Gang, MotionDef, MotionExec, MotionKind, TableModifySpec, TableWriteExec,
    TableWriteSpec,
};
use datafusion::error::Result;
use std::sync::Arc;

/// Where written rows go.
pub(crate) enum WriteTarget {
    /// Into new files of a table.
    Table { spec: TableWriteSpec, distribution: Distribution, map: MapVersion },
    /// Rows of a table are deleted, and others take their place: a plan of file, row, segment and the new row.
    Modify { spec: TableModifySpec, distribution: Distribution, map: MapVersion },
    /// Into files that each segment names by itself.
    Files(CopyWriteSpec),
}

impl WriteTarget {
    /// True if every segment must compute all of the rows: each changes its own copy.
    pub(super) fn is_everywhere(&self) -> bool {
        matches!(self, WriteTarget::Modify { distribution: Distribution::Replicated, .. })
    }
}

/// Puts the writer on top of a plan whose columns are the table's.
pub(super) fn write(distributor: &Distributor<'_>, rows: Placed, target: WriteTarget) -> Result<Placed> {
    match target {
        WriteTarget::Table { spec, distribution, map } => {
            let target = match distribution {
                Distribution::Hashed(columns) => Target::Hashed { columns, map },
                Distribution::Randomly => Target::Strewn,
                Distribution::Replicated => Target::Everywhere,
            };
            // Copies lie in different orders, and each has a segment of its own: what depends on that is computed once.
            let differs = target == Target::Everywhere && rows.locus.is_whole() && disagreeing(&rows.plan).is_some();
            let rows = if differs { distributor.to_entry(rows)? } else { rows };
            let owned = distributor.move_to(rows, &target)?;
            Ok(Placed { plan: Arc::new(TableWriteExec::new(spec, owned.plan)), locus: Locus::Strewn })
        }
        WriteTarget::Modify { spec, distribution, map } => modify(distributor, rows, spec, &distribution, map),
        WriteTarget::Files(spec) => {
            let rows = match rows.locus {
                Locus::Entry | Locus::General => to_one_segment(rows),
                Locus::Replicated => to_one_segment(distributor.to_entry(rows)?),
                Locus::Hashed { .. } | Locus::Strewn => rows,
            };
            Ok(Placed { plan: Arc::new(CopyWriteExec::new(spec, rows.plan)), locus: Locus::Strewn })
        }
    }
}

/// The master has no files of its own: what it holds is written by segment 0, in its order.
fn to_one_segment(rows: Placed) -> Placed {
    let (senders, receivers) = (Gang::Entry, Gang::Single(ContentId(0)));
    let merge = None;
    let def = MotionDef { id: MotionId(0), kind: MotionKind::Gather { merge }, senders, receivers };
    Placed { plan: Arc::new(MotionExec::new(def, rows.plan)), locus: Locus::Strewn }
}
