//! Calls of sequences' functions, and the names of sequences in them.

use super::cursor::{Cursor, tokenize};
use super::expression::parse_expression;
use super::names;
use super::statement::RelationName;
use super::text::Text;
use super::walk::{walk, walk_mut};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{
    self, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Visit, Visitor, VisitorMut,
};
use std::ops::ControlFlow;

/// `nextval`.
pub const NEXTVAL: &str = "nextval";

/// PostgreSQL's functions of sequences.
const FUNCTIONS: [&str; 4] = [NEXTVAL, "setval", "currval", "lastval"];

/// The function of sequences that a call is of, with or without its schema.
pub fn sequence_function(function: &ast::Function) -> Option<&'static str> {
    let idents: Vec<String> =
        function.name.0.iter().map(|part| part.as_ident().map(names::fold)).collect::<Option<_>>()?;
    let name = match idents.as_slice() {
        [name] => name,
        [schema, name] if schema == "pg_catalog" => name,
        _ => return None,
    };
    FUNCTIONS.into_iter().find(|known| known == name)
}

/// The arguments of a call; none of `*`, a subquery, or one with a name.
pub fn call_arguments(function: &ast::Function) -> Option<Vec<&Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let mut arguments = Vec::with_capacity(list.args.len());
    for argument in &list.args {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument else { return None };
        arguments.push(expr);
    }
    Some(arguments)
}

/// The text of `'s'` and of `'s'::regclass`.
pub fn name_in_quotes(argument: &Expr) -> Option<String> {
    match argument {
        Expr::Cast { expr, data_type: DataType::Regclass, .. } => name_in_quotes(expr),
        Expr::Value(value) => value.value.clone().into_string(),
        _ => None,
    }
}

/// What a text names, as PostgreSQL's regclass reads it.
///
/// # Errors
/// 42601, 0A000 for another database, 42622.
pub fn relation_in_text(text: &str) -> SqlResult<RelationName> {
    let source = Text::new(text);
    let mut cursor = Cursor::new(&source, tokenize(&source)?);
    let name = cursor.relation().and_then(|name| cursor.end().map(|()| name));
    // Positions are of the text in quotes.
    name.map(|name| RelationName { position: 1, ..name }).map_err(|error| SqlError { position: None, ..error })
}

/// The text that [`relation_in_text`] reads as this relation.
pub fn text_of_relation(schema: &str, name: &str) -> String {
    let part = |part: &str| {
        let is_plain = part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if is_plain { part.to_owned() } else { Ident::with_quote('"', part).to_string() }
    };
    format!("{}.{}", part(schema), part(name))
}

/// A default that takes from a sequence.
pub fn nextval_of(schema: &str, name: &str) -> String {
    format!("{NEXTVAL}('{}')", text_of_relation(schema, name).replace('\'', "''"))
}

/// The sequences that a default takes from, by schema and name, as [`qualify_sequences`] has written them.
pub fn sequences_of(default: &str) -> Vec<(String, String)> {
    if !default.contains(NEXTVAL) {
        return vec![];
    }
    let Ok(expression) = parse_expression(default) else { return vec![] };
    let mut found = Found { names: vec![] };
    let _ = walk(&expression, &mut found);
    found.names
}

struct Found {
    names: Vec<(String, String)>,
}

impl Visitor for Found {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && sequence_function(function) == Some(NEXTVAL)
            && let Some([argument]) = call_arguments(function).as_deref()
            && let Some(Ok(RelationName { schema: Some(schema), name, .. })) =
                name_in_quotes(argument).map(|text| relation_in_text(&text))
        {
            self.names.push((schema, name));
        }
        ControlFlow::Continue(())
    }
}

/// A default whose calls of nextval name their sequences with the schemas that `find` gives, so that they mean the same wherever
/// it is read.
///
/// # Errors
/// Those of `find`, and of names.
pub fn qualify_sequences(
    default: &str,
    find: impl FnMut(&RelationName) -> SqlResult<(String, String)>,
) -> SqlResult<String> {
    if !default.to_ascii_lowercase().contains(NEXTVAL) {
        return Ok(default.to_owned());
    }
    let mut expression = parse_expression(default)?;
    match walk_mut(&mut expression, &mut Qualify { find }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(expression.to_string()),
    }
}

