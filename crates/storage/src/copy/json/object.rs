//! An object's members to the texts of a row.

use crate::copy::bad_rows::Defect;
use datafusion::arrow::datatypes::Schema;
use serde::Deserializer as _;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// The columns by name: as it is written, else without regard to case. Made once a statement.
#[derive(Debug)]
pub(crate) struct Names {
    /// Positions among those that are read; None: of a column that is not.
    exact: HashMap<String, Option<usize>>,
    any_case: HashMap<String, Option<usize>>,
}

/// What a member's name is to the columns.
#[derive(Clone, Copy)]
enum Found {
    Exact(usize),
    AnyCase(usize),
    Nothing,
}

impl Names {
    /// `wanted`: positions of the columns that are read, in their order.
    pub(crate) fn new(schema: &Schema, wanted: &[usize]) -> Self {
        let place = |column: usize| wanted.iter().position(|&read| read == column);
        let names = || schema.fields().iter().enumerate().map(|(column, field)| (place(column), field.name()));
        let mut any_case = HashMap::new();
        for (position, name) in names() {
            any_case.entry(name.to_ascii_lowercase()).or_insert(position);
        }
        Names { exact: names().map(|(position, name)| (name.clone(), position)).collect(), any_case }
    }

    fn find(&self, name: &str) -> Found {
        if let Some(&position) = self.exact.get(name) {
            return position.map_or(Found::Nothing, Found::Exact);
        }
        let other = match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => self.any_case.get(&name.to_ascii_lowercase()),
            false => self.any_case.get(name),
        };
        other.copied().flatten().map_or(Found::Nothing, Found::AnyCase)
    }
}

/// A member, and whether its name is the column's as it is written. Of members with the same name the last one holds.
type Member<'t> = Option<(&'t RawValue, bool)>;

/// The texts of the columns, one each; None is NULL. A member that is not there is NULL, one without a column is passed over. Numbers keep
/// their digits; objects and lists are text.
///
/// # Errors
/// A line that is no JSON object (22P02); a string that no text holds (22P05).
pub(super) fn texts<'t>(names: &Names, line: &'t str, columns: usize) -> Result<Vec<Option<Cow<'t, str>>>, Defect> {
    let mut members: Vec<Member<'t>> = vec![None; columns];
    let mut json = serde_json::Deserializer::from_str(line);
    let parsed = json.deserialize_map(Object { names, members: &mut members }).and_then(|()| json.end());
    parsed.map_err(|error| invalid(&error))?;
    members.into_iter().map(|member| member.map_or(Ok(None), |(raw, _)| text(raw.get()))).collect()
}

fn invalid(error: &serde_json::Error) -> Defect {
    let (text, place) = (error.to_string(), format!(" at line {} column {}", error.line(), error.column()));
    // The line is the file's, not this text's.
    let what = text.strip_suffix(&place).unwrap_or(&text);
    let message = format!("invalid input syntax for type json: {what} at character {}", error.column());
    Defect { column: None, value: None, message, sqlstate: "22P02" }
}

/// A member's text; None is NULL.
fn text(raw: &str) -> Result<Option<Cow<'_, str>>, Defect> {
    match raw.as_bytes() {
        [b'n', ..] => Ok(None),
        // Nothing is escaped: the text stands there.
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => Ok(Some(Cow::Borrowed(&raw[1..raw.len() - 1]))),
        [b'"', ..] => {
            let text: String = serde_json::from_str(raw).map_err(|error| invalid(&error))?;
            if text.contains('\0') {
                let message = "unsupported Unicode escape sequence: \\u0000 cannot be converted to text".into();
                return Err(Defect { column: None, value: None, message, sqlstate: "22P05" });
            }
            Ok(Some(Cow::Owned(text)))
        }
        _ => Ok(Some(Cow::Borrowed(raw))),
    }
}

struct Object<'a, 't> {
    names: &'a Names,
    members: &'a mut [Member<'t>],
}

impl<'t> Visitor<'t> for Object<'_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(found) = map.next_key_seed(Name(self.names))? {
            let (position, is_exact) = match found {
                Found::Exact(position) => (position, true),
                Found::AnyCase(position) => (position, false),
                Found::Nothing => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let value = map.next_value::<&'t RawValue>()?;
            if is_exact || self.members[position].is_none_or(|(_, is_exact)| !is_exact) {
                self.members[position] = Some((value, is_exact));
            }
        }
        Ok(())
    }
}

/// A name, looked up where it stands.
struct Name<'a>(&'a Names);

impl<'t> DeserializeSeed<'t> for Name<'_> {
    type Value = Found;

    fn deserialize<D: serde::Deserializer<'t>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Found, E> {
        Ok(self.0.find(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{DataType, Field};

    #[test]
    fn members_are_texts() {
        let field = |name| Field::new(name, DataType::Utf8View, true);
        let names = Names::new(&Schema::new(vec![field("a"), field("B")]), &[0, 1]);
        let read = |line: &str| {
            let texts = texts(&names, line, 2)?;
            Ok::<_, Defect>(texts.into_iter().map(|text| text.map(Cow::into_owned)).collect::<Vec<_>>())
        };
        let some = |text: &str| Some(text.to_owned());
        for (line, want) in [
            (r#"{"a": "x", "B": 12345678901234567890.10}"#, [some("x"), some("12345678901234567890.10")]),
            (r#"{"b": "x\"\n\u00e4", "z": [{}]}"#, [None, some("x\"\nä")]),
            (r#"{"A": 1, "a": 2, "b": [1, {"c": "d"}]}"#, [some("2"), some(r#"[1, {"c": "d"}]"#)]),
            (r#"{"a": 2, "A": 1, "B": null}"#, [some("2"), None]),
            (r#"{"a": true, "a": false}"#, [some("false"), None]),
            ("{}", [None, None]),
        ] {
            assert_eq!(read(line).unwrap(), want, "{line}");
        }
        for (line, sqlstate) in [
            ("[1]", "22P02"),
            (r#"{"a": 1"#, "22P02"),
            (r#"{"a": 1} {}"#, "22P02"),
            (r#"{"a": "\ud800"}"#, "22P02"),
            (r#"{"a": "\u0000"}"#, "22P05"),
        ] {
            assert_eq!(read(line).unwrap_err().sqlstate, sqlstate, "{line}");
        }
    }
}
