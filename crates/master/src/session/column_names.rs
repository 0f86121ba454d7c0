//! Names of a query's columns, as PostgreSQL chooses them.
//!
//! DataFusion names a column after its whole expression, and refuses two of one name. Each select item without a name gets
//! PostgreSQL's, made unique by a suffix after [`SUFFIX`] that [`plain`] cuts off again before anybody sees it.

use crate::sql::walk_mut;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use sqlparser::ast::{
    self, CastKind, DataType, Expr, Ident, Query, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor,
    VisitorMut,
};
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Between a name and its number; SQL identifiers hold no NUL.
const SUFFIX: char = '\0';

/// PostgreSQL's name of an expression that has none.
const NO_NAME: &str = "?column?";

/// Names the select items of every query level.
pub(super) fn name_columns(statement: &mut ast::Statement) {
    let _: ControlFlow<()> = walk_mut(statement, &mut Names { below: 0 });
}

/// The schema without suffixes; two columns may now have one name.
pub(super) fn plain(schema: &SchemaRef) -> SchemaRef {
    if !schema.fields().iter().any(|field| field.name().contains(SUFFIX)) {
        return Arc::clone(schema);
    }
    let field = |field: &Arc<Field>| match field.name().split_once(SUFFIX) {
        Some((name, _)) => Arc::new(field.as_ref().clone().with_name(name)),
        None => Arc::clone(field),
    };
    let fields: Vec<_> = schema.fields().iter().map(field).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

struct Names {
    /// Query levels that the one in hand is a table of: there qualifiers are lost, so that names must differ without.
    below: usize,
}

impl VisitorMut for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            name_body(&mut cte.query.body, true);
        }
        name_body(&mut query.body, self.below > 0);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        self.below += usize::from(matches!(factor, TableFactor::Derived { .. }));
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        self.below -= usize::from(matches!(factor, TableFactor::Derived { .. }));
        ControlFlow::Continue(())
    }
}

fn name_body(body: &mut SetExpr, is_table: bool) {
    match body {
        SetExpr::Select(select) => {
            let is_single = matches!(select.from.as_slice(), [only] if only.joins.is_empty());
            name_items(&mut select.projection, is_table, is_single);
        }
        SetExpr::SetOperation { left, right, .. } => {
            name_body(left, is_table);
            name_body(right, is_table);
        }
        _ => {}
    }
}

/// `is_single`: there is one table in the FROM.
fn name_items(items: &mut [SelectItem], is_table: bool, is_single: bool) {
    // Columns that a `*` gives, too. The qualifier of each; None for the one that gives all.
    let stars: Vec<Option<Vec<String>>> = items.iter().filter_map(star).collect();
    let is_in_star = |column: &Vec<String>| {
        stars.iter().any(|star| match (star, column.as_slice()) {
            (None, _) => true,
            (Some(_), [_]) => is_single,
            (Some(table), [qualifier @ .., _]) => table.as_slice() == qualifier,
            (Some(_), []) => false,
        })
    };
    let mut seen: HashMap<String, usize> = HashMap::new();
    // Names without a qualifier: the binder takes a qualified column of the same name for ambiguous.
    let mut aliases: HashSet<String> = HashSet::new();
    let mut written: Vec<Option<Vec<String>>> = vec![];
    for item in items {
        match item {
            SelectItem::ExprWithAlias { expr, alias } => {
                let count = seen.entry(folded(alias)).or_default();
                *count += 1;
                aliases.insert(folded(alias));
                if *count > 1 {
                    let name = format!("{}{SUFFIX}{count}", folded(alias));
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
                }
            }
            SelectItem::UnnamedExpr(expr) => {
                let name = name_of(expr).unwrap_or_else(|| NO_NAME.into());
                let column = column_of(expr);
                let repeated =
                    written.contains(&column) || aliases.contains(&name) || (is_table && seen.contains_key(&name));
                let is_in_star = column.as_ref().is_some_and(is_in_star);
                let count = seen.entry(name.clone()).or_default();
                *count += 1;
                let alias = match *count {
                    // A column keeps its qualifier, by which ORDER BY may name it.
                    _ if column.is_some() && !repeated && !is_in_star => None,
                    1 if !is_in_star => Some(name),
                    n => Some(format!("{name}{SUFFIX}{n}")),
                };
                if let Some(alias) = alias {
                    aliases.insert(alias.clone());
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', alias) };
                }
                written.extend(column.is_some().then_some(column));
            }
            _ => {}
        }
    }
}

