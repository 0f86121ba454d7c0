//! Expressions as text and back: defaults, and rows of values.

use super::cursor::{Cursor, tokenize};
use super::guard;
use super::nextval::{NEXTVAL, call_arguments, name_in_quotes, not_a_name, sequence_function};
use super::text::Text;
use super::walk::walk;
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, Expr, Query, SetExpr, Visitor};
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
/// 0A000, 54001, without a position.
pub(super) fn default_text(expression: &Expr) -> SqlResult<String> {
    kept_text(expression, Restricted { place: "DEFAULT expression", of_row: false, error: None })
}

/// A CHECK's text. It must depend on nothing but its row: no subqueries, parameters or sequences.
///
/// # Errors
/// 0A000, 54001, without a position.
pub(super) fn check_text(expression: &Expr) -> SqlResult<String> {
    kept_text(expression, Restricted { place: "check constraint", of_row: true, error: None })
}

fn kept_text(expression: &Expr, mut check: Restricted) -> SqlResult<String> {
    let _ = walk(expression, &mut check);
    if let Some(error) = check.error {
        return Err(error);
    }
    let text = expression.to_string();
    // What is kept must be readable again, for as long as the table lives.
    parse_expression(&text)?;
    Ok(text)
}

/// Finds what an expression of a table's definition must not have.
struct Restricted {
    /// What it is, in errors.
    place: &'static str,
    /// Columns are allowed and sequences are not, or the other way round.
    of_row: bool,
    error: Option<SqlError>,
}

impl Visitor for Restricted {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.refuse(format!("cannot use subquery in {}", self.place))
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        match expression {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) if !self.of_row => {
                self.refuse(format!("cannot use column reference in {}", self.place))
            }
            Expr::Value(value) if matches!(value.value, ast::Value::Placeholder(_)) => {
                self.refuse(format!("cannot use a parameter in {}", self.place))
            }
            Expr::Function(function) if function.over.is_some() => {
                self.refuse(format!("window functions are not allowed in {}s", self.place))
            }
            Expr::Function(function) if sequence_function(function) == Some(NEXTVAL) => {
                if self.of_row {
                    self.refuse(format!("cannot use nextval in {}", self.place))
                } else if !names_sequence(function) {
                    self.refuse(not_a_name(NEXTVAL).message)
                } else {
                    ControlFlow::Continue(())
                }
            }
            Expr::Function(function) => match sequence_function(function) {
                Some(other) => self.refuse(format!("cannot use {other} in {}", self.place)),
                None => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Restricted {
    fn refuse(&mut self, message: String) -> ControlFlow<()> {
        self.error = Some(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        ControlFlow::Break(())
    }
}

/// True for `('s')` and `('s'::regclass)`.
fn names_sequence(function: &ast::Function) -> bool {
    matches!(call_arguments(function).as_deref(), Some([argument]) if name_in_quotes(argument).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_round_trip() {
        for sql in [
            "1",
            "'it''s'",
            "CURRENT_DATE",
            "now()",
            "-1.5::numeric(10,2)",
            "DATE '2020-01-01'",
            "true",
            "nextval('s')",
            "1 + pg_catalog.nextval('a.\"S\"'::regclass)",
        ] {
            let text = default_text(&parse_expression(sql).unwrap()).unwrap();
            assert_eq!(parse_expression(&text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn defaults_do_not_depend_on_a_row() {
        for sql in [
            "a",
            "a.b + 1",
            "(select 1)",
            "$1",
            "1 + (1 in (select 2))::int",
            "row_number() over ()",
            "nextval()",
            "nextval('s' || 't')",
            "nextval('s'::text)",
            "NEXTVAL(1)",
        ] {
            let expression = parse_expression(sql).unwrap();
            let error = default_text(&expression).unwrap_err();
            assert_eq!(error.state, SqlState::FEATURE_NOT_SUPPORTED, "{sql}");
        }
    }

    #[test]
    fn checks_depend_on_a_row_only() {
        for (sql, text) in
            [("a>0 and t.B is not null", "a > 0 AND t.B IS NOT NULL"), ("\"A\" in (1,2)", "\"A\" IN (1, 2)")]
        {
            assert_eq!(check_text(&parse_expression(sql).unwrap()).unwrap(), text);
        }
        for (sql, message) in [
            ("a in (select 1)", "cannot use subquery in check constraint"),
            ("exists (select 1)", "cannot use subquery in check constraint"),
            ("a > $1", "cannot use a parameter in check constraint"),
            ("sum(a) over () > 1", "window functions are not allowed in check constraints"),
            ("a > nextval('s')", "cannot use nextval in check constraint"),
        ] {
            let error = check_text(&parse_expression(sql).unwrap()).unwrap_err();
            assert_eq!((error.state, error.message.as_str()), (SqlState::FEATURE_NOT_SUPPORTED, message), "{sql}");
        }
    }

    #[test]
    fn values_make_a_query() {
        let row = vec![parse_expression("1").unwrap(), parse_expression("'a'").unwrap()];
        assert_eq!(values_query(vec![row.clone(), row]).to_string(), "VALUES (1, 'a'), (1, 'a')");
    }
}
