//! `LEFT`, `RIGHT` and `FULL JOIN … USING (k)`: k is `left.k`, or `coalesce(left.k, right.k)`. DataFusion takes that of the table
//! whose name comes first in the alphabet, and finds none of four tables' at all.

use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::walk_mut;
use sqlparser::ast::{
    self, ExcludeSelectItem, Expr, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, OrderByKind,
    Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, VisitorMut,
};
use std::ops::ControlFlow;

/// Writes out the merged columns of every query level.
///
/// # Errors
/// 0A000 where the tables that the column comes from cannot be told without the catalog.
pub(super) fn merge_columns(statement: &mut ast::Statement) -> SqlResult<()> {
    match walk_mut(statement, &mut Levels) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Levels;

impl VisitorMut for Levels {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        match in_query(query) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn in_query(query: &mut Query) -> SqlResult<()> {
    let Query { body, order_by, .. } = query;
    if let SetExpr::Select(select) = body.as_mut() {
        let merged = merged_in(select)?;
        write_conditions(select, &merged)?;
        expand_wildcards(select, &merged);
        for column in &merged {
            // ORDER BY an output column needs no more.
            let is_selected = select.projection.iter().any(|item| selects(item, &column.name));
            if !is_selected
                && let Some(order_by) = order_by
                && let OrderByKind::Expressions(keys) = &mut order_by.kind
            {
                keys.iter_mut().for_each(|key| column.replace_in(&mut key.expr));
            }
        }
        merged.iter().for_each(|column| column.replace_in_select(select));
        return Ok(());
    }
    in_set_operation(body)
}

fn in_set_operation(body: &mut SetExpr) -> SqlResult<()> {
    match body {
        SetExpr::Select(select) => {
            let merged = merged_in(select)?;
            write_conditions(select, &merged)?;
            expand_wildcards(select, &merged);
            merged.iter().for_each(|column| column.replace_in_select(select));
            Ok(())
        }
        SetExpr::SetOperation { left, right, .. } => {
            in_set_operation(left)?;
            in_set_operation(right)
        }
        _ => Ok(()),
    }
}

fn selects(item: &SelectItem, name: &str) -> bool {
    match item {
        SelectItem::UnnamedExpr(Expr::Identifier(column)) => folded(column) == name,
        SelectItem::Wildcard(_) => true,
        _ => false,
    }
}

/// A column that an outer join merges, or that many tables are joined by.
struct Merged {
    name: String,
    /// `coalesce(a.k, b.k)`, or `a.k` alone.
    value: Expr,
    /// It is the first table's.
    is_left: bool,
    /// Those that are joined by it.
    tables: Vec<String>,
}

fn merged_in(select: &Select) -> SqlResult<Vec<Merged>> {
    let mut merged: Vec<Merged> = vec![];
    for from in &select.from {
        let mut tables = vec![name_of(&from.relation)];
        let mut constraints: Vec<&JoinConstraint> = vec![];
        for join in &from.joins {
            tables.push(name_of(&join.relation));
            let (constraint, merges) = match &join.join_operator {
                JoinOperator::Right(c) | JoinOperator::RightOuter(c) | JoinOperator::FullOuter(c) => (c, true),
                JoinOperator::Join(c) | JoinOperator::Inner(c) | JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => {
                    (c, false)
                }
                _ => (&JoinConstraint::None, false),
            };
            for column in using(constraint) {
                let before = merged.iter_mut().find(|m| m.name == column);
                let again = before.is_some();
                // What a LEFT join kept is not changed by another LEFT or an inner one.
                if let Some(column) = before.filter(|m| m.is_left && !merges) {
                    column.tables.extend(tables.last().cloned().flatten());
                    continue;
                }
                let told = constraints.iter().all(|earlier| using(earlier).contains(&column));
                let named: Option<Vec<String>> = tables.iter().cloned().collect();
                let keeps_left = matches!(join.join_operator, JoinOperator::Left(_) | JoinOperator::LeftOuter(_))
                    || (!merges && joins_by(from, &column) >= JOINS_WRITTEN_OUT);
                match named {
                    Some(tables) if keeps_left && told && !again && select.from.len() == 1 => {
                        merged.push(Merged {
                            value: coalesce(&tables[..1], &column)?,
                            name: column,
                            is_left: true,
                            tables,
                        });
                    }
                    _ if !merges && !again => {}
                    Some(tables) if told && !again && select.from.len() == 1 => {
                        merged.push(Merged {
                            value: coalesce(&tables, &column)?,
                            name: column,
                            is_left: false,
                            tables,
                        });
                    }
                    _ => return Err(unsupported(&column)),
                }
            }
            constraints.push(constraint);
        }
    }
    Ok(merged)
}

/// DataFusion resolves USING over at most three tables of one column.
const JOINS_WRITTEN_OUT: usize = 3;

fn joins_by(from: &TableWithJoins, column: &str) -> usize {
    from.joins
        .iter()
        .filter(|join| constraint_of(join).is_some_and(|c| using(c).iter().any(|name| name == column)))
        .count()
}

fn constraint_of(join: &Join) -> Option<&JoinConstraint> {
    match &join.join_operator {
        JoinOperator::Join(c) | JoinOperator::Inner(c) | JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => Some(c),
        _ => None,
    }
}

/// USING of many tables, as ON: each table's column equals the first one's.
fn write_conditions(select: &mut Select, merged: &[Merged]) -> SqlResult<()> {
    let is_known = |column: &String| merged.iter().any(|m| m.is_left && m.name == *column);
    for from in &mut select.from {
        let written: Vec<bool> = from
            .joins
            .iter()
            .map(|join| {
                let columns = constraint_of(join).map(using).unwrap_or_default();
                columns.iter().any(|column| joins_by(from, column) >= JOINS_WRITTEN_OUT) && columns.iter().all(is_known)
            })
            .collect();
        let first = name_of(&from.relation);
        for (join, _) in from.joins.iter_mut().zip(written).filter(|(_, written)| *written) {
            let (Some(first), Some(table)) = (&first, name_of(&join.relation)) else { continue };
            let (JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)) = &mut join.join_operator
            else {
                continue;
            };
            let equal = |column: String| {
                let column = Ident::with_quote('"', column);
                format!("{first}.{column} = {table}.{column}")
            };
            let condition: Vec<String> = using(constraint).into_iter().map(equal).collect();
            *constraint = JoinConstraint::On(crate::sql::parse_expression(&condition.join(" AND "))?);
        }
    }
    Ok(())
}

fn using(constraint: &JoinConstraint) -> Vec<String> {
    match constraint {
        JoinConstraint::Using(columns) => {
            columns.iter().filter_map(|c| c.0.last()).filter_map(|part| part.as_ident()).map(folded).collect()
        }
        _ => vec![],
    }
}

fn unsupported(column: &str) -> SqlError {
    let message = format!("USING ({column}) over several joins of which one is RIGHT or FULL is not supported");
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).with_hint("Write the conditions with ON, and coalesce().")
}

