//! Which table a column's qualifier means, as PostgreSQL tells it.
//!
//! DataFusion compares qualifiers by what both have: for it `sales.t` is `t`, and `FROM t, sales.t` joins a table with itself. A
//! table that is written with its schema, while another of the same name is in the statement, gets an alias of its own here, and
//! the columns that name it are written with that.

use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{self, DATABASE};
use crate::sql::{walk, walk_mut};
use damson_cluster::TableDef;
use sqlparser::ast::{
    self, Expr, Ident, ObjectName, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableAlias,
    TableFactor, TableWithJoins, Visitor, VisitorMut,
};
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

/// Makes every qualifier that has a schema mean one table of its level or of those around, and refuses those that mean none or
/// several.
///
/// `target` is the table that an UPDATE or DELETE without an alias changes, and what its query is called in `statement`.
///
/// # Errors
/// 42712 for a name that is given twice in one FROM; 42P09 for a qualifier that means two tables, 42P01 for one that means none.
pub(super) fn name_relations(
    statement: &mut ast::Statement,
    search_schema: &str,
    target: Option<(&TableDef, (&str, &str))>,
) -> SqlResult<()> {
    let mut names = Names { search_schema, target, with: vec![], relations: HashMap::new() };
    let _: ControlFlow<()> = walk(statement, &mut names);
    match walk_mut(statement, &mut Levels { names, scopes: vec![] }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// What stands in a FROM, under the name that it gives to columns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Relation {
    /// A table without an alias.
    Table { schema: String, name: String },
    /// What has an alias, or is a query of WITH.
    Alias(String),
}

impl Relation {
    /// The name without a schema.
    fn exposed(&self) -> &str {
        match self {
            Relation::Table { name, .. } | Relation::Alias(name) => name,
        }
    }
}

/// The names of a statement, of all its levels.
struct Names<'a> {
    search_schema: &'a str,
    target: Option<(&'a TableDef, (&'a str, &'a str))>,
    /// Queries of WITH, of the levels around.
    with: Vec<HashSet<String>>,
    /// All that one name is used for.
    relations: HashMap<String, HashSet<Relation>>,
}

impl Names<'_> {
    fn relation(&self, factor: &TableFactor) -> Option<Relation> {
        let alias = match factor {
            TableFactor::Table { alias, .. }
            | TableFactor::Derived { alias, .. }
            | TableFactor::NestedJoin { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::TableFunction { alias, .. }
            | TableFactor::UNNEST { alias, .. } => alias,
            _ => &None,
        };
        let parts = match factor {
            TableFactor::Table { name, .. } => folded(name),
            _ => vec![],
        };
        if let (Some((def, (schema, name))), [s, n]) = (self.target, parts.as_slice())
            && (schema, name) == (s, n)
        {
            return Some(Relation::Table { schema: def.schema.clone(), name: def.name.clone() });
        }
        if let Some(alias) = alias {
            return Some(Relation::Alias(sql::fold(&alias.name)));
        }
        match parts.as_slice() {
            [name] if self.with.iter().any(|with| with.contains(name)) => Some(Relation::Alias(name.clone())),
            [name] => Some(Relation::Table { schema: self.search_schema.into(), name: name.clone() }),
            [schema, name] => Some(Relation::Table { schema: schema.clone(), name: name.clone() }),
            [database, schema, name] if database == DATABASE => {
                Some(Relation::Table { schema: schema.clone(), name: name.clone() })
            }
            _ => None,
        }
    }

    /// The alias of a table that DataFusion would take for another one, of which it does not make a schema and a name. The target has
    /// its own.
    fn alias(&self, factor: &TableFactor) -> Option<String> {
        let TableFactor::Table { alias, name, .. } = factor else { return None };
        let Relation::Table { schema, name: table } = self.relation(factor)? else { return None };
        if alias.is_some() {
            return Some(table);
        }
        let is_told_apart = name.0.len() == 1 && self.target.is_none();
        (!is_told_apart && self.relations[&table].len() > 1).then(|| format!("{schema}:{table}"))
    }
}

impl Visitor for Names<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.with.push(with_names(query));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.with.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let Some(relation) = self.relation(factor) {
            self.relations.entry(relation.exposed().to_owned()).or_default().insert(relation);
        }
        ControlFlow::Continue(())
    }
}

/// A relation of one level, and the alias that it gets.
type Scope = Vec<(Relation, Option<String>)>;

