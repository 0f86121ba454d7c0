//! Sinks that only a segment can execute: it replaces them by writers into its own directory.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use damson_cluster::{Compression, CopyFormat, TableId};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, PlanProperties};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, LazyLock};

/// One row per writer: `rows` (UInt64) and `files` (Binary: JSON, file entries of a table or paths of a COPY TO).
pub fn sink_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new("rows", DataType::UInt64, false),
            Field::new("files", DataType::Binary, false),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// Rows into new files of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableWriteSpec {
    pub table: TableId,
    /// For EXPLAIN and errors.
    pub name: String,
    pub schema: SchemaRef,
    pub compression: Compression,
    /// Positions of the distribution key; empty when rows have no bucket.
    pub distribution_key: Vec<usize>,
}

/// Rows of a table that are deleted, and those that take their place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableModifySpec {
    pub write: TableWriteSpec,
    pub kind: ModifyKind,
    /// A row that comes twice is an error: copies of a replicated table would not agree on which of its new rows counts.
    pub once: bool,
}

/// What the input's columns are, after the table's [`FILE_COLUMN`](damson_cluster::FILE_COLUMN) and
/// [`ROW_COLUMN`](damson_cluster::ROW_COLUMN).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModifyKind {
    Delete,
    /// The new row, which stays on its segment.
    Update,
    /// As [`SplitUpdateExec`](crate::SplitUpdateExec) makes it: whether the row is new, and the new row.
    SplitUpdate,
}

/// Rows into files that COPY TO names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CopyWriteSpec {
    pub dir: String,
    pub format: CopyFormat,
}

macro_rules! unresolved_sink {
    ($(#[$doc:meta])* $sink:ident, $spec:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $sink {
            spec: $spec,
            input: Arc<dyn ExecutionPlan>,
            properties: Arc<PlanProperties>,
        }

        impl $sink {
            pub fn new(spec: $spec, input: Arc<dyn ExecutionPlan>) -> Self {
                let properties = PlanProperties::new(
                    EquivalenceProperties::new(sink_schema()),
                    Partitioning::UnknownPartitioning(1),
                    EmissionType::Final,
                    Boundedness::Bounded,
                );
                $sink { spec, input, properties: Arc::new(properties) }
            }

            pub fn spec(&self) -> &$spec {
                &self.spec
            }

            pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
                &self.input
            }
        }

        impl DisplayAs for $sink {
            fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($sink))
            }
        }

        impl ExecutionPlan for $sink {
            fn name(&self) -> &str {
                stringify!($sink)
            }

            fn properties(&self) -> &Arc<PlanProperties> {
                &self.properties
            }

            fn required_input_distribution(&self) -> Vec<Distribution> {
                vec![Distribution::SinglePartition]
            }

            fn benefits_from_input_partitioning(&self) -> Vec<bool> {
                vec![false]
            }

            fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
                vec![&self.input]
            }

            fn apply_expressions(
                &self,
                _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
            ) -> Result<TreeNodeRecursion> {
                Ok(TreeNodeRecursion::Continue)
            }

            fn replace_children(
                self: Arc<Self>,
                mut children: Vec<Arc<dyn ExecutionPlan>>,
                _: ReplaceChildrenOptions,
            ) -> Result<Arc<dyn ExecutionPlan>> {
                Ok(Arc::new($sink::new(self.spec.clone(), children.swap_remove(0))))
            }

            fn with_new_children(
                self: Arc<Self>,
                children: Vec<Arc<dyn ExecutionPlan>>,
            ) -> Result<Arc<dyn ExecutionPlan>> {
                self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
            }

            fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
                Err(DataFusionError::Internal(concat!(stringify!($sink), " was not resolved by a segment").into()))
            }
        }
    };
}

unresolved_sink!(
    /// The table writer in a plan of the master: the one way into a table for COPY, INSERT and CREATE TABLE AS.
    ///
    /// # Distribution
    /// As the table is distributed → Strewn, one row each of [`sink_schema`].
    TableWriteExec,
    TableWriteSpec
);
unresolved_sink!(
    /// What deletes and replaces rows, in a plan of the master.
    ///
    /// # Distribution
    /// Each row on the segment of its file → Strewn, one row each of [`sink_schema`], whose `files` is JSON of a
    /// [`Modification`](damson_cluster::Modification).
    TableModifyExec,
    TableModifySpec
);
unresolved_sink!(
    /// COPY TO's writer in a plan of the master.
    ///
    /// # Distribution
    /// Any → Strewn, one row each of [`sink_schema`].
    CopyWriteExec,
    CopyWriteSpec
);
