//! COPY: a segment lists and splits the files, all read and write them.

mod export;
mod external;
mod from;
mod to;
mod validate;

pub(super) use external::external_as_table;
pub(super) use from::{format_of, is_partition};
pub(super) use validate::validation_schema;

use super::Session;
use super::bind::Bound;
use crate::error::{SqlResult, of_datafusion};
use crate::planner::{Output, PlanContext, SliceTable, distribute_and_slice};
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

impl Session {
    pub(in crate::session) fn slice(
        &self,
        bound: &Bound,
        rows: Arc<dyn ExecutionPlan>,
        output: Output,
    ) -> SqlResult<SliceTable> {
        let map = bound.names.newest_map();
        let context = PlanContext { state: &bound.state, tables: &bound.names, map: &map };
        distribute_and_slice(&context, rows, output).map_err(of_datafusion)
    }
}
