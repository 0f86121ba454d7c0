//! Functions that return sets: rows for PostgreSQL, arrays for DataFusion where they are not in FROM.
//!
//! In a select list `generate_series(…)` becomes a table of FROM where it can, which makes its rows one after the other, and else
//! `unnest(generate_series(…))`, which makes an array first. In FROM its column gets PostgreSQL's name, and what is no series of integer
//! constants, which is all that DataFusion's table function reads, becomes a subquery.

use super::ast::select_of;
use super::column_names::name_of_item;
use crate::error::{SqlError, SqlResult, SqlState, internal};
use crate::sql::{self, SERIES, UNNEST, fold, is_set, refuse_sets, returns_set, set_not_allowed, walk, walk_mut};
use sqlparser::ast::{
    self, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident,
    ObjectName, OrderByKind, Query, Select, SelectItem, SetExpr, TableAlias, TableAliasColumnDef, TableFactor, Value,
    Visitor, VisitorMut,
};
use std::ops::ControlFlow;

/// Rewrites every query level. `is_aggregate` knows the names of aggregates.
///
/// # Errors
/// 0A000 for a set where PostgreSQL takes none (WHERE, HAVING, VALUES, CASE, COALESCE), for WITH ORDINALITY, and for a series in FROM of
/// another table's columns.
pub(super) fn give_rows(statement: &mut ast::Statement, is_aggregate: &dyn Fn(&str) -> bool) -> SqlResult<()> {
    match walk_mut(statement, &mut Rows { is_aggregate }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Rows<'a> {
    is_aggregate: &'a dyn Fn(&str) -> bool,
}

impl VisitorMut for Rows<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        flow(check_values(&query.body).and_then(|()| check_order(query)))
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        flow(self.in_select(select))
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        flow(in_from(factor))
    }
}

impl Rows<'_> {
    fn in_select(&self, select: &mut Select) -> SqlResult<()> {
        for (clause, expr) in [("WHERE", &select.selection), ("HAVING", &select.having)] {
            expr.iter().try_for_each(|expr| refuse_sets(expr, clause))?;
        }
        if let GroupByExpr::Expressions(keys, _) = &select.group_by {
            keys.iter().try_for_each(|key| refuse_set_key(key, "GROUP BY"))?;
        }
        for item in &select.projection {
            if let Some(expr) = expr_of(item) {
                check_places(expr)?;
            }
        }
        if self.move_to_from(select)? {
            return Ok(());
        }
        for item in &mut select.projection {
            let name = name_of_item(item);
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
                && unnest_series(expr)
                && let SelectItem::UnnamedExpr(expr) = item
            {
                // The name that it had without.
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
            }
        }
        Ok(())
    }

    /// A select list without FROM whose only set is a series of integer constants: rows then need no array. Aggregates and windows
    /// would see the rows, where PostgreSQL computes them before.
    fn move_to_from(&self, select: &mut Select) -> SqlResult<bool> {
        let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
        if !select.from.is_empty() || is_grouped || select.having.is_some() {
            return Ok(false);
        }
        let mut calls = Calls { queries: 0, sets: vec![], blocks_move: false, is_aggregate: self.is_aggregate };
        for item in &select.projection {
            match expr_of(item) {
                Some(expr) => {
                    let _: ControlFlow<()> = walk(expr, &mut calls);
                }
                None => return Ok(false),
            }
        }
        let [series] = calls.sets.as_slice() else { return Ok(false) };
        if calls.blocks_move || !is_named(series, SERIES) || !has_integer_constants(series) {
            return Ok(false);
        }
        let text = format!("SELECT 1 FROM {series} AS {SERIES}({SERIES})");
        let sql::Statement::Query(mut query) = sql::parse(&text)? else {
            return Err(internal(format!("{text} is no query")));
        };
        let found = select_of(&mut query).map(|select| std::mem::take(&mut select.from));
        select.from = found.ok_or_else(|| internal(format!("{text} has no FROM")))?;
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                let _: ControlFlow<()> = walk_mut(expr, &mut ToColumn { queries: 0 });
            }
        }
        Ok(true)
    }
}

