//! Aligned columns, like psql's.

use super::Output;
use super::texts::{Kind, Texts};
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use std::io::{self, Write};

/// Rows that are kept for alignment; there is no pager, and nobody reads more on a terminal.
const ROWS_MAX: usize = 100_000;

/// Keeps rows until the end, because widths depend on all of them. NULL is empty, numbers are on the right.
pub(crate) struct TableOutput<W> {
    out: W,
    expanded: bool,
    /// Where a row is wider, it is shown as after `\x`.
    columns_max: Option<usize>,
    names: Vec<String>,
    is_number: Vec<bool>,
    rows: Vec<Vec<String>>,
    count: usize,
    rows_max: usize,
}

impl<W: Write + Send> TableOutput<W> {
    /// With `expanded`, one line a value, as after `\x`.
    pub(crate) fn new(out: W, expanded: bool) -> Self {
        let (names, is_number, rows) = (vec![], vec![], vec![]);
        TableOutput { out, expanded, columns_max: None, names, is_number, rows, count: 0, rows_max: ROWS_MAX }
    }

    /// Of aligned rows and of those with a line a value, what fits on a terminal so wide; None: aligned.
    pub(in crate::shell) fn expanded_beyond(mut self, columns_max: Option<usize>) -> Self {
        self.columns_max = columns_max;
        self
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.names.iter().map(|name| width(name)).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = cell.split('\n').map(width).fold(*widest, usize::max);
            }
        }
        widths
    }

    fn print_aligned(&mut self, widths: &[usize]) -> io::Result<()> {
        let header = self.names.iter().zip(widths).map(|(name, &width)| centred(name, width));
        let header = header.collect::<Vec<_>>().join("|");
        writeln!(self.out, "{}", header.trim_end())?;
        let line: Vec<_> = widths.iter().map(|&width| "-".repeat(width + 2)).collect();
        writeln!(self.out, "{}", line.join("+"))?;
        for at in 0..self.rows.len() {
            self.print_row(at, widths)?;
        }
        Ok(())
    }

    /// A row is as many lines high as its highest cell; `+` says that a cell goes on.
    fn print_row(&mut self, at: usize, widths: &[usize]) -> io::Result<()> {
        let row = &self.rows[at];
        let cells: Vec<Vec<&str>> = row.iter().map(|cell| cell.split('\n').collect()).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(1);
        for line in 0..height {
            let mut text = String::new();
            for (i, (cell, &width)) in cells.iter().zip(widths).enumerate() {
                let (value, goes_on) = (cell.get(line).copied().unwrap_or(""), line + 1 < cell.len());
                let padding = " ".repeat(width - self::width(value));
                text.push_str(if i > 0 { "| " } else { " " });
                if self.is_number[i] {
                    text.extend([&padding, value]);
                } else {
                    text.extend([value, &padding]);
                }
                text.push(if goes_on { '+' } else { ' ' });
            }
            writeln!(self.out, "{}", text.trim_end())?;
        }
        Ok(())
    }

    fn print_expanded(&mut self) -> io::Result<()> {
        let names = self.names.iter().map(|name| width(name)).max().unwrap_or(0);
        let cells = self.rows.iter().flatten().flat_map(|cell| cell.split('\n')).map(width);
        let values = cells.max().unwrap_or(0);
        for (number, row) in self.rows.iter().enumerate() {
            let title = format!("-[ RECORD {} ]", number + 1);
            let line = "-".repeat((names + values + 3).saturating_sub(title.len()));
            writeln!(self.out, "{title}{line}")?;
            for (name, cell) in self.names.iter().zip(row) {
                for (line, value) in cell.split('\n').enumerate() {
                    let name = if line == 0 { name.as_str() } else { "" };
                    let text = format!("{name}{} | {value}", " ".repeat(names - width(name)));
                    writeln!(self.out, "{}", text.trim_end())?;
                }
            }
        }
        Ok(())
    }
}

impl<W: Write + Send> Output for TableOutput<W> {
    fn begin(&mut self, schema: &Schema) -> io::Result<()> {
        self.names = schema.fields().iter().map(|field| visible(field.name())).collect();
        self.is_number = schema.fields().iter().map(|field| Kind::of_field(field) == Kind::Number).collect();
        self.rows.clear();
        self.count = 0;
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let room = self.rows_max - self.rows.len();
        self.count += batch.num_rows();
        let shown = batch.slice(0, room.min(batch.num_rows()));
        let rows = &mut self.rows;
        Texts::new(&shown)?.rows(shown.num_rows(), |cells| {
            rows.push(cells.iter().map(|cell| cell.map_or_else(String::new, visible)).collect());
            Ok(())
        })
    }

