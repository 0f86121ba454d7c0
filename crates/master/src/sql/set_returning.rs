//! Functions that return sets, and where PostgreSQL takes none.

use super::names::fold;
use super::walk::walk;
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{Expr, Function, Query, Visitor};
use std::ops::ControlFlow;

pub const SERIES: &str = "generate_series";
pub const UNNEST: &str = "unnest";

/// Refuses an expression with a set.
///
/// # Errors
/// 0A000, without a position.
pub fn refuse_sets(expr: &Expr, place: &str) -> SqlResult<()> {
    match returns_set(expr) {
        true => Err(set_not_allowed(place)),
        false => Ok(()),
    }
}

pub fn set_not_allowed(place: &str) -> SqlError {
    let message = format!("set-returning functions are not allowed in {place}");
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
}

/// Whether an expression has a set that is not one of its subqueries'.
pub fn returns_set(expr: &Expr) -> bool {
    walk(expr, &mut Sets { queries: 0 }).is_break()
}

pub fn is_set(function: &Function) -> bool {
    let name = function.name.0.last().and_then(|part| part.as_ident()).map(fold);
    name.is_some_and(|name| [SERIES, UNNEST].contains(&name.as_str()))
}

struct Sets {
    /// Around what is looked at.
    queries: usize,
}

impl Visitor for Sets {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) if self.queries == 0 && is_set(function) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}