fn expr_of(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// A function of FROM.
fn in_from(factor: &mut TableFactor) -> SqlResult<()> {
    match factor {
        TableFactor::Table { args: Some(_), with_ordinality: true, .. }
        | TableFactor::Function { with_ordinality: true, .. }
        | TableFactor::UNNEST { with_ordinality: true, .. } => {
            let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "WITH ORDINALITY is not supported");
            Err(error.with_hint("row_number() over () numbers rows."))
        }
        TableFactor::Table { name, args: Some(args), alias, .. } if last_name(name).as_deref() == Some(SERIES) => {
            name_column(alias, SERIES);
            if !args.args.iter().all(is_integer_constant) {
                *factor = derived(&args.args, alias.take())?;
            }
            Ok(())
        }
        TableFactor::Function { name, args, alias, .. } if last_name(name).as_deref() == Some(SERIES) => {
            name_column(alias, SERIES);
            if !args.iter().all(is_integer_constant) {
                *factor = derived(args, alias.take())?;
            }
            Ok(())
        }
        TableFactor::UNNEST { alias, array_exprs, .. } if array_exprs.len() == 1 => {
            name_column(alias, UNNEST);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// `(SELECT unnest(generate_series(…)) AS generate_series) AS alias`.
fn derived(args: &[FunctionArg], alias: Option<TableAlias>) -> SqlResult<TableFactor> {
    if args.iter().any(|argument| walk(argument, &mut OuterColumn { queries: 0 }).is_break()) {
        let message = format!("{SERIES} in FROM of another table's columns is not supported");
        let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message);
        return Err(error.with_hint("In the select list it takes columns."));
    }
    let written = args.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let text = format!("SELECT 1 FROM (SELECT {UNNEST}({SERIES}({written})) AS {SERIES}) AS {SERIES}");
    let sql::Statement::Query(mut query) = sql::parse(&text)? else {
        return Err(internal(format!("{text} is no query")));
    };
    let relation = select_of(&mut query).and_then(|select| select.from.pop()).map(|from| from.relation);
    match relation {
        Some(TableFactor::Derived { lateral, mut subquery, sample, .. }) => {
            if let SetExpr::Select(select) = subquery.body.as_mut() {
                for item in &mut select.projection {
                    if let SelectItem::ExprWithAlias { expr, .. } = item {
                        unnest_series(expr);
                    }
                }
            }
            Ok(TableFactor::Derived { lateral, subquery, alias, sample })
        }
        _ => Err(internal(format!("{text} has no subquery"))),
    }
}

/// Stops at a column that is not a subquery's.
struct OuterColumn {
    queries: usize,
}

impl Visitor for OuterColumn {
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
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) if self.queries == 0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// The only column of a function is called as the table is, unless it has a name of its own.
fn name_column(alias: &mut Option<TableAlias>, function: &str) {
    let plain = |name: Ident| TableAlias { explicit: true, name, columns: vec![], at: None };
    let alias = alias.get_or_insert_with(|| plain(Ident::new(function)));
    if alias.columns.is_empty() {
        alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
    }
}

/// Puts `unnest` around series that have none, and a type on a step that is a text. Whether there were any.
fn unnest_series(expr: &mut Expr) -> bool {
    let mut unnested = Unnested { queries: 0, unnests: 0, has_changed: false };
    let _: ControlFlow<()> = walk_mut(expr, &mut unnested);
    unnested.has_changed
}

struct Unnested {
    /// Around what is looked at.
    queries: usize,
    unnests: usize,
    has_changed: bool,
}

impl VisitorMut for Unnested {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.unnests += usize::from(called(expr).is_some_and(|function| is_named(function, UNNEST)));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        if is_named(function, UNNEST) {
            self.unnests -= 1;
        } else if self.queries == 0 && is_named(function, SERIES) {
            step_as_interval(function);
            if self.unnests == 0 {
                let series = expr.clone();
                *expr = unnest(series);
                self.has_changed = true;
            }
        }
        ControlFlow::Continue(())
    }
}

fn unnest(series: Expr) -> Expr {
    let list = ast::FunctionArgumentList {
        duplicate_treatment: None,
        args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(series))],
        clauses: vec![],
    };
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(UNNEST)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// `'1 day'` as the step of a series is an interval: the functions of it cannot tell by a text.
fn step_as_interval(function: &mut Function) {
    let FunctionArguments::List(list) = &mut function.args else { return };
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(step))) = list.args.get_mut(2) else { return };
    let is_text = |text: &str| text.contains(|c: char| c.is_ascii_alphabetic() || c == ':');
    if matches!(step, Expr::Value(v) if matches!(&v.value, Value::SingleQuotedString(text) if is_text(text))) {
        *step = Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(step.clone()),
            data_type: DataType::Interval { fields: None, precision: None },
            array: false,
            format: None,
        };
    }
}

