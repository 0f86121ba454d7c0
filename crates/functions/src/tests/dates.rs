//! Dates, times and intervals.

use super::{context, expressions, plan_of, rows_of, types};
use arrow::datatypes::{DataType, TimeUnit};

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

#[tokio::test]
async fn dates_with_intervals_are_timestamps() {
    expressions(&[
        ("DATE '2024-01-31' + INTERVAL '1 month', INTERVAL '1 day' + d", "2024-02-29T00:00:00|1970-01-02T00:00:00"),
        ("DATE '2024-01-31' - INTERVAL '1 hour'", "2024-01-30T23:00:00"),
        ("DATE '2024-02-28' + 2, 2 + d, DATE '2024-03-01' - 1", "2024-03-01|1970-01-03|2024-02-29"),
        ("DATE '2024-03-01' - DATE '2024-02-28', TIMESTAMP '3000-01-01 00:00:00'", "2|3000-01-01T00:00:00"),
    ])
    .await;
    assert_eq!(
        types("SELECT d + INTERVAL '1 day' AS a, d - d, d + k, TIMESTAMP '2024-01-01', timestamptz '2024-01-01 00:00:00+02' FROM t").await,
        [
            TIMESTAMP,
            DataType::Int32,
            DataType::Date32,
            TIMESTAMP,
            DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        ]
    );
}

/// As TPC-H has them: a cast of the column would keep files from being pruned.
#[tokio::test]
async fn date_columns_are_compared_as_they_are() {
    let context = context();
    for (condition, expected) in [
        ("d < DATE '1970-01-01' + INTERVAL '1 month' AND d >= DATE '1970-01-01'", "1|5|6"),
        ("d BETWEEN DATE '1970-02-01' - INTERVAL '1' month AND DATE '1970-01-31' + INTERVAL '2' day", "1|2|5|6"),
        ("INTERVAL '1 day' + INTERVAL '1 month' IS NOT NULL AND DATE '1970-01-02' + INTERVAL '1 day' = d", "6"),
        ("d IN (DATE '1970-01-01' + INTERVAL '1 day', DATE '1970-02-01')", "2|5"),
        ("d > DATE '1970-01-01' + INTERVAL '1 month' - INTERVAL '2 days'", "2|3"),
    ] {
        let sql = format!("SELECT k FROM t WHERE {condition} ORDER BY k");
        assert_eq!(rows_of(&context, &sql).await.join("|"), expected, "{sql}");
        let plan = plan_of(&context, &sql).await.unwrap();
        let text = datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string();
        assert!(!text.contains("CAST("), "{sql}\n{text}");
    }
    for (condition, expected) in [
        ("d < DATE '1970-01-01' + INTERVAL '1 hour'", "1|4"),
        ("d > TIMESTAMP '1970-01-01 12:00:00'", "2|3|5|6"),
        ("d + INTERVAL '1 hour' > d", "1|2|3|4|5|6"),
    ] {
        let sql = format!("SELECT k FROM t WHERE {condition} ORDER BY k");
        assert_eq!(rows_of(&context, &sql).await.join("|"), expected, "{sql}");
    }
}
