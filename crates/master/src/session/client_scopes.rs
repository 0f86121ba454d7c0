//! What clients ask of PostgreSQL's catalogs that depends on which of them a FROM names: `tableoid`, which no table here has as a column,
//! and subqueries that would be joined with lists of the row around, where there is no such row, or the list is NULL in all of them.

use crate::error::{SqlError, SqlResult};
use crate::sql::{fold, parse_expression, walk_mut};
use crate::system::{PG_CATALOG, oids, system_table};
use sqlparser::ast::{
    self, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Select, SetExpr, TableFactor,
    Value, VisitorMut,
};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Catalogs without rows, of which psql asks so.
const EMPTY: [&str; 3] = ["pg_event_trigger", "pg_policy", "pg_statistic_ext"];

/// Lists that are NULL in every row, by catalog.
const NULL_LISTS: [(&str, &str); 1] = [("pg_class", "reloptions")];

/// Writes these out; only of catalogs whose names have `pg_catalog.` in front, as those tools' have that ask so.
///
/// # Errors
/// None that a statement causes.
pub(super) fn write_out_scopes(statement: &mut ast::Statement) -> SqlResult<()> {
    match walk_mut(statement, &mut Scopes) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Scopes;

impl VisitorMut for Scopes {
    type Break = SqlError;

    // Inner levels first: their names hide those of the levels around.
    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        if let [only] = select.from.as_slice()
            && only.joins.is_empty()
            && catalog(&only.relation).is_some_and(|(_, name)| EMPTY.contains(&name.as_str()))
        {
            walk_mut(&mut select.projection, &mut OfNoRow)?;
        }
        let factors = select
            .from
            .iter()
            .flat_map(|from| [&from.relation].into_iter().chain(from.joins.iter().map(|join| &join.relation)));
        let catalogs: HashMap<String, String> = factors.filter_map(catalog).collect();
        if catalogs.is_empty() {
            return ControlFlow::Continue(());
        }
        walk_mut(select, &mut OfCatalogs(catalogs))
    }
}

/// The name that a catalog gives to columns, and its own.
fn catalog(factor: &TableFactor) -> Option<(String, String)> {
    let TableFactor::Table { name, alias, args: None, .. } = factor else { return None };
    let [schema, table] = name.0.as_slice() else { return None };
    let (schema, table) = (fold(schema.as_ident()?), fold(table.as_ident()?));
    if schema != PG_CATALOG || system_table(PG_CATALOG, &table).is_none() {
        return None;
    }
    Some((alias.as_ref().map_or_else(|| table.clone(), |alias| fold(&alias.name)), table))
}

/// The results of a SELECT that has no rows: what they are made of is never asked for.
struct OfNoRow;

impl VisitorMut for OfNoRow {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let plain = match &*expr {
            Expr::Subquery(_) => "CAST(NULL AS TEXT)",
            other if gathered(other).is_some() => "CAST(NULL AS TEXT[])",
            Expr::BinaryOp { op: BinaryOperator::Eq | BinaryOperator::NotEq, left, right }
                if is_list(left) || is_list(right) =>
            {
                "CAST(NULL AS BOOLEAN)"
            }
            _ => return ControlFlow::Continue(()),
        };
        replace(expr, plain)
    }
}

/// `'{0}'`
fn is_list(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(v) if matches!(&v.value, Value::SingleQuotedString(text) if text.starts_with('{')))
}

/// The query of `ARRAY(SELECT …)`.
fn gathered(expr: &Expr) -> Option<&Query> {
    let Expr::Function(function) = expr else { return None };
    let FunctionArguments::Subquery(query) = &function.args else { return None };
    let [name] = function.name.0.as_slice() else { return None };
    fold(name.as_ident()?).eq_ignore_ascii_case("array").then_some(&**query)
}

/// Columns of the catalogs of one FROM, by the names that it gives them.
struct OfCatalogs(HashMap<String, String>);