struct Levels<'a> {
    names: Names<'a>,
    /// Of the levels around, the innermost last.
    scopes: Vec<Scope>,
}

impl Levels<'_> {
    fn scope(&self, from: &[TableWithJoins]) -> SqlResult<Scope> {
        let mut scope = vec![];
        from.iter().for_each(|tables| self.add_tables(tables, &mut scope));
        for (i, (relation, _)) in scope.iter().enumerate() {
            let same = |(other, _): &&(Relation, _)| match (relation, other) {
                // Two tables of different schemas can be told apart by these.
                (Relation::Table { .. }, Relation::Table { .. }) => relation == other,
                _ => relation.exposed() == other.exposed(),
            };
            if scope[..i].iter().any(|other| same(&other)) {
                let message = format!("table name \"{}\" specified more than once", relation.exposed());
                return Err(SqlError::new(SqlState::DUPLICATE_ALIAS, message));
            }
        }
        Ok(scope)
    }

    /// The relations of a FROM, in order.
    fn add_tables(&self, tables: &TableWithJoins, scope: &mut Scope) {
        for factor in [&tables.relation].into_iter().chain(tables.joins.iter().map(|join| &join.relation)) {
            match factor {
                TableFactor::NestedJoin { table_with_joins, alias: None } => self.add_tables(table_with_joins, scope),
                _ => scope.extend(self.names.relation(factor).map(|relation| (relation, self.names.alias(factor)))),
            }
        }
    }

    /// Writes the qualifier with which a column, or `*`, starts.
    fn rewrite(&self, parts: &mut Vec<Ident>, is_wildcard: bool) -> SqlResult<()> {
        let qualifier = parts.len() - usize::from(!is_wildcard);
        if qualifier >= 3 && sql::fold(&parts[0]) == DATABASE {
            parts.remove(0);
            return self.rewrite(parts, is_wildcard);
        }
        let is_exposed = |name: &Ident| {
            let name = sql::fold(name);
            self.scopes.iter().flatten().any(|(relation, _)| relation.exposed() == name)
        };
        match parts.as_slice() {
            [schema, table, ..] if qualifier >= 2 && !is_exposed(schema) => {
                let relation = Relation::Table { schema: sql::fold(schema), name: sql::fold(table) };
                let found = self.scopes.iter().rev().flatten().find(|(other, _)| *other == relation);
                let Some((_, alias)) = found else {
                    // A system table that was named without its schema, or a database in front: the binder's to tell.
                    if !is_exposed(table) || schema.value.eq_ignore_ascii_case("pg_catalog") {
                        return Ok(());
                    }
                    let message = format!("invalid reference to FROM-clause entry for table \"{}\"", table.value);
                    let error = SqlError::new(SqlState::UNDEFINED_TABLE, message);
                    return Err(error.with_hint(format!("The FROM has no \"{}.{}\".", schema.value, table.value)));
                };
                if let Some(alias) = alias {
                    let name = Ident::with_quote_and_span('"', schema.span, alias);
                    parts.splice(..2, [name]);
                }
                Ok(())
            }
            [table, ..] if qualifier >= 1 => {
                let name = sql::fold(table);
                let of_name = |scope: &&Scope| scope.iter().any(|(relation, _)| relation.exposed() == name);
                let Some(scope) = self.scopes.iter().rev().find(of_name) else { return Ok(()) };
                let mut found = scope.iter().filter(|(relation, _)| relation.exposed() == name);
                if let (Some((_, alias)), None) = (found.next(), found.next()) {
                    if let Some(alias) = alias {
                        parts[0] = Ident::with_quote_and_span('"', table.span, alias);
                    }
                    return Ok(());
                }
                let message = format!("table reference \"{name}\" is ambiguous");
                let error = SqlError::new(SqlState::AMBIGUOUS_ALIAS, message);
                Err(error.with_hint("Write it with its schema, or give the tables aliases."))
            }
            _ => Ok(()),
        }
    }

    fn in_select(&mut self, select: &mut Select) -> SqlResult<()> {
        self.scopes.push(self.scope(&select.from)?);
        for item in &mut select.projection {
            if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item {
                let parts: Option<Vec<Ident>> = name.0.iter().map(|part| part.as_ident().cloned()).collect();
                if let Some(mut parts) = parts {
                    self.rewrite(&mut parts, true)?;
                    *name = ObjectName::from(parts);
                }
            }
        }
        Ok(())
    }
}

