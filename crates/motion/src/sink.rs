//! Sinks that only a segment can execute: it replaces them by writers into its own directory.

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use damson_cluster::{
    Compression, ContentId, CopyTarget, MapVersion, OnDuplicate, Once, PlaceId, SortColumn, TableId, UniqueKey,
};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, OrderingRequirements, Partitioning, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, PlanProperties};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, LazyLock};

/// One row per writer, its report: `rows` (UInt64) and `files` (Binary: JSON, file entries of a table or parts of a COPY TO). With
/// [`Returning`], its columns come after these two; rows of it come before the report, with an empty `files`.
pub fn sink_schema(returning: Option<&Returning>) -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new("rows", DataType::UInt64, false),
            Field::new("files", DataType::Binary, false),
        ]))
    });
    match returning {
        None => Arc::clone(&SCHEMA),
        Some(returning) => {
            let nullable = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_nullable(true));
            let fields = SCHEMA.fields().iter().cloned().chain(returning.columns.fields().iter().map(nullable));
            Arc::new(Schema::new(fields.collect::<Vec<_>>()))
        }
    }
}

/// What comes back for each row that was changed: columns of the input, after those that are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Returning {
    pub columns: SchemaRef,
    /// The content that gives them, of those that change copies of the same rows; None: each gives its own.
    pub only: Option<ContentId>,
}

/// Rows into new files of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableWriteSpec {
    pub table: TableId,
    /// Where its files are; how to get there comes with the request.
    pub place: PlaceId,
    /// For EXPLAIN and errors.
    pub name: String,
    pub schema: SchemaRef,
    pub compression: Compression,
    /// Positions of the distribution key; empty when rows have no bucket.
    pub distribution_key: Vec<usize>,
    /// That rows with a key are placed by.
    pub map: MapVersion,
    /// Positions of the columns of which files have Bloom filters.
    pub filtered: Vec<usize>,
    /// Names of the CHECK constraints whose expressions, over the table's columns, are the operator's.
    pub checks: Vec<String>,
    /// Keys that new rows must not repeat; those that the statement cannot repeat are not among them.
    pub keys: Vec<UniqueKey>,
    /// The table's; see [`TableWriteSpec::sorted_by`].
    pub sort_key: Vec<SortColumn>,
    pub returning: Option<Returning>,
}

impl TableWriteSpec {
    /// What the rows are sorted by when they arrive, NULLs last. Nothing where of new rows that have one key the first is to stay, because
    /// another one would be first: compaction sorts those.
    pub fn sorted_by(&self) -> &[SortColumn] {
        let is_first_kept = self.keys.iter().any(|key| key.on_duplicate == OnDuplicate::Skip);
        if is_first_kept { &[] } else { &self.sort_key }
    }

    /// The same of an input whose columns from `first` on are the table's.
    fn order_of(&self, input: &Schema, first: usize) -> Option<OrderingRequirements> {
        let column = |sort: &SortColumn| {
            let position = first + sort.column;
            let options = SortOptions { descending: sort.descending, nulls_first: false };
            PhysicalSortExpr::new(Arc::new(Column::new(input.field(position).name(), position)), options)
        };
        LexOrdering::new(self.sorted_by().iter().map(column)).map(OrderingRequirements::from)
    }
}

/// Rows of a table that are deleted, and those that take their place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableModifySpec {
    pub write: TableWriteSpec,
    pub kind: ModifyKind,
    /// Why an old row that comes twice is an error; None: it is changed once.
    pub once: Option<Once>,
}

/// What the input's columns are, after the table's [`FILE_COLUMN`](damson_cluster::FILE_COLUMN) and
/// [`ROW_COLUMN`](damson_cluster::ROW_COLUMN).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModifyKind {
    Delete,
    /// The new row, which stays on its segment.
    Update,
    /// As [`SplitUpdateExec`](crate::SplitUpdateExec) makes it: what becomes of the row
    /// ([`RowChange`](damson_cluster::RowChange)), and the new row.
    SplitUpdate,
    /// The same, of which each row says by itself whether there is an old one, and a new one.
    Merge,
    /// Not rows, but row groups that get another segment, or files that get another reader: the columns are those of [`handover_schema`](damson_cluster::handover_schema). The report
    /// is a [`HandedOver`](damson_cluster::HandedOver).
    RowGroups,
}

impl ModifyKind {
    /// Columns before the new row; None where there is none.
    fn lead(self) -> Option<usize> {
        match self {
            ModifyKind::Delete | ModifyKind::RowGroups => None,
            ModifyKind::Update => Some(2),
            ModifyKind::SplitUpdate | ModifyKind::Merge => Some(3),
        }
    }
}

/// Rows into files that COPY TO names; how their place is reached is in [`ExecuteHead`](crate::ExecuteHead).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CopyWriteSpec {
    pub target: CopyTarget,
}

macro_rules! unresolved_sink {
    ($(#[$doc:meta])* $sink:ident, $spec:ident, $returning:expr, $order:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $sink {
            spec: $spec,
            checks: Vec<Arc<dyn PhysicalExpr>>,
            input: Arc<dyn ExecutionPlan>,
            properties: Arc<PlanProperties>,
        }

        impl $sink {
            /// `checks` are as many as the spec names.
            pub fn new(spec: $spec, checks: Vec<Arc<dyn PhysicalExpr>>, input: Arc<dyn ExecutionPlan>) -> Self {
                let returning: fn(&$spec) -> Option<&Returning> = $returning;
                let properties = PlanProperties::new(
                    EquivalenceProperties::new(sink_schema(returning(&spec))),
                    Partitioning::UnknownPartitioning(1),
                    EmissionType::Final,
                    Boundedness::Bounded,
                );
                $sink { spec, checks, input, properties: Arc::new(properties) }
            }

            pub fn spec(&self) -> &$spec {
                &self.spec
            }

            pub fn checks(&self) -> &[Arc<dyn PhysicalExpr>] {
                &self.checks
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

            fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
                let order: fn(&$spec, &Schema) -> Option<OrderingRequirements> = $order;
                vec![order(&self.spec, &self.input.schema())]
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
                Ok(Arc::new($sink::new(self.spec.clone(), self.checks.clone(), children.swap_remove(0))))
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
    ///
    /// # Ordering
    /// It asks for the order of the table's sort key, so that the planner puts a Sort below it.
    TableWriteExec,
    TableWriteSpec,
    |spec| spec.returning.as_ref(),
    |spec, input| spec.order_of(input, 0)
);
unresolved_sink!(
    /// What deletes and replaces rows, in a plan of the master.
    ///
    /// # Distribution
    /// Each row on the segment of its file → Strewn, one row each of [`sink_schema`], whose `files` is JSON of a
    /// [`Modification`](damson_cluster::Modification).
    ///
    /// # Ordering
    /// As [`TableWriteExec`], of the new rows; deletes ask for none.
    TableModifyExec,
    TableModifySpec,
    |spec| spec.write.returning.as_ref(),
    |spec, input| spec.write.order_of(input, spec.kind.lead()?)
);
unresolved_sink!(
    /// COPY TO's writer in a plan of the master.
    ///
    /// # Distribution
    /// Any; one segment's for a single file → Strewn, one row each of [`sink_schema`].
    CopyWriteExec,
    CopyWriteSpec,
    |_| None,
    |_, _| None
);
