//! What a protocol keeps for its client, beside the session: cursors and prepared statements by name.

use super::cursor::{Cursor, is_word, may_begin_with, tokenize};
use super::guard;
use super::limits::STATEMENT_BYTES_MAX;
use super::text::Text;
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::tokenizer::Token;

/// A statement that the protocol carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortalStatement {
    /// `DECLARE name CURSOR FOR query`.
    Declare {
        name: String,
        query: String,
    },
    /// `FETCH 3 FROM name`, `MOVE …`; None is ALL.
    Fetch {
        name: String,
        rows: Option<usize>,
        is_move: bool,
    },
    /// None is ALL.
    Close(Option<String>),
    /// None is ALL.
    Deallocate(Option<String>),
    DiscardAll,
}

/// None for every other statement, and for what is none.
///
/// # Errors
/// 42601; 55000 for cursors that go backward; 0A000 for those that outlive their transaction.
pub fn portal_statement(sql: &str) -> Option<SqlResult<PortalStatement>> {
    const WORDS: [&str; 6] = ["DECLARE", "FETCH", "MOVE", "CLOSE", "DEALLOCATE", "DISCARD"];
    // What is too long or too deep is told by the parser that all statements have.
    if sql.len() > STATEMENT_BYTES_MAX || !may_begin_with(sql, &WORDS) {
        return None;
    }
    let text = Text::new(sql);
    let mut tokens = tokenize(&text).ok()?;
    while matches!(tokens.last().map(|token| &token.token), Some(Token::SemiColon | Token::Whitespace(_))) {
        tokens.pop();
    }
    let first = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)))?;
    if !WORDS.iter().any(|word| is_word(&first.token, word)) {
        return None;
    }
    guard::check(&tokens).ok()?;
    let mut cursor = Cursor::new(&text, tokens);
    if cursor.word("DECLARE") {
        return Some(declare(&mut cursor, sql));
    }
    let parsed = if cursor.word("FETCH") {
        fetch(&mut cursor, false)
    } else if cursor.word("MOVE") {
        fetch(&mut cursor, true)
    } else if cursor.word("CLOSE") {
        all_or_name(&mut cursor).map(PortalStatement::Close)
    } else if cursor.word("DEALLOCATE") {
        cursor.word("PREPARE");
        all_or_name(&mut cursor).map(PortalStatement::Deallocate)
    } else if cursor.words(&["DISCARD", "ALL"]) {
        Ok(PortalStatement::DiscardAll)
    } else {
        return None;
    };
    Some(parsed.and_then(|statement| cursor.end().map(|()| statement)))
}

fn all_or_name(cursor: &mut Cursor<'_>) -> SqlResult<Option<String>> {
    if cursor.word("ALL") { Ok(None) } else { cursor.name().map(|name| Some(name.text)) }
}

fn declare(cursor: &mut Cursor<'_>, sql: &str) -> SqlResult<PortalStatement> {
    let name = cursor.name()?.text;
    loop {
        if cursor.peek_word(0, "SCROLL") {
            return Err(backward());
        }
        let taken = cursor.word("BINARY")
            || cursor.word("INSENSITIVE")
            || cursor.word("ASENSITIVE")
            || cursor.words(&["NO", "SCROLL"]);
        if !taken {
            break;
        }
    }
    cursor.expect_word("CURSOR")?;
    if cursor.peek_word(0, "WITH") && cursor.peek_word(1, "HOLD") {
        return Err(cursor.unsupported("a cursor WITH HOLD"));
    }
    cursor.words(&["WITHOUT", "HOLD"]);
    cursor.expect_word("FOR")?;
    let query = sql.get(cursor.byte()..).unwrap_or_default();
    if query.trim().is_empty() {
        return Err(cursor.expected("a query"));
    }
    Ok(PortalStatement::Declare { name, query: query.to_owned() })
}

fn backward() -> SqlError {
    SqlError::new(SqlState::OBJECT_NOT_IN_STATE, "cursor can only scan forward")
        .with_hint("Cursors with SCROLL are not supported.")
}

fn fetch(cursor: &mut Cursor<'_>, is_move: bool) -> SqlResult<PortalStatement> {
    for direction in ["PRIOR", "FIRST", "LAST", "ABSOLUTE", "RELATIVE", "BACKWARD"] {
        if cursor.peek_word(0, direction) {
            return Err(backward());
        }
    }
    let is_forward = cursor.word("FORWARD");
    let rows = if cursor.word("ALL") {
        None
    } else if !is_forward && cursor.word("NEXT") {
        Some(1)
    } else {
        match cursor.peek() {
            Token::Minus => return Err(backward()),
            Token::Number(digits, _) => {
                let rows = digits.parse().ok();
                let rows = rows.ok_or_else(|| cursor.expected("a number of rows"))?;
                cursor.parser.advance_token();
                Some(rows)
            }
            _ => Some(1),
        }
    };
    let _ = cursor.word("FROM") || cursor.word("IN");
    Ok(PortalStatement::Fetch { name: cursor.name()?.text, rows, is_move })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portal(sql: &str) -> PortalStatement {
        portal_statement(sql).expect(sql).expect(sql)
    }

    #[test]
    fn cursors_have_names_and_queries() {
        let declare = |name: &str, query: &str| PortalStatement::Declare { name: name.into(), query: query.into() };
        assert_eq!(portal("DECLARE C CURSOR FOR SELECT 1;"), declare("c", "SELECT 1;"));
        assert_eq!(
            portal("declare \"É c\" NO SCROLL CURSOR WITHOUT HOLD FOR SELECT 'é'"),
            declare("É c", "SELECT 'é'")
        );
        let fetch = |rows, is_move| PortalStatement::Fetch { name: "c".into(), rows, is_move };
        for (sql, want) in [
            ("FETCH c", fetch(Some(1), false)),
            ("FETCH NEXT FROM c", fetch(Some(1), false)),
            ("FETCH 10 IN c", fetch(Some(10), false)),
            ("FETCH FORWARD 2000 FROM \"c\"", fetch(Some(2000), false)),
            ("FETCH FORWARD ALL FROM c", fetch(None, false)),
            ("MOVE ALL c", fetch(None, true)),
            ("CLOSE c", PortalStatement::Close(Some("c".into()))),
            ("CLOSE ALL", PortalStatement::Close(None)),
            ("DEALLOCATE PREPARE c", PortalStatement::Deallocate(Some("c".into()))),
            ("DISCARD ALL", PortalStatement::DiscardAll),
            ("-- all\n/* of it */ DISCARD ALL", PortalStatement::DiscardAll),
            ("\n\t fetch\n c", fetch(Some(1), false)),
        ] {
            assert_eq!(portal(sql), want, "{sql}");
        }
    }

    #[test]
    fn cursors_go_forward_and_end_with_their_transaction() {
        for (sql, state) in [
            ("DECLARE c SCROLL CURSOR FOR SELECT 1", SqlState::OBJECT_NOT_IN_STATE),
            ("FETCH PRIOR FROM c", SqlState::OBJECT_NOT_IN_STATE),
            ("FETCH -1 FROM c", SqlState::OBJECT_NOT_IN_STATE),
            ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", SqlState::FEATURE_NOT_SUPPORTED),
            ("DECLARE c CURSOR FOR", SqlState::SYNTAX_ERROR),
            ("CLOSE c d", SqlState::SYNTAX_ERROR),
        ] {
            assert_eq!(portal_statement(sql).expect(sql).unwrap_err().state, state, "{sql}");
        }
        assert!(portal_statement("SELECT 1").is_none());
    }
}
