//! Integer literals and checked arithmetic.

use super::{context, rows, rows_of, state, types};
use DataType::{Date32, Decimal128, Int16, Int32, Int64};
use arrow::datatypes::DataType;

#[tokio::test]
async fn texts_are_not_longer_than_a_value_may_be() {
    for sql in [
        "SELECT repeat('x', 268435457)",
        "SELECT lpad('x', 2000000000)",
        "SELECT rpad('x', 268435457, 'ab')",
        "SELECT length(repeat(s, n)) FROM (VALUES ('a', 1::bigint), ('abcd', 100000000), (NULL, 5)) AS t(s, n)",
    ] {
        assert_eq!(state(sql).await, "54000", "{sql}");
    }
    // The longest text and the largest number are of different rows.
    let sql = "SELECT sum(length(repeat(s, n))) FROM (VALUES ('a', 1000000::bigint), (repeat('b', 1000), 1), (NULL, 5)) AS t(s, n)";
    assert_eq!(rows(sql).await, ["1001000"]);
}

#[tokio::test]
async fn texts_of_floats_are_in_range() {
    for sql in [
        "SELECT '1e400'::float8",
        "SELECT '-1e39'::float4",
        "SELECT '1e-400'::float8",
        "SELECT s::float4 FROM (VALUES ('1'), ('1e-60')) AS t(s)",
    ] {
        assert_eq!(state(sql).await, "22003", "{sql}");
    }
    assert_eq!(state("SELECT 'one'::float8").await, "22P02");
    let sql = "SELECT count(*) FROM (VALUES ('Infinity'), ('-inf'), ('NaN'), ('0e99'), ('-0.000'), (' 1e30 '), (NULL)) AS t(s) \
               WHERE s::float4 IS NOT NULL";
    assert_eq!(rows(sql).await, ["6"]);
}

#[tokio::test]
async fn literals_are_int4_if_they_fit() {
    assert_eq!(
        types("SELECT 1, -5, 2147483647, 2147483648, 9223372036854775807, 9223372036854775808").await,
        [Int32, Int32, Int32, Int64, Int64, Decimal128(20, 0)]
    );
    assert_eq!(
        types("SELECT -2147483648, - -2147483648, -2147483649, -9223372036854775808").await,
        [Int32, Int64, Int64, Int64]
    );
    assert_eq!(state("SELECT -2147483648 - 1").await, "22003");
    assert_eq!(
        types("SELECT i2 + 1, i4 + 1, i8 + 1, i2 + i2, i4 * i8, -i2 FROM t WHERE k = 1").await,
        [Int32, Int32, Int64, Int16, Int64, Int16]
    );
    assert_eq!(
        types("SELECT coalesce(i4, 0), CASE WHEN k = 1 THEN 1 ELSE 0 END, nullif(i4, 0) FROM t").await,
        [Int32, Int32, Int32]
    );
    assert_eq!(
        types("SELECT CAST(1 AS bigint), 2::smallint, CAST(3 AS numeric(5,1))").await,
        [Int64, Int16, Decimal128(5, 1)]
    );
    assert_eq!(types("SELECT d - d, d + 1, d - 1 FROM t").await, [Int32, Date32, Date32]);
}

#[tokio::test]
async fn functions_that_want_int8_literals_get_them() {
    assert_eq!(
        rows("SELECT substr('abcdef', 2, 3), left('abc', 2), repeat('x', 3), lpad('7', 3, '0')").await,
        ["bcd|ab|xxx|007"]
    );
    assert_eq!(rows("SELECT * FROM generate_series(1, 3)").await, ["1", "2", "3"]);
    assert_eq!(rows("SELECT count(*) FROM (SELECT k FROM t LIMIT 1 + 2)").await, ["3"]);
    assert_eq!(rows("SELECT k FROM t ORDER BY k OFFSET 5 LIMIT 1").await, ["6"]);
    assert_eq!(
        rows(
            "SELECT k, lag(k, 1, 0) OVER w, lead(k, 2) OVER w, ntile(2) OVER w, nth_value(k, 2) OVER w FROM t \
              WHERE k < 4 WINDOW w AS (ORDER BY k) ORDER BY k"
        )
        .await,
        ["1|0|3|1|", "2|1||1|2", "3|2||2|2"]
    );
    assert_eq!(rows("SELECT string_agg(s, ',' ORDER BY k) FROM t WHERE k < 4").await, ["1,x,3.5"]);
    assert_eq!(
        rows("SELECT date_part('year', DATE '2024-02-03'), round(2.567, 2), array_length(ARRAY[1, 2], 1)").await,
        ["2024.0|2.57|2"]
    );
    assert_eq!(rows("SELECT approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY k) FROM t").await, ["4.0"]);
}

