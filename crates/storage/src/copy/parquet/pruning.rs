//! What is known of a row group's values.

use super::convert::convert;
use crate::copy::column::FileColumns;
use datafusion::arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::parquet::arrow::arrow_reader::ArrowReaderMetadata;
use datafusion::parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use datafusion::parquet::file::metadata::RowGroupMetaData;
use std::collections::HashSet;
use std::sync::Arc;

/// One row group's statistics, as the values of the columns that are read.
pub(super) struct RowGroupBounds<'a> {
    /// What the filters are of.
    pub schema: &'a Schema,
    pub columns: &'a FileColumns,
    /// The file's column of each that is read.
    pub sources: &'a [usize],
    pub metadata: &'a ArrowReaderMetadata,
    pub row_group: usize,
}

impl<'a> RowGroupBounds<'a> {
    fn row_group(&self) -> &'a RowGroupMetaData {
        self.metadata.metadata().row_group(self.row_group)
    }

    /// None for a column that the file does not have, or that is nested there.
    fn converter(&self, column: &Column) -> Option<StatisticsConverter<'a>> {
        let at = self.columns.wanted.iter().position(|&c| self.columns.schema.field(c).name() == column.name())?;
        let stored = self.metadata.schema().fields().get(self.sources[at])?;
        let parquet = self.metadata.parquet_schema();
        let leaf = (0..parquet.num_columns()).find(|&leaf| parquet.get_column_root_idx(leaf) == self.sources[at])?;
        let is_flat = !stored.data_type().is_nested();
        let converter = is_flat.then(|| StatisticsConverter::from_column_index(leaf, stored, parquet).ok())??;
        Some(converter.with_missing_null_counts_as_zero(false))
    }

    /// Bounds of the file's values become bounds of ours where one is never smaller if the other is larger.
    fn bounds(
        &self,
        column: &Column,
        of: impl Fn(&StatisticsConverter<'a>, &'a RowGroupMetaData) -> Option<ArrayRef>,
    ) -> Option<ArrayRef> {
        let converter = self.converter(column)?;
        // Those of old writers are in another order: bytes with signs.
        let statistics = self.row_group().column(converter.parquet_column_index()?).statistics();
        if statistics.is_some_and(|statistics| statistics.is_min_max_deprecated()) {
            return None;
        }
        let wanted = self.schema.field_with_name(column.name()).ok()?.data_type();
        let stored = converter.arrow_field().data_type();
        if stored != wanted && !(is_exact(stored) && is_exact(wanted)) {
            return None;
        }
        convert(&of(&converter, self.row_group())?, wanted).ok()
    }
}

fn is_exact(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_decimal()
        || matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
}

impl PruningStatistics for RowGroupBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |converter, row_group| converter.row_group_mins([row_group]).ok())
    }

    /// Parquet's bounds leave out NaN, which is larger than every other value.
    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        let is_float = self.schema.field_with_name(column.name()).ok()?.data_type().is_floating();
        if is_float {
            return None;
        }
        self.bounds(column, |converter, row_group| converter.row_group_maxes([row_group]).ok())
    }

    fn num_containers(&self) -> usize {
        1
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let counts = self.converter(column)?.row_group_null_counts([self.row_group()]).ok()?;
        Some(Arc::new(counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let rows = u64::try_from(self.row_group().num_rows()).ok()?;
        Some(Arc::new(UInt64Array::from(vec![rows])))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
