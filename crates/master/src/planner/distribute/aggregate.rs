//! Aggregates in one, two or three stages.
//!
//! DataFusion plans every aggregate as Partial and Final; `count(DISTINCT x)` alone it turns into a GROUP BY below a
//! count, which is what makes three stages here.

use super::{Distributor, Placed, Target, estimate, expressions, with_inputs};
use crate::planner::locus::Locus;
use damson_cluster::placement;
use datafusion::error::Result;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use std::sync::Arc;

/// Up to so many groups the partial results go straight to the master: spreading them over the segments for the second
/// stage would cost more than it saves.
const GATHERED_GROUPS_MAX: f64 = 128.0;

/// A first stage that leaves more than this share of its rows is not worth its hash table.
const PARTIAL_SHARE_MAX: f64 = 0.6;

impl Distributor<'_> {
    pub(super) fn place_aggregate(&self, plan: &Arc<dyn ExecutionPlan>, top: &AggregateExec) -> Result<Placed> {
        let pair = match (top.mode(), top.input().downcast_ref::<AggregateExec>()) {
            (AggregateMode::Final | AggregateMode::FinalPartitioned, Some(partial))
                if *partial.mode() == AggregateMode::Partial =>
            {
                partial
            }
            _ => return self.place_on_entry(plan),
        };
        let mut input = self.place(pair.input())?;
        if is_volatile(pair) {
            input = self.to_one_copy(input)?;
        }
        if input.locus == Locus::Replicated && !pair.aggr_expr().iter().all(|a| ignores_order(a)) {
            // Copies lie in different orders: each segment would get another sum of floats.
            input = self.to_entry(input)?;
        }
        let groups = pair.group_expr();
        if groups.expr().is_empty() && !groups.is_true_no_grouping() {
            // GROUPING SETS (()): the codec cannot tell sets without columns from no sets.
            let input = self.to_entry(input)?;
            return Ok(Placed { plan: one_stage(plan, pair, input.plan)?, locus: input.locus });
        }
        if !input.locus.is_partitioned() {
            return Ok(Placed { plan: one_stage(plan, pair, input.plan)?, locus: input.locus });
        }
        let stages = Stages { distributor: self, plan, top, partial: pair };
        stages.place(input)
    }
}

/// One aggregate over a partitioned input.
struct Stages<'a> {
    distributor: &'a Distributor<'a>,
    plan: &'a Arc<dyn ExecutionPlan>,
    top: &'a AggregateExec,
    partial: &'a AggregateExec,
}