struct Qualify<F> {
    find: F,
}

impl<F: FnMut(&RelationName) -> SqlResult<(String, String)>> VisitorMut for Qualify<F> {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        if sequence_function(function) != Some(NEXTVAL) {
            return ControlFlow::Continue(());
        }
        let arguments = call_arguments(function);
        let text = arguments.as_deref().and_then(|arguments| match arguments {
            [argument] => name_in_quotes(argument),
            _ => None,
        });
        let Some(text) = text else { return ControlFlow::Break(not_a_name(NEXTVAL)) };
        let found = relation_in_text(&text).and_then(|name| (self.find)(&name));
        let qualified = found.and_then(|(schema, name)| parse_expression(&nextval_of(&schema, &name)));
        match qualified {
            Ok(qualified) => *expr = qualified,
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

/// 0A000: the name of a sequence was given otherwise than in quotes.
pub fn not_a_name(function: &str) -> SqlError {
    let message = format!("{function} of anything but a sequence's name in quotes is not supported");
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
}

/// The first function of sequences that is called anywhere in a piece of syntax.
pub fn calls_sequence(written: &impl Visit) -> Option<&'static str> {
    let mut calls = Calls { found: None };
    let _ = walk(written, &mut calls);
    calls.found
}

struct Calls {
    found: Option<&'static str>,
}

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && let Some(name) = sequence_function(function)
        {
            self.found = Some(name);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for (schema, name, text) in [
            ("public", "t_id_seq", "public.t_id_seq"),
            ("public", "T", "public.\"T\""),
            ("my schema", "a\"b", "\"my schema\".\"a\"\"b\""),
            ("public", "o'clock", "public.\"o'clock\""),
            ("public", "1st", "public.\"1st\""),
        ] {
            assert_eq!(text_of_relation(schema, name), text);
            let read = relation_in_text(text).unwrap();
            assert_eq!((read.schema.as_deref(), read.name.as_str()), (Some(schema), name));
            assert_eq!(sequences_of(&nextval_of(schema, name)), [(schema.to_owned(), name.to_owned())]);
        }
        let folded = relation_in_text("Public.S").unwrap();
        assert_eq!((folded.schema.as_deref(), folded.name.as_str()), (Some("public"), "s"));
        for wrong in ["", "a b", "a.b.c.d", "1", "a;"] {
            assert!(relation_in_text(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn defaults_name_their_sequences_with_a_schema() {
        let find = |name: &RelationName| Ok((name.schema.clone().unwrap_or("here".into()), name.name.clone()));
        for (default, qualified) in [
            ("1", "1"),
            ("nextval('s')", "nextval('here.s')"),
            ("2 * pg_catalog.NEXTVAL('a.\"S\"'::REGCLASS)", "2 * nextval('a.\"S\"')"),
        ] {
            assert_eq!(qualify_sequences(default, find).unwrap(), qualified);
        }
        assert_eq!(qualify_sequences("nextval('s' || 't')", find).unwrap_err().state, SqlState::FEATURE_NOT_SUPPORTED);
        let missing = |_: &RelationName| Err(SqlError::new(SqlState::UNDEFINED_TABLE, "none"));
        assert_eq!(qualify_sequences("nextval('s')", missing).unwrap_err().state, SqlState::UNDEFINED_TABLE);
    }

    #[test]
    fn calls_are_found_wherever_they_are() {
        for (sql, found) in [
            ("1 + nextval('s')", Some("nextval")),
            ("(select pg_catalog.SETVAL('s', 1))", Some("setval")),
            ("lastval()", Some("lastval")),
            ("public.nextval('s')", None),
            ("\"NEXTVAL\"('s')", None),
            ("next(1)", None),
        ] {
            assert_eq!(calls_sequence(&parse_expression(sql).unwrap()), found, "{sql}");
        }
    }
}
