//! Sort, TopK and LIMIT: segments do their share below the Gather.

use super::{Distributor, Placed, expressions, with_inputs};
use crate::planner::locus::Locus;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use std::sync::Arc;

impl Distributor<'_> {
    /// Sorts where the rows are; whoever gathers them merges. A TopK ends on the master, each segment having sent no
    /// more than the whole result.
    pub(super) fn place_sort(&self, plan: &Arc<dyn ExecutionPlan>, sort: &SortExec) -> Result<Placed> {
        let input = self.place(sort.input())?;
        let partitioned = input.locus.is_partitioned();
        let sorted = Placed { plan: with_inputs(plan, vec![input.plan])?, locus: input.locus };
        match sort.fetch() {
            Some(fetch) if partitioned => {
                let gathered = self.to_entry(sorted)?;
                let plan = Arc::new(GlobalLimitExec::new(gathered.plan, 0, Some(fetch)));
                Ok(Placed { plan, locus: Locus::Entry })
            }
            // Which rows a TopK keeps among equals may differ from copy to copy.
            Some(_) => self.to_one_copy(sorted),
            None => Ok(sorted),
        }
    }

    /// What a join only tests for having a row: which of them a LIMIT leaves is all the same, on every copy.
    pub(super) fn place_tested(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<Placed> {
        let input = if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>().filter(|limit| limit.skip() == 0) {
            self.place(limit.input())?
        } else if let Some(projection) = plan.downcast_ref::<ProjectionExec>()
            && !projection.expr().iter().any(|e| expressions::is_volatile(&e.expr))
        {
            self.place_tested(projection.input())?
        } else {
            return self.place(plan);
        };
        if !input.locus.is_whole() {
            return self.place(plan);
        }
        Ok(Placed { plan: with_inputs(plan, vec![input.plan])?, locus: input.locus })
    }

    /// `LIMIT fetch OFFSET skip`: each segment sends at most `skip + fetch` rows.
    pub(super) fn place_limit(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        skip: usize,
        fetch: Option<usize>,
    ) -> Result<Placed> {
        let mut input = self.place(input)?;
        if let (true, Some(fetch)) = (input.locus.is_partitioned(), fetch) {
            input.plan = Arc::new(LocalLimitExec::new(input.plan, skip.saturating_add(fetch)));
        }
        let gathered = self.to_entry(input)?;
        Ok(Placed { plan: Arc::new(GlobalLimitExec::new(gathered.plan, skip, fetch)), locus: Locus::Entry })
    }
}
