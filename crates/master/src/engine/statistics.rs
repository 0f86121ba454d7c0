//! The catalog's statistics as DataFusion wants them.

use crate::catalog::{ColumnStatistics as Collected, TableEntry};
use damson_cluster::StatValue;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::ColumnStatistics;
use datafusion::common::stats::Precision;
use datafusion::physical_plan::Statistics;
use datafusion::scalar::ScalarValue;

/// Everything inexact: estimates may use them, results may not.
pub(super) fn statistics_of(entry: &TableEntry, schema: &Schema) -> Statistics {
    let collected = entry.statistics();
    let rows = collected.rows as usize;
    let column =
        |(i, field): (usize, &std::sync::Arc<datafusion::arrow::datatypes::Field>)| match collected.columns.get(i) {
            Some(column) => column_statistics(column, field.data_type(), rows),
            None => ColumnStatistics::new_unknown(),
        };
    let columns: Vec<ColumnStatistics> = schema.fields().iter().enumerate().map(column).collect();
    let bytes = columns.iter().map(|c| c.byte_size.get_value().copied().unwrap_or(rows * 8)).sum();
    Statistics {
        num_rows: Precision::Inexact(rows),
        total_byte_size: Precision::Inexact(bytes),
        column_statistics: columns,
    }
}

fn column_statistics(collected: &Collected, data_type: &DataType, rows: usize) -> ColumnStatistics {
    let value = |value: &Option<StatValue>| match value.as_ref().and_then(|v| scalar(v, data_type)) {
        Some(value) => Precision::Inexact(value),
        None => Precision::Absent,
    };
    let width = data_type.primitive_width().map_or_else(|| collected.average_width + 16.0, |w| w as f64);
    ColumnStatistics {
        null_count: Precision::Inexact(collected.nulls as usize),
        min_value: value(&collected.min),
        max_value: value(&collected.max),
        distinct_count: collected.distinct.map_or(Precision::Absent, |d| Precision::Inexact(d as usize)),
        byte_size: Precision::Inexact((rows as f64 * width) as usize),
        ..ColumnStatistics::new_unknown()
    }
}

fn scalar(value: &StatValue, data_type: &DataType) -> Option<ScalarValue> {
    let plain = match value {
        StatValue::Bool(v) => ScalarValue::Boolean(Some(*v)),
        StatValue::Float(v) => ScalarValue::Float64(Some(*v)),
        StatValue::Text(v) => ScalarValue::Utf8View(Some(v.clone())),
        StatValue::Decimal(v) => match data_type {
            DataType::Decimal64(p, s) => ScalarValue::Decimal64(Some(i64::try_from(*v).ok()?), *p, *s),
            DataType::Decimal128(p, s) => ScalarValue::Decimal128(Some(*v), *p, *s),
            _ => return None,
        },
        StatValue::Int(v) => match data_type {
            DataType::Date32 => ScalarValue::Date32(Some(i32::try_from(*v).ok()?)),
            DataType::Timestamp(_, _) | DataType::Time64(_) => {
                return ScalarValue::Int64(Some(*v)).cast_to(data_type).ok();
            }
            _ => ScalarValue::Int64(Some(*v)),
        },
    };
    plain.cast_to(data_type).ok()
}
