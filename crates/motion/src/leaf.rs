//! Leaves that only a segment can execute: it replaces them by operators over its own files.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use damson_cluster::{
    ContentId, CopyFormat, FILE_COLUMN, OnBadRow, PlaceId, ROW_COLUMN, Relayout, SnapshotId, TableId, bad_row_schema,
    handover_schema,
};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, Statistics};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What a segment must know to scan its part of a table; the files come with the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanSpec {
    pub table: TableId,
    /// Where its files are; how to get there comes with the request.
    pub place: PlaceId,
    /// The snapshot that is read, if it is not the statement's own.
    pub as_of: Option<SnapshotId>,
    /// For EXPLAIN and errors.
    pub name: String,
    /// The whole table's columns.
    pub table_schema: SchemaRef,
    /// Positions in `table_schema`, in output order.
    pub projection: Vec<usize>,
    /// Whether [`FILE_COLUMN`] and [`ROW_COLUMN`] come after the projection: for DELETE and UPDATE.
    pub row_ids: bool,
    /// Whether the last output column is `gp_segment_id`.
    pub segment_id: bool,
    /// The one segment that reads its rows: one of the copies of a replicated table that not every segment has. None: all do.
    pub only: Option<ContentId>,
    /// What is read where the table is laid out by another map; None: everything.
    pub leaving: Option<Leaving>,
}

/// What leaves the segments of a hashed table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    pub maps: Relayout,
    /// Positions of the distribution key.
    pub key: Vec<usize>,
    pub how: Leave,
}

/// How rows leave a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leave {
    /// Row groups as bytes: the columns are those of [`handover_schema`].
    AsRowGroups,
    /// Of the row groups that have rows which leave otherwise: these are read.
    RowByRow,
    /// They stay in their files, which others read, too: the columns are those of [`handover_schema`].
    InPlace,
}

impl Leaving {
    /// Whether rows of [`handover_schema`] take the place of the table's.
    fn is_handed_over(&self) -> bool {
        matches!(self.how, Leave::AsRowGroups | Leave::InPlace)
    }
}

impl ScanSpec {
    /// Name of the system column that tells where a row is stored.
    pub const SEGMENT_ID: &'static str = "gp_segment_id";

    pub fn output_schema(&self) -> Result<SchemaRef> {
        if self.leaving.as_ref().is_some_and(Leaving::is_handed_over) {
            return Ok(handover_schema());
        }
        let mut fields = self.table_schema.project(&self.projection)?.fields().to_vec();
        if self.row_ids {
            fields.extend(row_id_fields().map(Arc::new));
        }
        if self.segment_id {
            fields.push(Arc::new(crate::segment_id::segment_id_field()));
        }
        Ok(Arc::new(Schema::new(fields)))
    }
}

/// Of [`FILE_COLUMN`] and [`ROW_COLUMN`].
pub fn row_id_fields() -> [Field; 2] {
    [Field::new(FILE_COLUMN, DataType::Int32, false), Field::new(ROW_COLUMN, DataType::Int64, false)]
}

/// A table's scan in a plan of the master.
///
/// # Distribution
/// As the table is distributed.
#[derive(Debug)]
pub struct TableScanExec {
    spec: ScanSpec,
    statistics: Arc<Statistics>,
    properties: Arc<PlanProperties>,
}

impl TableScanExec {
    /// # Errors
    /// A projection outside the table's columns.
    pub fn try_new(spec: ScanSpec, statistics: Option<Statistics>) -> Result<Self> {
        let schema = spec.output_schema()?;
        let statistics = Arc::new(statistics.unwrap_or_else(|| Statistics::new_unknown(&schema)));
        Ok(TableScanExec { properties: leaf_properties(schema), spec, statistics })
    }

    pub fn spec(&self) -> &ScanSpec {
        &self.spec
    }