/// `*` is the merged columns, then each table's others.
fn expand_wildcards(select: &mut Select, merged: &[Merged]) {
    let factors =
        select.from.iter().flat_map(|from| [&from.relation].into_iter().chain(from.joins.iter().map(|j| &j.relation)));
    let tables: Option<Vec<String>> = factors.map(name_of).collect();
    let (false, Some(tables)) = (merged.is_empty(), tables) else { return };
    let mut items = vec![];
    for item in std::mem::take(&mut select.projection) {
        match item {
            SelectItem::Wildcard(options) if options.opt_exclude.is_none() && options.opt_except.is_none() => {
                items.extend(merged.iter().map(Merged::item));
                for table in &tables {
                    let own = merged.iter().filter(|column| column.tables.contains(table));
                    let names = own.map(|column| ObjectName::from(vec![Ident::with_quote('"', &column.name)]));
                    let names: Vec<ObjectName> = names.collect();
                    let mut options = options.clone();
                    options.opt_exclude = (!names.is_empty()).then_some(ExcludeSelectItem::Multiple(names));
                    let table = ObjectName::from(vec![ident(table)]);
                    items.push(SelectItem::QualifiedWildcard(
                        SelectItemQualifiedWildcardKind::ObjectName(table),
                        options,
                    ));
                }
            }
            other => items.push(other),
        }
    }
    select.projection = items;
}

/// The identifier that [`name_of`] wrote.
fn ident(sql: &str) -> Ident {
    match sql.strip_prefix('"').and_then(|s| s.strip_suffix('"')) {
        Some(quoted) => Ident::with_quote('"', quoted.replace("\"\"", "\"")),
        None => Ident::new(sql),
    }
}

/// The name that qualifies a table's columns, as SQL.
fn name_of(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::NestedJoin { alias: Some(alias), .. } => Some(alias.name.to_string()),
        TableFactor::Table { name, .. } => name.0.last().map(ToString::to_string),
        _ => None,
    }
}

fn coalesce(tables: &[String], column: &str) -> SqlResult<Expr> {
    let column = Ident::with_quote('"', column).to_string();
    let columns: Vec<String> = tables.iter().map(|table| format!("{table}.{column}")).collect();
    if let [only] = columns.as_slice() {
        return crate::sql::parse_expression(only);
    }
    crate::sql::parse_expression(&format!("coalesce({})", columns.join(", ")))
}

