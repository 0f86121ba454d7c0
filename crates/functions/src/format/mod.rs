//! PostgreSQL's format patterns, of `to_char`, `to_date` and `to_timestamp`. A part of a pattern that is not supported is
//! 0A000, never other output.

mod date_pattern;
mod date_reader;
mod date_writer;
mod number;

pub use date_pattern::DatePattern;
pub use number::NumberPattern;

/// One- or many-character parts of a pattern: the longest of `keywords` that `rest` begins with.
fn longest<'a, T>(rest: &str, keywords: &'a [(&'static str, T)]) -> Option<&'a (&'static str, T)> {
    keywords.iter().filter(|(name, _)| rest.starts_with(name)).max_by_key(|(name, _)| name.len())
}
