//! Pieces of syntax that the session writes by itself.

use crate::error::SqlResult;
use crate::sql::{Name, RelationName, walk_mut};
use damson_cluster::ColumnDef;
use damson_motion::ScanSpec;
use datafusion::arrow::datatypes::DataType;
use sqlparser::ast;
use sqlparser::ast::{Ident, ObjectName, VisitorMut};
use std::ops::ControlFlow;

/// NULL.
pub(super) fn null() -> ast::Expr {
    ast::Expr::Value(ast::Value::Null.with_empty_span())
}

/// `CAST(… AS type)`, the type parsed once.
pub(super) struct Cast(ast::Expr);

impl Cast {
    /// `sql_type` is one of [`crate::sql`]'s normalised names.
    pub(super) fn to(sql_type: &str) -> SqlResult<Cast> {
        crate::sql::parse_expression(&format!("CAST(NULL AS {sql_type})")).map(Cast)
    }

    pub(super) fn of(&self, value: ast::Expr) -> ast::Expr {
        let mut cast = self.0.clone();
        if let ast::Expr::Cast { expr, .. } = &mut cast {
            **expr = value;
        }
        cast
    }
}

/// `$1`.
fn is_parameter(value: &ast::Expr) -> bool {
    matches!(value, ast::Expr::Value(v) if matches!(v.value, ast::Value::Placeholder(_)))
}

/// A number, with or without a sign, or a text.
pub(super) fn is_literal(value: &ast::Expr) -> bool {
    match value {
        ast::Expr::Value(v) => matches!(v.value, ast::Value::Number(..) | ast::Value::SingleQuotedString(_)),
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus | ast::UnaryOperator::Plus, expr } => is_literal(expr),
        _ => false,
    }
}

