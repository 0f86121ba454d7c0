//! A table as DataFusion's binder and planner see it.

use super::statistics::statistics_of;
use crate::catalog::TableEntry;
use async_trait::async_trait;
use damson_motion::{ScanSpec, TableScanExec};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::{ExecutionPlan, Statistics};
use std::fmt;
use std::sync::Arc;

/// A table at a statement's snapshot. Its scan is a leaf that segments resolve; filters stay above it, where the
/// planner sees them (direct dispatch) and segments push them down.
pub(crate) struct DamsonTable {
    entry: Arc<TableEntry>,
    schema: SchemaRef,
    segment_id: bool,
    segments: usize,
}

impl DamsonTable {
    pub(crate) fn new(entry: Arc<TableEntry>, segment_id: bool, segments: usize) -> Self {
        let mut fields = entry.def.arrow_schema().fields().to_vec();
        if segment_id {
            fields.push(Arc::new(Field::new(ScanSpec::SEGMENT_ID, DataType::Int32, false)));
        }
        DamsonTable { entry, schema: Arc::new(Schema::new(fields)), segment_id, segments }
    }

    pub(crate) fn entry(&self) -> &Arc<TableEntry> {
        &self.entry
    }

    /// Segments of the cluster.
    pub(crate) fn segments(&self) -> usize {
        self.segments
    }

    /// Statistics of all columns, `gp_segment_id` included.
    pub(crate) fn table_statistics(&self) -> Statistics {
        statistics_of(&self.entry, &self.schema)
    }
}

impl fmt::Debug for DamsonTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DamsonTable").field("name", &self.entry.def.qualified_name()).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for DamsonTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Unsupported; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.table_statistics())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = self.entry.def.columns.len();
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let stored: Vec<usize> = wanted.iter().copied().filter(|&c| c < columns).collect();
        let segment_id = self.segment_id && wanted.contains(&columns);
        let statistics = self.table_statistics().project(Some(wanted));
        let spec = ScanSpec {
            table: self.entry.def.id,
            name: self.entry.def.name.clone(),
            table_schema: self.entry.def.arrow_schema(),
            projection: stored,
            segment_id,
        };
        Ok(Arc::new(TableScanExec::try_new(spec, Some(statistics))?))
    }
}