impl VisitorMut for OfCatalogs {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        match self.column(expr) {
            Some((catalog, "tableoid")) => {
                let oid = oids::of_catalog(catalog).to_string();
                return replace(expr, &oid);
            }
            Some(_) => return ControlFlow::Continue(()),
            None => {}
        }
        let elements = gathered(expr).and_then(unnested).and_then(|list| self.column(list));
        if elements.is_some_and(|element| NULL_LISTS.contains(&element)) {
            return replace(expr, "CAST(ARRAY[] AS TEXT[])");
        }
        ControlFlow::Continue(())
    }
}

impl OfCatalogs {
    /// The catalog of a column, and its name.
    fn column<'a>(&'a self, expr: &'a Expr) -> Option<(&'a str, &'a str)> {
        let Expr::CompoundIdentifier(parts) = expr else { return None };
        let [qualifier, column] = parts.as_slice() else { return None };
        Some((self.0.get(&fold(qualifier))?.as_str(), column.value.as_str()))
    }
}

/// The list whose elements are the rows of a query.
fn unnested(query: &Query) -> Option<&Expr> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let [from] = select.from.as_slice() else { return None };
    let TableFactor::Table { name, args: Some(arguments), .. } = &from.relation else { return None };
    if !from.joins.is_empty() || fold(name.0.last()?.as_ident()?) != "unnest" {
        return None;
    }
    match arguments.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(list))] => Some(list),
        _ => None,
    }
}

fn replace(expr: &mut Expr, written: &str) -> ControlFlow<SqlError> {
    match parse_expression(written) {
        Ok(plain) => *expr = plain,
        Err(error) => return ControlFlow::Break(error),
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql;

    fn rewritten(query: &str) -> String {
        let sql::Statement::Query(mut statement) = sql::parse(query).unwrap() else { panic!("{query} is a query") };
        write_out_scopes(&mut statement).unwrap();
        statement.to_string()
    }

    #[test]
    fn what_has_no_row_is_not_asked_for() {
        assert_eq!(
            rewritten(
                "SELECT p.polname, CASE WHEN p.polroles = '{0}' THEN NULL ELSE array_to_string(array(SELECT 1 FROM r WHERE oid = ANY(p.polroles)), ',') END \
                 FROM pg_catalog.pg_policy AS p WHERE p.polrelid = '{1}'"
            ),
            "SELECT p.polname, CASE WHEN CAST(NULL AS BOOLEAN) THEN NULL ELSE array_to_string(CAST(NULL AS TEXT[]), ',') END \
             FROM pg_catalog.pg_policy AS p WHERE p.polrelid = '{1}'"
        );
        // There may be rows of these.
        for same in [
            "SELECT (SELECT 1) FROM pg_catalog.pg_class AS c",
            "SELECT (SELECT 1) FROM pg_policy AS p",
            "SELECT (SELECT 1) FROM pg_catalog.pg_policy AS p JOIN t ON true",
            "SELECT (SELECT 1) FROM s.pg_policy AS p",
        ] {
            assert_eq!(rewritten(same), same);
        }
    }

    #[test]
    fn lists_that_are_null_have_no_elements() {
        assert_eq!(
            rewritten(
                "SELECT c.o || array(SELECT 'x' || x FROM pg_catalog.unnest(c.reloptions) AS x) FROM pg_catalog.pg_class AS c"
            ),
            "SELECT c.o || CAST(ARRAY[] AS TEXT[]) FROM pg_catalog.pg_class AS c"
        );
        let same = "SELECT array(SELECT x FROM unnest(c.reloptions) AS x) FROM pg_class AS c";
        assert_eq!(rewritten(same).to_lowercase(), same.to_lowercase());
    }

    #[test]
    fn tableoid_is_the_catalogs_own() {
        assert_eq!(
            rewritten(
                "SELECT t.tableoid, (SELECT t.tableoid FROM pg_catalog.pg_type AS t) FROM pg_catalog.pg_class AS t"
            ),
            "SELECT 1259, (SELECT 1247 FROM pg_catalog.pg_type AS t) FROM pg_catalog.pg_class AS t"
        );
        assert_eq!(rewritten("SELECT t.tableoid FROM s.t AS t"), "SELECT t.tableoid FROM s.t AS t");
    }
}