/// Whether a value that is assigned to a column is written with a cast to its type: a literal takes the type by itself, whatever
/// stands beside it, and a parameter has no other. A text keeps its length, which is checked when it is written.
pub(super) fn takes_type(value: &ast::Expr, column: &ColumnDef) -> bool {
    let is_text = matches!(column.data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    is_parameter(value) || is_literal(value) && !is_text
}

/// `SELECT columns FROM table`, all of them when none is named.
pub(super) fn select(table: &RelationName, columns: &[Name]) -> SqlResult<ast::Statement> {
    let quoted = |name: &str| Ident::with_quote('"', name).to_string();
    let columns: Vec<String> = columns.iter().map(|c| quoted(&c.text)).collect();
    let columns = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
    let parts = table.schema.iter().chain([&table.name]).map(|p| quoted(p)).collect::<Vec<_>>();
    let text = format!("SELECT {columns} FROM {}", parts.join("."));
    match crate::sql::parse(&text)? {
        crate::sql::Statement::Query(query) => Ok(*query),
        other => Err(crate::error::internal(format!("{other:?} is not a query"))),
    }
}

/// `SELECT 1 FROM schema.table AS alias`: a query to be completed.
pub(super) fn select_from(schema: &str, table: &str, alias: &str) -> SqlResult<ast::Statement> {
    let [schema, table, alias] = [schema, table, alias].map(|name| Ident::with_quote('"', name));
    match crate::sql::parse(&format!("SELECT 1 FROM {schema}.{table} AS {alias}"))? {
        crate::sql::Statement::Query(query) => Ok(*query),
        other => Err(crate::error::internal(format!("{other:?} is not a query"))),
    }
}

/// True if the statement names the system column: only then do tables have it.
pub(super) fn mentions_segment_id(statement: &ast::Statement) -> bool {
    statement.to_string().contains(ScanSpec::SEGMENT_ID)
}

/// True if a join is NATURAL: by all columns of one name.
pub(super) fn has_natural_join(statement: &ast::Statement) -> bool {
    statement.to_string().contains("NATURAL ")
}

/// Keeps `gp_segment_id` out of `*` where the statement names it elsewhere: as a system column it is not among a
/// table's columns.
pub(super) fn hide_segment_id(mut statement: ast::Statement) -> ast::Statement {
    if mentions_segment_id(&statement) {
        let _: ControlFlow<()> = walk_mut(&mut statement, &mut HideSegmentId);
    }
    statement
}

struct HideSegmentId;

impl VisitorMut for HideSegmentId {
    type Break = ();

    fn post_visit_statement(&mut self, statement: &mut ast::Statement) -> ControlFlow<()> {
        if let ast::Statement::Query(query) = statement {
            hide_in(&mut query.body);
        }
        ControlFlow::Continue(())
    }
}

fn hide_in(body: &mut ast::SetExpr) {
    match body {
        ast::SetExpr::Select(select) if reads_only_tables(select) => {
            for item in &mut select.projection {
                if let ast::SelectItem::Wildcard(options) | ast::SelectItem::QualifiedWildcard(_, options) = item {
                    let hidden = ObjectName::from(vec![Ident::new(ScanSpec::SEGMENT_ID)]);
                    options.opt_exclude = Some(ast::ExcludeSelectItem::Single(hidden));
                }
            }
        }
        ast::SetExpr::Query(query) => hide_in(&mut query.body),
        ast::SetExpr::SetOperation { left, right, .. } => {
            hide_in(left);
            hide_in(right);
        }
        _ => {}
    }
}

fn reads_only_tables(select: &ast::Select) -> bool {
    let is_table = |factor: &ast::TableFactor| {
        matches!(factor, ast::TableFactor::Table { .. }) && crate::sql::files_in_from(factor).is_none()
    };
    select.from.iter().all(|from| is_table(&from.relation) && from.joins.iter().all(|j| is_table(&j.relation)))
}

/// Gives a query the queries that it names.
pub(super) fn put_with(statement: &mut ast::Statement, with: Option<&ast::With>) {
    if let ast::Statement::Query(query) = statement {
        query.with = with.cloned();
    }
}

/// The SELECT of a query that is one.
pub(super) fn select_of(statement: &mut ast::Statement) -> Option<&mut ast::Select> {
    let ast::Statement::Query(query) = statement else { return None };
    match query.body.as_mut() {
        ast::SetExpr::Select(select) => Some(select),
        _ => None,
    }
}

/// `schema.table AS alias`, as it stands in a FROM.
pub(super) fn table_as(schema: &str, table: &str, alias: &str) -> SqlResult<ast::TableWithJoins> {
    let mut query = select_from(schema, table, alias)?;
    let from = select_of(&mut query).and_then(|select| select.from.pop());
    from.ok_or_else(|| crate::error::internal("a query without FROM"))
}

/// What columns of a relation in a FROM are qualified with.
pub(super) fn exposed(factor: &ast::TableFactor) -> Option<String> {
    match factor {
        ast::TableFactor::Table { alias: Some(alias), .. } | ast::TableFactor::Derived { alias: Some(alias), .. } => {
            Some(crate::sql::fold(&alias.name))
        }
        ast::TableFactor::Table { name, .. } => name.0.last().and_then(|part| part.as_ident()).map(crate::sql::fold),
        _ => None,
    }
}

/// The same rows with one more column, `name`, that is true.
pub(super) fn with_present(from: &ast::TableWithJoins, name: &str) -> SqlResult<ast::TableWithJoins> {
    let alias = exposed(&from.relation).unwrap_or_else(|| "source".into());
    let [name, alias] = [name, alias.as_str()].map(|name| Ident::with_quote('"', name));
    let text = format!("SELECT 1 FROM (SELECT *, TRUE AS {name} FROM it) AS {alias}");
    match crate::sql::parse(&text)? {
        crate::sql::Statement::Query(mut query) => {
            let missing = || crate::error::internal("a query without FROM");
            let mut outer = select_of(&mut query).and_then(|select| select.from.pop()).ok_or_else(missing)?;
            let ast::TableFactor::Derived { subquery, .. } = &mut outer.relation else { return Err(missing()) };
            let ast::SetExpr::Select(select) = subquery.body.as_mut() else { return Err(missing()) };
            // Not by its text: what sqlparser prints of AS OF it does not read.
            select.from = vec![from.clone()];
            Ok(outer)
        }
        other => Err(crate::error::internal(format!("{other:?} is not a query"))),
    }
}

/// A name of one part, or several, as it is.
pub(super) fn compound(parts: &[&str]) -> ast::Expr {
    let quoted = |part: &&str| Ident::with_quote('"', *part);
    match parts {
        [only] => ast::Expr::Identifier(quoted(only)),
        parts => ast::Expr::CompoundIdentifier(parts.iter().map(quoted).collect()),
    }
}
