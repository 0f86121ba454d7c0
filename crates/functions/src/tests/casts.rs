//! Casts round, and say what is wrong in an SQLSTATE.

use super::{rows, state};

#[tokio::test]
async fn casts_to_integers_round() {
    assert_eq!(
        rows("SELECT 2.5::int, -2.5::int, 2.4::int, (-2.5)::smallint, 3.5::bigint, 0.49::int").await,
        ["3|-3|2|-3|4|0"]
    );
    assert_eq!(rows("SELECT f8::int AS a, f4::int, f8::smallint AS b, w::int, n::bigint FROM t WHERE k IN (1, 2, 3, 7) ORDER BY k").await, [
        "0|0|0|2|2",
        "-2|-2|-2|-3|-3",
        "2|2|2|1|1",
        "||||"
    ]);
    assert_eq!(
        rows("SELECT CAST(2.5::float8 AS int), CAST(3.5::float8 AS int), CAST(-0.5::float8 AS int)").await,
        ["2|4|0"]
    );
}

#[tokio::test]
async fn casts_to_numeric_round() {
    assert_eq!(rows("SELECT CAST(2.345 AS numeric(5,2)), CAST(-2.345 AS numeric(5,2)), CAST(n AS numeric(10,1)) FROM t WHERE k = 3").await, [
        "2.35|-2.35|1.0"
    ]);
    assert_eq!(
        rows("SELECT CAST(f8 AS numeric(10,2)), CAST(f4 AS numeric(10,3)) FROM t WHERE k IN (1, 5, 7) ORDER BY k")
            .await,
        ["0.50|0.100", "1.01|3.500", "|"]
    );
    assert_eq!(rows("SELECT CAST('2.345' AS numeric(5,2)), CAST(7 AS numeric(5,2))").await, ["2.35|7.00"]);
}

#[tokio::test]
async fn what_does_not_fit() {
    for (sql, expected) in [
        ("SELECT i4::smallint FROM t", "22003"),
        ("SELECT 40000::smallint", "22003"),
        ("SELECT 3000000000::int", "22003"),
        ("SELECT i8::int FROM t", "22003"),
        ("SELECT f8::int FROM t", "22003"),
        ("SELECT f8::bigint FROM t", "22003"),
        ("SELECT 1e30::bigint", "22003"),
        ("SELECT n::smallint FROM (SELECT n * 1000 AS n FROM t)", "22003"),
        ("SELECT f8::numeric(10,2) FROM t", "22003"),
        ("SELECT CAST(1000 AS numeric(3,0))", "22003"),
        ("SELECT i4::numeric(5,2) FROM t", "22003"),
        ("SELECT 'abc'::int", "22P02"),
        ("SELECT s::int FROM t", "22P02"),
        ("SELECT s::numeric(5,2) FROM t", "22P02"),
        ("SELECT s::float8 FROM t", "22P02"),
        ("SELECT s::boolean FROM t", "22P02"),
        ("SELECT 'x'::date", "22007"),
        ("SELECT s::date FROM t", "22007"),
        ("SELECT s::timestamp FROM t", "22007"),
        ("SELECT sqrt(n) FROM t", "2201F"),
        ("SELECT ln(n) FROM t", "2201E"),
        ("SELECT log10(f8) FROM t", "2201E"),
    ] {
        assert_eq!(state(sql).await, expected, "{sql}");
    }
}
