//! Members of JSON objects, one object a line.

use super::csv::{Sample, sample};
use super::guess::{Guess, add, of_time};
use crate::StorageError;
use crate::limits::{INFER_COLUMNS_MAX, INFER_ROWS_MAX};
use damson_cluster::{Codec, CopyFile, Encoding, SourceAccess};
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Names and types, in the order in which names are met.
pub(super) async fn columns(
    file: &CopyFile,
    codec: Codec,
    access: &SourceAccess,
) -> Result<Vec<(String, Guess)>, StorageError> {
    let sample = sample(file, codec, &Encoding::Utf8, access).await?;
    let refused = |message: String| StorageError::File { path: file.url.clone(), message, sqlstate: "22P04" };
    let columns = of_text(&sample);
    match columns.len() {
        0 => Err(refused("it has no JSON object, one a line, that can be read".into())),
        many if many > INFER_COLUMNS_MAX => Err(refused(format!("its objects have {many} members"))),
        _ => Ok(columns),
    }
}

fn of_text(Sample { text, is_whole }: &Sample) -> Vec<(String, Guess)> {
    let mut columns = vec![];
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    if !is_whole {
        lines.pop();
    }
    let lines = lines.into_iter().map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    for line in lines.take(INFER_ROWS_MAX) {
        // What is wrong here whoever reads the file is told.
        let Ok(line) = str::from_utf8(line) else { break };
        let Ok(members) = serde_json::Deserializer::from_str(line).deserialize_map(Members) else { break };
        for (name, value) in members {
            add(&mut columns, (name, guess(value)));
        }
        if columns.len() > INFER_COLUMNS_MAX {
            break;
        }
    }
    columns
}

/// A number is what it looks like; a string may be a point in time, and else is one.
fn guess(value: &RawValue) -> Guess {
    let raw = value.get();
    match raw.as_bytes() {
        [b'n', ..] => Guess::Nothing,
        [b't' | b'f', ..] => Guess::Boolean,
        [b'"', ..] => serde_json::from_str::<String>(raw).map_or(Guess::Text, |text| of_time(&text)),
        [b'{' | b'[', ..] => Guess::Text,
        _ => Guess::of(raw),
    }
}

struct Members;

impl<'t> Visitor<'t> for Members {
    type Value = Vec<(String, &'t RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = vec![];
        while let Some(member) = map.next_entry::<String, &'t RawValue>()? {
            members.push(member);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_all_objects_are_columns() {
        let text =
            "{\"b\": 1, \"a\": \"12\", \"n\": null}\n\n{\"b\": 1.5, \"c\": [1], \"d\": \"2026-01-01\"}\n{\"b\": \"x";
        let found = of_text(&Sample { text: text.into(), is_whole: false });
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b", "a", "n", "c", "d"]);
        let guesses: Vec<Guess> = found.iter().map(|(_, guess)| *guess).collect();
        assert_eq!(guesses, [Guess::Float, Guess::Text, Guess::Nothing, Guess::Text, Guess::Date]);
    }
}
