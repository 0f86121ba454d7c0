//! SQL's patterns: of SIMILAR TO as regular expressions, of LIKE with the backslash as their escape character.

use super::function::{PlainFunction, is_text, over_arrays};
use crate::FunctionError;
use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// `similar_to_regex(pattern)`: for patterns that are not constant; the rules translate constants.
pub fn similar_to_regex() -> ScalarUDF {
    PlainFunction {
        name: "similar_to_regex",
        coerce: |types| match types {
            [pattern] if is_text(pattern) => Ok(vec![DataType::Utf8View]),
            _ => plan_err!("similar_to_regex takes text, not {types:?}"),
        },
        returns: |_| Ok(DataType::Utf8View),
        run: |args| {
            over_arrays(args, |arrays| {
                let patterns = arrays[0].as_string_view().iter();
                let regexes = patterns.map(|pattern| pattern.map(|p| translate(p, Some('\\'))).transpose());
                let regexes: Result<StringViewArray, FunctionError> = regexes.collect();
                Ok(Arc::new(regexes?) as ArrayRef)
            })
        },
    }
    .udf()
}

/// `like_escape(pattern, escape)`, PostgreSQL's: the LIKE pattern as one with a backslash. No escape character is the empty text.
pub fn like_escape() -> ScalarUDF {
    PlainFunction {
        name: "like_escape",
        coerce: |types| match types {
            [pattern, escape] if is_text(pattern) && is_text(escape) => Ok(vec![DataType::Utf8View; 2]),
            _ => plan_err!("like_escape takes two texts, not {types:?}"),
        },
        returns: |_| Ok(DataType::Utf8View),
        run: |args| {
            over_arrays(args, |arrays| {
                let rows = arrays[0].as_string_view().iter().zip(arrays[1].as_string_view().iter());
                let patterns = rows.map(|(pattern, escape)| {
                    pattern.zip(escape).map(|(pattern, escape)| escaped_by(pattern, escape)).transpose()
                });
                let patterns: Result<StringViewArray, FunctionError> = patterns.collect();
                Ok(Arc::new(patterns?) as ArrayRef)
            })
        },
    }
    .udf()
}

fn escaped_by(pattern: &str, escape: &str) -> Result<String, FunctionError> {
    let mut characters = escape.chars();
    match (characters.next(), characters.next()) {
        (Some(escape), None) => with_backslash(pattern, escape),
        (None, _) => Ok(pattern.replace('\\', "\\\\")),
        (Some(_), Some(_)) => Err(FunctionError::invalid("22025", "invalid escape string")),
    }
}

/// The regular expression that matches the same whole strings. In a pattern `%` is any string, `_` any character,
/// `| * + ? {n,m} ( ) [ ]` are as in regular expressions, everything else is itself.
///
/// # Errors
/// 22025 for an escape character at the end, 0A000 for an escaped double quote, which is SUBSTRING's.
pub fn translate(pattern: &str, escape: Option<char>) -> Result<String, FunctionError> {
    let mut regex = String::from("(?s)^(?:");
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        if Some(c) == escape {
            match characters.next() {
                None => return Err(FunctionError::invalid("22025", "invalid escape sequence")),
                Some('"') => {
                    return Err(FunctionError::unsupported("escape-double-quote separators are not supported"));
                }
                Some(escaped) => push_literal(&mut regex, escaped),
            }
            continue;
        }
        match c {
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '(' => regex.push_str("(?:"),
            '|' | '*' | '+' | '?' | '{' | '}' | ')' => regex.push(c),
            '[' => bracket(&mut regex, &mut characters, escape)?,
            other => push_literal(&mut regex, other),
        }
    }
    regex.push_str(")$");
    Ok(regex)
}

/// A LIKE pattern with `escape` as one with a backslash, the only one that DataFusion knows.
///
/// # Errors
/// 22025 for an escape character at the end.
pub fn with_backslash(pattern: &str, escape: char) -> Result<String, FunctionError> {
    let mut result = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        let (escaped, c) = if c == escape {
            let next = characters.next();
            (
                true,
                next.ok_or_else(|| FunctionError::invalid("22025", "LIKE pattern must not end with escape character"))?,
            )
        } else {
            (c == '\\', c)
        };
        if escaped && matches!(c, '%' | '_' | '\\') {
            result.push('\\');
        }
        result.push(c);
    }
    Ok(result)
}

fn push_literal(regex: &mut String, c: char) {
    if c.is_ascii_punctuation() {
        regex.push('\\');
    }
    regex.push(c);
}

/// What follows `[`, through its `]`. Inside, only `^` in front, `-` between characters and `[:class:]` are special.
fn bracket(
    regex: &mut String,
    characters: &mut std::str::Chars<'_>,
    escape: Option<char>,
) -> Result<(), FunctionError> {
    let unbalanced = || FunctionError::invalid("2201B", "invalid regular expression: brackets [] not balanced");
    regex.push('[');
    let mut first = true;
    if characters.as_str().starts_with('^') {
        characters.next();
        regex.push('^');
    }
    loop {
        let c = characters.next().ok_or_else(unbalanced)?;
        let rest = characters.as_str();
        match c {
            _ if Some(c) == escape => push_literal(regex, characters.next().ok_or_else(unbalanced)?),
            ']' if !first => {
                regex.push(']');
                return Ok(());
            }
            '[' if rest.starts_with(':') => {
                let end = rest.find(":]").ok_or_else(unbalanced)? + 2;
                regex.push('[');
                regex.push_str(&rest[..end]);
                *characters = rest[end..].chars();
            }
            '-' if !first && !rest.starts_with(']') => regex.push('-'),
            other => push_literal(regex, other),
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, expected) in [
            ("(a|x)b%", "(?s)^(?:(?:a|x)b.*)$"),
            ("a.c", "(?s)^(?:a\\.c)$"),
            ("a\\%", "(?s)^(?:a\\%)$"),
            ("[a-c_]+", "(?s)^(?:[a-c\\_]+)$"),
            ("[^]x]", "(?s)^(?:[^\\]x])$"),
            ("[[:alpha:]&-]", "(?s)^(?:[[:alpha:]\\&\\-])$"),
            ("^$", "(?s)^(?:\\^\\$)$"),
        ] {
            assert_eq!(translate(pattern, Some('\\')).as_deref(), Ok(expected), "{pattern}");
        }
        assert_eq!(translate("a\\", Some('\\')).unwrap_err().sqlstate(), "22025");
        assert_eq!(translate("[a", Some('\\')).unwrap_err().sqlstate(), "2201B");
        assert_eq!(translate("a#\"", Some('#')).unwrap_err().sqlstate(), "0A000");
    }

    #[test]
    fn like_patterns_get_backslashes() {
        assert_eq!(with_backslash("a!%b\\_!!", '!').as_deref(), Ok("a\\%b\\\\_!"));
        assert!(with_backslash("a!", '!').is_err());
    }
}
