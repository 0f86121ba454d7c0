//! Dates, times and intervals.

use super::{context, described, expressions, plan_of, rows_of, types};
use arrow::datatypes::{DataType, TimeUnit};

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

#[tokio::test]
async fn dates_with_intervals_are_timestamps() {
    expressions(&[
        ("DATE '2024-01-31' + INTERVAL '1 month', INTERVAL '1 day' + d", "2024-02-29T00:00:00|1970-01-02T00:00:00"),
        ("DATE '2024-01-31' - INTERVAL '1 hour'", "2024-01-30T23:00:00"),
        ("DATE '2024-02-28' + 2, 2 + d, DATE '2024-03-01' - 1", "2024-03-01|1970-01-03|2024-02-29"),
        (
            "now() < TIMESTAMP '3000-01-01 00:00:00', current_timestamp > timestamptz '1000-01-01 00:00:00+00'",
            "true|true",
        ),
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

#[tokio::test]
async fn texts_are_read_as_postgresql_does() {
    expressions(&[
        ("TIMESTAMP '2026-11-26 18:00', TIMESTAMP '2024-01-01 00:00:00+09'", "2026-11-26T18:00:00|2024-01-01T00:00:00"),
        (
            "'2024-01-01 10:30+02'::timestamptz::text, TIME '10:30', DATE '20240105'",
            "2024-01-01 08:30:00+00|10:30:00|2024-01-05",
        ),
        (
            "TIMESTAMP '2024-01-01 10:30:00' = '2024-01-01 10:30', DATE '2024-01-05' IN ('2024-1-5', '2024-01-06')",
            "true|true",
        ),
        ("TIMESTAMP '2024-01-01 10:30:00' BETWEEN '2024-01-01 10:29' AND '2024-01-01 10:31'", "true"),
    ])
    .await;
    let described = described("SELECT TIMESTAMP '2024-02-30 10:00'").await;
    assert_eq!(described.sqlstate, "22008");
}

#[tokio::test]
async fn zones() {
    expressions(&[
        ("timezone('Asia/Tokyo', timestamptz '2024-01-01 00:00:00+00')", "2024-01-01T09:00:00"),
        ("timezone('Asia/Tokyo', TIMESTAMP '2024-01-01 09:00:00')::text", "2024-01-01 00:00:00+00"),
        (
            "timezone(INTERVAL '9 hours', timestamptz '2024-01-01 00:00:00+00'), timezone('UTC', '2024-01-01 10:00')",
            "2024-01-01T09:00:00|2024-01-01T10:00:00",
        ),
        ("timezone('PST', d)::text", "1969-12-31 16:00:00"),
        (
            "pg_typeof(now()), pg_typeof(localtimestamp), pg_typeof(1), pg_typeof(1.5), pg_typeof(array[1])",
            "timestamp with time zone|timestamp without time zone|integer|numeric|bigint[]",
        ),
        (
            "now() = current_timestamp, now()::timestamp = localtimestamp, now() - d > INTERVAL '1 day'",
            "true|true|true",
        ),
    ])
    .await;
    assert_eq!(described("SELECT timezone('Nowhere/City', now())").await.sqlstate, "22023");
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

#[tokio::test]
async fn fields_of_dates_and_times() {
    let ts = "TIMESTAMP '2024-07-15 06:07:08.5'";
    for (value, fields, expected) in [
        (ts, "second milliseconds microseconds minute hour day", "8.500000|8500.000|8500000|7|6|15"),
        (ts, "month quarter year decade century millennium", "7|3|2024|202|21|3"),
        (ts, "dow isodow doy week isoyear epoch", "1|1|197|29|2024|1721023628.500000"),
        ("DATE '2024-12-30'", "week isoyear isodow dow epoch julian", "1|2025|1|1|1735516800|2460675"),
        ("DATE '2000-12-31'", "century millennium decade isodow dow", "20|2|200|7|0"),
        ("TIME '10:11:12.5'", "hour minute second epoch", "10|11|12.500000|36672.500000"),
        ("INTERVAL '14 months 40 days 26 hours'", "year month day hour epoch", "1|2|40|26|40291200.000000"),
        ("INTERVAL '1 day 2 hours'", "epoch", "93600.000000"),
        ("(TIMESTAMP '2024-01-03 01:00:00' - TIMESTAMP '2024-01-01 00:00:00')", "day hour epoch", "2|1|176400.000000"),
    ] {
        let columns = fields.split(' ').map(|field| format!("extract({field} FROM {value}) AS a{field}"));
        let sql = format!("SELECT {}", columns.collect::<Vec<_>>().join(", "));
        assert_eq!(super::rows(&sql).await, [expected], "{sql}");
    }
    expressions(&[
        ("date_part('second', TIMESTAMP '2024-07-15 06:07:08.5'), date_part('year', d)", "8.5|1970.0"),
        ("extract(year FROM d) / 4, extract(month FROM d) = 1", "492.50000000000000000000|true"),
    ])
    .await;
    assert_eq!(
        types("SELECT extract(year FROM d), extract(second FROM d::timestamp), date_part('year', d) FROM t").await,
        [DataType::Decimal64(10, 0), DataType::Decimal64(8, 6), DataType::Float64]
    );
}

#[tokio::test]
async fn fields_that_do_not_exist() {
    for (sql, sqlstate, message) in [
        ("SELECT extract(foo FROM d) FROM t", "22023", "unit \"foo\" not recognized for type date"),
        ("SELECT extract(hour FROM d) FROM t", "0A000", "unit \"hour\" not supported for type date"),
        ("SELECT extract(epoch FROM INTERVAL '100000000 years')", "22003", "numeric out of range"),
        ("SELECT extract(dow FROM INTERVAL '1 day')", "0A000", "unit \"dow\" not supported for type interval"),
        (
            "SELECT date_trunc('foo', d) FROM t",
            "22023",
            "unit \"foo\" not recognized for type timestamp without time zone",
        ),
    ] {
        let described = described(sql).await;
        assert_eq!((described.sqlstate, described.message.as_str()), (sqlstate, message), "{sql}");
    }
}

#[tokio::test]
async fn truncation_and_age() {
    let ts = "TIMESTAMP '2024-05-17 10:00:00.123456'";
    for (unit, expected) in [
        ("milliseconds", "2024-05-17 10:00:00.123"),
        ("DAY", "2024-05-17 00:00:00"),
        ("week", "2024-05-13 00:00:00"),
        ("hour", "2024-05-17 10:00:00"),
        ("quarter", "2024-04-01 00:00:00"),
        ("decade", "2020-01-01 00:00:00"),
        ("century", "2001-01-01 00:00:00"),
        ("millennium", "2001-01-01 00:00:00"),
    ] {
        let sql = format!("SELECT date_trunc('{unit}', {ts})::text");
        assert_eq!(super::rows(&sql).await, [expected], "{sql}");
    }
    expressions(&[
        (
            "date_trunc('month', d)::text, age(TIMESTAMP '2024-03-01', TIMESTAMP '2023-01-31')::text",
            "1970-01-01 00:00:00|1 year 1 mon 1 day",
        ),
        (
            "age(DATE '2023-01-31', DATE '2024-03-01')::text, age(current_date)::text",
            "-1 years -1 mons -1 days|00:00:00",
        ),
    ])
    .await;
}

#[tokio::test]
async fn intervals_are_compared_by_length() {
    expressions(&[
        ("INTERVAL '24 hours' = INTERVAL '1 day', INTERVAL '1 month' > INTERVAL '29 days'", "true|true"),
        ("now() - TIMESTAMP '2020-01-01' > INTERVAL '1 day', d - d::timestamp < INTERVAL '1 hour'", "true|true"),
        (
            "INTERVAL '36 hours' BETWEEN INTERVAL '1 day' AND INTERVAL '2 days', INTERVAL '1 day' IN ('24 hours')",
            "true|true",
        ),
    ])
    .await;
}