/// `*`, or the qualifier of `t.*`; None for what is no star.
fn star(item: &SelectItem) -> Option<Option<Vec<String>>> {
    match item {
        SelectItem::Wildcard(_) => Some(None),
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
            Some(Some(name.0.iter().filter_map(|part| part.as_ident()).map(folded).collect()))
        }
        _ => None,
    }
}

/// What PostgreSQL calls the column of a select item.
pub(super) fn name_of_item(item: &SelectItem) -> String {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => folded(alias),
        SelectItem::UnnamedExpr(expr) => name_of(expr).unwrap_or_else(|| NO_NAME.into()),
        _ => NO_NAME.into(),
    }
}

/// The column that an expression is, if it is nothing more.
fn column_of(expr: &Expr) -> Option<Vec<String>> {
    match expr {
        Expr::Identifier(name) => Some(vec![folded(name)]),
        Expr::CompoundIdentifier(names) => Some(names.iter().map(folded).collect()),
        _ => None,
    }
}

/// PostgreSQL's `FigureColname`; None for what it calls `?column?`.
fn name_of(expr: &Expr) -> Option<String> {
    let fixed = |name: &str| Some(name.to_string());
    match expr {
        Expr::Identifier(name) => Some(folded(name)),
        Expr::CompoundIdentifier(names) => names.last().map(folded),
        Expr::Function(function) => function.name.0.last().and_then(|part| part.as_ident()).map(folded),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => name_of(inner),
        Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, .. } => {
            name_of(expr).or_else(|| fixed(type_name(data_type)))
        }
        Expr::TypedString(typed) => fixed(type_name(&typed.data_type)),
        Expr::Interval(_) => fixed("interval"),
        Expr::Case { else_result, .. } => match else_result.as_deref() {
            Some(column @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_))) => name_of(column),
            _ => fixed("case"),
        },
        Expr::Extract { .. } => fixed("extract"),
        Expr::Ceil { .. } => fixed("ceil"),
        Expr::Floor { .. } => fixed("floor"),
        Expr::Position { .. } => fixed("position"),
        Expr::Substring { .. } => fixed("substring"),
        Expr::Overlay { .. } => fixed("overlay"),
        Expr::Trim { trim_where, .. } => fixed(match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim",
            Some(ast::TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Expr::AtTimeZone { .. } => fixed("timezone"),
        Expr::Exists { .. } => fixed("exists"),
        Expr::Array(_) => fixed("array"),
        Expr::Tuple(_) => fixed("row"),
        Expr::Subquery(query) => of_subquery(&query.body),
        _ => None,
    }
}

fn of_subquery(body: &SetExpr) -> Option<String> {
    match body {
        SetExpr::Select(select) => match select.projection.first()? {
            SelectItem::ExprWithAlias { alias, .. } => alias.value.split(SUFFIX).next().map(str::to_owned),
            SelectItem::UnnamedExpr(expr) => name_of(expr),
            _ => None,
        },
        SetExpr::Query(query) => of_subquery(&query.body),
        SetExpr::SetOperation { left, .. } => of_subquery(left),
        _ => None,
    }
}