fn flow(result: SqlResult<()>) -> ControlFlow<SqlError> {
    result.map_or_else(ControlFlow::Break, ControlFlow::Continue)
}

impl VisitorMut for Levels<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        self.names.with.push(with_names(query));
        // What the query has beside its SELECT, as ORDER BY, sees the same tables.
        let scope = match query.body.as_ref() {
            SetExpr::Select(select) => self.scope(&select.from),
            _ => Ok(vec![]),
        };
        flow(scope.map(|scope| self.scopes.push(scope)))
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<SqlError> {
        self.scopes.pop();
        self.names.with.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        flow(self.in_select(select))
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<SqlError> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        if let Some(name) = self.names.alias(factor)
            && let TableFactor::Table { alias, .. } = factor
        {
            let name = Ident::with_quote('"', name);
            *alias = Some(TableAlias { explicit: true, name, columns: vec![], at: None });
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        match expr {
            Expr::CompoundIdentifier(parts) => {
                let result = self.rewrite(parts, false);
                flow(result)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn with_names(query: &Query) -> HashSet<String> {
    query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| sql::fold(&cte.alias.name)).collect()
}

fn folded(name: &ObjectName) -> Vec<String> {
    name.0.iter().filter_map(|part| part.as_ident()).map(sql::fold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Result<String, SqlState> {
        let sql::Statement::Query(mut query) = sql::parse(text).unwrap() else { panic!("{text} is a query") };
        name_relations(&mut query, "public", None).map_err(|e| e.state)?;
        Ok(query.to_string())
    }

    #[test]
    fn tables_of_one_name_get_aliases() {
        assert_eq!(
            named("SELECT s.t.*, public.t.k FROM t, s.t WHERE public.t.k = s.t.k ORDER BY s.t.k").unwrap(),
            "SELECT \"s:t\".*, public.t.k FROM t, s.t AS \"s:t\" WHERE public.t.k = \"s:t\".k ORDER BY \"s:t\".k"
        );
        assert_eq!(
            named("SELECT t.k FROM t WHERE EXISTS (SELECT 1 FROM s.t WHERE t.k = public.t.k)").unwrap(),
            "SELECT t.k FROM t WHERE EXISTS (SELECT 1 FROM s.t AS \"s:t\" WHERE \"s:t\".k = public.t.k)"
        );
        assert_eq!(
            named("SELECT 1 FROM u AS t WHERE k IN (SELECT s.t.k FROM s.t) UNION SELECT 2 FROM s.t").unwrap(),
            "SELECT 1 FROM u AS t WHERE k IN (SELECT \"s:t\".k FROM s.t AS \"s:t\") \
             UNION SELECT 2 FROM s.t AS \"s:t\""
        );
    }

    #[test]
    fn other_names_stay() {
        for text in [
            "SELECT t.k, u.k FROM t, s.u WHERE t.k = u.k",
            "SELECT a.k FROM t AS a, s.t AS b WHERE a.k = b.k",
            "SELECT t.point.x FROM t",
            "SELECT k FROM t WHERE k IN (SELECT t.k FROM t)",
            "SELECT s.u.k FROM s.u",
            "SELECT public.t.v FROM t WHERE k IN (WITH t AS (SELECT 2 AS k) SELECT t.k FROM t)",
        ] {
            assert_eq!(named(text).unwrap(), text);
        }
    }

    #[test]
    fn what_means_none_or_several_is_refused() {
        for (text, state) in [
            ("SELECT 1 FROM t, s.t WHERE t.k = 1", SqlState::AMBIGUOUS_ALIAS),
            ("SELECT t.* FROM t, s.t", SqlState::AMBIGUOUS_ALIAS),
            ("SELECT s.t.k FROM t", SqlState::UNDEFINED_TABLE),
            ("SELECT public.t.k FROM t AS t", SqlState::UNDEFINED_TABLE),
            ("SELECT 1 FROM t, t", SqlState::DUPLICATE_ALIAS),
            ("SELECT 1 FROM t JOIN public.t ON true", SqlState::DUPLICATE_ALIAS),
            ("SELECT 1 FROM u AS t, s.t", SqlState::DUPLICATE_ALIAS),
            ("WITH t AS (SELECT 1 AS k) SELECT s.t.k FROM t JOIN s.t USING (k)", SqlState::DUPLICATE_ALIAS),
        ] {
            assert_eq!(named(text), Err(state), "{text}");
        }
    }
}
