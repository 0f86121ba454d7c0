//! One array of objects a result, written as rows come.

use super::Output;
use super::texts::{Kind, Texts};
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use std::io::{self, Write};

/// Numbers are written with all their digits (NaN and infinities as strings), booleans as such, everything else as the
/// string that psql would show. Columns of equal names are repeated keys.
pub(in crate::shell) struct JsonOutput<W> {
    out: W,
    /// Each column's key, encoded, and kind.
    columns: Vec<(String, Kind)>,
    is_first: bool,
}

impl<W: Write + Send> JsonOutput<W> {
    pub(in crate::shell) fn new(out: W) -> Self {
        JsonOutput { out, columns: vec![], is_first: true }
    }

    fn object(&mut self, cells: &[Option<&str>]) -> io::Result<()> {
        self.out.write_all(if std::mem::take(&mut self.is_first) { b"\n  {" } else { b",\n  {" })?;
        for (i, ((key, kind), cell)) in self.columns.iter().zip(cells).enumerate() {
            write!(self.out, "{}{key}: ", if i > 0 { ", " } else { "" })?;
            match (cell, kind) {
                (None, _) => self.out.write_all(b"null")?,
                (Some("t"), Kind::Boolean) => self.out.write_all(b"true")?,
                (Some("f"), Kind::Boolean) => self.out.write_all(b"false")?,
                (Some(number), Kind::Number) if number.ends_with(|c: char| c.is_ascii_digit()) => {
                    self.out.write_all(number.as_bytes())?;
                }
                (Some(text), _) => serde_json::to_writer(&mut self.out, text)?,
            }
        }
        self.out.write_all(b"}")
    }
}

impl<W: Write + Send> Output for JsonOutput<W> {
    fn begin(&mut self, schema: &Schema) -> io::Result<()> {
        let column =
            |field: &arrow::datatypes::FieldRef| Ok((serde_json::to_string(field.name())?, Kind::of_field(field)));
        self.columns = schema.fields().iter().map(column).collect::<io::Result<_>>()?;
        self.is_first = true;
        self.out.write_all(b"[")
    }

    fn batch(&mut self, batch: &RecordBatch) -> io::Result<()> {
        Texts::new(batch)?.rows(batch.num_rows(), |cells| self.object(cells))
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.write_all(if self.is_first { b"]\n" } else { b"\n]\n" })?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::output::texts::tests::sample;

    fn print(batches: &[RecordBatch]) -> String {
        let mut out = Vec::new();
        let mut json = JsonOutput::new(&mut out);
        json.begin(&sample().schema()).expect("memory");
        batches.iter().for_each(|batch| json.batch(batch).expect("memory"));
        json.end().expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn rows_are_objects() {
        let text = print(&[sample()]);
        assert!(text.contains(r#"{"n": 1, "d": 1.50, "f": 0.1, "t": "x,\"y", "b": true}"#), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value.as_array().map(Vec::len), Some(3));
        assert_eq!(value[1]["d"], serde_json::Value::Null);
        assert_eq!(value[1]["f"], "NaN");
        assert_eq!(value[2]["t"], "two\nlines");
    }

    #[test]
    fn batches_are_one_array() {
        let value: serde_json::Value = serde_json::from_str(&print(&[sample(), sample()])).expect("JSON");
        assert_eq!(value.as_array().map(Vec::len), Some(6));
        assert_eq!(print(&[]), "[]\n");
    }
}
