//! Calls of sequences' functions in a statement: what the binder and the planner can do with them, and a clear refusal of the rest.

use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::walk_mut;
use crate::sql::{NEXTVAL, call_arguments, calls_sequence, name_in_quotes, not_a_name, sequence_function};
use sqlparser::ast::{self, Expr, Ident, ObjectName, Query, VisitorMut};
use std::ops::ControlFlow;

/// Writes every call of nextval as `nextval('name')`, which the binder knows.
///
/// # Errors
/// 0A000 for calls in subqueries of expressions and in WITH, which could be evaluated another number of times than they are written, and
/// for the functions that no segment can answer.
pub(super) fn write_out_nextval(statement: &mut ast::Statement) -> SqlResult<()> {
    if calls_sequence(statement).is_none() {
        return Ok(());
    }
    match walk_mut(statement, &mut Calls { subqueries: 0 }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// # Errors
/// 0A000 where a view's query calls a function of sequences: it would be evaluated wherever the view is read.
pub(super) fn refuse_in_view(query: &ast::Statement) -> SqlResult<()> {
    match calls_sequence(query) {
        Some(name) => Err(unsupported(format!("{name} in a view is not supported"))),
        None => Ok(()),
    }
}

/// # Errors
/// 25006 where a query of a transaction that may change nothing would move a sequence.
pub(super) fn refuse_read_only(query: &ast::Statement) -> SqlResult<()> {
    match calls_sequence(query) {
        Some(name) => {
            let message = format!("cannot execute {name}() in a read-only transaction");
            Err(SqlError::new(SqlState::READ_ONLY_TRANSACTION, message))
        }
        None => Ok(()),
    }
}

struct Calls {
    /// Subqueries of expressions around.
    subqueries: usize,
}

impl VisitorMut for Calls {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            if let Some(name) = calls_sequence(&cte.query) {
                return ControlFlow::Break(unsupported(format!("{name} in WITH is not supported")));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        if is_subquery(expr) {
            self.subqueries += 1;
        }
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        match sequence_function(function) {
            Some(NEXTVAL) if self.subqueries > 0 => {
                ControlFlow::Break(unsupported(format!("{NEXTVAL} in a subquery of an expression is not supported")))
            }
            Some(NEXTVAL) => {
                let arguments = call_arguments(function);
                let name = arguments.as_deref().and_then(|arguments| match arguments {
                    [argument] => name_in_quotes(argument),
                    _ => None,
                });
                let Some(name) = name else { return ControlFlow::Break(not_a_name(NEXTVAL)) };
                function.name = ObjectName::from(vec![Ident::new(NEXTVAL)]);
                if let ast::FunctionArguments::List(list) = &mut function.args {
                    let name = Expr::Value(ast::Value::SingleQuotedString(name).with_empty_span());
                    list.args = vec![ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(name))];
                }
                ControlFlow::Continue(())
            }
            Some("setval") => {
                let error = unsupported("setval is only supported as the only item of a SELECT list");
                ControlFlow::Break(error.with_hint("SELECT setval('sequence', value)."))
            }
            Some(name) => {
                let error = unsupported(format!("{name} is not supported"));
                let error = error.with_detail("Segments take values by themselves: there is no last one of a session.");
                ControlFlow::Break(error.with_hint("Use INSERT ... RETURNING."))
            }
            None => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        if is_subquery(expr) {
            self.subqueries -= 1;
        }
        ControlFlow::Continue(())
    }
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. })
}

fn unsupported(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql;

    fn written(text: &str) -> Result<String, (SqlState, String)> {
        let sql::Statement::Query(mut query) = sql::parse(text).unwrap() else { panic!("{text} is a query") };
        write_out_nextval(&mut query).map_err(|error| (error.state, error.message))?;
        Ok(query.to_string())
    }

    #[test]
    fn calls_are_written_as_the_binder_knows_them() {
        for (text, wanted) in [
            ("SELECT pg_catalog.NextVal('a.\"S\"'::regclass), k FROM t", "SELECT nextval('a.\"S\"'), k FROM t"),
            (
                "SELECT 1 + nextval('s') FROM (SELECT nextval('u')) AS u",
                "SELECT 1 + nextval('s') FROM (SELECT nextval('u')) AS u",
            ),
            ("SELECT k FROM t", "SELECT k FROM t"),
        ] {
            assert_eq!(written(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_could_be_evaluated_at_another_time_is_refused() {
        for text in [
            "SELECT (SELECT nextval('s'))",
            "SELECT k FROM t WHERE k IN (SELECT nextval('s'))",
            "SELECT EXISTS (SELECT nextval('s') FROM t)",
            "WITH w AS (SELECT nextval('s') AS n) SELECT a.n FROM w AS a, w AS b",
            "SELECT nextval(k) FROM t",
            "SELECT nextval('s', 2)",
            "SELECT currval('s')",
            "SELECT lastval()",
            "SELECT k, setval('s', k) FROM t",
        ] {
            assert_eq!(written(text).map_err(|(state, _)| state), Err(SqlState::FEATURE_NOT_SUPPORTED), "{text}");
        }
    }
}
