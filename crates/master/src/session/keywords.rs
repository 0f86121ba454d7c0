//! `pg_get_keywords()` in FROM: the words that are no plain names, which drivers quote.

use crate::system::pg_constraint::keywords;
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};
use std::sync::Arc;

pub(super) const GET_KEYWORDS: &str = "pg_get_keywords";

#[derive(Debug)]
pub(super) struct GetKeywords;

impl TableFunctionImpl for GetKeywords {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        if !args.exprs().is_empty() {
            return Err(DataFusionError::Plan(format!("{GET_KEYWORDS} takes no arguments")));
        }
        let columns = [("word", 0), ("catcode", 1), ("catdesc", 2)].map(|(name, column)| {
            let values = keywords().map(|(word, is_reserved)| match (column, is_reserved) {
                (0, _) => word.to_ascii_lowercase(),
                (1, true) => "R".to_owned(),
                (1, false) => "U".to_owned(),
                (_, true) => "reserved".to_owned(),
                (_, false) => "unreserved".to_owned(),
            });
            (name, Arc::new(values.map(Some).collect::<StringViewArray>()) as ArrayRef)
        });
        let rows = RecordBatch::try_from_iter(columns)?;
        Ok(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_reserved() {
        let is_reserved = |word: &str| keywords().find(|(known, _)| *known == word).map(|(_, reserved)| reserved);
        assert_eq!(is_reserved("SELECT"), Some(true));
        assert_eq!(is_reserved("LOCATION"), Some(false));
        assert_eq!(is_reserved("NO_SUCH_WORD"), None);
    }
}
