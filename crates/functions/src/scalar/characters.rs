//! `varchar(n)` and `char(n)`: text of at most n characters. `char(n)` is held without its trailing blanks, which
//! PostgreSQL pads with and ignores wherever it compares.

use super::function::{PlainFunction, is_text, over_arrays};
use crate::FunctionError;
use arrow::array::{Array, ArrayRef, AsArray, Int32Array, StringViewArray};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};
use std::sync::Arc;

/// `to_varchar(text, n)`: what an explicit cast does, which cuts.
pub fn to_varchar() -> ScalarUDF {
    PlainFunction {
        name: "to_varchar",
        coerce: text_and_length,
        returns: |_| Ok(DataType::Utf8View),
        run: |args| each(args, Blanks::Stay, |text, length| Ok(cut(text, length))),
    }
    .udf()
}

/// `to_bpchar(text, n)`: the same for `char(n)`.
pub fn to_bpchar() -> ScalarUDF {
    PlainFunction {
        name: "to_bpchar",
        coerce: text_and_length,
        returns: |_| Ok(DataType::Utf8View),
        run: |args| each(args, Blanks::Go, |text, length| Ok(cut(text, length).trim_end_matches(' '))),
    }
    .udf()
}

/// `assign_varchar(text, n)`: what a write into a column does: 22001 for more than n characters, unless only blanks are beyond
/// them, which are cut.
pub fn assign_varchar() -> ScalarUDF {
    PlainFunction {
        name: "assign_varchar",
        coerce: text_and_length,
        returns: |_| Ok(DataType::Utf8View),
        run: |args| each(args, Blanks::Stay, |text, length| checked(text, length, "character varying")),
    }
    .udf()
}

/// `assign_bpchar(text, n)`: the same for `char(n)`.
pub fn assign_bpchar() -> ScalarUDF {
    PlainFunction {
        name: "assign_bpchar",
        coerce: text_and_length,
        returns: |_| Ok(DataType::Utf8View),
        run: |args| {
            each(args, Blanks::Go, |text, length| {
                checked(text, length, "character").map(|text| text.trim_end_matches(' '))
            })
        },
    }
    .udf()
}

fn text_and_length(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [text, length] if is_text(text) && length.is_integer() => Ok(vec![DataType::Utf8View, DataType::Int32]),
        _ => plan_err!("text and a length expected, not {types:?}"),
    }
}

/// What becomes of blanks at a text's end that is short enough.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blanks {
    Stay,
    Go,
}

/// `f` changes no text of at most as many bytes as the length, but for `blanks`.
fn each(
    args: &ScalarFunctionArgs,
    blanks: Blanks,
    f: impl for<'a> Fn(&'a str, usize) -> Result<&'a str, FunctionError>,
) -> Result<ColumnarValue> {
    over_arrays(args, |arrays| {
        let (texts, lengths) = (arrays[0].as_string_view(), arrays[1].as_primitive::<Int32Type>());
        // Nearly all columns are as they are to be: these are not copied.
        if are_kept(texts, lengths, blanks) {
            return Ok(ArrayRef::clone(&arrays[0]));
        }
        let results = texts.iter().zip(lengths).map(|(text, length)| match (text, length) {
            (Some(text), Some(length)) => f(text, usize::try_from(length).unwrap_or(0)).map(Some),
            _ => Ok(None),
        });
        let results: Result<StringViewArray, FunctionError> = results.collect();
        Ok(Arc::new(results?) as ArrayRef)
    })
}

fn are_kept(texts: &StringViewArray, lengths: &Int32Array, blanks: Blanks) -> bool {
    // A character has at least one byte.
    let is_short = |(bytes, &length): (u32, &i32)| i64::from(bytes) <= i64::from(length);
    lengths.null_count() == 0
        && texts.lengths().zip(lengths.values().iter()).all(is_short)
        && (blanks == Blanks::Stay || !texts.iter().flatten().any(|text| text.ends_with(' ')))
}

/// The first `length` characters.
fn cut(text: &str, length: usize) -> &str {
    // A character has at least one byte.
    if text.len() <= length {
        return text;
    }
    text.char_indices().nth(length).map_or(text, |(end, _)| &text[..end])
}

fn checked<'a>(text: &'a str, length: usize, sql_type: &str) -> Result<&'a str, FunctionError> {
    let kept = cut(text, length);
    if text[kept.len()..].bytes().all(|byte| byte == b' ') {
        Ok(kept)
    } else {
        Err(FunctionError::invalid("22001", format!("value too long for type {sql_type}({length})")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_fit_are_kept_as_they_are() {
        let kept = |texts: &[Option<&str>], lengths: &[Option<i32>]| {
            let (texts, lengths): (StringViewArray, Int32Array) =
                (texts.iter().copied().collect(), lengths.iter().copied().collect());
            (are_kept(&texts, &lengths, Blanks::Stay), are_kept(&texts, &lengths, Blanks::Go))
        };
        assert_eq!(kept(&[Some("abc"), None, Some("")], &[Some(3), Some(0), Some(0)]), (true, true));
        assert_eq!(kept(&[Some("abc"), Some("ab ")], &[Some(3), Some(3)]), (true, false));
        assert_eq!(kept(&[Some("abcd")], &[Some(3)]), (false, false));
        // As many characters as may be, in more bytes.
        assert_eq!(kept(&[Some("äöü")], &[Some(3)]), (false, false));
        assert_eq!(kept(&[Some("abc")], &[None]), (false, false));
        assert_eq!(kept(&[Some("")], &[Some(-1)]), (false, false));
        assert_eq!(kept(&[], &[]), (true, true));
    }

    #[test]
    fn characters_are_counted() {
        assert_eq!((cut("abc", 3), cut("éàü", 2), cut("", 2), cut("ab", 5)), ("abc", "éà", "", "ab"));
        assert_eq!(checked("abc  ", 3, "character"), Ok("abc"));
        assert_eq!(checked("ab ", 3, "character"), Ok("ab "));
        let error = checked("abcd", 3, "character varying").unwrap_err();
        assert_eq!(error.to_string(), "value too long for type character varying(3)");
        assert_eq!(error.sqlstate(), "22001");
    }
}