    fn is_shown_at_once(&self) -> bool {
        false
    }

    fn end(&mut self) -> io::Result<()> {
        let widths = self.widths();
        // A blank on each side, a line between.
        let columns = widths.iter().map(|width| width + 3).sum::<usize>().saturating_sub(1);
        if self.expanded || self.columns_max.is_some_and(|max| columns > max) {
            self.print_expanded()?;
        } else {
            self.print_aligned(&widths)?;
        }
        let plural = if self.count == 1 { "" } else { "s" };
        match self.count - self.rows.len() {
            0 => writeln!(self.out, "({} row{plural})", self.count)?,
            _ => writeln!(
                self.out,
                "({} rows; the first {} are shown, --format csv gives all)",
                self.count,
                self.rows.len()
            )?,
        }
        writeln!(self.out)?;
        self.rows.clear();
        self.out.flush()
    }
}

/// Without what would move the cursor: only line ends stay.
fn visible(text: &str) -> String {
    if !text.contains(|c: char| c.is_control() && c != '\n') {
        return text.to_owned();
    }
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => visible.push(c),
            '\t' => visible.push_str("    "),
            c if c.is_control() => visible.extend(c.escape_default()),
            c => visible.push(c),
        }
    }
    visible
}

fn centred(text: &str, width: usize) -> String {
    let free = width - self::width(text);
    format!(" {}{text}{} ", " ".repeat(free / 2), " ".repeat(free - free / 2))
}

/// Columns on a terminal.
fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Two for East Asian wide characters and emoji, none for combining marks.
fn char_width(c: char) -> usize {
    match u32::from(c) {
        0..0x300 => 1,
        0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::output::texts::tests::sample;
    use arrow::array::{ArrayRef, StringArray};
    use std::sync::Arc;

    fn print(batch: &RecordBatch, expanded: bool, rows_max: usize) -> String {
        let mut out = Vec::new();
        let mut table = TableOutput { rows_max, ..TableOutput::new(&mut out, expanded) };
        table.begin(&batch.schema()).expect("memory");
        table.batch(batch).expect("memory");
        table.end().expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn columns_are_aligned() {
        let expected = [
            "  n  |   d   |  f  |   t   | b",
            "-----+-------+-----+-------+---",
            "   1 |  1.50 | 0.1 | x,\"y  | t",
            " -20 |       | NaN |       | f",
            " 300 | -0.05 |     | two  +|",
            "     |       |     | lines |",
            "(3 rows)",
            "",
            "",
        ];
        assert_eq!(print(&sample(), false, 10), expected.join("\n"));
    }

    #[test]
    fn records_have_a_line_a_value() {
        let expected = ["-[ RECORD 1 ]", "n | 1", "d | 1.50", "f | 0.1", "t | x,\"y", "b | t", "(1 row)", "", ""];
        assert_eq!(print(&sample().slice(0, 1), true, 10), expected.join("\n"));
    }

    #[test]
    fn rows_that_are_too_wide_have_a_line_a_value() {
        let first_line = |columns_max| {
            let mut out = Vec::new();
            let mut table = TableOutput::new(&mut out, false).expanded_beyond(columns_max);
            table.begin(&sample().schema()).expect("memory");
            table.batch(&sample()).expect("memory");
            table.end().expect("memory");
            String::from_utf8(out).expect("text").lines().next().map(str::to_owned)
        };
        // As wide as the line below it.
        let aligned = "  n  |   d   |  f  |   t   | b";
        assert_eq!(first_line(None).as_deref(), Some(aligned));
        assert_eq!(first_line(Some(31)).as_deref(), Some(aligned));
        assert!(first_line(Some(30)).is_some_and(|line| line.starts_with("-[ RECORD 1 ]")));
    }

    #[test]
    fn what_is_not_shown_is_said() {
        let text = print(&sample(), false, 2);
        assert!(text.contains("(3 rows; the first 2 are shown, --format csv gives all)"), "{text}");
        assert!(!text.contains("lines"));
        assert_eq!(print(&sample().slice(0, 0), false, 2).lines().last(), Some(""));
    }

    #[test]
    fn widths_are_those_of_terminals() {
        assert_eq!((width("abc"), width("日本"), width("e\u{301}"), width("é")), (3, 4, 1, 1));
        let texts = StringArray::from(vec!["日本", "a\tb", "\u{1b}[0m"]);
        let batch = RecordBatch::try_from_iter([("t", Arc::new(texts) as ArrayRef)]).expect("a batch");
        let text = print(&batch, false, 10);
        assert!(!text.contains(['\t', '\u{1b}']), "{text}");
    }
}
