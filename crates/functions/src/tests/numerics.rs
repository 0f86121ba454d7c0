//! numeric: widths, division, comparisons, functions.

use super::{context, rows, rows_of, state, types};
use DataType::{Decimal64, Decimal128, Float64, Int32};
use arrow::datatypes::DataType;

#[tokio::test]
async fn results_widen_in_time() {
    assert_eq!(
        types("SELECT 1 - n, n * (1 - n), n * (1 - n) * (1 + n), n + w, n * 2, n + i4, n + i8, n / 2, n % 2 FROM t")
            .await,
        [
            Decimal64(16, 2),
            Decimal128(31, 4),
            Decimal128(38, 6),
            Decimal128(31, 4),
            Decimal64(16, 2),
            Decimal64(16, 2),
            Decimal128(22, 2),
            Decimal128(38, 20),
            Decimal128(3, 2),
        ]
    );
    // Digits of 128 bits stay in 128 bits.
    assert_eq!(
        types("SELECT 1 - x, x * x, x + n, n * x, x % 2 FROM (SELECT CAST(n AS numeric(8,2)) AS x, n FROM t)").await,
        [Decimal128(9, 2), Decimal128(16, 4), Decimal128(16, 2), Decimal128(23, 4), Decimal128(3, 2),]
    );
    assert_eq!(
        rows("SELECT k, n * (1 - n) * (1 + n), n + w, n - i4, -n FROM t WHERE k <> 5 ORDER BY k").await,
        [
            "1|-1.875000|3.0000|-8.50|-1.50",
            "2|13.125000|-5.0000|17.50|2.50",
            "3|0.019701|1.9899|-29.01|-0.99",
            "4|-999999000.000000|1000.0001|-2147482647.00|-1000.00",
            "6|0.000000|0.0000|0.00|0.00",
            "7||||",
        ]
    );
}

#[tokio::test]
async fn eighteen_nineteen_and_thirty_eight_digits() {
    assert_eq!(
        rows("SELECT big + big, big + 1, big * big, big * 100, big - (0 - big) FROM t WHERE k = 1").await,
        [
            "19999999999999999.98|10000000000000000.99|99999999999999999800000000000000.0001|999999999999999999.00|19999999999999999.98"
        ]
    );
    let nines = "9".repeat(38);
    let expected = format!("{}8|{nines}|{}", "9".repeat(37), "9".repeat(22) + ".0000000000000000");
    assert_eq!(rows(&format!("SELECT {nines} - 1, {nines} * 1, {} / 1", &nines[..22])).await, [expected]);
    assert_eq!(
        rows("SELECT sum(i8) + sum(big), sum(i8) * 2 > sum(big), sum(i8) - max(big) FROM t WHERE k = 1").await,
        ["10000000000000004.99|false|-9999999999999994.99"]
    );
}

#[tokio::test]
async fn beyond_38_digits_is_22003() {
    let nines = "9".repeat(38);
    for sql in [format!("SELECT {nines}9"), "SELECT CAST(1 AS numeric(39,0))".into()] {
        assert_eq!(state(&sql).await, "0A000", "{sql}");
    }
    for sql in [
        format!("SELECT {nines} + 1"),
        format!("SELECT {nines} + big FROM t"),
        format!("SELECT {nines} * 10"),
        format!("SELECT 0 - {nines} - 1"),
        format!("SELECT {nines} / 0.1"),
        "SELECT big * big * big FROM t".into(),
        "SELECT CAST(123456 AS numeric(5,2))".into(),
        "SELECT CAST(n AS numeric(3,2)) FROM t".into(),
    ] {
        assert_eq!(state(&sql).await, "22003", "{sql}");
    }
}

