//! Rows as text: CSV, and PostgreSQL's own form.

use super::csv::{Dialect, Form};
use crate::text::ColumnPrinter;
use damson_pg::copy::{append_escaped, append_quoted};
use datafusion::arrow::array::{Array, ArrayRef};

/// Appends rows of columns that can all be printed.
pub(super) fn append_rows(dialect: &Dialect, columns: &[ArrayRef], rows: usize, out: &mut Vec<u8>) {
    let printers: Vec<ColumnPrinter> = columns.iter().filter_map(ColumnPrinter::new).collect();
    assert_eq!(printers.len(), columns.len(), "every exported type can be printed");
    let mut value = Vec::new();
    for row in 0..rows {
        for (position, (column, printer)) in columns.iter().zip(&printers).enumerate() {
            if position > 0 {
                out.push(dialect.delimiter);
            }
            if column.is_null(row) {
                out.extend_from_slice(dialect.null.as_bytes());
                continue;
            }
            value.clear();
            printer.print(row, &mut value);
            append_text(dialect, &value, columns.len() == 1, out);
        }
        out.push(b'\n');
    }
}

/// One value, quoted or escaped where it must be.
pub(super) fn append_text(dialect: &Dialect, value: &[u8], alone: bool, out: &mut Vec<u8>) {
    match dialect.form {
        Form::Csv { quote, escape } => {
            append_quoted(dialect.delimiter, &dialect.null, (quote, escape), value, alone, out);
        }
        Form::Text { escape: Some(escape) } => append_escaped(dialect.delimiter, escape, value, out),
        Form::Text { escape: None } => out.extend_from_slice(value),
    }
}
