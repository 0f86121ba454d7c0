//! SELECT, VALUES, WITH.

use super::cursor::Cursor;
use super::limits::TARGETS_MAX;
use super::set_returning::refuse_sets;
use super::statement::RelationName;
use super::walk::walk;
use super::{files, names};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, Expr, Query, SetExpr, Visit, Visitor};
use std::ops::ControlFlow;

/// The query at the cursor, as an `ast::Statement::Query`.
///
/// # Errors
/// 42601; 0A000 for SELECT INTO, FOR UPDATE and data-modifying WITH.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> SqlResult<Box<ast::Statement>> {
    let at = cursor.position();
    let query = cursor.run(|parser| parser.parse_query())?;
    check(&query).map_err(|error| error.at(at))?;
    Ok(Box::new(ast::Statement::Query(query)))
}

/// As [`parse`] checks what it reads.
///
/// # Errors
/// 0A000, without a position.
pub fn check_query(statement: &ast::Statement) -> SqlResult<()> {
    match statement {
        ast::Statement::Query(query) => check(query),
        _ => Ok(()),
    }
}

/// The expression at the cursor, which a statement that changes rows has besides its query.
///
/// # Errors
/// 42601, 0A000.
pub(super) fn expression(cursor: &mut Cursor<'_>) -> SqlResult<Expr> {
    let at = cursor.position();
    let expression = cursor.run(|parser| parser.parse_expr())?;
    check_inside(&expression).and_then(|()| refuse_sets(&expression, "conditions")).map_err(|error| error.at(at))?;
    Ok(expression)
}

/// Checks the subqueries in a part of a statement that is not a query itself.
///
/// # Errors
/// 0A000 and 54011, without a position.
pub(super) fn check_inside(part: &impl Visit) -> SqlResult<()> {
    match walk(part, &mut Refuse) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Whether a select list has not too many entries.
///
/// # Errors
/// 54011.
pub fn check_targets(entries: usize) -> SqlResult<()> {
    if entries <= TARGETS_MAX {
        return Ok(());
    }
    let message = format!("target lists can have at most {TARGETS_MAX} entries");
    Err(SqlError::new(SqlState::TOO_MANY_COLUMNS, message))
}

fn unsupported(what: &str) -> SqlError {
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported"))
}

pub(super) fn check(query: &Query) -> SqlResult<()> {
    if !query.locks.is_empty() {
        return Err(unsupported("SELECT ... FOR UPDATE/SHARE"));
    }
    check_inside(query)?;
    match query.body.as_ref() {
        SetExpr::Select(select) if select.into.is_some() => {
            Err(unsupported("SELECT ... INTO").with_hint("Use CREATE TABLE ... AS SELECT."))
        }
        _ => Ok(()),
    }
}

/// Stops at a table with TABLESAMPLE, at a statement of WITH that changes rows, and at a select list that is too long.
struct Refuse;

impl Visitor for Refuse {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        match query.body.as_ref() {
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                ControlFlow::Break(unsupported("a data-modifying statement in WITH"))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<SqlError> {
        match factor {
            ast::TableFactor::Table { sample: Some(_), .. } => ControlFlow::Break(unsupported("TABLESAMPLE")),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<SqlError> {
        match check_targets(select.projection.len()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// The relations that a query names, each once, without the names that its own WITHs define.
///
/// # Errors
/// As for names.
pub(super) fn references(query: &ast::Statement) -> SqlResult<Vec<RelationName>> {
    let mut references = References::default();
    // Its Break is never used: errors are kept, the walk goes on.
    let _ = walk(query, &mut references);
    match references.error {
        Some(error) => Err(error),
        None => Ok(references.found),
    }
}

#[derive(Default)]
struct References {
    found: Vec<RelationName>,
    /// CTE names by query level.
    scopes: Vec<Vec<String>>,
    error: Option<SqlError>,
}

impl Visitor for References {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.scopes.push(ctes.map(|cte| names::fold(&cte.alias.name)).collect());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ast::ObjectName) -> ControlFlow<()> {
        if files::is_place_name(relation) {
            return ControlFlow::Continue(());
        }
        match names::relation_name(relation) {
            Ok(name) => {
                let is_cte = name.schema.is_none() && self.scopes.iter().flatten().any(|cte| *cte == name.name);
                if !is_cte && !self.found.contains(&name) {
                    self.found.push(name);
                }
            }
            Err(error) => self.error = Some(error),
        }
        ControlFlow::Continue(())
    }
}