#[tokio::test]
async fn division_keeps_sixteen_digits() {
    for (sql, expected) in [
        ("SELECT 1.0 / 3", "0.33333333333333333333"),
        ("SELECT 2 / 3.0", "0.66666666666666666667"),
        ("SELECT -2 / 3.0", "-0.66666666666666666667"),
        ("SELECT n / 7.0 FROM t WHERE k = 4", "142.85714285714285714286"),
        ("SELECT n / i4 FROM t WHERE k = 3", "0.03300000000000000000"),
        ("SELECT i4 / n FROM t WHERE k = 3", "30.30303030303030303030"),
        ("SELECT sum(n) / sum(w) FROM t WHERE k < 3", "1.0000000000000000"),
        ("SELECT 100.00 * sum(n * w) / sum(n) FROM t WHERE k < 4", "-94899.0100000000000000"),
        ("SELECT 7.5 % 2, -7.5 % 2, 7.5 % -2.25, 5 % 0.3", "1.5|-1.5|0.75|0.2"),
        ("SELECT 0.2 * avg(n) FROM t WHERE k < 4", "-0.00066666666666666667"),
    ] {
        assert_eq!(rows(sql).await, [expected], "{sql}");
    }
    for sql in ["SELECT 1.0 / 0", "SELECT n / n FROM t", "SELECT 1 / n FROM t", "SELECT n % 0 FROM t", "SELECT 1 % 0.0"]
    {
        assert_eq!(state(sql).await, "22012", "{sql}");
    }
}

#[tokio::test]
async fn floats_divide_as_in_postgres() {
    assert_eq!(
        types("SELECT f8 / 2, f4 * 1.5, f8 * n, f4 + f4 FROM t").await,
        [Float64, Float64, Float64, DataType::Float32]
    );
    for sql in ["SELECT 1 / f8 FROM t", "SELECT f4 / f4 FROM t", "SELECT f8 / 0 FROM t", "SELECT f8 / 0.0 FROM t"] {
        assert_eq!(state(sql).await, "22012", "{sql}");
    }
    assert_eq!(rows("SELECT f8 / 0.5 FROM t WHERE k IN (1, 7) ORDER BY k").await, ["1.0", ""]);
}

#[tokio::test]
async fn comparisons_find_a_common_type() {
    let context = context();
    for (condition, expected) in [
        ("n = 1.5", "1"),
        ("n < 1.50000", "2|3|5|6"),
        ("n < 0.995", "2|3|5|6"),
        ("n > 24", "4"),
        ("n BETWEEN 0.99 AND 1.5", "1|3"),
        ("n IN (1.5, 0, 1000)", "1|4|6"),
        ("n = w", "1|2|6"),
        ("n > i4", "2|5"),
        ("n > i8", "2"),
        ("n = f8", "2|6"),
        ("f8 < 0.6", "1|2|6"),
        ("f8 > 1e30", "4"),
        ("f8 < 1e3", "1|2|3|5|6"),
        ("f8 = 2.5", "3"),
        ("i4 < 10.5", "1|2|5|6"),
        ("i4 = 10.0", "1"),
        ("n = (SELECT 1.5)", "1"),
        ("n IN (SELECT w FROM t)", "1|2|6"),
        ("w IN (SELECT n FROM t WHERE k = 1)", "1"),
        ("n < (SELECT avg(n) FROM t)", "1|2|3|5|6"),
        ("n > 999999999999999999999", ""),
        ("big = 9999999999999999.99 AND n < 12345678901234567890.123456", "1|3|4|5"),
        ("n IS DISTINCT FROM 1.5", "2|3|4|5|6|7"),
        ("CASE n WHEN 1.5 THEN true WHEN 0 THEN true END", "1|6"),
        ("n = '1.50'", "1"),
        ("n = ' 1.5 '", "1"),
        ("n = '1.501'", ""),
        ("n >= '-2.50' AND n < '+.995'", "2|3|5|6"),
        ("n IN ('1.5', 0)", "1|6"),
    ] {
        let sql = format!("SELECT k FROM t WHERE {condition} ORDER BY k");
        assert_eq!(rows_of(&context, &sql).await.join("|"), expected, "{sql}");
    }
    assert_eq!(rows("SELECT a.k, b.k FROM t a JOIN t b ON a.n = b.w ORDER BY 1").await, ["1|1", "2|2", "6|6"]);
    assert_eq!(rows("SELECT count(*) FROM t a JOIN t b ON a.i4 = b.n").await, ["1"]);
}

