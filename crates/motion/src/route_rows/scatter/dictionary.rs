//! Dictionary-encoded columns stay so.

use super::fixed::Fixed;
use super::{Piece, Scatter};
use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, new_empty_array};
use arrow::datatypes::{ArrowDictionaryKeyType, DataType};
use arrow::error::ArrowError;
use std::sync::Arc;

/// Keys are copied; values are shared. A batch has one dictionary: one that differs from the pending batch's ends that
/// batch, because merging dictionaries costs more, and two that fit a key type may not fit together.
pub(super) struct Dictionary<K: ArrowDictionaryKeyType> {
    keys: Fixed<K>,
    /// The dictionary of the batch at hand, and how often it has changed.
    values: Option<ArrayRef>,
    generation: u64,
    /// Those of each destination's pending batch.
    pending: Vec<Option<(u64, ArrayRef)>>,
    value_type: DataType,
}

impl<K: ArrowDictionaryKeyType> Dictionary<K> {
    pub(super) fn new(value_type: &DataType, destinations: usize) -> Self {
        Dictionary {
            keys: Fixed::new(&K::DATA_TYPE, destinations),
            values: None,
            generation: 0,
            pending: (0..destinations).map(|_| None).collect(),
            value_type: value_type.clone(),
        }
    }
}

impl<K: ArrowDictionaryKeyType> Scatter for Dictionary<K> {
    fn begin(&mut self, column: &ArrayRef) {
        let column: &DictionaryArray<K> = column.as_dictionary();
        let is_same = self.values.as_ref().is_some_and(|values| is_same(values, column.values(), column.len()));
        if !is_same {
            self.values = Some(Arc::clone(column.values()));
            self.generation += 1;
        }
    }

    fn is_joinable(&self, destination: usize) -> bool {
        self.pending[destination].as_ref().is_none_or(|(generation, _)| *generation == self.generation)
    }

    fn append(&mut self, column: &ArrayRef, rows: &[u32], pieces: &[Piece]) -> Result<(), ArrowError> {
        let column: &DictionaryArray<K> = column.as_dictionary();
        let values = self.values.as_ref().unwrap_or(column.values());
        for piece in pieces {
            self.pending[piece.destination].get_or_insert_with(|| (self.generation, Arc::clone(values)));
        }
        self.keys.append_array(column.keys(), rows, pieces);
        Ok(())
    }

    fn finish(&mut self, destination: usize) -> Result<ArrayRef, ArrowError> {
        let values = match self.pending[destination].take() {
            Some((_, values)) => values,
            None => new_empty_array(&self.value_type),
        };
        Ok(Arc::new(DictionaryArray::try_new(self.keys.finish_array(destination)?, values)?))
    }

    /// Without the dictionaries, which are the source's.
    fn bytes(&self) -> usize {
        self.keys.bytes()
    }
}

/// Dictionaries that came over the wire are equal without being the same; only those that are no larger than the batch
/// are worth a comparison.
fn is_same(a: &ArrayRef, b: &ArrayRef, rows: usize) -> bool {
    Arc::ptr_eq(a, b)
        || a.to_data().ptr_eq(&b.to_data())
        || (a.len() == b.len() && a.len() <= rows && a.to_data() == b.to_data())
}
