//! Sort, TopK and LIMIT: segments do their share below the Gather.

use super::{Distributor, Placed, with_inputs};
use crate::planner::locus::Locus;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
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