/// Puts the column of FROM where the series was.
struct ToColumn {
    queries: usize,
}

impl VisitorMut for ToColumn {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.queries == 0 && called(expr).is_some_and(|function| is_named(function, SERIES)) {
            *expr = Expr::Identifier(Ident::new(SERIES));
        }
        ControlFlow::Continue(())
    }
}

/// The functions of a select list, without those of its subqueries.
struct Calls<'a> {
    queries: usize,
    sets: Vec<Function>,
    blocks_move: bool,
    is_aggregate: &'a dyn Fn(&str) -> bool,
}

impl Visitor for Calls<'_> {
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
        let Some(function) = called(expr).filter(|_| self.queries == 0) else { return ControlFlow::Continue(()) };
        if is_set(function) {
            self.sets.push(function.clone());
        }
        let is_aggregate = last_name(&function.name).is_some_and(|name| (self.is_aggregate)(&name));
        self.blocks_move |= function.over.is_some() || is_aggregate;
        ControlFlow::Continue(())
    }
}

/// Whether a set is where its rows would have to be some of a row only.
fn check_places(expr: &Expr) -> SqlResult<()> {
    struct Places;
    impl Visitor for Places {
        type Break = &'static str;

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<&'static str> {
            let (name, parts): (_, Vec<&Expr>) = match expr {
                Expr::Case { operand, conditions, else_result, .. } => {
                    let branches = conditions.iter().flat_map(|when| [&when.condition, &when.result]);
                    ("CASE", branches.chain(operand.as_deref()).chain(else_result.as_deref()).collect())
                }
                Expr::Function(function) if is_named(function, "coalesce") => ("COALESCE", arguments(function)),
                _ => return ControlFlow::Continue(()),
            };
            match parts.into_iter().any(returns_set) {
                true => ControlFlow::Break(name),
                false => ControlFlow::Continue(()),
            }
        }
    }
    match walk(expr, &mut Places) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(name) => Err(set_not_allowed(name)
            .with_hint("You might be able to move the set-returning function into a LATERAL FROM item.")),
    }
}

fn check_order(query: &Query) -> SqlResult<()> {
    match query.order_by.as_ref().map(|order| &order.kind) {
        Some(OrderByKind::Expressions(keys)) => keys.iter().try_for_each(|key| refuse_set_key(&key.expr, "ORDER BY")),
        _ => Ok(()),
    }
}

/// PostgreSQL takes it, and it makes more rows.
fn refuse_set_key(key: &Expr, clause: &str) -> SqlResult<()> {
    if !returns_set(key) {
        return Ok(());
    }
    let message = format!("set-returning functions in {clause} are not supported");
    Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).with_hint("Name a column of the select list."))
}

fn check_values(body: &SetExpr) -> SqlResult<()> {
    match body {
        SetExpr::Values(values) => {
            values.rows.iter().flat_map(|row| &row.content).try_for_each(|value| refuse_sets(value, "VALUES"))
        }
        SetExpr::SetOperation { left, right, .. } => check_values(left).and_then(|()| check_values(right)),
        _ => Ok(()),
    }
}

fn called(expr: &Expr) -> Option<&Function> {
    match expr {
        Expr::Function(function) => Some(function),
        _ => None,
    }
}

fn arguments(function: &Function) -> Vec<&Expr> {
    let FunctionArguments::List(list) = &function.args else { return vec![] };
    let arguments = list.args.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    arguments.collect()
}

fn has_integer_constants(function: &Function) -> bool {
    let FunctionArguments::List(list) = &function.args else { return false };
    list.clauses.is_empty() && list.args.iter().all(is_integer_constant)
}

/// What DataFusion's table function computes to a bigint.
fn is_integer_constant(argument: &FunctionArg) -> bool {
    fn is_integer(expr: &Expr) -> bool {
        use ast::BinaryOperator::{Divide, Minus, Modulo, Multiply, Plus};
        match expr {
            Expr::Value(v) => matches!(&v.value, Value::Number(text, _) if text.parse::<i64>().is_ok()),
            Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } | Expr::Nested(expr) => is_integer(expr),
            Expr::BinaryOp { left, op: Plus | Minus | Multiply | Divide | Modulo, right } => {
                is_integer(left) && is_integer(right)
            }
            Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, .. } => {
                matches!(data_type, DataType::BigInt(None) | DataType::Int8(None)) && is_integer(expr)
            }
            _ => false,
        }
    }
    matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if is_integer(expr))
}

fn is_named(function: &Function, name: &str) -> bool {
    last_name(&function.name).as_deref() == Some(name)
}

