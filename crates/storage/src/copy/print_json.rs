//! Rows as JSON, an object a line.

use crate::text::ColumnPrinter;
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::DataType;
use std::io::Write;

/// Appends rows of columns that can all be printed. Numbers are written with all their digits; what JSON has no number for (NaN,
/// infinity) and every other type are strings.
pub(super) fn append_rows(names: &[String], columns: &[ArrayRef], rows: usize, out: &mut Vec<u8>) {
    let printers: Vec<ColumnPrinter> = columns.iter().filter_map(ColumnPrinter::new).collect();
    assert_eq!(printers.len(), columns.len(), "every exported type can be printed");
    let mut value = Vec::new();
    for row in 0..rows {
        out.push(b'{');
        for (position, (column, printer)) in columns.iter().zip(&printers).enumerate() {
            if position > 0 {
                out.push(b',');
            }
            append_string(&names[position], out);
            out.push(b':');
            if column.is_null(row) {
                out.extend_from_slice(b"null");
            } else if let DataType::Boolean = column.data_type() {
                out.extend_from_slice(if column.as_boolean().value(row) { b"true" } else { b"false" });
            } else {
                value.clear();
                printer.print(row, &mut value);
                let is_number = column.data_type().is_numeric() && value.last().is_some_and(u8::is_ascii_digit);
                if is_number {
                    out.extend_from_slice(&value);
                } else {
                    append_string(&String::from_utf8_lossy(&value), out);
                }
            }
        }
        out.extend_from_slice(b"}\n");
    }
}

fn append_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            control if u32::from(control) < 0x20 => {
                write!(out, "\\u{:04x}", u32::from(control)).expect("a vector takes all");
            }
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{BooleanArray, Float64Array, Int64Array, StringViewArray};
    use std::sync::Arc;

    #[test]
    fn values_keep_their_kind() {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None])),
            Arc::new(Float64Array::from(vec![f64::NAN, -0.5])),
            Arc::new(StringViewArray::from(vec!["a\"b\\c\n\u{1}é", "7"])),
            Arc::new(BooleanArray::from(vec![true, false])),
        ];
        let names: Vec<String> = ["n", "f", "t", "b"].map(String::from).to_vec();
        let mut out = vec![];
        append_rows(&names, &columns, 2, &mut out);
        let text = String::from_utf8(out).unwrap();
        let first = r#"{"n":9007199254740993,"f":"NaN","t":"a\"b\\c\n\u0001é","b":true}"#;
        assert_eq!(text, format!("{first}\n{}\n", r#"{"n":null,"f":-0.5,"t":"7","b":false}"#));
    }
}
