//! Damson's results against TPC-H's validation answers.

use damson_tests::tpch::compare_with_answers;
use datafusion::arrow::array::RecordBatch;

/// Scale factors that there are answers for.
const SCALES: [f64; 2] = [0.01, 1.0];

/// None where there are no answers for `sf`; else whether the result is right, with the first difference.
pub fn verify(sf: f64, query: usize, batches: &[RecordBatch]) -> Option<Result<(), String>> {
    SCALES.contains(&sf).then(|| compare_with_answers(sf, query, batches))
}
