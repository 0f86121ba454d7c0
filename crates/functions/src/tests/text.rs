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
    ])
    .await;
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
