//! Greenplum's `DISTRIBUTED …` clause, which sqlparser does not know.

use super::cursor::{Cursor, is_word};
use super::statement::DistributionClause;
use super::text::Text;
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// What stands behind the query of a CREATE TABLE AS. It must be cut off before the query is parsed: in
/// `FROM y DISTRIBUTED BY (a)` a parser reads an alias.
#[derive(Debug, Default)]
pub(super) struct Clauses {
    pub distribution: Option<DistributionClause>,
    /// `WITH DATA` is true, `WITH NO DATA` false.
    pub with_data: Option<bool>,
}

/// Cuts the clauses off the end of a CREATE TABLE, also one that is explained; other statements stay as they are.
///
/// # Errors
/// Those of the names in the clause; 42601 if there are two.
pub(super) fn cut(text: &Text<'_>, tokens: &mut Vec<TokenWithSpan>) -> SqlResult<Clauses> {
    let mut clauses = Clauses::default();
    if !is_create_table(tokens) {
        return Ok(clauses);
    }
    loop {
        if let Some((start, with_data)) = trailing_with_data(tokens) {
            if clauses.with_data.replace(with_data).is_some() {
                return Err(twice(text, &tokens[start], "WITH DATA"));
            }
            tokens.truncate(start);
        } else if let Some(start) = trailing_distributed(tokens) {
            let clause = tokens.split_off(start);
            let at = clause[0].clone();
            let mut cursor = Cursor::new(text, clause);
            let Some(distribution) = parse(&mut cursor)? else { return Err(cursor.unexpected()) };
            cursor.end()?;
            if clauses.distribution.replace(distribution).is_some() {
                return Err(twice(text, &at, "DISTRIBUTED"));
            }
        } else {
            return Ok(clauses);
        }
    }
}

/// The clause at the cursor, if there is one.
///
/// # Errors
/// 42601.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> SqlResult<Option<DistributionClause>> {
    if !cursor.word("DISTRIBUTED") {
        return Ok(None);
    }
    if cursor.word("RANDOMLY") {
        Ok(Some(DistributionClause::Randomly))
    } else if cursor.word("REPLICATED") {
        Ok(Some(DistributionClause::Replicated))
    } else if cursor.word("BY") {
        Ok(Some(DistributionClause::By(cursor.name_list()?)))
    } else {
        Err(cursor.expected("BY, RANDOMLY or REPLICATED"))
    }
}

fn twice(text: &Text<'_>, token: &TokenWithSpan, what: &str) -> SqlError {
    let message = format!("{what} is given twice");
    SqlError::new(SqlState::SYNTAX_ERROR, message).at(text.position(token.span.start))
}

/// Indices of the tokens that are not white space.
fn solid(tokens: &[TokenWithSpan]) -> impl DoubleEndedIterator<Item = usize> {
    let solid = tokens.iter().enumerate().filter(|(_, token)| !matches!(token.token, Token::Whitespace(_)));
    solid.map(|(index, _)| index)
}

fn is_create_table(tokens: &[TokenWithSpan]) -> bool {
    let mut words = solid(tokens).map(|index| &tokens[index].token).skip_while(|token| {
        // EXPLAIN and its options.
        !is_word(token, "CREATE") && !is_word(token, "SELECT") && !is_word(token, "INSERT") && !is_word(token, "COPY")
    });
    // CREATE, at most three words such as TEMP, TABLE.
    words.next().is_some_and(|token| is_word(token, "CREATE")) && words.take(4).any(|token| is_word(token, "TABLE"))
}

/// Where a trailing `WITH [NO] DATA` starts.
fn trailing_with_data(tokens: &[TokenWithSpan]) -> Option<(usize, bool)> {
    let mut back = solid(tokens).rev();
    let is = |index: usize, word| is_word(&tokens[index].token, word);
    if !is(back.next()?, "DATA") {
        return None;
    }
    let before = back.next()?;
    if is(before, "WITH") {
        return Some((before, true));
    }
    let with = back.next()?;
    (is(before, "NO") && is(with, "WITH")).then_some((with, false))
}

/// Where a trailing `DISTRIBUTED BY (…)`, `DISTRIBUTED RANDOMLY` or `DISTRIBUTED REPLICATED` starts, outside parentheses.
fn trailing_distributed(tokens: &[TokenWithSpan]) -> Option<usize> {
    let mut back = solid(tokens).rev().peekable();
    let is = |index: usize, word| is_word(&tokens[index].token, word);
    let last = back.next()?;
    if tokens[last].token == Token::RParen {
        loop {
            match &tokens[back.next()?].token {
                Token::LParen => break,
                // A name list has none inside.
                Token::RParen => return None,
                _ => {}
            }
        }
        if !is(back.next()?, "BY") {
            return None;
        }
    } else if !is(last, "RANDOMLY") && !is(last, "REPLICATED") {
        return None;
    }
    let start = back.next()?;
    is(start, "DISTRIBUTED").then_some(start)
}
