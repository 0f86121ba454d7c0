//! Pieces of a row group that is in the cache which a scan need not look at: the bounds of a cached column's chunks are as good as a page
//! index, and every column of some types has them, in whatever order rows were written.

use super::pages::Pieces;
use crate::chunk_bounds::ChunkBounds;
use crate::footers::Footer;
use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::Schema;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column as ColumnName, ScalarValue};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::pruning::PruningPredicate;
use std::collections::HashSet;
use std::sync::Arc;

/// Which chunks may have rows that pass; None where that is most of them, or cannot be told. `bounds_of` gives those of the column at a position
/// of the table.
pub(super) fn cached_pieces<'a>(
    footer: &Footer,
    predicate: &PruningPredicate,
    bounds_of: impl Fn(usize) -> Option<&'a ChunkBounds>,
) -> Option<Pieces> {
    let table = predicate.schema();
    let named = collect_columns(predicate.orig_expr());
    let positions = named.iter().filter_map(|column| table.index_of(column.name()).ok());
    let columns: Vec<(usize, &ChunkBounds)> =
        positions.filter_map(|position| Some((position, bounds_of(position)?))).collect();
    let chunks = columns.first()?.1.rows.len();
    let wanted = match predicate.prune(&ChunkStatistics { table, columns: &columns, chunks }) {
        Ok(wanted) => wanted,
        Err(error) => {
            tracing::debug!(%error, "could not compare a predicate with the bounds of cached columns");
            return None;
        }
    };
    let read = wanted.iter().filter(|&&is_wanted| is_wanted).count();
    let is_sparse = read * 2 <= wanted.len();
    is_sparse.then(|| Pieces { metadata: footer.metadata.clone(), wanted: wanted.into() })
}

/// Each chunk is a container.
struct ChunkStatistics<'a> {
    table: &'a Schema,
    /// By position in the table.
    columns: &'a [(usize, &'a ChunkBounds)],
    chunks: usize,
}

impl ChunkStatistics<'_> {
    fn bounds(&self, column: &ColumnName) -> Option<&ChunkBounds> {
        let position = self.table.index_of(column.name()).ok()?;
        self.columns.iter().find(|(known, _)| *known == position).map(|(_, bounds)| *bounds)
    }
}

impl PruningStatistics for ChunkStatistics<'_> {
    fn min_values(&self, column: &ColumnName) -> Option<ArrayRef> {
        Some(ArrayRef::clone(&self.bounds(column)?.min))
    }

    fn max_values(&self, column: &ColumnName) -> Option<ArrayRef> {
        Some(ArrayRef::clone(&self.bounds(column)?.max))
    }

    fn num_containers(&self) -> usize {
        self.chunks
    }

    fn null_counts(&self, column: &ColumnName) -> Option<ArrayRef> {
        Some(Arc::new(self.bounds(column)?.nulls.clone()))
    }

    /// None if columns lack different deleted rows: of one that lacks fewer, as many can be NULL as another has rows.
    fn row_counts(&self) -> Option<ArrayRef> {
        let (_, first) = self.columns.first()?;
        let is_same = self.columns.iter().all(|(_, bounds)| bounds.rows == first.rows);
        is_same.then(|| Arc::new(first.rows.clone()) as ArrayRef)
    }

    fn contained(&self, _: &ColumnName, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