impl Merged {
    fn replace_in_select(&self, select: &mut Select) {
        let mut items = vec![];
        for mut item in std::mem::take(&mut select.projection) {
            match &mut item {
                SelectItem::UnnamedExpr(Expr::Identifier(column)) if folded(column) == self.name => {
                    item = self.item();
                }
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => self.replace_in(expr),
                _ => {}
            }
            items.push(item);
        }
        select.projection = items;
        select.selection.iter_mut().chain(&mut select.having).for_each(|expr| self.replace_in(expr));
        if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
            keys.iter_mut().for_each(|key| self.replace_in(key));
        }
    }

    fn item(&self) -> SelectItem {
        SelectItem::ExprWithAlias { expr: self.value.clone(), alias: Ident::with_quote('"', &self.name) }
    }

    fn replace_in(&self, expr: &mut Expr) {
        let _: ControlFlow<()> = walk_mut(expr, &mut Replace { column: self, below: 0 });
    }
}

struct Replace<'a> {
    column: &'a Merged,
    /// Subqueries around: there the name is somebody else's first.
    below: usize,
}

impl VisitorMut for Replace<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.below += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.below -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.below == 0
            && let Expr::Identifier(name) = expr
            && folded(name) == self.column.name
        {
            *expr = self.column.value.clone();
        }
        ControlFlow::Continue(())
    }
}

/// An identifier's name: PostgreSQL folds what is not quoted.
fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql;

    fn merged(text: &str) -> Result<String, SqlState> {
        let sql::Statement::Query(mut query) = sql::parse(text).unwrap() else { panic!("{text} is a query") };
        merge_columns(&mut query).map_err(|e| e.state)?;
        Ok(query.to_string())
    }

    #[test]
    fn the_merged_column_is_either_side_s() {
        assert_eq!(
            merged("SELECT k, a.k, v FROM a FULL JOIN b USING (k) WHERE k > 1 ORDER BY k").unwrap(),
            "SELECT coalesce(a.\"k\", b.\"k\") AS \"k\", a.k, v FROM a FULL JOIN b USING(k) \
             WHERE coalesce(a.\"k\", b.\"k\") > 1 ORDER BY k"
        );
        assert_eq!(
            merged("SELECT * FROM t x RIGHT JOIN u y USING (k)").unwrap(),
            "SELECT coalesce(x.\"k\", y.\"k\") AS \"k\", x.* EXCLUDE (\"k\"), y.* EXCLUDE (\"k\") \
             FROM t x RIGHT JOIN u y USING(k)"
        );
        assert_eq!(
            merged("SELECT v FROM a FULL JOIN b USING (k) GROUP BY k, v ORDER BY k").unwrap(),
            "SELECT v FROM a FULL JOIN b USING(k) GROUP BY coalesce(a.\"k\", b.\"k\"), v \
             ORDER BY coalesce(a.\"k\", b.\"k\")"
        );
    }

    #[test]
    fn many_tables_are_joined_with_conditions() {
        assert_eq!(
            merged("SELECT k, v FROM a JOIN b USING (k) LEFT JOIN c USING (k) JOIN d x USING (k) WHERE k > 1").unwrap(),
            "SELECT a.\"k\" AS \"k\", v FROM a JOIN b ON a.\"k\" = b.\"k\" LEFT JOIN c ON a.\"k\" = c.\"k\" \
             JOIN d x ON a.\"k\" = x.\"k\" WHERE a.\"k\" > 1"
        );
    }

    #[test]
    fn other_queries_stay() {
        assert_eq!(
            merged("SELECT * FROM v LEFT JOIN a USING(k) LEFT JOIN b USING(k)").unwrap(),
            "SELECT v.\"k\" AS \"k\", v.* EXCLUDE (\"k\"), a.* EXCLUDE (\"k\"), b.* EXCLUDE (\"k\") \
             FROM v LEFT JOIN a USING(k) LEFT JOIN b USING(k)"
        );
        for text in ["SELECT k FROM a JOIN b USING(k)", "SELECT k FROM a FULL JOIN b ON a.k = b.k"] {
            assert_eq!(merged(text).unwrap(), text);
        }
        let text = "SELECT k FROM a JOIN c ON a.x = c.x FULL JOIN b USING (k)";
        assert_eq!(merged(text), Err(SqlState::FEATURE_NOT_SUPPORTED));
        let text = "SELECT k FROM a FULL JOIN c USING (k) JOIN b USING (k)";
        assert_eq!(merged(text), Err(SqlState::FEATURE_NOT_SUPPORTED));
    }
}
