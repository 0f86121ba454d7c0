//! Joins: every way to bring two inputs together that is right for the join's type, and the cheapest of them.

use super::{Distributor, Placed, Target, estimate, expressions, with_inputs};
use crate::planner::locus::Locus;
use damson_cluster::placement;
use damson_motion::ForgetConstantsExec;
use datafusion::common::JoinType;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::work_table::WorkTableExec;
use std::sync::Arc;

/// What of a join matters for placing it.
struct Join<'a> {
    join_type: JoinType,
    /// NOT IN: one NULL on the right decides for every row on the left, so that each QE must see all of the right.
    null_aware: bool,
    /// Equal columns, left and right, where both are plain columns of hashable types of one family.
    equal: Vec<(usize, usize)>,
    /// Output columns in terms of the join's own schema; None: all.
    projection: Option<&'a [usize]>,
    volatile: bool,
    /// Without a condition: a side that gives no columns is tested for having any row.
    unconditional: bool,
}

/// Where the two inputs go, and what the join's output then is.
struct Way {
    left: Target,
    right: Target,
}

impl Distributor<'_> {
    pub(super) fn place_hash_join(&self, plan: &Arc<dyn ExecutionPlan>, join: &HashJoinExec) -> Result<Placed> {
        let filter = join.filter().map(|f| f.expression());
        let on_sides = join.on().iter().flat_map(|(l, r)| [l, r]);
        let described = Join {
            join_type: *join.join_type(),
            null_aware: join.null_aware,
            equal: equal_columns(join),
            projection: join.projection.as_deref(),
            volatile: filter.into_iter().chain(on_sides).any(expressions::is_volatile),
            unconditional: false,
        };
        self.place_join(plan, join.left(), join.right(), &described)
    }

    pub(super) fn place_nested_loop_join(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        join: &NestedLoopJoinExec,
    ) -> Result<Placed> {
        let described = Join {
            join_type: *join.join_type(),
            null_aware: false,
            equal: vec![],
            projection: join.projection().as_deref(),
            volatile: join.filter().is_some_and(|f| expressions::is_volatile(f.expression())),
            unconditional: join.filter().is_none(),
        };
        self.place_join(plan, join.left(), join.right(), &described)
    }

    pub(super) fn place_cross_join(&self, plan: &Arc<dyn ExecutionPlan>, join: &CrossJoinExec) -> Result<Placed> {
        let described = Join {
            join_type: JoinType::Inner,
            null_aware: false,
            equal: vec![],
            projection: None,
            volatile: false,
            unconditional: true,
        };
        self.place_join(plan, join.left(), join.right(), &described)
    }

    fn place_join(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        left: &Arc<dyn ExecutionPlan>,
        right: &Arc<dyn ExecutionPlan>,
        join: &Join<'_>,
    ) -> Result<Placed> {
        let tests_left = matches!(join.join_type, JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark);
        let tests_right = matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark);
        let place = |side, is_tested| {
            if self.everywhere && join.unconditional && is_tested { self.place_tested(side) } else { self.place(side) }
        };
        let (left, right) = (place(left, tests_left)?, place(right, tests_right)?);
        if let (false, Some(locus)) = (join.volatile, without_motion(&left.locus, &right.locus)) {
            return Ok(Placed { plan: joined(plan, join.join_type, left.plan, right.plan)?, locus });
        }
        // A work table holds another iteration's rows each time: it cannot go through a motion.
        let in_place = join.volatile || reads_work_table(&left.plan) || reads_work_table(&right.plan);
        let ways = if in_place { vec![on_entry()] } else { self.ways(&left, &right, join) };
        let (left_size, right_size) = (estimate::rows_and_bytes(&*left.plan), estimate::rows_and_bytes(&*right.plan));
        let cost = |way: &Way| {
            self.cost_of(&left, left_size.0, left_size.1, &way.left)
                + self.cost_of(&right, right_size.0, right_size.1, &way.right)
        };
        let cheapest = ways.into_iter().min_by(|a, b| cost(a).total_cmp(&cost(b)));
        let way = cheapest.unwrap_or_else(on_entry);
        let stays = |placed: &Placed, target: &Target| *target == Target::Strewn && placed.locus.is_partitioned();
        let move_input = |placed: Placed, target: &Target| {
            if stays(&placed, target) { Ok(placed) } else { self.move_to(placed, target) }
        };
        let left_columns = left.plan.schema().fields().len();
        let (left, right) = (move_input(left, &way.left)?, move_input(right, &way.right)?);
        let locus = joined_locus(&left.locus, &right.locus, left_columns, join);
        Ok(Placed { plan: joined(plan, join.join_type, left.plan, right.plan)?, locus })
    }

    /// Every way that gives the right result, cheap or not. `Target::Strewn` means: partitioned as it is.
    fn ways(&self, left: &Placed, right: &Placed, join: &Join<'_>) -> Vec<Way> {
        let mut ways = vec![on_entry()];
        if !join.null_aware {
            ways.extend(self.hashed_ways(left, right, join));
        }
        if !preserves_left(join.join_type) {
            ways.push(Way { left: Target::Everywhere, right: Target::Strewn });
        }
        if !preserves_right(join.join_type) {
            ways.push(Way { left: Target::Strewn, right: Target::Everywhere });
        }
        ways
    }

    /// Both inputs by the hash of equal columns: as the left is, as the right is, or both anew.
    fn hashed_ways(&self, left: &Placed, right: &Placed, join: &Join<'_>) -> Vec<Way> {
        let mut ways = vec![];
        if let Locus::Hashed { keys, map } = &left.locus
            && let Some(pairs) = pairs_for(keys, &join.equal, |pair| pair.0)
        {
            ways.push(hashed_by(&pairs, *map));
        }
        if let Locus::Hashed { keys, map } = &right.locus
            && let Some(pairs) = pairs_for(keys, &join.equal, |pair| pair.1)
        {
            ways.push(hashed_by(&pairs, *map));
        }
        if !join.equal.is_empty() {
            ways.push(hashed_by(&join.equal, self.map));
        }
        ways
    }
}

