//! How a table's files are laid out, beside their compression: what rows are sorted by, and which columns have Bloom filters.

use arrow::datatypes::{DataType, TimeUnit};
use serde::{Deserialize, Serialize};

/// `WITH (sort_key='…', bloom_filter_columns='…')` of a table. Every writer keeps to it; files that were written before it was changed stay
/// as they are until they are written anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableLayout {
    /// What the rows of a file are sorted by, NULLs last; empty: nothing.
    #[serde(default)]
    pub sort_key: Vec<SortColumn>,
    /// Positions of the columns that have Bloom filters, beside those of keys, in the option's order.
    #[serde(default)]
    pub bloom_filter_columns: Vec<usize>,
}

/// One column of a sort key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SortColumn {
    /// Position in [`TableDef::columns`](crate::TableDef::columns).
    pub column: usize,
    pub descending: bool,
}

impl TableLayout {
    pub fn is_default(&self) -> bool {
        *self == TableLayout::default()
    }
}

/// Whether values of a type are looked for in Bloom filters: those of which a reader and a writer hash the same bytes.
pub fn has_bloom_filter(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int16
            | DataType::Int32
            | DataType::Date32
            | DataType::Int64
            | DataType::Time64(TimeUnit::Microsecond)
            | DataType::Timestamp(TimeUnit::Microsecond, _)
            | DataType::Utf8View
            | DataType::FixedSizeBinary(_)
    )
}
