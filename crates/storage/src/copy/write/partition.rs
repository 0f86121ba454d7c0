//! PARTITION BY: rows to Hive's directories.

use super::columns::Columns;
use crate::StorageError;
use crate::limits::{COPY_TO_DIRECTORY_BYTES_MAX, ERROR_VALUE_BYTES_MAX};
use crate::source::HIVE_NULL;
use crate::text::ColumnPrinter;
use datafusion::arrow::array::{Array, ArrayRef};
use std::collections::HashMap;
use std::fmt::Write;

/// Rows of one directory.
#[derive(Debug, PartialEq)]
pub(super) struct Group {
    /// `a=x/b=y/`.
    pub directory: String,
    /// Row numbers, ascending.
    pub rows: Vec<u32>,
}

/// The rows of a batch by directory, in the order of their first rows. `columns` are all of the statement's, in their forms.
///
/// # Errors
/// 54000 for a value that no directory can be named by.
pub(super) fn group(columns: &Columns, arrays: &[ArrayRef], rows: usize) -> Result<Vec<Group>, StorageError> {
    let values = columns.partition_by.iter().map(|&position| {
        let array = &arrays[position];
        (columns.name(position), array, ColumnPrinter::new(array).expect("every exported type can be printed"))
    });
    let values: Vec<(&str, &ArrayRef, ColumnPrinter)> = values.collect();
    let mut groups: Vec<Group> = vec![];
    let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
    let (mut printed, mut value) = (vec![], vec![]);
    for row in 0..rows {
        printed.clear();
        for (_, array, printer) in &values {
            // NULL is a 0; a value is a 1, its length and its text.
            if array.is_null(row) {
                printed.push(0);
                continue;
            }
            value.clear();
            printer.print(row, &mut value);
            printed.push(1);
            printed.extend_from_slice(&(value.len() as u64).to_le_bytes());
            printed.extend_from_slice(&value);
        }
        let at = match known.get(&printed) {
            Some(at) => *at,
            None => {
                let mut directory = String::new();
                for (name, array, printer) in &values {
                    value.clear();
                    let text = (!array.is_null(row)).then(|| printer.print(row, &mut value)).map(|()| value.as_slice());
                    directory.push_str(&directory_of(name, text)?);
                    directory.push('/');
                }
                groups.push(Group { directory, rows: vec![] });
                known.insert(printed.clone(), groups.len() - 1);
                groups.len() - 1
            }
        };
        groups[at].rows.push(row as u32);
    }
    Ok(groups)
}

/// `column=value`; None: NULL.
fn directory_of(column: &str, value: Option<&[u8]>) -> Result<String, StorageError> {
    let mut directory = String::new();
    escape(column, column.starts_with(['_', '.']), &mut directory);
    directory.push('=');
    match value {
        None => directory.push_str(HIVE_NULL),
        Some(value) => {
            let value = String::from_utf8_lossy(value);
            // What reads like NULL and is none.
            escape(&value, value == HIVE_NULL, &mut directory);
        }
    }
    if directory.len() > COPY_TO_DIRECTORY_BYTES_MAX {
        let message = format!("a value of column \"{column}\" is too long for the name of a directory");
        let path = directory.chars().take(ERROR_VALUE_BYTES_MAX).collect();
        return Err(StorageError::File { path, message, sqlstate: "54000" });
    }
    Ok(directory)
}

/// Percent-encodes what Hive does. `first`: the first character too, because as it is the name means something else.
fn escape(text: &str, first: bool, out: &mut String) {
    for (at, character) in text.chars().enumerate() {
        let special = character.is_ascii_control() || "\"#%'*/:=?\\{[]^".contains(character);
        if special || first && at == 0 {
            write!(out, "%{:02X}", u32::from(character)).expect("a string takes all");
        } else {
            out.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Int32Array, StringViewArray};
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    #[test]
    fn directories_are_hives() {
        for (column, value, directory) in [
            ("a", Some("x y"), "a=x y"),
            ("a", Some(""), "a="),
            ("a", None, "a=__HIVE_DEFAULT_PARTITION__"),
            ("a", Some("__HIVE_DEFAULT_PARTITION__"), "a=%5F_HIVE_DEFAULT_PARTITION__"),
            ("a", Some("2026-01-02 03:04:05+00"), "a=2026-01-02 03%3A04%3A05+00"),
            ("a", Some("é/..\\%=\n\u{7f}"), "a=é%2F..%5C%25%3D%0A%7F"),
            ("_a=b", Some("1"), "%5Fa%3Db=1"),
        ] {
            assert_eq!(directory_of(column, value.map(str::as_bytes)).unwrap(), directory);
        }
        let long = "x".repeat(COPY_TO_DIRECTORY_BYTES_MAX);
        assert_eq!(directory_of("a", Some(long.as_bytes())).unwrap_err().sqlstate(), "54000");
    }

    #[test]
    fn rows_are_grouped_by_all_values() {
        let schema = Schema::new(vec![
            Field::new("a", DataType::Utf8View, true),
            Field::new("v", DataType::Int32, true),
            Field::new("b", DataType::Int32, true),
        ]);
        let columns = Columns::new(&schema, &["a", "v", "b"].map(String::from), &[2, 0]).unwrap();
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(StringViewArray::from(vec![Some("x"), None, Some("x"), Some(""), Some("x")])),
            Arc::new(Int32Array::from(vec![0, 1, 2, 3, 4])),
            Arc::new(Int32Array::from(vec![Some(1), Some(1), Some(1), Some(1), None])),
        ];
        let group = |directory: &str, rows: &[u32]| Group { directory: directory.into(), rows: rows.to_vec() };
        let null = "__HIVE_DEFAULT_PARTITION__";
        assert_eq!(
            super::group(&columns, &arrays, 5).unwrap(),
            [
                group("b=1/a=x/", &[0, 2]),
                group(&format!("b=1/a={null}/"), &[1]),
                group("b=1/a=/", &[3]),
                group(&format!("b={null}/a=x/"), &[4]),
            ]
        );
    }
}
