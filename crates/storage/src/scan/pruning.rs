//! Files and row groups that a scan need not read, because what is known of them says that no row of theirs passes the filters above.

use super::file_statistics::FileStatistics;
use crate::footers::Footer;
use crate::limits::BLOOM_PROBES_MAX;
use datafusion::arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column as ColumnName, ScalarValue, internal_err};
use datafusion::parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use datafusion::parquet::file::metadata::RowGroupMetaData;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::Guarantee;
use datafusion::physical_expr::{DynamicFilterTracking, PhysicalExpr};
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use std::collections::HashSet;
use std::sync::Arc;

/// A filter on a scan's output as one on the table's columns; None where it names something else.
pub(crate) fn on_table(
    filter: Arc<dyn PhysicalExpr>,
    output: &Schema,
    projection: &[usize],
    table: &Schema,
) -> Option<Arc<dyn PhysicalExpr>> {
    let on_table = |expr: Arc<dyn PhysicalExpr>| {
        let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
        // The planner's rewrites can leave an index behind; names are right.
        let is_named = |field: &FieldRef| field.name() == column.name();
        let index = match output.fields().get(column.index()).is_some_and(is_named) {
            true => column.index(),
            false => output.index_of(column.name())?,
        };
        let position = projection[index];
        if position >= table.fields().len() {
            return internal_err!("files have no statistics of where a row is");
        }
        Ok(Transformed::yes(Arc::new(Column::new(table.field(position).name(), position)) as _))
    };
    filter.transform(on_table).data().ok()
}

/// Decides about row groups with what a predicate says at that moment: dynamic filters tighten while the query runs.
pub(crate) struct Pruner {
    /// On the table's columns.
    predicate: Arc<dyn PhysicalExpr>,
    table: SchemaRef,
    tracking: DynamicFilterTracking,
    /// What to compare statistics with; None where the predicate excludes nothing.
    compiled: Option<PruningPredicate>,
    /// Nothing was compiled yet: the filters may still be empty when a scan is set up.
    fresh: bool,
}

impl Pruner {
    pub(crate) fn new(predicate: Arc<dyn PhysicalExpr>, table: SchemaRef) -> Self {
        let tracking = DynamicFilterTracking::classify(&predicate);
        Pruner { predicate, table, tracking, compiled: None, fresh: true }
    }

    /// True if no row of the row group passes. Where that cannot be told, for whatever reason, it is read.
    pub(crate) fn excludes(&mut self, footer: &Footer, row_group: usize) -> bool {
        let table = Arc::clone(&self.table);
        let row_group = footer.metadata.metadata().row_group(row_group);
        self.is_proof(&RowGroupStatistics { table: &table, footer, row_group })
    }

    /// The same of a file that was not opened.
    pub(crate) fn excludes_file(&mut self, file: &FileStatistics) -> bool {
        let table = Arc::clone(&self.table);
        self.is_proof(&file.with_names(&table))
    }

    /// Whether the statistics, which are of one container, prove that it has no row that passes.
    pub(crate) fn is_proof(&mut self, statistics: &dyn PruningStatistics) -> bool {
        let Some(compiled) = self.compiled() else { return false };
        match compiled.prune(statistics) {
            Ok(may_match) => may_match == [false],
            Err(error) => {
                tracing::debug!(%error, "could not compare a predicate with statistics");
                false
            }
        }
    }

    /// For each column of which a row that passes has one of a few values: those values.
    pub(crate) fn asked(&mut self) -> Vec<Asked> {
        let table = Arc::clone(&self.table);
        let Some(compiled) = self.compiled() else { return vec![] };
        let asked = compiled.literal_guarantees().iter().filter(|asked| asked.guarantee == Guarantee::In);
        let asked = asked.filter_map(|asked| {
            let column = table.index_of(asked.column.name()).ok()?;
            // NULL is equal to nothing.
            let values: Vec<ScalarValue> = asked.literals.iter().filter(|value| !value.is_null()).cloned().collect();
            let is_of_column = |value: &ScalarValue| value.data_type() == *table.field(column).data_type();
            if values.is_empty() || values.len() > BLOOM_PROBES_MAX || !values.iter().all(is_of_column) {
                return None;
            }
            ScalarValue::iter_to_array(values).ok().map(|values| Asked { column, values })
        });
        asked.collect()
    }

    /// What statistics are compared with; None where the predicate excludes nothing.
    pub(crate) fn compiled(&mut self) -> Option<&PruningPredicate> {
        let moved = self.tracking.watcher().is_some_and(|watcher| watcher.changed());
        if moved || std::mem::take(&mut self.fresh) {
            self.compile();
        }
        self.compiled.as_ref()
    }

    fn compile(&mut self) {
        let builder = PruningPredicateBuilder::new().with_file_schema(Arc::clone(&self.table));
        self.compiled = match builder.try_build(Arc::clone(&self.predicate)) {
            Ok(compiled) => (!compiled.always_true()).then_some(compiled),
            Err(error) => {
                tracing::debug!(%error, "a predicate cannot be compared with statistics");
                None
            }
        };
    }
}

/// Values of which one is in a column of each row that passes.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Position in the table.
    pub column: usize,
    pub values: ArrayRef,
}

/// One row group's statistics under the names of the table, matched by position.
struct RowGroupStatistics<'a> {
    table: &'a Schema,
    footer: &'a Footer,
    row_group: &'a RowGroupMetaData,
}

impl<'a> RowGroupStatistics<'a> {
    fn position(&self, column: &ColumnName) -> Option<usize> {
        self.table.index_of(column.name()).ok()
    }

    /// None for a column that was added after the file was written.
    fn converter(&self, position: usize) -> Option<StatisticsConverter<'a>> {
        let metadata = &self.footer.metadata;
        let stored = metadata.schema().fields().get(position)?;
        // No column of a table is nested: its position is that of its leaf.
        let converter = StatisticsConverter::from_column_index(position, stored, metadata.parquet_schema()).ok()?;
        Some(converter.with_missing_null_counts_as_zero(false))
    }

    /// None where the stored values do not compare as the table's do, as those of an interval.
    fn bounds(&self, column: &ColumnName) -> Option<StatisticsConverter<'a>> {
        let converter = self.converter(self.position(column)?)?;
        let wanted = self.table.field_with_name(column.name()).ok()?.data_type();
        (converter.arrow_field().data_type() == wanted).then_some(converter)
    }
}

impl PruningStatistics for RowGroupStatistics<'_> {
    fn min_values(&self, column: &ColumnName) -> Option<ArrayRef> {
        self.bounds(column)?.row_group_mins([self.row_group]).ok()
    }

    fn max_values(&self, column: &ColumnName) -> Option<ArrayRef> {
        let bounds = self.bounds(column)?;
        match bounds.arrow_field().data_type() {
            // Parquet's bounds leave out NaN, which is larger than every other value.
            DataType::Float32 | DataType::Float64 => None,
            _ => bounds.row_group_maxes([self.row_group]).ok(),
        }
    }

    fn num_containers(&self) -> usize {
        1
    }

    fn null_counts(&self, column: &ColumnName) -> Option<ArrayRef> {
        match self.converter(self.position(column)?) {
            Some(converter) => Some(Arc::new(converter.row_group_null_counts([self.row_group]).ok()?)),
            None => self.row_counts(),
        }
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let rows = u64::try_from(self.row_group.num_rows()).ok()?;
        Some(Arc::new(UInt64Array::from(vec![rows])))
    }

    fn contained(&self, _: &ColumnName, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
