//! Rows of parameters that are bound to one INSERT, put together so that they run as one statement.

use super::limits::{BULK_BYTES_MAX, BULK_TEXT_BYTES_MAX, BULK_VALUES_MAX};
use crate::sql::ValuesRow;
use datafusion::scalar::ScalarValue;

/// Rows that wait to be inserted together; bounded by the limits of this protocol.
pub(super) struct Portion<'a> {
    insert: &'a ValuesRow,
    rows_max: usize,
    rows: usize,
    bytes: usize,
    parameters: Vec<ScalarValue>,
}

impl<'a> Portion<'a> {
    pub(super) fn new(insert: &'a ValuesRow) -> Self {
        let by_values = BULK_VALUES_MAX / insert.parameters();
        let by_text = BULK_TEXT_BYTES_MAX / insert.row_bytes_max(by_values);
        let rows_max = by_values.min(by_text).max(1);
        Portion { insert, rows_max, rows: 0, bytes: 0, parameters: vec![] }
    }

    /// Takes a row, of at least as many values as the statement has parameters. Gives a statement and its parameters when there is
    /// enough for one.
    pub(super) fn push(&mut self, mut row: Vec<ScalarValue>) -> Option<(String, Vec<ScalarValue>)> {
        row.truncate(self.insert.parameters());
        self.bytes += row.iter().map(ScalarValue::size).sum::<usize>();
        self.parameters.append(&mut row);
        self.rows += 1;
        if self.rows < self.rows_max && self.bytes < BULK_BYTES_MAX { None } else { self.take() }
    }

    /// What is left; None if nothing is.
    pub(super) fn take(&mut self) -> Option<(String, Vec<ScalarValue>)> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        (rows > 0).then(|| (self.insert.times(rows), std::mem::take(&mut self.parameters)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Vec<ScalarValue> {
        vec![ScalarValue::Int32(Some(1)), ScalarValue::Utf8(Some(text.into()))]
    }

    #[test]
    fn a_few_rows_are_one_statement() {
        let insert = ValuesRow::of("INSERT INTO t VALUES ($1, $2)").unwrap();
        let mut portion = Portion::new(&insert);
        assert_eq!(portion.take(), None);
        assert_eq!(portion.push(row("a")), None);
        assert_eq!(portion.push(row("b")), None);
        let (text, parameters) = portion.take().unwrap();
        assert_eq!(text, "INSERT INTO t VALUES ($1, $2), ($3, $4)");
        assert_eq!(parameters, [row("a"), row("b")].concat());
        assert_eq!(portion.take(), None);
    }

    #[test]
    fn statements_are_bounded_by_values_and_by_bytes() {
        let insert = ValuesRow::of("INSERT INTO t VALUES ($1, $2)").unwrap();
        let mut portion = Portion::new(&insert);
        let full = (1..).find_map(|n| portion.push(row("a")).map(|(_, parameters)| (n, parameters.len()))).unwrap();
        assert_eq!(full, (BULK_VALUES_MAX / 2, BULK_VALUES_MAX));
        let large = "x".repeat(BULK_BYTES_MAX / 2);
        assert_eq!(portion.push(row(&large)), None);
        assert_eq!(portion.push(row(&large)).unwrap().1.len(), 4);
    }
}
