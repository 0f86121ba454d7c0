//! sum and avg: types, limits, groups, windows, DISTINCT, partial states.

use super::{context, rows, rows_of, state, types};
use DataType::{Decimal128, Float64, Int64};
use arrow::datatypes::DataType;

#[tokio::test]
async fn types_of_sums_and_averages() {
    assert_eq!(
        types(
            "SELECT sum(i2), sum(i4), sum(i8), sum(n), sum(w), sum(f4), sum(f8), sum(1), sum(i4 + 1) FROM t WHERE k = 1"
        )
        .await,
        [Int64, Int64, Decimal128(38, 0), Decimal128(38, 2), Decimal128(38, 4), Float64, Float64, Int64, Int64,]
    );
    assert_eq!(
        types("SELECT avg(i2), avg(i4), avg(i8), avg(n), avg(w), avg(f4), avg(f8), avg(n * w) FROM t").await,
        [
            Decimal128(38, 16),
            Decimal128(38, 16),
            Decimal128(38, 16),
            Decimal128(38, 20),
            Decimal128(38, 16),
            Float64,
            Float64,
            Decimal128(38, 16),
        ]
    );
}

#[tokio::test]
async fn sums_do_not_wrap() {
    assert_eq!(
        rows("SELECT sum(i2), sum(i4), sum(i8), sum(n), sum(big), sum(w), sum(f8) FROM t").await,
        ["1|19|18446744073709551621|1000.00|29999999999999999.98|1.0000|1e300"]
    );
    assert_eq!(
        rows("SELECT g, sum(i2), sum(i4), sum(i8), sum(n), sum(big) FROM t GROUP BY g ORDER BY g").await,
        [
            "0|-32764|-2147483608|9223372036854775821|2.50|29999999999999999.97",
            "1|32765|2147483627|9223372036854775800|997.50|0.01",
            "|||||",
        ]
    );
    let nines = "9".repeat(38);
    for sql in [
        format!("SELECT sum(x) FROM (SELECT {nines} AS x UNION ALL SELECT {nines})"),
        format!("SELECT g, sum({nines}) FROM t GROUP BY g"),
        format!("SELECT sum({nines}) OVER (ORDER BY k) FROM t"),
        format!("SELECT sum(DISTINCT x), count(x) FROM (SELECT {nines} AS x UNION ALL SELECT {nines} - 1)"),
    ] {
        assert_eq!(state(&sql).await, "22003", "{sql}");
    }
}

#[tokio::test]
async fn averages_keep_sixteen_digits() {
    assert_eq!(
        rows("SELECT avg(i4), avg(i8), avg(n), avg(w), avg(f8) FROM t WHERE k < 4").await,
        ["6.6666666666666667|2.3333333333333333|-0.00333333333333333333|-0.0000333333333333|0.16666666666666666"]
    );
    assert_eq!(
        rows("SELECT g, avg(k), avg(n), avg(i8) FROM t GROUP BY g ORDER BY g").await,
        [
            "0|3.0000000000000000|0.83333333333333333333|3074457345618258607.0000000000000000",
            "1|4.0000000000000000|332.50000000000000000000|3074457345618258600.0000000000000000",
            "|7.0000000000000000||",
        ]
    );
    assert_eq!(
        rows("SELECT avg(big), avg(i8) FROM t WHERE k IN (4, 5)").await,
        ["9999999999999999.99000000000000000000|9223372036854775807.0000000000000000"]
    );
    assert_eq!(rows("SELECT avg(n), sum(n), avg(i4), sum(i4) FROM t WHERE k > 7").await, ["|||"]);
}

#[tokio::test]
async fn with_filter_and_distinct() {
    assert_eq!(
        rows("SELECT g, sum(n) FILTER (WHERE k > 2), avg(n) FILTER (WHERE k > 2), sum(i4) FILTER (WHERE k < 4) FROM t GROUP BY g ORDER BY g").await,
        ["0|1.00|0.50000000000000000000|40", "1|1000.00|500.00000000000000000000|-20", "|||"]
    );
    let doubled = "(SELECT * FROM t UNION ALL SELECT * FROM t)";
    let context = context();
    for (sql, expected) in [
        (
            format!("SELECT sum(DISTINCT n), avg(DISTINCT n), sum(DISTINCT i8), sum(DISTINCT i4) FROM {doubled} x"),
            "1000.00|166.66666666666666666667|9223372036854775814|19",
        ),
        (format!("SELECT sum(DISTINCT n) FROM {doubled} x"), "1000.00"),
        (format!("SELECT avg(DISTINCT i4), count(DISTINCT i4) FROM {doubled} x WHERE k < 4"), "6.6666666666666667|3"),
        (
            format!("SELECT count(DISTINCT g), sum(i4), sum(i8), sum(n) FROM {doubled} x"),
            "2|38|36893488147419103242|2000.00",
        ),
        (format!("SELECT sum(DISTINCT k) FILTER (WHERE k > 5), sum(k) FROM {doubled} x"), "13|56"),
    ] {
        assert_eq!(rows_of(&context, &sql).await, [expected], "{sql}");
    }
    assert_eq!(
        rows_of(
            &context,
            &format!("SELECT g, sum(DISTINCT k), avg(DISTINCT n), sum(k) FROM {doubled} x GROUP BY g ORDER BY g")
        )
        .await,
        ["0|9|0.83333333333333333333|18", "1|12|332.50000000000000000000|24", "|7||14"]
    );
}

#[tokio::test]
async fn over_windows() {
    assert_eq!(
        rows(
            "SELECT k, sum(k) OVER w, sum(n) OVER w, avg(k) OVER w, sum(i8) OVER w, sum(DISTINCT g) OVER w FROM t \
              WINDOW w AS (ORDER BY k ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) ORDER BY k"
        )
        .await,
        [
            "1|3|-1.00|1.5000000000000000|-2|1",
            "2|6|-0.01|2.0000000000000000|7|1",
            "3|9|998.49|3.0000000000000000|9223372036854775809|1",
            "4|12|1001.00|4.0000000000000000|18446744073709551623|1",
            "5|15|1000.01|5.0000000000000000|18446744073709551614|1",
            "6|18|0.01|6.0000000000000000|9223372036854775807|1",
            "7|13|0.00|6.5000000000000000|0|1",
        ]
    );
    assert_eq!(
        rows(
            "SELECT k, avg(n) OVER (ORDER BY k ROWS BETWEEN CURRENT ROW AND CURRENT ROW), \
              sum(n) OVER (PARTITION BY g), avg(DISTINCT n) OVER (PARTITION BY g) FROM t WHERE k > 4 ORDER BY k"
        )
        .await,
        [
            "5|0.01000000000000000000|0.01|0.01000000000000000000",
            "6|0.00000000000000000000|0.00|0.00000000000000000000",
            "7|||"
        ]
    );
}

#[tokio::test]
async fn other_aggregates_take_narrow_numerics() {
    assert_eq!(
        rows("SELECT min(n), max(n), count(n), count(DISTINCT n), median(n) FROM t").await,
        ["-2.50|1000.00|6|6|0.50"]
    );
    assert_eq!(
        rows(
            "SELECT round(stddev(n), 2), round(var_pop(n), 2), round(corr(n, k), 2), round(covar_samp(n, k), 2) FROM t"
        )
        .await,
        ["408.25|138890.47|0.13|99.9"]
    );
    assert_eq!(
        rows("SELECT g, max(n), min(w), first_value(n ORDER BY k) FROM t GROUP BY g ORDER BY g").await,
        ["0|1.50|0.9999|1.50", "1|1000.00|-2.5000|-2.50", "|||"]
    );
}
