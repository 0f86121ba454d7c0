//! Rows as text: CSV, and PostgreSQL's own form.

use super::csv::{Dialect, Form};
use crate::text::ColumnPrinter;
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
        Form::Csv { quote, escape } => append_quoted(dialect, (quote, escape), value, alone, out),
        Form::Text { escape: Some(escape) } => append_escaped(dialect.delimiter, escape, value, out),
        Form::Text { escape: None } => out.extend_from_slice(value),
    }
}

fn append_quoted(dialect: &Dialect, (quote, escape): (u8, u8), value: &[u8], alone: bool, out: &mut Vec<u8>) {
    let special = |&byte: &u8| byte == dialect.delimiter || byte == quote || matches!(byte, b'\n' | b'\r');
    // A line of `\.` alone ends the data for PostgreSQL.
    let must = value == dialect.null.as_bytes() || value.iter().any(special) || (alone && value == b"\\.");
    if !must {
        out.extend_from_slice(value);
        return;
    }
    out.push(quote);
    for &byte in value {
        if byte == quote || byte == escape {
            out.push(escape);
        }
        out.push(byte);
    }
    out.push(quote);
}

fn append_escaped(delimiter: u8, escape: u8, value: &[u8], out: &mut Vec<u8>) {
    for &byte in value {
        let letter = match byte {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            byte if byte == escape || byte == delimiter => byte,
            byte => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[escape, letter]);
    }
}
