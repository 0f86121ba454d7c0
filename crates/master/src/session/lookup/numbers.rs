//! A text with parameters in the place of its whole numbers: two lookups by number differ in nothing else.

/// Numbers of a text.
const NUMBERS_MAX: usize = 16;

/// Bytes of a text that is looked through.
const TEXT_BYTES_MAX: usize = 2048;

/// None for a text without whole numbers, and for one in which digits may be something else: it has quotes, comments, parameters, fractions. What
/// the numbers are there for is not looked at: a parameter in the place of one may mean something else.
pub(super) fn numbers(text: &str) -> Option<(String, Vec<i64>)> {
    let is_other = |c: char| matches!(c, '\'' | '"' | '$' | '\\' | '`' | '{' | '[' | '#' | '@');
    if text.len() > TEXT_BYTES_MAX || text.contains(is_other) || text.contains("--") || text.contains("/*") {
        return None;
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut written, mut numbers, mut rest, mut last) = (String::with_capacity(text.len()), vec![], text, "");
    while let Some(start) = rest.find(is_word) {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c: char| !is_word(c)).unwrap_or(from.len()));
        written += before;
        rest = after;
        // How many rows there are to be is no value.
        let is_count = ["LIMIT", "OFFSET"].iter().any(|count| last.eq_ignore_ascii_case(count));
        last = word;
        if is_count || !word.starts_with(|c: char| c.is_numeric()) {
            written += word;
            continue;
        }
        if before.ends_with('.') || after.starts_with('.') || numbers.len() == NUMBERS_MAX {
            return None;
        }
        // Not so of `1e5`, `0x1F`, `1_000` and what is larger than bigint.
        let is_whole = word.bytes().all(|byte| byte.is_ascii_digit());
        numbers.push(word.parse::<i64>().ok().filter(|_| is_whole)?);
        written += &format!("${}", numbers.len());
    }
    written += rest;
    (!numbers.is_empty()).then_some((written, numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_become_parameters() {
        let written = |text: &str| numbers(text).map(|(text, numbers)| format!("{text} {numbers:?}"));
        assert_eq!(
            written("SELECT k, v2 FROM s1.t_3 WHERE k=42 AND v IN (1,007)").as_deref(),
            Some("SELECT k, v2 FROM s1.t_3 WHERE k=$1 AND v IN ($2,$3) [42, 1, 7]")
        );
        assert_eq!(
            written("SELECT k FROM t WHERE k = 3 LIMIT 1 offset 0").as_deref(),
            Some("SELECT k FROM t WHERE k = $1 LIMIT 1 offset 0 [3]")
        );
        assert_eq!(written("k = -9223372036854775807;").as_deref(), Some("k = -$1; [9223372036854775807]"));
        for text in [
            "SELECT k FROM t",
            "k = 1.5",
            "k = 1.",
            "k = .5",
            "k = 1e5",
            "k = 0x1F",
            "k = 1_000",
            "k = 9223372036854775808",
            "k = '1' AND v = 2",
            "k = $1 AND v = 2",
            "k = 1 -- 2",
            "k = 1 /* 2 */",
            "\"1\" = 1",
            "k = ²",
        ] {
            assert_eq!(written(text), None, "{text}");
        }
        assert_eq!(numbers(&"k = 1 OR ".repeat(NUMBERS_MAX + 1)), None);
    }
}