/// The join over its inputs, those marked that it fills with NULLs.
fn joined(
    plan: &Arc<dyn ExecutionPlan>,
    join_type: JoinType,
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let nullable = |side, is_nullable| if is_nullable { ForgetConstantsExec::over(side) } else { side };
    let left = nullable(left, matches!(join_type, JoinType::Right | JoinType::Full));
    let right = nullable(right, matches!(join_type, JoinType::Left | JoinType::Full));
    with_inputs(plan, vec![left, right])
}

fn reads_work_table(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<WorkTableExec>().is_some() || plan.children().into_iter().any(reads_work_table)
}

fn on_entry() -> Way {
    Way { left: Target::Entry, right: Target::Entry }
}

fn hashed_by(pairs: &[(usize, usize)], map: damson_cluster::MapVersion) -> Way {
    let target = |columns| Target::Hashed { columns, map };
    Way { left: target(pairs.iter().map(|p| p.0).collect()), right: target(pairs.iter().map(|p| p.1).collect()) }
}

/// For each hashed value of one side, an equality that names it.
fn pairs_for(
    keys: &[Vec<usize>],
    equal: &[(usize, usize)],
    side: impl Fn(&(usize, usize)) -> usize,
) -> Option<Vec<(usize, usize)>> {
    keys.iter().map(|key| equal.iter().find(|pair| key.contains(&side(pair))).copied()).collect()
}

/// The locus of a join whose inputs are together already, whatever its type.
fn without_motion(left: &Locus, right: &Locus) -> Option<Locus> {
    match (left, right) {
        (Locus::Entry, Locus::Entry | Locus::General) | (Locus::General, Locus::Entry) => Some(Locus::Entry),
        (Locus::General, Locus::General) => Some(Locus::General),
        (Locus::Replicated, Locus::Replicated | Locus::General) | (Locus::General, Locus::Replicated) => {
            Some(Locus::Replicated)
        }
        _ => None,
    }
}

fn joined_locus(left: &Locus, right: &Locus, left_columns: usize, join: &Join<'_>) -> Locus {
    if let Some(locus) = without_motion(left, right) {
        return locus;
    }
    let join_type = join.join_type;
    let semi_left = matches!(join_type, JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark);
    let semi_right = matches!(join_type, JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark);
    // Position of a side's column in the join's own schema.
    let right_offset = if semi_right { 0 } else { left_columns };
    let from_left = |locus: &Locus| if semi_right { Locus::Strewn } else { locus.clone() };
    let from_right = |locus: &Locus| {
        if semi_left { Locus::Strewn } else { locus.remap(|c| vec![c + right_offset]) }
    };
    let locus = match (left.is_whole(), right.is_whole()) {
        (true, _) => from_right(right),
        (_, true) => from_left(left),
        _ => match join_type {
            JoinType::Full => Locus::Strewn,
            JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => from_right(right),
            _ => from_left(left),
        },
    };
    let locus = if join_type == JoinType::Inner { with_equal(locus, left_columns, &join.equal) } else { locus };
    locus.remap(|column| match join.projection {
        None => vec![column],
        Some(projection) => super::positions(projection.iter().map(|&p| p == column)),
    })
}

/// Adds to each hashed value the columns that the join made equal to it.
fn with_equal(locus: Locus, left_columns: usize, equal: &[(usize, usize)]) -> Locus {
    let Locus::Hashed { mut keys, map } = locus else { return locus };
    for key in &mut keys {
        for &(left, right) in equal {
            let right = right + left_columns;
            match (key.contains(&left), key.contains(&right)) {
                (true, false) => key.push(right),
                (false, true) => key.push(left),
                _ => {}
            }
        }
    }
    Locus::Hashed { keys, map }
}

/// Left rows without a match come out, or left rows come out once however many matches they have: a left that is on
/// several segments would come out several times.
fn preserves_left(join_type: JoinType) -> bool {
    matches!(join_type, JoinType::Left | JoinType::Full | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark)
}

fn preserves_right(join_type: JoinType) -> bool {
    matches!(
        join_type,
        JoinType::Right | JoinType::Full | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark
    )
}

fn equal_columns(join: &HashJoinExec) -> Vec<(usize, usize)> {
    let family =
        |side: &Arc<dyn ExecutionPlan>, column: usize| placement::hash_family(side.schema().field(column).data_type());
    let pair = |(left, right): &(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)| {
        let pair = (expressions::column_of(left)?, expressions::column_of(right)?);
        let left_family = family(join.left(), pair.0)?;
        (Some(left_family) == family(join.right(), pair.1)).then_some(pair)
    };
    join.on().iter().filter_map(pair).collect()
}
