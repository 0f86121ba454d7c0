//! Which buckets the row groups of a file have rows of, as its footer says: where rows lie together by their buckets.

use crate::limits::BLOOM_PROBES_MAX;
use crate::scan::Asked;
use damson_cluster::{BUCKETS, placement};
use datafusion::arrow::array::{ArrayRef, UInt32Array};
use datafusion::arrow::compute::take;
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

    /// The buckets of the rows that have, in each column that is asked for, one of its values; None: any.
    pub(crate) fn buckets_of(&self, asked: &[Asked]) -> Option<Vec<u16>> {
        let values = |column: &usize| asked.iter().find(|asked| asked.column == *column).map(|asked| &asked.values);
        let values = self.key.iter().map(values).collect::<Option<Vec<&ArrayRef>>>()?;
        let keys = values.iter().try_fold(1, |keys: usize, values| keys.checked_mul(values.len()))?;
        if keys > BLOOM_PROBES_MAX {
            return None;
        }
        // Each value of a column with each of the others.
        let mut times = 1;
        let column = |values: &&ArrayRef| {
            let number = |key: usize| (key / times % values.len()) as u32;
            let numbers = UInt32Array::from_iter_values((0..keys).map(number));
            times *= values.len();
            take(values, &numbers, None).ok()
        };
        let columns = values.iter().map(column).collect::<Option<Vec<ArrayRef>>>()?;
        let mut hashes = vec![];
        placement::hash_rows(&columns, &mut hashes).ok()?;
        Some(hashes.into_iter().map(placement::bucket_of).collect())
    }

    /// Whether the row group may have a row of one of the buckets.
    pub(crate) fn has_any(&self, row_group: usize, buckets: &[u16]) -> bool {
        let (low, high) = self.ranges[row_group];
        buckets.iter().any(|bucket| (low..=high).contains(bucket))
    }

    /// Of some row groups alone.
    pub(crate) fn select(&self, row_groups: &[usize]) -> Self {
        BucketRanges { key: self.key.clone(), ranges: row_groups.iter().map(|&index| self.ranges[index]).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Int64Array, StringViewArray};
    use std::sync::Arc;

    fn bucket(a: i64, b: &str) -> u16 {
        let columns: [ArrayRef; 2] = [Arc::new(Int64Array::from(vec![a])), Arc::new(StringViewArray::from(vec![b]))];
        let mut hashes = vec![];
        placement::hash_rows(&columns, &mut hashes).unwrap();
        placement::bucket_of(hashes[0])
    }

    #[test]
    fn every_key_that_is_asked_for_has_its_bucket() {
        // The key's columns are not in the table's order.
        let ranges = BucketRanges { key: vec![3, 1], ranges: vec![(0, 5), (6, 9)] };
        let integers = Asked { column: 3, values: Arc::new(Int64Array::from(vec![1, 2, 3])) };
        let texts = Asked { column: 1, values: Arc::new(StringViewArray::from(vec!["x", "y"])) };
        let other = Asked { column: 0, values: Arc::new(Int64Array::from(vec![7])) };
        assert_eq!(ranges.buckets_of(&[other]), None);
        assert_eq!(ranges.buckets_of(std::slice::from_ref(&texts)), None, "one of its columns may have any value");
        let mut found = ranges.buckets_of(&[texts, integers]).unwrap();
        let mut wanted: Vec<u16> = [1, 2, 3].iter().flat_map(|&a| ["x", "y"].map(|b| bucket(a, b))).collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted);
        let many = Asked { column: 3, values: Arc::new(Int64Array::from_iter_values(0..40)) };
        let texts = Asked { column: 1, values: Arc::new(StringViewArray::from(vec!["x", "y"])) };
        assert_eq!(ranges.buckets_of(&[many, texts]), None);
        assert!(ranges.has_any(1, &[3, 6]) && ranges.has_any(0, &[5]) && !ranges.has_any(1, &[5, 10]));
    }
}
