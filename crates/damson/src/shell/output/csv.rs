//! RFC 4180, written as rows come.

use super::Output;
use super::texts::Texts;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use std::io::{self, Write};

/// Header, then rows; `\n` ends a line, NULL is empty and an empty text is `""`.
pub(in crate::shell) struct CsvOutput<W> {
    out: W,
}

impl<W: Write + Send> CsvOutput<W> {
    pub(in crate::shell) fn new(out: W) -> Self {
        CsvOutput { out }
    }

    fn line<'a>(&mut self, cells: impl Iterator<Item = Option<&'a str>>) -> io::Result<()> {
        for (i, cell) in cells.enumerate() {
            if i > 0 {
                self.out.write_all(b",")?;
            }
            match cell {
                None => {}
                Some("") => self.out.write_all(b"\"\"")?,
                Some(cell) if cell.contains(['"', ',', '\n', '\r']) => {
                    write!(self.out, "\"{}\"", cell.replace('"', "\"\""))?;
                }
                Some(cell) => self.out.write_all(cell.as_bytes())?,
            }
        }
        self.out.write_all(b"\n")
    }
}

impl<W: Write + Send> Output for CsvOutput<W> {
    fn begin(&mut self, schema: &Schema) -> io::Result<()> {
        self.line(schema.fields().iter().map(|field| Some(field.name().as_str())))
    }

    fn batch(&mut self, batch: &RecordBatch) -> io::Result<()> {
        Texts::new(batch)?.rows(batch.num_rows(), |cells| self.line(cells.iter().copied()))
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::output::texts::tests::sample;
    use arrow::array::StringArray;
    use std::sync::Arc;

    fn print(batch: &RecordBatch) -> String {
        let mut out = Vec::new();
        let mut csv = CsvOutput::new(&mut out);
        csv.begin(&batch.schema()).expect("memory");
        csv.batch(batch).expect("memory");
        csv.end().expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn values_are_exact_and_quoted_where_needed() {
        assert_eq!(print(&sample()), "n,d,f,t,b\n1,1.50,0.1,\"x,\"\"y\",t\n-20,,NaN,,f\n300,-0.05,,\"two\nlines\",\n");
    }

    #[test]
    fn null_and_empty_text_differ() {
        let texts = StringArray::from(vec![Some(""), None]);
        let batch = RecordBatch::try_from_iter([("a\"b", Arc::new(texts) as _)]).expect("a batch");
        assert_eq!(print(&batch), "\"a\"\"b\"\n\"\"\n\n");
    }
}
