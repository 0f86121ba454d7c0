//! CREATE TABLESPACE and DROP TABLESPACE.

use super::bucket_url::bucket_url;
use super::cursor::Cursor;
use super::statement::{CreateTablespace, Name, Statement};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::tokenizer::Token;

/// After CREATE TABLESPACE.
pub(super) fn create(cursor: &mut Cursor<'_>) -> SqlResult<CreateTablespace> {
    let name = cursor.name()?;
    if cursor.peek_word(0, "OWNER") {
        return Err(cursor.unsupported("OWNER of CREATE TABLESPACE"));
    }
    cursor.expect_word("LOCATION")?;
    let position = cursor.position();
    let location = cursor.string().ok_or_else(|| cursor.expected("a URL in quotes, such as 's3://bucket/prefix'"))?;
    let (_, location) = bucket_url(&location, false).map_err(|error| {
        let message = format!("the LOCATION is no place for a tablespace: {}", error.message);
        SqlError { message, ..error }.at(position)
    })?;
    let secret = if cursor.word("WITH") { secret(cursor)? } else { None };
    Ok(CreateTablespace { name, location, secret })
}

/// `(SECRET = s)`.
fn secret(cursor: &mut Cursor<'_>) -> SqlResult<Option<Name>> {
    let mut secret = None;
    cursor.expect_token(&Token::LParen)?;
    let options = cursor.list(|cursor| {
        let option = cursor.name()?;
        cursor.expect_token(&Token::Eq)?;
        let position = cursor.position();
        let value = match cursor.string() {
            Some(text) => Name { text, position },
            None => cursor.name()?,
        };
        Ok((option, value))
    })?;
    cursor.expect_token(&Token::RParen)?;
    for (option, value) in options {
        if option.text != "secret" {
            let message = format!("unrecognized parameter \"{}\"", option.text);
            return Err(SqlError::new(SqlState::INVALID_PARAMETER, message).at(option.position));
        }
        if secret.replace(value).is_some() {
            let message = "parameter \"secret\" specified more than once";
            return Err(SqlError::new(SqlState::INVALID_PARAMETER, message).at(option.position));
        }
    }
    Ok(secret)
}

/// After DROP TABLESPACE.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let if_exists = cursor.if_exists();
    Ok(Statement::DropTablespace { name: cursor.name()?, if_exists })
}
