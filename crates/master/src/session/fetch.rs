//! `FETCH FIRST n ROWS ONLY`, which is LIMIT n: DataFusion reads that alone.

use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{parse_expression, walk_mut};
use sqlparser::ast::{self, Fetch, LimitClause, Query, VisitorMut};
use std::ops::ControlFlow;

/// Writes LIMIT in the place of every FETCH.
///
/// # Errors
/// 0A000 for WITH TIES; 42601 for PERCENT, which PostgreSQL does not have, and beside LIMIT.
pub(super) fn limit_by_fetch(statement: &mut ast::Statement) -> SqlResult<()> {
    match walk_mut(statement, &mut Limits) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Limits;

impl VisitorMut for Limits {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        let Some(fetch) = query.fetch.take() else { return ControlFlow::Continue(()) };
        match limited(fetch, query.limit_clause.take()) {
            Ok(limit) => {
                query.limit_clause = Some(limit);
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn limited(fetch: Fetch, beside: Option<LimitClause>) -> SqlResult<LimitClause> {
    let Fetch { with_ties, percent, quantity } = fetch;
    if with_ties {
        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "FETCH ... WITH TIES is not supported")
            .with_hint("Compare rank() OVER (ORDER BY ...) in a subquery."));
    }
    if percent {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at or near \"PERCENT\""));
    }
    let limit = Some(quantity.map_or_else(|| parse_expression("1"), Ok)?);
    match beside {
        None => Ok(LimitClause::LimitOffset { limit, offset: None, limit_by: vec![] }),
        Some(LimitClause::LimitOffset { limit: None, offset, limit_by }) => {
            Ok(LimitClause::LimitOffset { limit, offset, limit_by })
        }
        Some(_) => Err(SqlError::new(SqlState::SYNTAX_ERROR, "multiple LIMIT clauses not allowed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql;

    fn limited(text: &str) -> Result<String, SqlState> {
        let sql::Statement::Query(mut query) = sql::parse(text).unwrap() else { panic!("{text} is a query") };
        limit_by_fetch(&mut query).map_err(|error| error.state)?;
        Ok(query.to_string())
    }

    #[test]
    fn fetch_is_limit() {
        for (text, expected) in [
            ("SELECT k FROM t ORDER BY k FETCH FIRST 2 ROWS ONLY", "SELECT k FROM t ORDER BY k LIMIT 2"),
            ("SELECT k FROM t OFFSET 1 ROWS FETCH NEXT ROW ONLY", "SELECT k FROM t LIMIT 1 OFFSET 1 ROWS"),
            (
                "SELECT 1 WHERE 1 IN (SELECT k FROM t FETCH FIRST 2 ROWS ONLY)",
                "SELECT 1 WHERE 1 IN (SELECT k FROM t LIMIT 2)",
            ),
        ] {
            assert_eq!(limited(text).unwrap(), expected);
        }
        assert_eq!(
            limited("SELECT k FROM t ORDER BY k FETCH FIRST 2 ROWS WITH TIES"),
            Err(SqlState::FEATURE_NOT_SUPPORTED)
        );
        assert_eq!(limited("SELECT k FROM t LIMIT 1 FETCH FIRST 2 ROWS ONLY"), Err(SqlState::SYNTAX_ERROR));
    }
}