fn type_name(data_type: &DataType) -> &'static str {
    use DataType::*;
    match data_type {
        SmallInt(_) | Int2(_) => "int2",
        Int(_) | Integer(_) | Int4(_) => "int4",
        BigInt(_) | Int8(_) => "int8",
        Real | Float4 => "float4",
        Double(_) | DoublePrecision | Float8 | Float(_) => "float8",
        Numeric(_) | Decimal(_) | Dec(_) => "numeric",
        Boolean | Bool => "bool",
        Varchar(_) | CharacterVarying(_) | CharVarying(_) => "varchar",
        Char(_) | Character(_) => "bpchar",
        Text => "text",
        Date => "date",
        Time(_, ast::TimezoneInfo::WithTimeZone | ast::TimezoneInfo::Tz) => "timetz",
        Time(..) => "time",
        Timestamp(_, ast::TimezoneInfo::WithTimeZone | ast::TimezoneInfo::Tz) => "timestamptz",
        Timestamp(..) => "timestamp",
        Interval { .. } => "interval",
        Bytea => "bytea",
        Uuid => "uuid",
        JSON => "json",
        _ => NO_NAME,
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

    fn named(text: &str) -> String {
        let sql::Statement::Query(mut query) = sql::parse(text).unwrap() else { panic!("{text} is a query") };
        name_columns(&mut query);
        query.to_string().replace(SUFFIX, "#")
    }

    #[test]
    fn expressions_have_postgresql_s_names() {
        assert_eq!(named("SELECT a, t.b, count(*) FROM t"), "SELECT a, t.b, count(*) AS \"count\" FROM t");
        assert_eq!(named("SELECT 1, 2"), "SELECT 1 AS \"?column?\", 2 AS \"?column?#2\"");
        assert_eq!(named("SELECT '1'::int, a::int FROM t"), "SELECT '1'::INT AS \"int4\", a::INT AS \"a\" FROM t");
        assert_eq!(named("SELECT CASE WHEN a THEN 1 ELSE b END"), "SELECT CASE WHEN a THEN 1 ELSE b END AS \"b\"");
        assert_eq!(named("SELECT (SELECT max(a) FROM t)"), { "SELECT (SELECT max(a) AS \"max\" FROM t) AS \"max\"" });
    }

    #[test]
    fn what_is_selected_twice_has_two_names() {
        assert_eq!(named("SELECT x, X, x FROM t"), "SELECT x, X AS \"x#2\", x AS \"x#3\" FROM t");
        assert_eq!(named("SELECT x AS a, y AS a FROM t"), "SELECT x AS a, y AS \"a#2\" FROM t");
        assert_eq!(named("SELECT a::int, a FROM t"), "SELECT a::INT AS \"a\", a AS \"a#2\" FROM t");
        assert_eq!(named("SELECT t.a, t.* FROM t"), "SELECT t.a AS \"a#1\", t.* FROM t");
        assert_eq!(named("SELECT a, t.*, b FROM t"), "SELECT a AS \"a#1\", t.*, b AS \"b#1\" FROM t");
        assert_eq!(named("SELECT a, * FROM t, s"), "SELECT a AS \"a#1\", * FROM t, s");
        assert_eq!(named("SELECT a, s.b, t.* FROM t, s"), "SELECT a, s.b, t.* FROM t, s");
        // Qualified columns are told apart already, but not as columns of a table.
        assert_eq!(named("SELECT a.k, b.k FROM a, b"), "SELECT a.k, b.k FROM a, b");
        let derived = named("SELECT * FROM (SELECT a.k, b.k FROM a, b) AS s");
        assert_eq!(derived, "SELECT * FROM (SELECT a.k, b.k AS \"k#2\" FROM a, b) AS s");
        let cte = named("WITH s AS (SELECT a.k, b.k FROM a, b) SELECT * FROM s");
        assert_eq!(cte, "WITH s AS (SELECT a.k, b.k AS \"k#2\" FROM a, b) SELECT * FROM s");
    }

    #[test]
    fn suffixes_are_cut_off() {
        let field = |name: &str| Field::new(name, datafusion::arrow::datatypes::DataType::Int32, true);
        let schema = Arc::new(Schema::new(vec![field("x"), field("x\0 2"), field("y")]));
        let names: Vec<_> = plain(&schema).fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(names, ["x", "x", "y"]);
    }
}