#[tokio::test]
async fn arithmetic_is_checked() {
    for sql in [
        "SELECT 2147483647 + 1",
        "SELECT i4 + 1 FROM t",
        "SELECT i4 - 1 FROM t",
        "SELECT 1 + i4 FROM t",
        "SELECT i4 * 2 FROM t",
        "SELECT i4 + i4 FROM t",
        "SELECT i4 - i4 * 2 FROM t",
        "SELECT i2 + i2 FROM t",
        "SELECT i2 * i2 FROM t",
        "SELECT -i2 FROM t",
        "SELECT -i4 FROM t",
        "SELECT i8 + 1 FROM t",
        "SELECT i8 * i8 FROM t",
        "SELECT i8 + i4 FROM t",
        "SELECT -1 - i8 - 2 FROM t WHERE i8 > 10",
        "SELECT 9223372036854775807 + 1",
        "SELECT i4 / -1 FROM t",
        "SELECT abs(i4) FROM t",
        "SELECT sum(i4 + 1) FROM t",
        "SELECT count(*) FROM t GROUP BY i4 + 1",
        "SELECT k FROM t ORDER BY i4 + 1",
        "SELECT sum(i4) OVER (ORDER BY i4 + 1) FROM t",
        "SELECT count(*) FILTER (WHERE i4 + 1 > 0) FROM t",
        "SELECT * FROM t a JOIN t b ON a.i4 + 1 = b.i4",
        "SELECT * FROM t a JOIN t b ON a.k = b.k AND a.i4 + b.k > 0",
        "SELECT k FROM t WHERE i4 + 1 > 0",
    ] {
        assert_eq!(state(sql).await, "22003", "{sql}");
    }
    for sql in [
        "SELECT 1 / 0",
        "SELECT k / i2 FROM t",
        "SELECT k % i2 FROM t",
        "SELECT i8 / 0 FROM t",
        "SELECT mod_of FROM (SELECT k % 0 AS mod_of FROM t)",
    ] {
        assert_eq!(state(sql).await, "22012", "{sql}");
    }
}

#[tokio::test]
async fn arithmetic_at_the_limits() {
    assert_eq!(
        rows("SELECT 2147483646 + 1, -2147483647 - 1, 46341 * 46340, 2147483647 * -1").await,
        ["2147483647|-2147483648|2147441940|-2147483647"]
    );
    assert_eq!(
        rows("SELECT k, i2 + i2, i4 - 1, i8 - 1 FROM t WHERE k NOT IN (4, 5) ORDER BY k").await,
        ["1|2|9|4", "2|-4|-21|-8", "3|6|29|8", "6|0|-1|-1", "7|||"]
    );
    assert_eq!(rows("SELECT 7 / 2, -7 / 2, 7 % -3, -7 % 3, 2 ^ 10, 2 * 3 + 1").await, ["3|-3|1|-1|1024.0|7"]);
    // Rubbish under a NULL is not an overflow.
    assert_eq!(rows("SELECT sum(CASE WHEN k < 4 THEN i4 END * 100000000) FROM t WHERE k > 5").await, [""]);
}

