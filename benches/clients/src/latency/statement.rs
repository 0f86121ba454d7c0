//! The statements.

use super::answer::Answer;
use crate::limits::{GROUPS, SMALL_ROWS};

/// Tables; the first two of the same rows.
pub const LOOKED_UP: &str = "looked_up";
pub const LOOKED_UP_SORTED: &str = "looked_up_sorted";
pub const SMALL: &str = "small";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement {
    One,
    /// A row of a table by its distribution key.
    Lookup,
    /// The same, of a table whose files are sorted by it.
    LookupSorted,
    /// Of a small table that is on all segments.
    Aggregate,
}

/// In the report's order.
pub const STATEMENTS: [Statement; 4] =
    [Statement::One, Statement::Lookup, Statement::LookupSorted, Statement::Aggregate];

impl Statement {
    pub fn title(self) -> &'static str {
        match self {
            Statement::One => "SELECT 1",
            Statement::Lookup => "lookup",
            Statement::LookupSorted => "sorted lookup",
            Statement::Aggregate => "aggregate",
        }
    }

    /// Whether its key is a parameter.
    pub fn has_key(self) -> bool {
        matches!(self, Statement::Lookup | Statement::LookupSorted)
    }

    /// With `$1` for the key.
    pub fn prepared(self) -> String {
        self.with_key("$1")
    }

    pub fn text(self, key: i64) -> String {
        self.with_key(&key.to_string())
    }

    fn with_key(self, key: &str) -> String {
        let lookup = |table: &str| format!("SELECT k, name, amount, maybe FROM {table} WHERE k = {key}");
        match self {
            Statement::One => "SELECT 1".into(),
            Statement::Lookup => lookup(LOOKED_UP),
            Statement::LookupSorted => lookup(LOOKED_UP_SORTED),
            Statement::Aggregate => format!("SELECT count(*), g, sum(amount) FROM {SMALL} GROUP BY g"),
        }
    }

    /// # Errors
    /// Another answer than the right one.
    pub fn check(self, key: i64, found: Answer) -> Result<(), String> {
        let (rows, total) = match self {
            Statement::One => (1, 1),
            Statement::Lookup | Statement::LookupSorted => (1, key),
            Statement::Aggregate => (GROUPS as usize, SMALL_ROWS as i64),
        };
        let right = Answer { rows, total };
        if found == right { Ok(()) } else { Err(format!("{}: {found:?} instead of {right:?}", self.text(key))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
    use std::sync::Arc;

    #[test]
    fn a_key_is_a_parameter_or_in_the_text() {
        assert!(Statement::Lookup.prepared().ends_with("k = $1") && Statement::Lookup.text(-7).ends_with("k = -7"));
        assert!(Statement::LookupSorted.text(1).contains(" looked_up_sorted "));
        assert_eq!(STATEMENTS.map(Statement::has_key), [false, true, true, false]);
        assert_eq!(Statement::Aggregate.prepared(), Statement::Aggregate.text(5));
    }

    #[test]
    fn an_answer_is_that_of_its_key() {
        let mut found = Answer::default();
        let batch = |first: ArrayRef| RecordBatch::try_from_iter([("first", first)]).expect("a batch");
        found.add_batch(&batch(Arc::new(Int32Array::from(vec![40])))).expect("numbers");
        assert_eq!(Statement::Lookup.check(40, found), Ok(()));
        assert!(Statement::Lookup.check(41, found).is_err() && Statement::One.check(40, found).is_err());
        found.add_batch(&batch(Arc::new(Int64Array::from(vec![1, 2])))).expect("numbers");
        found.add_row(7);
        assert_eq!(found, Answer { rows: 4, total: 50 });
        assert!(Answer::default().add_batch(&batch(Arc::new(StringArray::from(vec!["x"])))).is_err());
    }
}
