//! MERGE. sqlparser's own has no DO NOTHING and no RETURNING.

use super::assign::{self, value};
use super::cursor::Cursor;
use super::insert::overriding;
use super::set_returning::refuse_sets;
use super::statement::{Merge, MergeAction, MergeClause, MergeWhen, Statement};
use super::{query, returning};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::ast;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

/// `MERGE INTO t [AS a] USING source ON condition WHEN … THEN … [RETURNING …]`.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    cursor.expect_word("MERGE")?;
    cursor.expect_word("INTO")?;
    // There is no inheritance, so ONLY says nothing.
    cursor.word("ONLY");
    let table = cursor.relation()?;
    let alias = alias(cursor)?;
    cursor.expect_word("USING")?;
    let source = source(cursor)?;
    cursor.expect_word("ON")?;
    let on = query::expression(cursor)?;
    let clauses = clauses(cursor)?;
    let returning = returning::parse(cursor)?;
    Ok(Statement::Merge(Box::new(Merge { with: None, table, alias, source, on, clauses, returning })))
}

fn alias(cursor: &mut Cursor<'_>) -> SqlResult<Option<String>> {
    let bare = matches!(cursor.peek(), Token::Word(_)) && !cursor.peek_word(0, "USING");
    if cursor.word("AS") || bare { Ok(Some(cursor.name()?.text)) } else { Ok(None) }
}

fn source(cursor: &mut Cursor<'_>) -> SqlResult<ast::TableWithJoins> {
    let at = cursor.position();
    let relation = cursor.run(|parser| parser.parse_table_factor())?;
    for join in ["JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL"] {
        if cursor.peek_word(0, join) {
            return Err(cursor.unsupported("a join as the source of a MERGE").with_hint("Put it in a subquery."));
        }
    }
    if let ast::TableFactor::Derived { subquery, .. } = &relation {
        query::check(subquery).map_err(|error| error.at(at))?;
    }
    query::check_inside(&relation).map_err(|error| error.at(at))?;
    Ok(ast::TableWithJoins { relation, joins: vec![] })
}

fn clauses(cursor: &mut Cursor<'_>) -> SqlResult<Vec<MergeClause>> {
    let mut clauses: Vec<MergeClause> = vec![];
    loop {
        let at = cursor.position();
        if !cursor.word("WHEN") {
            break;
        }
        let when = when(cursor)?;
        if clauses.iter().any(|before| before.when == when && before.condition.is_none()) {
            let message = "unreachable WHEN clause specified after unconditional WHEN clause";
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(at));
        }
        let condition = if cursor.word("AND") { Some(query::expression(cursor)?) } else { None };
        cursor.expect_word("THEN")?;
        let action = action(cursor, when)?;
        clauses.push(MergeClause { when, condition, action });
    }
    if clauses.is_empty() { Err(cursor.expected("WHEN")) } else { Ok(clauses) }
}

fn when(cursor: &mut Cursor<'_>) -> SqlResult<MergeWhen> {
    if cursor.word("MATCHED") {
        return Ok(MergeWhen::Matched);
    }
    if !cursor.words(&["NOT", "MATCHED"]) {
        return Err(cursor.expected("MATCHED or NOT MATCHED"));
    }
    if !cursor.word("BY") {
        return Ok(MergeWhen::NotMatched);
    }
    if cursor.word("SOURCE") {
        Ok(MergeWhen::NotMatchedBySource)
    } else if cursor.word("TARGET") {
        Ok(MergeWhen::NotMatched)
    } else {
        Err(cursor.expected("SOURCE or TARGET"))
    }
}

/// A row of the source only can be inserted, one of the table only changed or deleted.
fn action(cursor: &mut Cursor<'_>, when: MergeWhen) -> SqlResult<MergeAction> {
    if cursor.words(&["DO", "NOTHING"]) {
        return Ok(MergeAction::Nothing);
    }
    match when {
        MergeWhen::NotMatched if cursor.word("INSERT") => insert(cursor),
        MergeWhen::NotMatched => Err(cursor.expected("INSERT or DO NOTHING")),
        MergeWhen::Matched | MergeWhen::NotMatchedBySource => {
            if cursor.word("DELETE") {
                Ok(MergeAction::Delete)
            } else if cursor.word("UPDATE") {
                cursor.expect_word("SET")?;
                assign::parse(cursor).map(MergeAction::Update)
            } else {
                Err(cursor.expected("UPDATE, DELETE or DO NOTHING"))
            }
        }
    }
}

fn insert(cursor: &mut Cursor<'_>) -> SqlResult<MergeAction> {
    if cursor.words(&["DEFAULT", "VALUES"]) {
        return Ok(MergeAction::Insert { columns: vec![], overriding: None, values: None });
    }
    let columns = cursor.optional_name_list()?;
    let overriding = overriding(cursor)?;
    cursor.expect_word("VALUES")?;
    let at = cursor.position();
    cursor.expect_token(&Token::LParen)?;
    let values = cursor.run(|parser| parser.parse_comma_separated(Parser::parse_expr))?;
    cursor.expect_token(&Token::RParen)?;
    query::check_inside(&values)
        .and_then(|()| values.iter().try_for_each(|value| refuse_sets(value, "MERGE INSERT")))
        .map_err(|error| error.at(at))?;
    Ok(MergeAction::Insert { columns, overriding, values: Some(values.into_iter().map(value).collect()) })
}
