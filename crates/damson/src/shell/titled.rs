//! Answers of the catalog.

use super::output::{Output, Texts};
use super::sink::Sink;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use std::io::{self, Write};

/// Prints rows under a title; the title in tables only, as programs want none.
pub(super) struct Titled<'a> {
    output: Box<dyn Output>,
    title: &'a str,
    /// Where the title goes; the output has the same.
    sink: Sink,
    /// The schema until there is a row, if nothing is shown before.
    waiting: Option<Schema>,
    shows_header: bool,
    rows: usize,
}

impl<'a> Titled<'a> {
    /// Without `shows_header` an answer without rows prints nothing.
    pub(super) fn new(output: Box<dyn Output>, title: &'a str, sink: Sink, shows_header: bool) -> Self {
        Titled { output, title, sink, waiting: None, shows_header, rows: 0 }
    }

    /// How many there were.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    fn show_header(&mut self, schema: &Schema) -> io::Result<()> {
        if !self.is_shown_at_once() && !self.title.is_empty() {
            writeln!(self.sink, "{}", self.title)?;
        }
        self.output.begin(schema)
    }
}

impl Output for Titled<'_> {
    fn begin(&mut self, schema: &Schema) -> io::Result<()> {
        if self.shows_header {
            return self.show_header(schema);
        }
        self.waiting = Some(schema.clone());
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch) -> io::Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.num_rows();
        if let Some(schema) = self.waiting.take() {
            self.show_header(&schema)?;
        }
        self.output.batch(batch)
    }

    fn end(&mut self) -> io::Result<()> {
        if self.waiting.is_some() { Ok(()) } else { self.output.end() }
    }

    fn is_shown_at_once(&self) -> bool {
        self.output.is_shown_at_once()
    }
}

/// Keeps rows instead, as text.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub rows: Vec<Vec<Option<String>>>,
}

impl Output for Collected {
    fn begin(&mut self, _: &Schema) -> io::Result<()> {
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch) -> io::Result<()> {
        Texts::new(batch)?.rows(batch.num_rows(), |cells| {
            self.rows.push(cells.iter().map(|cell| cell.map(str::to_owned)).collect());
            Ok(())
        })
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn is_shown_at_once(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::output::TableOutput;
    use arrow::array::{ArrayRef, StringArray};
    use std::sync::Arc;

    fn batch(values: &[&str]) -> RecordBatch {
        let array: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
        RecordBatch::try_from_iter([("t", array)]).expect("a batch")
    }

    fn printed(values: &[&str], shows_header: bool) -> (String, usize) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("out").display().to_string();
        let sink = Sink::create(&path).expect("a file");
        let mut output = Titled::new(Box::new(TableOutput::new(sink.clone(), false)), "Things", sink, shows_header);
        let batch = batch(values);
        output.begin(&batch.schema()).expect("room");
        output.batch(&batch).expect("room");
        output.end().expect("room");
        (std::fs::read_to_string(path).expect("the file"), output.rows())
    }

    #[test]
    fn a_title_stands_above_rows() {
        assert_eq!(printed(&["a"], false), ("Things\n t\n---\n a\n(1 row)\n\n".into(), 1));
        assert_eq!(printed(&[], false), (String::new(), 0));
        assert_eq!(printed(&[], true), ("Things\n t\n---\n(0 rows)\n\n".into(), 0));
    }

    #[test]
    fn rows_are_kept() {
        let mut kept = Collected::default();
        kept.batch(&batch(&["a", "b"])).expect("memory");
        assert_eq!(kept.rows, [[Some("a".to_owned())], [Some("b".to_owned())]]);
    }
}
