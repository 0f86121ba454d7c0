//! Functions and operators of text.

use super::{expressions, state};

#[tokio::test]
async fn similar_to_matches_whole_strings() {
    expressions(&[
        ("'abc' SIMILAR TO '(a|x)b%', 'abc' SIMILAR TO 'b'", "true|false"),
        ("'abc' NOT SIMILAR TO '_b_', 'abc' SIMILAR TO 'a.c'", "false|false"),
        ("'a%' SIMILAR TO 'a!%' ESCAPE '!', 'ab' SIMILAR TO '[a-c]{2}'", "true|true"),
        ("s SIMILAR TO '[0-9]+', s SIMILAR TO s, NULL SIMILAR TO 'a'", "true|true|"),
    ])
    .await;
    assert_eq!(state("SELECT 'a' SIMILAR TO '(a'").await, "2201B");
    assert_eq!(state("SELECT 'a' SIMILAR TO 'a\\'").await, "22025");
}

#[tokio::test]
async fn like_takes_any_escape_character() {
    expressions(&[
        ("'a%b' LIKE 'a!%b' ESCAPE '!', 'axb' LIKE 'a!%b' ESCAPE '!'", "true|false"),
        ("'a_' LIKE 'a\\_', 'ab' NOT LIKE 'a#_' ESCAPE '#'", "true|true"),
        // A pattern that is no constant.
        ("s LIKE s || '!%' ESCAPE '!', s || '%' LIKE s || '!%' ESCAPE '!', s LIKE NULL ESCAPE '!'", "false|true|"),
        ("like_escape('a!%\\', '!'), like_escape('a\\%', ''), like_escape('a', NULL)", "a\\%\\\\|a\\\\%|"),
    ])
    .await;
    assert_eq!(state("SELECT like_escape('a', 'bc')").await, "22025");
    assert_eq!(state("SELECT s LIKE s || '!' ESCAPE '!' FROM t").await, "22025");
}

#[tokio::test]
async fn encodings() {
    expressions(&[
        ("encode(decode('DEADBEEF', 'hex'), 'base64'), encode('abc', 'hex')", "3q2+7w==|616263"),
        ("decode('3q2+7w==', 'base64') = decode('deadbeef', 'hex'), encode('a\\000', 'escape')", "true|a\\\\000"),
    ])
    .await;
    assert_eq!(state("SELECT decode('3q2+7w', 'base64')").await, "22023");
    assert_eq!(state("SELECT encode('a', 'rot13')").await, "22023");
}

#[tokio::test]
async fn booleans_and_integers_as_text() {
    expressions(&[
        ("concat(1, true, NULL, false, 2.5), concat_ws('-', k = 1, 'x')", "1tf2.5|t-x"),
        ("to_hex(-1), to_hex(255), to_hex(-1::bigint)", "ffffffff|ff|ffffffffffffffff"),
    ])
    .await;
}

#[tokio::test]
async fn values_as_text() {
    expressions(&[
        ("2.0::float8::text, 1e20::float8::text AS b, 0.1::real::text AS c, f8 || 'x', concat(f8, '-', f4)", "2|1e+20|0.1|0.5x|0.5-0.1"),
        ("TIMESTAMP '2024-01-31 10:00:00'::text, timestamptz '2024-01-31 10:00:00.50+00'::text AS b", "2024-01-31 10:00:00|2024-01-31 10:00:00.5+00"),
        ("'at ' || TIMESTAMP '2024-01-31 10:00:00', TIME '10:00:00.5'::text, d::text", "at 2024-01-31 10:00:00|10:00:00.5|1970-01-01"),
        ("INTERVAL '1 year 2 months 3 days 4 hours'::text, (TIMESTAMP '2024-01-03 01:00:00' - TIMESTAMP '2024-01-01')::text AS b", "1 year 2 mons 3 days 04:00:00|2 days 01:00:00"),
        ("decode('00ff', 'hex')::text, 12.5::float8::varchar(3) AS b, 1.50::text AS c, true::text", "\\x00ff|12.|1.50|true"),
    ])
    .await;
}
