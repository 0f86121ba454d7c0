//! WITH before a query, and before INSERT, UPDATE, DELETE and MERGE.

use super::cursor::Cursor;
use super::statement::{InsertSource, Statement};
use super::{insert, merge, modify, query};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, Query, SetExpr, With};
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;

/// `WITH … {SELECT | INSERT | UPDATE | DELETE | MERGE} …`.
///
/// # Errors
/// 42601; 0A000 for WITH whose own statements change rows, and for INSERT … VALUES after it.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let at = cursor.position();
    let with = cursor.run(|parser| {
        let with_token = parser.expect_keyword(Keyword::WITH)?.into();
        let recursive = parser.parse_keyword(Keyword::RECURSIVE);
        Ok(With { with_token, recursive, cte_tables: parser.parse_comma_separated(Parser::parse_cte)? })
    })?;
    with.cte_tables.iter().try_for_each(|cte| query::check(&cte.query)).map_err(|error| error.at(at))?;
    let words = ["INSERT", "UPDATE", "DELETE", "MERGE", "WITH"];
    match words.into_iter().find(|word| cursor.peek_word(0, word)) {
        Some("INSERT") => {
            let mut statement = insert::parse(cursor)?;
            if let Statement::Insert(insert) = &mut statement {
                put_before(&mut insert.source, with).map_err(|error| error.at(at))?;
            }
            Ok(statement)
        }
        Some(word @ ("UPDATE" | "DELETE")) => {
            let mut statement = if word == "UPDATE" { modify::update(cursor)? } else { modify::delete(cursor)? };
            if let Statement::Modify(modify) = &mut statement {
                modify.with = Some(with);
            }
            Ok(statement)
        }
        Some("MERGE") => {
            let mut statement = merge::parse(cursor)?;
            if let Statement::Merge(merge) = &mut statement {
                merge.with = Some(with);
            }
            Ok(statement)
        }
        Some(_) => Err(cursor.unexpected()),
        None => {
            let mut statement = query::parse(cursor)?;
            if let ast::Statement::Query(query) = statement.as_mut() {
                query.with = Some(with);
            }
            Ok(Statement::Query(statement))
        }
    }
}

/// The rows of an INSERT see what is before it; names of their own WITH go before those.
fn put_before(source: &mut InsertSource, with: With) -> SqlResult<()> {
    let InsertSource::Query(statement) = source else {
        let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "WITH before INSERT ... VALUES is not supported");
        return Err(error.with_hint("Write INSERT ... SELECT."));
    };
    let ast::Statement::Query(query) = statement.as_mut() else { return Ok(()) };
    if query.with.is_none() {
        query.with = Some(with);
        return Ok(());
    }
    let own = query.clone();
    **query = Query {
        with: Some(with),
        body: Box::new(SetExpr::Query(own)),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: vec![],
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: vec![],
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse;

    #[test]
    fn what_with_stands_before() {
        let Statement::Modify(modify) = parse("WITH s AS (SELECT 1 AS x) DELETE FROM t USING s").unwrap() else {
            panic!()
        };
        assert_eq!(modify.with.unwrap().to_string(), "WITH s AS (SELECT 1 AS x)");
        let Statement::Merge(merge) =
            parse("WITH s AS (SELECT 1 AS x) MERGE INTO t USING s ON t.x = s.x WHEN MATCHED THEN DELETE").unwrap()
        else {
            panic!()
        };
        assert!(merge.with.is_some());
        for (text, expected) in [
            ("WITH s AS (SELECT 1) INSERT INTO t SELECT * FROM s", "WITH s AS (SELECT 1) SELECT * FROM s"),
            (
                "WITH s AS (SELECT 1) INSERT INTO t WITH s AS (SELECT 2) SELECT * FROM s",
                "WITH s AS (SELECT 1) (WITH s AS (SELECT 2) SELECT * FROM s)",
            ),
        ] {
            let Statement::Insert(insert) = parse(text).unwrap() else { panic!("{text}") };
            let InsertSource::Query(query) = insert.source else { panic!("{text}") };
            assert_eq!(query.to_string(), expected);
        }
        let Statement::Query(query) = parse("WITH RECURSIVE s AS (SELECT 1) SELECT * FROM s LIMIT 1").unwrap() else {
            panic!()
        };
        assert_eq!(query.to_string(), "WITH RECURSIVE s AS (SELECT 1) SELECT * FROM s LIMIT 1");
    }

    #[test]
    fn what_is_refused() {
        for (text, state) in [
            ("WITH s AS (SELECT 1) INSERT INTO t VALUES (1)", SqlState::FEATURE_NOT_SUPPORTED),
            ("WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d", SqlState::FEATURE_NOT_SUPPORTED),
            ("WITH d AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM d", SqlState::FEATURE_NOT_SUPPORTED),
            (
                "SELECT * FROM (WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d) x",
                SqlState::FEATURE_NOT_SUPPORTED,
            ),
            ("WITH s AS (SELECT 1) WITH u AS (SELECT 2) SELECT 1", SqlState::SYNTAX_ERROR),
            ("WITH s AS (SELECT 1) DROP TABLE t", SqlState::SYNTAX_ERROR),
        ] {
            assert_eq!(parse(text).unwrap_err().state, state, "{text}");
        }
    }
}
