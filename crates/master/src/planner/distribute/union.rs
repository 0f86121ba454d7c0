//! UNION ALL.

use super::{Distributor, Placed, Target};
use crate::planner::locus::Locus;
use datafusion::error::Result;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::union::UnionExec;
use std::sync::Arc;

impl Distributor<'_> {
    /// Rows of partitioned inputs stay where they are; of an input that every segment has whole, each segment keeps its
    /// share, so that no row is doubled. One input on the master draws the others there.
    pub(super) fn place_union(&self, union: &UnionExec) -> Result<Placed> {
        let inputs = union.inputs().iter().map(|input| self.place(input)).collect::<Result<Vec<_>>>()?;
        let all = |is: fn(&Locus) -> bool| inputs.iter().all(|i| is(&i.locus));
        let any = |is: fn(&Locus) -> bool| inputs.iter().any(|i| is(&i.locus));
        let (locus, target) = if all(|l| *l == Locus::General) {
            (Locus::General, None)
        } else if any(|l| *l == Locus::Entry) {
            (Locus::Entry, Some(Target::Entry))
        } else if all(Locus::is_whole) {
            (Locus::Replicated, Some(Target::Everywhere))
        } else if let Some(common) = common_hash(&inputs) {
            (common, None)
        } else {
            (Locus::Strewn, Some(Target::Strewn))
        };
        let moved = inputs.into_iter().map(|input| match &target {
            Some(target) => Ok(self.move_to(input, target)?.plan),
            None => Ok(input.plan),
        });
        let union = UnionExec::try_new(moved.collect::<Result<Vec<_>>>()?)?;
        Ok(Placed { plan: Arc::new(CoalescePartitionsExec::new(union)), locus })
    }
}

/// The hash that all inputs share, column for column.
fn common_hash(inputs: &[Placed]) -> Option<Locus> {
    let Locus::Hashed { keys, map } = &inputs.first()?.locus else { return None };
    let mut common = keys.clone();
    for input in &inputs[1..] {
        let Locus::Hashed { keys, map: other } = &input.locus else { return None };
        if other != map || keys.len() != common.len() {
            return None;
        }
        common.iter_mut().zip(keys).for_each(|(mine, theirs)| mine.retain(|c| theirs.contains(c)));
    }
    common.iter().all(|key| !key.is_empty()).then_some(Locus::Hashed { keys: common, map: *map })
}
