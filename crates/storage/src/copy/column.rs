//! One column's texts to an array, with all that is wrong with them.

use crate::text::{RowError, parse_column, type_name};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use std::borrow::Cow;
use std::sync::Arc;

/// The target columns that files hold, in the files' order.
#[derive(Debug)]
pub(crate) struct FileColumns {
    pub schema: SchemaRef,
    /// By column; see [`ColumnRule::max_chars`].
    max_chars: Vec<Option<usize>>,
    /// Positions of those that are read; the others are passed over.
    pub wanted: Vec<usize>,
    /// What is read.
    output: SchemaRef,
}

impl FileColumns {
    /// # Panics
    /// If `wanted` has a position that is none.
    pub(crate) fn new(schema: SchemaRef, max_chars: Vec<Option<usize>>, wanted: Vec<usize>) -> Self {
        let output = Arc::new(schema.project(&wanted).expect("what is read is in the files"));
        FileColumns { schema, max_chars, wanted, output }
    }

    /// Those that are read alone, as if the files had no others.
    pub(crate) fn without_others(&self) -> Self {
        let max_chars = self.wanted.iter().map(|&column| self.max_chars[column]).collect();
        FileColumns::new(Arc::clone(&self.output), max_chars, (0..self.wanted.len()).collect())
    }

    /// Rows of what is read; it may be of no column.
    ///
    /// # Panics
    /// If the columns are not of the schema's types and of so many rows.
    pub(crate) fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options);
        batch.expect("columns have the schema's types")
    }

    pub(crate) fn len(&self) -> usize {
        self.schema.fields().len()
    }

    pub(crate) fn rule(&self, column: usize) -> ColumnRule<'_> {
        ColumnRule { field: self.schema.field(column), max_chars: self.max_chars[column] }
    }
}

/// What a target column takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColumnRule<'a> {
    pub field: &'a Field,
    /// Characters of a text, the spaces at its end not counted.
    pub max_chars: Option<usize>,
}

/// A value that its column does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub row: usize,
    pub message: String,
    pub sqlstate: &'static str,
    /// The value says more than the message: not so for NULL.
    pub has_value: bool,
}

impl ColumnRule<'_> {
    /// Parses all texts; None is NULL.
    ///
    /// # Errors
    /// The first of them that is wrong.
    ///
    /// # Panics
    /// As [`parse_column`].
    #[inline]
    pub(crate) fn parse<'t>(
        &self,
        texts: impl ExactSizeIterator<Item = Option<Cow<'t, str>>>,
    ) -> Result<ArrayRef, Wrong> {
        let column = parse_column(self.field.data_type(), texts).map_err(|RowError { row, error }| {
            let name = type_name(self.field.data_type()).unwrap_or_default();
            Wrong { row, message: error.message(&name), sqlstate: error.sqlstate(), has_value: true }
        })?;
        match self.first_refused(&column) {
            Some(wrong) => Err(wrong),
            None => Ok(column),
        }
    }

    /// All rows that are wrong, in no order. `texts_from` gives the texts from a row on.
    pub(crate) fn all_wrong<'t, T>(&self, texts_from: impl Fn(usize) -> T) -> Vec<Wrong>
    where
        T: ExactSizeIterator<Item = Option<Cow<'t, str>>>,
    {
        let mut all = vec![];
        if !self.field.is_nullable() {
            let nulls = texts_from(0).enumerate().filter(|(_, text)| text.is_none());
            all.extend(nulls.map(|(row, _)| self.null(row)));
        }
        if let Some(max) = self.max_chars {
            let is_long = |text: &Option<Cow<'_, str>>| text.as_ref().is_some_and(|text| is_longer(text, max));
            let long = texts_from(0).enumerate().filter(|(_, text)| is_long(text));
            all.extend(long.map(|(row, _)| too_long(row, max)));
        }
        // Texts are always values.
        if *self.field.data_type() == DataType::Utf8View {
            return all;
        }
        // Each parse ends at the next wrong value; together they go over the column twice at most.
        let (mut from, name) = (0, type_name(self.field.data_type()).unwrap_or_default());
        while let Err(RowError { row, error }) = parse_column(self.field.data_type(), texts_from(from)) {
            let (message, sqlstate) = (error.message(&name), error.sqlstate());
            all.push(Wrong { row: from + row, message, sqlstate, has_value: true });
            from += row + 1;
        }
        all
    }

    /// All rows of a column that is typed already, in no order.
    pub(crate) fn all_refused(&self, column: &ArrayRef) -> Vec<Wrong> {
        let mut all = vec![];
        if !self.field.is_nullable() && column.null_count() > 0 {
            all.extend((0..column.len()).filter(|&row| column.is_null(row)).map(|row| self.null(row)));
        }
        all.extend(self.long_rows(column));
        all
    }

    /// The first row of a column that is typed already.
    pub(crate) fn first_refused(&self, column: &ArrayRef) -> Option<Wrong> {
        if !self.field.is_nullable() && column.null_count() > 0 {
            let row = (0..column.len()).find(|&row| column.is_null(row)).unwrap_or(0);
            let earlier = self.long_rows(column).next().filter(|long| long.row < row);
            return Some(earlier.unwrap_or_else(|| self.null(row)));
        }
        self.long_rows(column).next()
    }

    fn long_rows(&self, column: &ArrayRef) -> impl Iterator<Item = Wrong> {
        let texts = self.max_chars.and_then(|max| Some((column.as_string_view_opt()?, max)));
        texts.into_iter().flat_map(|(texts, max)| {
            let is_long = move |text: Option<&str>| text.is_some_and(|text| is_longer(text, max));
            texts.iter().enumerate().filter(move |(_, text)| is_long(*text)).map(move |(row, _)| too_long(row, max))
        })
    }

    fn null(&self, row: usize) -> Wrong {
        let message = format!("null value in column \"{}\" violates not-null constraint", self.field.name());
        Wrong { row, message, sqlstate: "23502", has_value: false }
    }
}

