//! Window functions: all rows of a window partition on one segment.

use super::{Distributor, Placed, Target, expressions, with_inputs};
use crate::planner::locus::Locus;
use damson_cluster::placement;
use datafusion::error::Result;
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

impl Distributor<'_> {
    /// Stays where each partition's rows are together; else redistributes by the PARTITION BY columns; without any,
    /// gathers. The sort that the window needs is added later, above the motion.
    pub(super) fn place_window(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        functions: &[Arc<dyn WindowExpr>],
    ) -> Result<Placed> {
        let mut input = self.place(plan.children()[0])?;
        if input.locus == Locus::Replicated {
            // Copies lie in different orders: which of two equal rows comes first differs from segment to segment.
            input = self.to_entry(input)?;
        }
        let volatile = functions.iter().any(|f| f.expressions().iter().any(expressions::is_volatile));
        if volatile {
            input = self.to_one_copy(input)?;
        }
        let columns = shared_partition_columns(functions);
        if input.locus.is_partitioned() && !input.locus.is_hashed_within(&columns) {
            let schema = input.plan.schema();
            let hashable = |&c: &usize| placement::hash_family(schema.field(c).data_type()).is_some();
            let columns: Vec<usize> = columns.into_iter().filter(hashable).collect();
            input = if columns.is_empty() {
                self.to_entry(input)?
            } else {
                self.move_to(input, &Target::Hashed { columns, map: self.map })?
            };
        }
        // A window keeps its input's columns first and appends its own.
        Ok(Placed { plan: with_inputs(plan, vec![input.plan])?, locus: input.locus })
    }
}

/// Columns by which every one of the functions partitions.
fn shared_partition_columns(functions: &[Arc<dyn WindowExpr>]) -> Vec<usize> {
    let columns_of = |f: &Arc<dyn WindowExpr>| -> Vec<usize> {
        f.partition_by().iter().filter_map(expressions::column_of).collect()
    };
    let mut functions = functions.iter().map(columns_of);
    let Some(mut shared) = functions.next() else { return vec![] };
    for columns in functions {
        shared.retain(|c| columns.contains(c));
    }
    shared.sort_unstable();
    shared.dedup();
    shared
}