/// A literal is cast to the column's type, or files could not be pruned by it.
#[tokio::test]
async fn columns_are_compared_as_they_are() {
    for condition in
        ["n < 24", "n >= 0.05", "n BETWEEN 0.05 AND 0.07", "n IN (1, 2.5)", "i8 = 5", "i2 = 5", "f8 < 0.5", "1.5 = n"]
    {
        let sql = format!("SELECT k FROM t WHERE {condition}");
        let plan = context().sql(&sql).await.unwrap().into_optimized_plan().unwrap();
        let text = plan.display_indent().to_string();
        assert!(!text.contains("CAST"), "{sql}\n{text}");
    }
}

#[tokio::test]
async fn branches_find_a_common_type() {
    assert_eq!(
        types(
            "SELECT CASE WHEN k = 1 THEN n ELSE 0 END, coalesce(n, 0), coalesce(w, n, 1), greatest(n, 2.555), \
             CASE WHEN k = 1 THEN n ELSE f8 END, CASE WHEN k = 1 THEN n END, nullif(n, 1.5), \
             CASE WHEN k = 1 THEN n * w ELSE i8 END FROM t"
        )
        .await,
        [
            Decimal64(15, 2),
            Decimal64(15, 2),
            Decimal128(30, 4),
            Decimal64(16, 3),
            Float64,
            Decimal64(15, 2),
            Decimal64(15, 2),
            Decimal128(38, 6),
        ]
    );
    assert_eq!(
        rows("SELECT CASE WHEN k = 1 THEN n ELSE 7 END, coalesce(n, w, 1), greatest(n, 1.255) FROM t WHERE k IN (1, 2, 7) ORDER BY k").await,
        ["1.50|1.5000|1.500", "7.00|-2.5000|1.255", "7.00|1.0000|1.255"]
    );
    assert_eq!(
        types("SELECT n AS a FROM t UNION ALL SELECT w FROM t UNION ALL SELECT i4 FROM t").await,
        [Decimal128(30, 4)]
    );
    assert_eq!(types("SELECT n AS a FROM t UNION ALL SELECT 1").await, [Decimal64(15, 2)]);
    assert_eq!(types("SELECT n AS a FROM t UNION ALL SELECT f8 FROM t").await, [Float64]);
    assert_eq!(
        rows("SELECT a FROM (SELECT n AS a FROM t UNION ALL SELECT w FROM t UNION ALL SELECT i8 FROM t) WHERE a > 900 ORDER BY a").await,
        ["1000.0000", "9223372036854775807.0000", "9223372036854775807.0000"]
    );
}

#[tokio::test]
async fn functions_of_numerics() {
    let context = context();
    for (expression, expected) in [
        ("round(n, 1), round(n, 1) = 1.5", "1.5|true"),
        ("round(n)", "2"),
        ("round(2.5), round(-2.5), round(3.45, 1)", "3|-3|3.5"),
        ("trunc(n, 1)", "1.5"),
        ("ceil(n), floor(n)", "2|1"),
        ("sign(n), mod(7, -3), mod(n, 1), mod(i8, 3)", "1.0|1|0.50|2"),
        ("abs(-n)", "1.50"),
        ("sqrt(n)", "1.224744871391589"),
        ("power(n, 2)", "2.25"),
        ("n ^ 2", "2.25"),
        ("signum(n)", "1.0"),
        ("ln(n) > 0.405 AND exp(n) > 4.48", "true"),
        ("n::text, w::float8, big::numeric(20,1)", "1.50|1.5|10000000000000000.0"),
        ("to_char(DATE '2024-01-02', 'YYYY'), to_char(n, 'FM990.0')", "2024|1.5"),
    ] {
        let sql = format!("SELECT {expression} FROM t WHERE k = 1");
        assert_eq!(rows_of(&context, &sql).await, [expected], "{sql}");
    }
    assert_eq!(types("SELECT n::int FROM t").await, [Int32]);
}
