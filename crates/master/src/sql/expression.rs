//! Expressions as text and back: defaults, and rows of values.

use super::cursor::{Cursor, tokenize};
use super::guard;
use super::text::Text;
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, Expr, Query, SetExpr, Visit, Visitor};
use std::ops::ControlFlow;

/// An expression's text, such as a column's DEFAULT, as an AST.
///
/// # Errors
/// 42601, 54001.
pub fn parse_expression(sql: &str) -> SqlResult<Expr> {
    let text = Text::new(sql);
    let tokens = tokenize(&text)?;
    guard::check(&tokens)?;
    let mut cursor = Cursor::new(&text, tokens);
    let expression = cursor.run(|parser| parser.parse_expr())?;
    cursor.end()?;
    Ok(expression)
}

/// `VALUES (…), (…)` as an `ast::Statement::Query`.
pub fn values_query(rows: Vec<Vec<Expr>>) -> Box<ast::Statement> {
    let rows = rows.into_iter().map(ast::Parens::with_empty_span).collect();
    let values = ast::Values { explicit_row: false, value_keyword: false, rows };
    Box::new(ast::Statement::Query(Box::new(Query {
        with: None,
        body: Box::new(SetExpr::Values(values)),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    })))
}

/// A DEFAULT's text. It must not depend on a row: no columns, subqueries or parameters.
///
/// # Errors
/// 0A000, 42P10 and such, without a position.
pub(super) fn constant_text(expression: &Expr) -> SqlResult<String> {
    let mut check = Constant(None);
    let _ = expression.visit(&mut check);
    if let Some(error) = check.0 {
        return Err(error);
    }
    let text = expression.to_string();
    // What is kept must be readable again, for as long as the table lives.
    parse_expression(&text)?;
    Ok(text)
}

struct Constant(Option<SqlError>);

impl Visitor for Constant {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.refuse("cannot use subquery in DEFAULT expression")
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        match expression {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
                self.refuse("cannot use column reference in DEFAULT expression")
            }
            Expr::Value(value) if matches!(value.value, ast::Value::Placeholder(_)) => {
                self.refuse("cannot use a parameter in DEFAULT expression")
            }
            Expr::Function(function) if function.over.is_some() => {
                self.refuse("window functions are not allowed in DEFAULT expressions")
            }
            Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("nextval") => {
                self.refuse("sequences are not supported")
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Constant {
    fn refuse(&mut self, message: &str) -> ControlFlow<()> {
        self.0 = Some(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        ControlFlow::Break(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_round_trip() {
        for sql in ["1", "'it''s'", "CURRENT_DATE", "now()", "-1.5::numeric(10,2)", "DATE '2020-01-01'", "true"] {
            let text = constant_text(&parse_expression(sql).unwrap()).unwrap();
            assert_eq!(parse_expression(&text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn defaults_are_constant() {
        for sql in ["a", "a.b + 1", "(select 1)", "$1", "nextval('s')", "1 + (1 in (select 2))::int"] {
            let expression = parse_expression(sql).unwrap();
            let error = constant_text(&expression).unwrap_err();
            assert_eq!(error.state, SqlState::FEATURE_NOT_SUPPORTED, "{sql}");
        }
    }

    #[test]
    fn values_make_a_query() {
        let row = vec![parse_expression("1").unwrap(), parse_expression("'a'").unwrap()];
        assert_eq!(values_query(vec![row.clone(), row]).to_string(), "VALUES (1, 'a'), (1, 'a')");
    }
}