    /// The scan of what leaves.
    ///
    /// # Errors
    /// As [`TableScanExec::try_new`].
    pub fn leaving(&self, leaving: Leaving) -> Result<Self> {
        let spec = self.spec.clone();
        if leaving.is_handed_over() {
            let spec = ScanSpec { projection: vec![], row_ids: false, segment_id: false, ..spec };
            return TableScanExec::try_new(ScanSpec { leaving: Some(leaving), ..spec }, None);
        }
        let statistics = Statistics::clone(&self.statistics);
        TableScanExec::try_new(ScanSpec { leaving: Some(leaving), ..spec }, Some(statistics))
    }

    /// The scan by one segment alone.
    pub fn only_on(&self, content: ContentId) -> Self {
        let spec = ScanSpec { only: Some(content), ..self.spec.clone() };
        TableScanExec { spec, statistics: Arc::clone(&self.statistics), properties: Arc::clone(&self.properties) }
    }
}

/// What a segment must know to read its share of COPY's files; the shares come with the request, by `leaf`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CopyReadSpec {
    pub leaf: u32,
    pub format: CopyFormat,
    /// Columns in file order, with the table's types; then those that the files' directories give.
    pub schema: SchemaRef,
    /// How many of them directories give.
    pub partition_columns: usize,
    /// By column: characters that a text may have, the spaces at its end not counted.
    pub max_chars: Vec<Option<usize>>,
    pub on_bad_row: OnBadRow,
    /// Whose error log takes the rows that are rejected with `log`.
    pub table: TableId,
}

impl CopyReadSpec {
    /// The rows of the files, or, of [`OnBadRow::Report`], those that cannot be read.
    pub fn output_schema(&self) -> SchemaRef {
        match self.on_bad_row {
            OnBadRow::Report => bad_row_schema(),
            OnBadRow::Fail | OnBadRow::Reject { .. } => Arc::clone(&self.schema),
        }
    }
}

/// COPY's reader in a plan of the master.
///
/// # Distribution
/// Strewn: each segment reads its share.
#[derive(Debug)]
pub struct CopyReadExec {
    spec: CopyReadSpec,
    properties: Arc<PlanProperties>,
}

impl CopyReadExec {
    pub fn new(spec: CopyReadSpec) -> Self {
        CopyReadExec { properties: leaf_properties(spec.output_schema()), spec }
    }

    pub fn spec(&self) -> &CopyReadSpec {
        &self.spec
    }
}

fn leaf_properties(schema: SchemaRef) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(1),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

impl DisplayAs for TableScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableScanExec: {} projection={:?}", self.spec.name, self.spec.projection)
    }
}

impl DisplayAs for CopyReadExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CopyReadExec: leaf={}", self.spec.leaf)
    }
}

macro_rules! unresolved_leaf {
    ($leaf:ident, $($statistics:item)?) => {
        impl ExecutionPlan for $leaf {
            fn name(&self) -> &str {
                stringify!($leaf)
            }

            fn properties(&self) -> &Arc<PlanProperties> {
                &self.properties
            }

            fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
                vec![]
            }

            fn apply_expressions(
                &self,
                _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
            ) -> Result<TreeNodeRecursion> {
                Ok(TreeNodeRecursion::Continue)
            }

            fn replace_children(
                self: Arc<Self>,
                _: Vec<Arc<dyn ExecutionPlan>>,
                _: ReplaceChildrenOptions,
            ) -> Result<Arc<dyn ExecutionPlan>> {
                Ok(self)
            }

            fn with_new_children(
                self: Arc<Self>,
                children: Vec<Arc<dyn ExecutionPlan>>,
            ) -> Result<Arc<dyn ExecutionPlan>> {
                self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
            }

            fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
                Err(DataFusionError::Internal(concat!(stringify!($leaf), " was not resolved by a segment").into()))
            }

            $($statistics)?
        }
    };
}

unresolved_leaf!(
    TableScanExec,
    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(Arc::clone(&self.statistics))
    }
);
unresolved_leaf!(CopyReadExec,);
