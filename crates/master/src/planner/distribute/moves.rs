//! The ways to change an operator's locus.

use super::{Distributor, Placed};
use crate::planner::locus::Locus;
use damson_cluster::{BucketMap, MapVersion, MotionId, SegmentSet};
use damson_motion::{Gang, HashFilterExec, Kept, MotionDef, MotionExec, MotionKind};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use std::sync::Arc;

/// Where a consumer wants rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// By the hash of these columns.
    Hashed { columns: Vec<usize>, map: MapVersion },
    /// Spread evenly, no matter how.
    Strewn,
    /// All rows on every segment.
    Everywhere,
    /// All rows on the master.
    Entry,
}

impl Distributor<'_> {
    pub(crate) fn gang(&self) -> Gang {
        Gang::Segments(self.segments.clone())
    }

    /// Moves rows to where they are wanted; nothing is moved that is there already.
    pub(crate) fn move_to(&self, placed: Placed, target: &Target) -> Result<Placed> {
        match target {
            Target::Entry => self.to_entry(placed),
            Target::Everywhere => self.to_everywhere(placed),
            Target::Strewn => self.to_strewn(placed),
            Target::Hashed { columns, map } => self.to_hashed(placed, columns, *map),
        }
    }

    /// Gathers to the master; sorted rows are merged, so that they stay sorted.
    pub(crate) fn to_entry(&self, placed: Placed) -> Result<Placed> {
        let senders = match &placed.locus {
            Locus::Entry | Locus::General => return Ok(Placed { locus: Locus::Entry, ..placed }),
            Locus::Replicated => Gang::Single(self.first),
            Locus::Hashed { .. } | Locus::Strewn => self.gang(),
        };
        let merge = placed.plan.output_ordering().cloned();
        let kind = MotionKind::Gather { merge };
        Ok(Placed { plan: motion(kind, senders, Gang::Entry, placed.plan), locus: Locus::Entry })
    }

    /// Leaves partitioned rows where they are; of rows that every segment has, or could compute, makes one copy.
    pub(crate) fn to_one_copy(&self, placed: Placed) -> Result<Placed> {
        if placed.locus.is_whole() { self.to_entry(placed) } else { Ok(placed) }
    }

    pub(super) fn to_everywhere(&self, placed: Placed) -> Result<Placed> {
        let senders = match &placed.locus {
            Locus::Replicated | Locus::General => return Ok(placed),
            Locus::Entry => Gang::Entry,
            Locus::Hashed { .. } | Locus::Strewn => self.gang(),
        };
        let plan = motion(MotionKind::Broadcast, senders, self.gang(), placed.plan);
        Ok(Placed { plan, locus: Locus::Replicated })
    }

    /// Of copies on every segment those of the segments that own something of `map`: where a replicated table that is laid out by it is.
    pub(crate) fn on_owners(&self, copies: Arc<dyn ExecutionPlan>, map: &BucketMap) -> Arc<dyn ExecutionPlan> {
        if map.owning_segments().contains_all(&self.segments) {
            return copies;
        }
        on_segments(copies, map.owning_segments().clone(), map.version)
    }

    /// To the segment whose content id is in `column`.
    pub(crate) fn to_named(&self, placed: Placed, column: usize) -> Placed {
        let senders = match &placed.locus {
            Locus::Entry | Locus::General => Gang::Entry,
            Locus::Replicated => Gang::Single(self.first),
            Locus::Hashed { .. } | Locus::Strewn => self.gang(),
        };
        let segment = Arc::new(Column::new(placed.plan.schema().field(column).name(), column));
        let plan = motion(MotionKind::Explicit { segment }, senders, self.gang(), placed.plan);
        Placed { plan, locus: Locus::Strewn }
    }

    fn to_strewn(&self, placed: Placed) -> Result<Placed> {
        let senders = match &placed.locus {
            Locus::Hashed { .. } | Locus::Strewn => return Ok(placed),
            Locus::Replicated => {
                let plan = on_segments(placed.plan, self.first.into(), self.map);
                return Ok(Placed { plan, locus: Locus::Strewn });
            }
            Locus::Entry | Locus::General => Gang::Entry,
        };
        let plan = motion(MotionKind::RoundRobin { map: self.map }, senders, self.gang(), placed.plan);
        Ok(Placed { plan, locus: Locus::Strewn })
    }

    /// Each row on one of the segments that own something of the newest map, which are the ones that a random table's new rows go to. Rows that are
    /// on such segments stay.
    pub(crate) fn to_strewn_on_owners(&self, placed: Placed) -> Result<Placed> {
        let map = self.bucket_map(self.map)?;
        if map.owning_segments().contains_all(&self.segments) {
            return self.to_strewn(placed);
        }
        match &placed.locus {
            Locus::Entry | Locus::General => self.to_strewn(placed),
            Locus::Replicated => {
                let plan = on_segments(placed.plan, self.first.into(), self.map);
                Ok(Placed { plan, locus: Locus::Strewn })
            }
            Locus::Hashed { map: own, .. }
                if map.owning_segments().contains_all(self.bucket_map(*own)?.owning_segments()) =>
            {
                Ok(placed)
            }
            Locus::Hashed { .. } | Locus::Strewn => {
                let kind = MotionKind::RoundRobin { map: self.map };
                Ok(Placed { plan: motion(kind, self.gang(), self.gang(), placed.plan), locus: Locus::Strewn })
            }
        }
    }

    fn to_hashed(&self, placed: Placed, columns: &[usize], map: MapVersion) -> Result<Placed> {
        if is_hashed_by(&placed.locus, columns, map) {
            return Ok(placed);
        }
        let schema = placed.plan.schema();
        let key = |&c: &usize| Arc::new(Column::new(schema.field(c).name(), c)) as Arc<dyn PhysicalExpr>;
        let keys: Vec<_> = columns.iter().map(key).collect();
        let locus = Locus::Hashed { keys: columns.iter().map(|&c| vec![c]).collect(), map };
        let senders = match &placed.locus {
            Locus::Replicated | Locus::General => {
                return Ok(Placed { plan: Arc::new(HashFilterExec::new(Kept::Hashed(keys), map, placed.plan)), locus });
            }
            Locus::Entry => Gang::Entry,
            Locus::Hashed { .. } | Locus::Strewn => self.gang(),
        };
        let kind = MotionKind::Redistribute { keys, map };
        Ok(Placed { plan: motion(kind, senders, self.gang(), placed.plan), locus })
    }

    /// What [`Distributor::move_to`] costs, in bytes through motions and rows handled again.
    pub(crate) fn cost_of(&self, placed: &Placed, rows: f64, bytes: f64, target: &Target) -> f64 {
        let n = self.segments.len() as f64;
        // Hashing, taking and gathering a row anew costs about as much as moving 16 bytes.
        let handled = rows * 16.0;
        match (target, &placed.locus) {
            (Target::Entry, Locus::Entry | Locus::General) => 0.0,
            (Target::Entry, Locus::Replicated) => bytes,
            // The master works alone on what n segments could share.
            (Target::Entry, _) => bytes + handled * n,
            (Target::Everywhere, locus) if locus.is_whole() => 0.0,
            // Each segment gets all rows, and works on all of them.
            (Target::Everywhere, _) => (bytes + handled) * n,
            (Target::Strewn, locus) if locus.is_partitioned() => 0.0,
            (Target::Hashed { columns, map }, locus) if is_hashed_by(locus, columns, *map) => 0.0,
            (Target::Hashed { .. } | Target::Strewn, locus) if locus.is_whole() => handled,
            (Target::Hashed { .. } | Target::Strewn, _) => bytes + handled,
        }
    }
}

fn is_hashed_by(locus: &Locus, columns: &[usize], map: MapVersion) -> bool {
    match locus {
        Locus::Hashed { keys, map: current } => {
            *current == map
                && keys.len() == columns.len()
                && keys.iter().zip(columns).all(|(key, column)| key.contains(column))
        }
        _ => false,
    }
}

/// Of copies on every segment those of `segments`.
pub(crate) fn on_segments(
    copies: Arc<dyn ExecutionPlan>,
    segments: SegmentSet,
    map: MapVersion,
) -> Arc<dyn ExecutionPlan> {
    Arc::new(HashFilterExec::new(Kept::Segments(segments), map, copies))
}

/// A motion whose number the slicing pass gives.
fn motion(kind: MotionKind, senders: Gang, receivers: Gang, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    Arc::new(MotionExec::new(MotionDef { id: MotionId(0), kind, senders, receivers }, input))
}