impl Stages<'_> {
    fn place(&self, input: Placed) -> Result<Placed> {
        let groups = self.partial.group_expr();
        let whole_input = self.needs_whole_groups();
        if groups.is_true_no_grouping() {
            return if whole_input { self.one_stage_on_entry(input) } else { self.two_stages_on_entry(input) };
        }
        if groups.has_grouping_set() {
            // A grouping set replaces keys by NULL: rows of one group are on several segments whatever their locus.
            return if whole_input { self.one_stage_on_entry(input) } else { self.two_stages(input) };
        }
        let columns: Vec<usize> = groups.expr().iter().filter_map(|(e, _)| expressions::column_of(e)).collect();
        if input.locus.is_hashed_within(&columns) {
            return self.one_stage_where_it_is(input);
        }
        let hashable = self.hashable(&columns, &input);
        if whole_input {
            return if hashable.is_empty() {
                self.one_stage_on_entry(input)
            } else {
                self.one_stage_redistributed(input, hashable)
            };
        }
        let all_columns = columns.len() == groups.expr().len();
        let groups_estimate = if all_columns { estimate::distinct(&*input.plan, &columns) } else { None };
        let (rows, _) = estimate::rows_and_bytes(&*input.plan);
        match groups_estimate {
            Some(groups) if groups <= GATHERED_GROUPS_MAX => self.two_stages_on_entry(input),
            Some(groups) if groups > rows * PARTIAL_SHARE_MAX && !hashable.is_empty() => {
                self.one_stage_redistributed(input, hashable)
            }
            _ => self.two_stages(input),
        }
    }

    /// True where partial states cannot be merged, or only by carrying every value: DISTINCT, ORDER BY inside.
    fn needs_whole_groups(&self) -> bool {
        self.partial.aggr_expr().iter().any(|a| a.is_distinct() || !a.order_bys().is_empty())
    }

    /// Those of the input's columns that can be a motion's hash key.
    fn hashable(&self, columns: &[usize], input: &Placed) -> Vec<usize> {
        let schema = input.plan.schema();
        let is_hashable = |&&c: &&usize| placement::hash_family(schema.field(c).data_type()).is_some();
        columns.iter().filter(is_hashable).copied().collect()
    }

    /// Groups are together already: no motion.
    fn one_stage_where_it_is(&self, input: Placed) -> Result<Placed> {
        let groups = self.partial.group_expr().expr();
        let is_column = |i: usize, column| expressions::column_of(&groups[i].0).is_some_and(|c| c == column);
        let locus = input.locus.remap(|column| (0..groups.len()).filter(|&i| is_column(i, column)).collect());
        Ok(Placed { plan: one_stage(self.plan, self.partial, input.plan)?, locus })
    }

    fn one_stage_redistributed(&self, input: Placed, columns: Vec<usize>) -> Result<Placed> {
        let target = Target::Hashed { columns, map: self.distributor.map };
        self.one_stage_where_it_is(self.distributor.move_to(input, &target)?)
    }

    fn one_stage_on_entry(&self, input: Placed) -> Result<Placed> {
        let input = self.distributor.to_entry(input)?;
        Ok(Placed { plan: one_stage(self.plan, self.partial, input.plan)?, locus: Locus::Entry })
    }

    fn two_stages_on_entry(&self, input: Placed) -> Result<Placed> {
        let partial = Placed { plan: self.first_stage(input.plan)?, locus: Locus::Strewn };
        let gathered = self.distributor.to_entry(partial)?;
        Ok(Placed { plan: with_inputs(self.plan, vec![gathered.plan])?, locus: Locus::Entry })
    }

    /// Partial where the rows are, redistributed by group, Final.
    fn two_stages(&self, input: Placed) -> Result<Placed> {
        let partial = Placed { plan: self.first_stage(input.plan)?, locus: Locus::Strewn };
        let keys: Vec<usize> = (0..self.top.group_expr().expr().len()).collect();
        let columns = self.hashable(&keys, &partial);
        if columns.is_empty() {
            let gathered = self.distributor.to_entry(partial)?;
            return Ok(Placed { plan: with_inputs(self.plan, vec![gathered.plan])?, locus: Locus::Entry });
        }
        let target = Target::Hashed { columns, map: self.distributor.map };
        let moved = self.distributor.move_to(partial, &target)?;
        let plan = AggregateExec::try_new(
            AggregateMode::FinalPartitioned,
            self.top.group_expr().clone(),
            self.top.aggr_expr().to_vec(),
            self.top.filter_expr().to_vec(),
            moved.plan,
            self.top.input_schema(),
        )?;
        // The group columns come first in both stages' outputs.
        Ok(Placed { plan: Arc::new(plan), locus: moved.locus })
    }

    fn first_stage(&self, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        with_inputs(self.top.input(), vec![input])
    }
}

/// The whole aggregate over inputs that hold whole groups.
fn one_stage(
    pair: &Arc<dyn ExecutionPlan>,
    partial: &AggregateExec,
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if partial.group_expr().has_grouping_set() {
        let partial = with_inputs(pair.children()[0], vec![input])?;
        return with_inputs(pair, vec![partial]);
    }
    Ok(Arc::new(AggregateExec::try_new(
        AggregateMode::Single,
        partial.group_expr().clone(),
        partial.aggr_expr().to_vec(),
        partial.filter_expr().to_vec(),
        input,
        partial.input_schema(),
    )?))
}

/// True if the order of the rows makes no difference to the result, not even in its last digit.
pub(crate) fn ignores_order(aggregate: &AggregateFunctionExpr) -> bool {
    const EXACT: [&str; 9] =
        ["count", "min", "max", "bool_and", "bool_or", "bit_and", "bit_or", "bit_xor", "approx_distinct"];
    let name = aggregate.fun().name();
    EXACT.contains(&name) || (["sum", "sum_int", "avg"].contains(&name) && !aggregate.field().data_type().is_floating())
}

fn is_volatile(aggregate: &AggregateExec) -> bool {
    let arguments = aggregate.aggr_expr().iter().flat_map(|a| a.expressions());
    let groups = aggregate.group_expr().input_exprs();
    let filters = aggregate.filter_expr().iter().flatten().cloned();
    arguments.chain(groups).chain(filters).any(|e| expressions::is_volatile(&e))
}