fn last_name(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(|part| part.as_ident()).map(fold)
}

fn flow(result: SqlResult<()>) -> ControlFlow<SqlError> {
    result.map_or_else(ControlFlow::Break, ControlFlow::Continue)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> SqlResult<String> {
        let sql::Statement::Query(mut query) = sql::parse(text).unwrap() else { panic!("{text} is a query") };
        give_rows(&mut query, &|name| ["count", "max"].contains(&name))?;
        Ok(query.to_string())
    }

    #[test]
    fn a_series_of_literals_becomes_a_table() {
        for (text, expected) in [
            (
                "SELECT generate_series(1, 3), 'x'",
                "SELECT generate_series, 'x' FROM generate_series(1, 3) AS generate_series (generate_series)",
            ),
            (
                "SELECT generate_series(-1, 3)::text AS t",
                "SELECT generate_series::TEXT AS t FROM generate_series(-1, 3) AS generate_series (generate_series)",
            ),
        ] {
            assert_eq!(rewritten(text).unwrap(), expected);
        }
    }

    #[test]
    fn other_series_are_unnested() {
        for (text, expected) in [
            (
                "SELECT generate_series(1, a) FROM t",
                "SELECT unnest(generate_series(1, a)) AS \"generate_series\" FROM t",
            ),
            ("SELECT unnest(generate_series(1, a)) FROM t", "SELECT unnest(generate_series(1, a)) FROM t"),
            (
                "SELECT count(*), generate_series(1, 2) + 1",
                "SELECT count(*), unnest(generate_series(1, 2)) + 1 AS \"?column?\"",
            ),
            (
                "SELECT generate_series(1, 2), generate_series(1, 3)",
                "SELECT unnest(generate_series(1, 2)) AS \"generate_series\", \
                 unnest(generate_series(1, 3)) AS \"generate_series\"",
            ),
            (
                "SELECT generate_series(a, b, '1 day') AS d FROM t",
                "SELECT unnest(generate_series(a, b, CAST('1 day' AS INTERVAL))) AS d FROM t",
            ),
        ] {
            assert_eq!(rewritten(text).unwrap(), expected);
        }
    }

    #[test]
    fn columns_of_from_are_called_as_their_tables() {
        for (text, expected) in [
            ("SELECT i FROM generate_series(1, 3) AS i", "SELECT i FROM generate_series(1, 3) AS i (i)"),
            (
                "SELECT g FROM generate_series(1, (10 * 5)::bigint) AS g",
                "SELECT g FROM generate_series(1, (10 * 5)::BIGINT) AS g (g)",
            ),
            ("SELECT g FROM generate_series(1, 3) AS i (g)", "SELECT g FROM generate_series(1, 3) AS i (g)"),
            (
                "SELECT * FROM generate_series(1, 3)",
                "SELECT * FROM generate_series(1, 3) AS generate_series (generate_series)",
            ),
            ("SELECT u FROM UNNEST(ARRAY[1, 2]) AS u", "SELECT u FROM UNNEST(ARRAY[1, 2]) AS u (u)"),
            (
                "SELECT d FROM generate_series(now(), now(), '1 day') AS d",
                "SELECT d FROM (SELECT unnest(generate_series(now(), now(), CAST('1 day' AS INTERVAL))) \
                 AS generate_series) AS d (d)",
            ),
        ] {
            assert_eq!(rewritten(text).unwrap(), expected);
        }
    }

    #[test]
    fn sets_in_other_places_are_refused() {
        for text in [
            "SELECT 1 FROM t WHERE a = generate_series(1, 3)",
            "SELECT 1 FROM t ORDER BY generate_series(1, 3)",
            "SELECT 1 FROM t GROUP BY unnest(a)",
            "SELECT count(*) FROM t HAVING generate_series(1, 3) > 1",
            "VALUES (generate_series(1, 3))",
            "SELECT CASE WHEN a THEN unnest(b) END FROM t",
            "SELECT coalesce(generate_series(1, 3), 1)",
            "SELECT * FROM generate_series(1, 3) WITH ORDINALITY",
            "SELECT * FROM a, LATERAL generate_series(1, a.x) AS g",
        ] {
            assert_eq!(rewritten(text).unwrap_err().state, SqlState::FEATURE_NOT_SUPPORTED, "{text}");
        }
        assert!(rewritten("SELECT 1 FROM t WHERE a IN (SELECT generate_series(1, 3))").is_ok());
    }
}
