//! Casts round, and say what is wrong in an SQLSTATE.

use super::{described, expressions, rows, state};

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
        ("SELECT '{a}'::json", "22P02"),
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

#[tokio::test]
async fn messages_are_postgresqls() {
    for (sql, sqlstate, message) in [
        ("SELECT '99999999999'::int", "22003", "value \"99999999999\" is out of range for type integer"),
        ("SELECT '-40000'::smallint", "22003", "value \"-40000\" is out of range for type smallint"),
        ("SELECT 'abc'::int", "22P02", "invalid input syntax for type integer: \"abc\""),
        ("SELECT '1.5'::bigint", "22P02", "invalid input syntax for type bigint: \"1.5\""),
        ("SELECT 'x'::numeric(5,2)", "22P02", "invalid input syntax for type numeric: \"x\""),
        ("SELECT 'x'::float8", "22P02", "invalid input syntax for type double precision: \"x\""),
        ("SELECT 'maybe'::boolean", "22P02", "invalid input syntax for type boolean: \"maybe\""),
        ("SELECT '2023-02-30'::date", "22008", "date/time field value out of range: \"2023-02-30\""),
        ("SELECT 'notadate'::date", "22007", "invalid input syntax for type date: \"notadate\""),
        (
            "SELECT '2023-02-30 1:00:00'::timestamp",
            "22008",
            "date/time field value out of range: \"2023-02-30 1:00:00\"",
        ),
        ("SELECT 'x'::timestamp", "22007", "invalid input syntax for type timestamp: \"x\""),
        ("SELECT '25:00:00'::time", "22008", "date/time field value out of range: \"25:00:00\""),
        ("SELECT 'x'::interval", "22007", "invalid input syntax for type interval: \"x\""),
        ("SELECT s::int FROM t WHERE k = 2", "22P02", "invalid input syntax for type integer: \"x\""),
        ("SELECT sqrt(-n) FROM t WHERE k = 1", "2201F", "cannot take square root of a negative number"),
        ("SELECT power(0, -1)", "2201F", "zero raised to a negative power is undefined"),
        ("SELECT (-8.0) ^ 0.5", "2201F", "a negative number raised to a non-integer power yields a complex result"),
        ("SELECT exp(1000)", "22003", "value out of range: overflow"),
        ("SELECT '1e300'::float8 ^ 2", "22003", "value out of range: overflow"),
        ("SELECT substring('abc', 1, -1)", "22011", "negative substring length not allowed"),
        ("SELECT split_part('a', ',', 0)", "22023", "field position must not be zero"),
    ] {
        let described = described(sql).await;
        assert_eq!((described.sqlstate, described.message.as_str()), (sqlstate, message), "{sql}");
    }
}

#[tokio::test]
async fn casts_to_varchar_cut() {
    expressions(&[
        ("'abcdef'::varchar(3)", "abc"),
        ("CAST('éàüö' AS character varying(2))", "éà"),
        ("12345::varchar(3), n::varchar(3)", "123|1.5"),
        ("'ab   '::char(5) = 'ab', length('ab'::char(5)), 'xy'::char, 'abc'::char(2)", "true|2|x|ab"),
        ("'abcdef'::varchar, CAST(NULL AS varchar(2))", "abcdef|"),
        ("'{\"a\": [1, null]}'::json, CAST(NULL AS json)", "{\"a\": [1, null]}|"),
    ])
    .await;
}

#[tokio::test]
async fn writes_check_lengths() {
    expressions(&[
        ("assign_varchar('abc  ', 3), assign_varchar('ab', 3), assign_varchar(NULL, 3)", "abc|ab|"),
        ("assign_bpchar('ab   ', 5) = assign_bpchar('ab', 5)", "true"),
    ])
    .await;
    let described = described("SELECT assign_varchar('abcd', 3)").await;
    assert_eq!(described.sqlstate, "22001");
    assert_eq!(described.message, "value too long for type character varying(3)");
    let value = datafusion::logical_expr::col("s");
    for (sql_type, expected) in [
        ("character varying(3)", "assign_varchar(s, Int32(3))"),
        ("character(5)", "assign_bpchar(s, Int32(5))"),
        ("character varying", "s"),
        ("text", "s"),
    ] {
        assert_eq!(crate::assign_text(value.clone(), sql_type).to_string(), expected);
    }
}

/// A length is no part of a type in the plan: schemas made with it and without it are equal.
#[tokio::test]
async fn lengths_leave_no_trace() {
    for (sql, expected) in [
        (
            "SELECT s::varchar(1) AS v FROM t UNION SELECT s::varchar(2) FROM t WHERE k = 4 UNION SELECT 'ab' ORDER BY v",
            "| |1|3|a|ab|x|",
        ),
        ("SELECT v, count(*) FROM (SELECT s::char(1) AS v FROM t) x WHERE v = 'x' GROUP BY v", "x|1"),
        ("SELECT a, b FROM (VALUES ('abc'::varchar(2), 1 + 1), ('d', 2)) x(a, b) ORDER BY a", "ab|2|d|2"),
        (
            "WITH RECURSIVE r(v) AS (SELECT 'a'::varchar(3) UNION ALL SELECT (v || 'bcd')::varchar(3) FROM r WHERE v = 'a') SELECT v FROM r ORDER BY v",
            "a|abc",
        ),
        ("SELECT lag(s::varchar(1)) OVER (ORDER BY k) FROM t ORDER BY k LIMIT 2", "|1"),
    ] {
        assert_eq!(rows(sql).await.join("|"), expected, "{sql}");
    }
    assert_eq!(state("SELECT * FROM (VALUES (2147483647 + 1)) x").await, "22003");
}
