//! Patterns of names: `*` and `?` within a part of a path, `**` for any number of parts, `[abc]`, `{a,b}`.

use super::url::bad_name;
use crate::StorageError;
use crate::limits::PATTERN_ALTERNATIVES_MAX;
use glob::{MatchOptions, Pattern};

pub(super) const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// A name with every choice of its `{a,b}`, in the order in which they are written.
///
/// # Errors
/// 22023 for a brace that is not closed; 54000 for too many choices.
pub(super) fn alternatives(name: &str) -> Result<Vec<String>, StorageError> {
    let mut done = vec![];
    let mut open = vec![name.to_owned()];
    while let Some(text) = open.pop() {
        let Some(start) = text.find('{') else {
            done.push(text);
            continue;
        };
        let end = closing(&text, start).ok_or_else(|| bad_name(name, "a \"{\" in the pattern is not closed"))?;
        let choices = choices(&text[start + 1..end]);
        if done.len() + open.len() + choices.len() > PATTERN_ALTERNATIVES_MAX {
            let message = format!("the pattern has more than {PATTERN_ALTERNATIVES_MAX} alternatives");
            return Err(StorageError::File { path: name.into(), message, sqlstate: "54000" });
        }
        // The first choice is taken up first.
        let whole = |choice: &&str| format!("{}{choice}{}", &text[..start], &text[end + 1..]);
        open.extend(choices.iter().rev().map(whole));
    }
    Ok(done)
}

/// Where the brace at `start` is closed.
fn closing(text: &str, start: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate().skip(start) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The text's parts between commas that are in no inner brace.
fn choices(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, vec![]);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Whether a name without braces is a pattern.
pub(super) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// The directories before a pattern's first part that is one, with a slash at the end; empty if there are none.
pub(super) fn literal_prefix(pattern: &str) -> &str {
    let special = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
    &pattern[..pattern[..special].rfind('/').map_or(0, |slash| slash + 1)]
}

/// # Errors
/// 22023 for what is no pattern.
pub(super) fn compile(pattern: &str) -> Result<Pattern, StorageError> {
    Pattern::new(pattern).map_err(|error| bad_name(pattern, format!("it is not a file pattern: {error}")))
}