#[tokio::test]
async fn types_follow_through_the_plan() {
    let context = context();
    for (sql, expected) in [
        ("SELECT 1 AS a UNION ALL SELECT 3000000000 ORDER BY 1", vec!["1", "3000000000"]),
        ("SELECT a + 1 FROM (SELECT 1 AS a UNION SELECT 2) ORDER BY 1", vec!["2", "3"]),
        ("SELECT a FROM (SELECT 1 AS a UNION ALL SELECT 2.5) ORDER BY a", vec!["1.0", "2.5"]),
        ("SELECT 1 INTERSECT SELECT 1", vec!["1"]),
        ("SELECT k FROM t EXCEPT SELECT 3 ORDER BY 1 LIMIT 3", vec!["1", "2", "4"]),
        (
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 4) SELECT n FROM r ORDER BY n",
            vec!["1", "2", "3", "4"],
        ),
        (
            "WITH RECURSIVE r(n, m) AS (SELECT 1, 1.5 UNION ALL SELECT n + 1, m FROM r WHERE n < 3) SELECT sum(n) FROM r",
            vec!["6"],
        ),
        ("SELECT k FROM t a WHERE EXISTS (SELECT 1 FROM t b WHERE b.i4 = a.k * 10) ORDER BY k", vec!["1", "3"]),
        (
            "SELECT x FROM (SELECT k * 10 AS x FROM t) a WHERE x = (SELECT max(b.i4) FROM t b WHERE b.i4 = a.x) ORDER BY x",
            vec!["10", "30"],
        ),
        ("SELECT x FROM (SELECT 1 AS x) a WHERE x IN (SELECT b.k FROM t b WHERE b.k = a.x)", vec!["1"]),
        ("SELECT a.k FROM t a JOIN (SELECT 2 AS two) b ON a.k = b.two", vec!["2"]),
        (
            "SELECT x, l.y FROM (SELECT k + 0 AS x FROM t) a, LATERAL (SELECT max(b.i4) AS y FROM t b WHERE b.i4 = a.x * 10) l \
             WHERE x IN (1, 3) ORDER BY 1",
            vec!["1|10", "3|30"],
        ),
        ("SELECT g % 2, count(*) FROM t GROUP BY ROLLUP(g % 2) ORDER BY 1, 2", vec!["0|3", "1|3", "|1", "|7"]),
        ("SELECT g + 1, grouping(g + 1) FROM t GROUP BY CUBE(g + 1) ORDER BY 1, 2", vec!["1|0", "2|0", "|0", "|1"]),
        ("SELECT k + 1, count(*) FROM t GROUP BY k + 1 HAVING k + 1 > 7", vec!["8|1"]),
        ("SELECT DISTINCT ON (g) g, k + 1 FROM t ORDER BY g, k DESC", vec!["0|6", "1|7", "|8"]),
        ("SELECT row_number() OVER (ORDER BY k) - 1, rank() OVER (ORDER BY k) FROM t WHERE k = 3", vec!["0|1"]),
        ("SELECT a FROM (VALUES (1), (2)) v(a) WHERE a + 1 = 3", vec!["2"]),
        ("SELECT k = ANY (ARRAY[1, 2]) FROM t WHERE k < 3 ORDER BY k", vec!["true", "true"]),
        ("SELECT sum(a) FROM (SELECT unnest(ARRAY[1, 2]) AS a)", vec!["3"]),
        ("SELECT count(*) FROM t WHERE i2 = 1 OR i8 IN (5, 9) OR i4 BETWEEN 5 AND 15", vec!["2"]),
    ] {
        assert_eq!(rows_of(&context, sql).await, expected, "{sql}");
    }
    assert_eq!(
        types("SELECT row_number() OVER (ORDER BY k), rank() OVER (ORDER BY k), ntile(2) OVER (ORDER BY k) FROM t")
            .await,
        [Int64, Int64, Int64]
    );
}

#[tokio::test]
async fn inserts_and_views_keep_their_types() {
    let context = context();
    rows_of(&context, "CREATE TABLE target (a bigint, b int, c numeric(10,2), d smallint)").await;
    rows_of(&context, "INSERT INTO target VALUES (1, 2, 3, 4)").await;
    rows_of(&context, "INSERT INTO target SELECT 1, 3000000 + 1, 2.345, 7").await;
    rows_of(&context, "INSERT INTO target SELECT k, 2.5, n, n + 0 FROM t WHERE k = 1").await;
    assert_eq!(
        rows_of(&context, "SELECT * FROM target ORDER BY b").await,
        ["1|2|3.00|4", "1|3|1.50|2", "1|3000001|2.35|7"]
    );
    rows_of(&context, "CREATE VIEW v AS SELECT k + 1 AS a, 1 AS one FROM t").await;
    assert_eq!(rows_of(&context, "SELECT sum(a), sum(one) FROM v").await, ["35|7"]);
}