fn too_long(row: usize, max: usize) -> Wrong {
    let message = format!("value too long for type character varying({max})");
    Wrong { row, message, sqlstate: "22001", has_value: true }
}

/// Whether a text has more characters than `max`, the spaces at its end not counted.
fn is_longer(text: &str, max: usize) -> bool {
    text.len() > max && text.trim_end_matches(' ').chars().nth(max).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_of(mut all: Vec<Wrong>) -> Vec<(usize, &'static str)> {
        all.sort_by_key(|wrong| wrong.row);
        all.iter().map(|wrong| (wrong.row, wrong.sqlstate)).collect()
    }

    #[test]
    fn all_that_is_wrong_is_found() {
        let texts = [Some("1"), Some("x"), None, Some("99999999999"), Some("2"), Some("")];
        let from = |row: usize| texts[row..].iter().map(|text| text.map(Cow::Borrowed));
        let field = Field::new("i", DataType::Int32, false);
        let rule = ColumnRule { field: &field, max_chars: None };
        assert_eq!(rows_of(rule.all_wrong(from)), [(1, "22P02"), (2, "23502"), (3, "22003"), (5, "22P02")]);
        assert_eq!(rule.parse(from(0)).unwrap_err().row, 1);
        assert_eq!(rule.parse(from(2)).unwrap_err().sqlstate, "22003");

        let texts = [Some("ab"), Some("äöü"), Some("ab    "), None, Some("  abc")];
        let from = |row: usize| texts[row..].iter().map(|text| text.map(Cow::Borrowed));
        let field = Field::new("t", DataType::Utf8View, true);
        let rule = ColumnRule { field: &field, max_chars: Some(2) };
        assert_eq!(rows_of(rule.all_wrong(from)), [(1, "22001"), (4, "22001")]);
        let wrong = rule.parse(from(0)).unwrap_err();
        assert_eq!((wrong.row, wrong.message.as_str()), (1, "value too long for type character varying(2)"));
        let column = ColumnRule { field: &field, max_chars: None }.parse(from(0)).unwrap();
        assert_eq!(rows_of(rule.all_refused(&column)), [(1, "22001"), (4, "22001")]);
        let strict = field.clone().with_nullable(false);
        let rule = ColumnRule { field: &strict, max_chars: Some(3) };
        assert_eq!(rows_of(rule.all_refused(&column)), [(3, "23502"), (4, "22001")]);
    }
}
