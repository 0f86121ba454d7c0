//! A table as DataFusion's binder and planner see it.

use super::statistics::statistics_of;
use crate::catalog::TableEntry;
use async_trait::async_trait;
use damson_cluster::SnapshotId;
use damson_motion::{ScanSpec, TableScanExec, row_id_fields};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, Statistics};
use std::fmt;
use std::sync::Arc;

/// A table at a statement's snapshot. Its scan is a leaf that segments resolve; filters stay above it, where the
/// planner sees them (direct dispatch) and segments push them down.
pub(crate) struct DamsonTable {
    entry: Arc<TableEntry>,
    schema: SchemaRef,
    row_ids: bool,
    segment_id: bool,
    segments: usize,
    /// The entry's snapshot, if it is not the statement's own.
    as_of: Option<SnapshotId>,
    has_statistics: bool,
}

impl DamsonTable {
    pub(crate) fn new(entry: Arc<TableEntry>, segment_id: bool, segments: usize) -> Self {
        let mut fields = entry.def.arrow_schema().fields().to_vec();
        if segment_id {
            fields.push(Arc::new(Field::new(ScanSpec::SEGMENT_ID, DataType::Int32, false)));
        }
        DamsonTable {
            entry,
            schema: Arc::new(Schema::new(fields)),
            row_ids: false,
            segment_id,
            segments,
            as_of: None,
            has_statistics: true,
        }
    }

    /// With the columns that name a row: its file, its number in it, its segment.
    pub(crate) fn with_row_ids(entry: Arc<TableEntry>, segments: usize) -> Self {
        let mut fields = entry.def.arrow_schema().fields().to_vec();
        fields.extend(row_id_fields().map(Arc::new));
        fields.push(Arc::new(Field::new(ScanSpec::SEGMENT_ID, DataType::Int32, false)));
        DamsonTable {
            entry,
            schema: Arc::new(Schema::new(fields)),
            row_ids: true,
            segment_id: true,
            segments,
            as_of: None,
            has_statistics: true,
        }
    }

    /// The table of a plan in which nothing is chosen by its size.
    pub(crate) fn without_statistics(self) -> Self {
        DamsonTable { has_statistics: false, ..self }
    }

    /// The table as it was, if a snapshot is given.
    pub(crate) fn with_snapshot(self, as_of: Option<SnapshotId>) -> Self {
        DamsonTable { as_of, ..self }
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
        self.has_statistics.then(|| self.table_statistics())
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
        // Row ids come both or not at all, in the order of the schema.
        let row_ids = self.row_ids && wanted.iter().any(|&c| (columns..columns + 2).contains(&c));
        let segment_id = self.segment_id && wanted.contains(&(self.schema.fields().len() - 1));
        let given = stored.iter().copied().chain((columns..columns + 2).filter(|_| row_ids));
        let given: Vec<usize> = given.chain(segment_id.then_some(self.schema.fields().len() - 1)).collect();
        let statistics = self.has_statistics.then(|| self.table_statistics().project(Some(&given)));
        let spec = ScanSpec {
            only: None,
            leaving: None,
            table: self.entry.def.id,
            place: self.entry.def.place(),
            as_of: self.as_of,
            name: match self.as_of {
                Some(snapshot) => format!("{} as of snapshot {}", self.entry.def.name, snapshot.0),
                None => self.entry.def.name.clone(),
            },
            table_schema: self.entry.def.arrow_schema(),
            projection: stored,
            row_ids,
            segment_id,
        };
        let scan = Arc::new(TableScanExec::try_new(spec, statistics)?);
        if given == *wanted {
            return Ok(scan);
        }
        let column = |c: &usize| {
            let position = given.iter().position(|g| g == c)?;
            let name = self.schema.field(*c).name().clone();
            Some((Arc::new(Column::new(&name, position)) as Arc<dyn PhysicalExpr>, name))
        };
        let columns = wanted.iter().map(column).collect::<Option<Vec<_>>>();
        let columns = columns.ok_or_else(|| DataFusionError::Internal("a scan lacks a column of its table".into()))?;
        Ok(Arc::new(ProjectionExec::try_new(columns, scan)?))
    }
}
