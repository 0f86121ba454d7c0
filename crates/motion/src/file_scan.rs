//! The leaf that reads files which are no table's: a query names them, or an external table does.

use arrow::datatypes::{Schema, SchemaRef};
use damson_cluster::{CopyFormat, OnBadRow, SourceAccess, TableId};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, Statistics};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What a segment must know to read its share of a query's files; the shares come with the request, by `leaf`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileScanSpec {
    pub leaf: u32,
    /// For EXPLAIN: the files as they were named, or the external table.
    pub name: String,
    /// How many files there are.
    pub files: usize,
    pub format: CopyFormat,
    /// All columns with their types, those that the files hold in the files' order.
    pub schema: SchemaRef,
    /// Positions of the others, which the files' directories give.
    pub partition_columns: Vec<usize>,
    /// By column: characters that a text may have.
    pub max_chars: Vec<Option<usize>>,
    /// Positions in `schema`, in output order.
    pub projection: Vec<usize>,
    pub on_bad_row: OnBadRow,
    /// Of an external table with LOG ERRORS: under which id segments keep the rows that are passed over.
    pub error_log: Option<TableId>,
    pub access: SourceAccess,
}

/// A scan of files in a plan of the master.
///
/// # Distribution
/// Strewn: each segment reads its share.
#[derive(Debug)]
pub struct FileScanExec {
    spec: FileScanSpec,
    statistics: Arc<Statistics>,
    properties: Arc<PlanProperties>,
}

impl FileScanExec {
    /// # Errors
    /// A projection outside the columns.
    pub fn try_new(spec: FileScanSpec, statistics: Option<Statistics>) -> Result<Self> {
        let schema: Schema = spec.schema.project(&spec.projection)?;
        let statistics = statistics.unwrap_or_else(|| Statistics::new_unknown(&schema));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(FileScanExec { spec, statistics: Arc::new(statistics), properties: Arc::new(properties) })
    }

    pub fn spec(&self) -> &FileScanSpec {
        &self.spec
    }
}

impl DisplayAs for FileScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FileScanSpec { name, files, projection, .. } = &self.spec;
        write!(f, "FileScanExec: {name} files={files} projection={projection:?}")
    }
}

impl ExecutionPlan for FileScanExec {
    fn name(&self) -> &'static str {
        "FileScanExec"
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

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Err(DataFusionError::Internal("FileScanExec was not resolved by a segment".into()))
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(Arc::clone(&self.statistics))
    }
}
