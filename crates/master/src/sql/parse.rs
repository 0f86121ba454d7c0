//! One statement's text → [`Statement`].

use super::cursor::{Cursor, is_word, tokenize};
use super::limits::STATEMENT_BYTES_MAX;
use super::statement::Statement;
use super::text::Text;
use super::{
    alter, as_of, backup, copy, create, distributed, drop, explain, guard, insert, merge, modify, query, role, secret,
    settings, table_query, transaction, unsupported, with,
};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Parses one statement; semicolons after it are allowed.
///
/// # Errors
/// 42601 with a position for what is not SQL, 0A000 for what is but Damson does not do, 54001 for what is too complex,
/// and the errors of types and options (42704, 22023).
pub fn parse(sql: &str) -> SqlResult<Statement> {
    if sql.len() > STATEMENT_BYTES_MAX {
        let message = format!("the statement is longer than {} MiB", STATEMENT_BYTES_MAX >> 20);
        return Err(SqlError::new(SqlState::TOO_COMPLEX, message).with_hint("Load rows with COPY."));
    }
    let text = Text::new(sql);
    let tokens = tokenize(&text)?;
    let (is_secret, has_password) = (secret::is_create(&tokens), role::has_password(&tokens));
    let statement = parse_tokens(&text, tokens);
    match statement {
        Err(error) if is_secret => Err(secret::without_text(error)),
        Err(error) if has_password => Err(role::without_text(error)),
        statement => statement,
    }
}

fn parse_tokens(text: &Text<'_>, mut tokens: Vec<TokenWithSpan>) -> SqlResult<Statement> {
    guard::check(&tokens)?;
    while matches!(tokens.last().map(|token| &token.token), Some(Token::SemiColon | Token::Whitespace(_))) {
        tokens.pop();
    }
    if let Some(separator) = tokens.iter().position(|token| token.token == Token::SemiColon) {
        let next = tokens[separator..].iter().find(|t| !matches!(t.token, Token::SemiColon | Token::Whitespace(_)));
        let at = next.unwrap_or(&tokens[separator]).span.start;
        let message = "cannot run several statements as one";
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(text.position(at)));
    }
    if tokens.is_empty() {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "the statement is empty"));
    }
    check_relations(text, &tokens)?;
    let mut tokens = as_of::write_out(table_query::write_out(tokens));
    let clauses = distributed::cut(text, &mut tokens)?;
    let mut cursor = Cursor::new(text, tokens);
    let statement = statement(&mut cursor, clauses)?;
    cursor.end()?;
    Ok(statement)
}

/// The parser takes any word after FROM or JOIN for a relation's name; clauses begin with words that are none.
fn check_relations(text: &Text<'_>, tokens: &[TokenWithSpan]) -> SqlResult<()> {
    const CLAUSES: [&str; 12] = [
        "WHERE",
        "GROUP",
        "HAVING",
        "ORDER",
        "LIMIT",
        "OFFSET",
        "FETCH",
        "UNION",
        "EXCEPT",
        "INTERSECT",
        "ON",
        "USING",
    ];
    let words: Vec<&TokenWithSpan> = tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect();
    for pair in words.windows(2) {
        let [before, name] = pair else { continue };
        let names_relation = is_word(&before.token, "FROM") || is_word(&before.token, "JOIN");
        if names_relation && let Some(clause) = CLAUSES.iter().find(|clause| is_word(&name.token, clause)) {
            let message = format!("syntax error at or near \"{clause}\"");
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(text.position(name.span.start)));
        }
    }
    Ok(())
}

/// The statement at `cursor`; what follows it is the caller's to refuse.
pub(super) fn statement(cursor: &mut Cursor<'_>, clauses: distributed::Clauses) -> SqlResult<Statement> {
    let first = match cursor.peek() {
        Token::LParen => return query::parse(cursor).map(Statement::Query),
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => return Err(cursor.unexpected()),
    };
    match first.as_str() {
        "WITH" => with::parse(cursor),
        "SELECT" | "VALUES" => query::parse(cursor).map(Statement::Query),
        "INSERT" => insert::parse(cursor),
        "UPDATE" => modify::update(cursor),
        "DELETE" => modify::delete(cursor),
        "MERGE" => merge::parse(cursor),
        "CREATE" => create::parse(cursor, clauses),
        "DROP" => drop::parse(cursor),
        "TRUNCATE" => drop::truncate(cursor),
        "ALTER" => alter::parse(cursor),
        "COPY" => copy::parse(cursor),
        "EXPLAIN" => explain::parse(cursor, clauses),
        "SHOW" => settings::show(cursor),
        "SET" => settings::set(cursor),
        "RESET" => settings::reset(cursor),
        "ANALYZE" | "ANALYSE" => settings::analyze(cursor),
        "VACUUM" => settings::vacuum(cursor),
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" => {
            transaction::parse(cursor)
        }
        "GRANT" => role::grant(cursor),
        "REVOKE" => role::revoke(cursor),
        "LOCK" => transaction::lock(cursor),
        "BACKUP" => backup::backup(cursor),
        "RESTORE" => backup::restore(cursor),
        _ => Err(unsupported::statement(cursor, &first)),
    }
}

#[cfg(test)]
mod tests;
