//! Which buckets the row groups of a file have rows of, as its footer says: where rows lie together by their buckets.

use damson_cluster::BUCKETS;
use datafusion::parquet::file::metadata::{KeyValue, ParquetMetaData};
use serde::{Deserialize, Serialize};

/// The footer's key. Its value is JSON: `{"key":[0],"ranges":[[0,2047],[2048,4095]]}`.
const KEY: &str = "damson.buckets";

/// A file's row groups by their buckets. Files that do not say it have rows of all of theirs in each row group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BucketRanges {
    /// Positions of the columns by which rows have their buckets.
    pub key: Vec<usize>,
    /// By row group: the smallest and the largest bucket of its rows.
    pub ranges: Vec<(u16, u16)>,
}

impl BucketRanges {
    /// What a footer says; None where it says nothing.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn of(metadata: &ParquetMetaData) -> Result<Option<Self>, String> {
        let said = metadata.file_metadata().key_value_metadata().into_iter().flatten();
        let Some(text) = said.filter(|said| said.key == KEY).find_map(|said| said.value.as_deref()) else {
            return Ok(None);
        };
        let ranges: BucketRanges = serde_json::from_str(text).map_err(|error| format!("{KEY}: {error}"))?;
        if ranges.ranges.len() != metadata.num_row_groups() {
            return Err(format!("{KEY} is of {} row groups, not {}", ranges.ranges.len(), metadata.num_row_groups()));
        }
        let columns = metadata.file_metadata().schema_descr().num_columns();
        if ranges.key.is_empty() || ranges.key.iter().any(|&position| position >= columns) {
            return Err(format!("{KEY} names columns {:?} of {columns}", ranges.key));
        }
        if ranges.ranges.iter().any(|&(low, high)| low > high || usize::from(high) >= BUCKETS) {
            return Err(format!("{KEY} has what is no range of buckets"));
        }
        Ok(Some(ranges))
    }

    pub(crate) fn key_value(&self) -> KeyValue {
        let text = serde_json::to_string(self).expect("numbers are JSON");
        KeyValue::new(KEY.to_owned(), text)
    }

    /// Of some row groups alone.
    pub(crate) fn select(&self, row_groups: &[usize]) -> Self {
        BucketRanges { key: self.key.clone(), ranges: row_groups.iter().map(|&index| self.ranges[index]).collect() }
    }
}
