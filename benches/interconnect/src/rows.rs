//! The rows that travel.

use crate::limits::{BATCH_ROWS, BATCHES, COLUMNS};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Values of the columns; the first is always a key without a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rows {
    /// Random bits.
    Random,
    /// Random numbers below 1,000: six of eight bytes are zero.
    Small,
}

/// Eight columns of integers, without NULLs.
pub fn schema() -> SchemaRef {
    let fields = (0..COLUMNS).map(|i| Field::new(format!("c{i}"), DataType::Int64, false));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Different batches, the same ones in every process.
pub fn batches(rows: Rows) -> Vec<RecordBatch> {
    let schema = schema();
    let mut state = 0;
    let mut column = |is_key: bool| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..BATCH_ROWS).map(|_| {
            let bits = split_mix(&mut state);
            if is_key || rows == Rows::Random { bits as i64 } else { (bits % 1000) as i64 }
        })))
    };
    let mut batch = || (0..COLUMNS).map(|i| column(i == 0)).collect();
    let batch = |_| RecordBatch::try_new(Arc::clone(&schema), batch()).expect("columns of the schema");
    (0..BATCHES).map(batch).collect()
}

/// Sebastiano Vigna's SplitMix64.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;

    #[test]
    fn small_rows_have_small_values_beside_the_key() {
        let batches = batches(Rows::Small);
        assert_eq!(batches.len(), BATCHES);
        let column = |i: usize| batches[0].column(i).as_primitive::<Int64Type>().values();
        assert!(column(0).iter().any(|&key| !(0..1000).contains(&key)));
        assert!((1..COLUMNS).all(|i| column(i).iter().all(|value| (0..1000).contains(value))));
        assert_ne!(batches[0], batches[1]);
    }
}
