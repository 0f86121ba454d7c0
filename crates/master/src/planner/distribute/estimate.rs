//! How many rows and bytes an operator gives.

use arrow::datatypes::{DataType, Schema};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

/// Rows assumed where statistics say nothing: enough that a table of unknown size is not broadcast lightly.
const UNKNOWN_ROWS: f64 = 100_000.0;

/// Bytes of a value whose length is unknown.
const TEXT_BYTES: f64 = 24.0;

/// Estimated rows and bytes of a plan's output.
pub(crate) fn rows_and_bytes(plan: &dyn ExecutionPlan) -> (f64, f64) {
    let statistics = StatisticsContext::new().compute(plan, &StatisticsArgs::new());
    let rows = statistics.ok().and_then(|s| s.num_rows.get_value().copied());
    let rows = rows.map_or(UNKNOWN_ROWS, |rows| rows as f64);
    (rows, rows * row_bytes(&plan.schema()))
}

/// Estimated bytes of one row.
pub(crate) fn row_bytes(schema: &Schema) -> f64 {
    let bytes = |data_type: &DataType| match data_type.primitive_width() {
        Some(width) => width as f64,
        None if *data_type == DataType::Boolean => 1.0,
        None => TEXT_BYTES,
    };
    schema.fields().iter().map(|f| bytes(f.data_type())).sum::<f64>().max(1.0)
}

/// Estimated number of distinct values of some columns together, if statistics tell.
pub(crate) fn distinct(plan: &dyn ExecutionPlan, columns: &[usize]) -> Option<f64> {
    let statistics = StatisticsContext::new().compute(plan, &StatisticsArgs::new()).ok()?;
    let rows = *statistics.num_rows.get_value()? as f64;
    let mut product = 1.0f64;
    for &column in columns {
        let distinct = statistics.column_statistics.get(column)?.distinct_count.get_value()?;
        product *= (*distinct).max(1) as f64;
    }
    Some(product.min(rows))
}
