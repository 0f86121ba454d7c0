//! CREATE SECRET and DROP SECRET.

mod options;
mod shown;

pub use shown::shown_statement;

use super::bucket_url::bucket_url;
use super::cursor::{Cursor, is_word};
use super::limits::{SECRET_OPTIONS_MAX, SECRET_VALUE_BYTES_MAX};
use super::statement::{CreateSecret, Name, Statement};
use crate::error::{SqlError, SqlResult, SqlState};
use damson_cluster::SecretType;
use options::Access;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// One of the options in parentheses.
struct Written {
    option: Name,
    value: String,
    /// Of the value.
    position: usize,
}

/// What stands after CREATE [OR REPLACE], if it is a secret's.
pub(super) fn create(cursor: &mut Cursor<'_>, or_replace: bool) -> SqlResult<Option<Statement>> {
    if cursor.peek_word(1, "SECRET") && (cursor.peek_word(0, "TEMPORARY") || cursor.peek_word(0, "TEMP")) {
        return Err(cursor
            .unsupported("CREATE TEMPORARY SECRET")
            .with_hint("Secrets are kept until they are dropped."));
    }
    if !cursor.words(&["PERSISTENT", "SECRET"]) && !cursor.word("SECRET") {
        return Ok(None);
    }
    let if_not_exists = !or_replace && cursor.if_not_exists();
    let name = cursor.name()?;
    if cursor.peek_word(0, "IN") {
        return Err(cursor.unsupported("CREATE SECRET ... IN a storage").with_hint("Secrets are kept in the catalog."));
    }
    cursor.expect_token(&Token::LParen)?;
    let written = cursor.list(option)?;
    cursor.expect_token(&Token::RParen)?;
    secret(name, if_not_exists, or_replace, written).map(|create| Some(Statement::CreateSecret(create)))
}

/// After DROP SECRET.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let if_exists = cursor.if_exists();
    Ok(Statement::DropSecret { name: cursor.name()?, if_exists })
}

/// `NAME value`.
fn option(cursor: &mut Cursor<'_>) -> SqlResult<Written> {
    let option = cursor.name()?;
    cursor.token(&Token::Eq);
    let position = cursor.position();
    if let Some(value) = cursor.string() {
        return Ok(Written { option, value, position });
    }
    let value = match cursor.peek() {
        Token::Word(word) => word.value.clone(),
        Token::Number(digits, _) => digits.clone(),
        _ => return Err(cursor.expected("a value")),
    };
    cursor.parser.advance_token();
    Ok(Written { option, value, position })
}

fn secret(name: Name, if_not_exists: bool, or_replace: bool, written: Vec<Written>) -> SqlResult<CreateSecret> {
    if written.len() > SECRET_OPTIONS_MAX {
        let message = format!("a secret has at most {SECRET_OPTIONS_MAX} options");
        return Err(SqlError::new(SqlState::TOO_COMPLEX, message).at(name.position));
    }
    let (mut kind, mut scope, mut others): (Option<SecretType>, Option<Written>, _) = (None, None, vec![]);
    for option in written {
        if option.value.len() > SECRET_VALUE_BYTES_MAX {
            let message = format!("a value of the secret is longer than {SECRET_VALUE_BYTES_MAX} bytes");
            return Err(SqlError::new(SqlState::TOO_COMPLEX, message).at(option.position));
        }
        match option.option.text.as_str() {
            "type" if kind.is_some() => return Err(twice(&option)),
            "type" => {
                let found = option.value.to_ascii_lowercase().parse();
                kind = Some(found.map_err(|()| {
                    SqlError::new(SqlState::INVALID_PARAMETER, "the type of a secret is s3, gcs or azure")
                        .at(option.position)
                })?);
            }
            "scope" if scope.is_some() => return Err(twice(&option)),
            "scope" => scope = Some(option),
            "provider" if option.value.eq_ignore_ascii_case("config") => {}
            "provider" => {
                let message = "PROVIDER of a secret is not supported, other than config";
                let hint = "Without a secret, nodes use their environment, or their instance's role.";
                let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).with_hint(hint);
                return Err(error.at(option.option.position));
            }
            _ => others.push(option),
        }
    }
    let Some(kind) = kind else {
        let message = "a secret needs a TYPE: s3, gcs or azure";
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(name.position));
    };
    let scope = match scope {
        None => format!("{}://", kind.scheme()),
        Some(scope) => scope_of(kind, &scope).map_err(|error| error.at(scope.position))?,
    };
    let mut access = Access::new(kind);
    for option in others {
        access.add(option)?;
    }
    let access = access.finish().map_err(|error| error.at(name.position))?;
    Ok(CreateSecret { name, if_not_exists, or_replace, kind, scope, access })
}

fn scope_of(kind: SecretType, scope: &Written) -> SqlResult<String> {
    let (of_url, url) = bucket_url(&scope.value, true).map_err(|error| {
        let message = format!("SCOPE must be a URL such as {}://bucket/prefix: {}", kind.scheme(), error.message);
        SqlError { message, ..error }
    })?;
    if of_url != kind {
        let message = format!("the SCOPE of a secret of type {kind} begins with {}://", kind.scheme());
        return Err(SqlError::new(SqlState::INVALID_PARAMETER, message));
    }
    Ok(url)
}

fn twice(option: &Written) -> SqlError {
    SqlError::new(SqlState::SYNTAX_ERROR, "conflicting or redundant options").at(option.option.position)
}

/// Tokens before a CREATE SECRET, at most: EXPLAIN and its options.
const BEFORE_MAX: usize = 16;

/// Whether they are a CREATE SECRET: errors must not repeat what follows.
pub(super) fn is_create(tokens: &[TokenWithSpan]) -> bool {
    let words = tokens.iter().map(|token| &token.token).filter(|token| !matches!(token, Token::Whitespace(_)));
    let words: Vec<&Token> = words.take(BEFORE_MAX).collect();
    starts(&words).next().is_some()
}

/// Where a CREATE SECRET begins in tokens without white space.
fn starts<'a>(words: &'a [&'a Token]) -> impl Iterator<Item = usize> + 'a {
    const KINDS: [&[&str]; 4] = [&["SECRET"], &["PERSISTENT", "SECRET"], &["TEMPORARY", "SECRET"], &["TEMP", "SECRET"]];
    const VERBS: [&[&str]; 2] = [&["CREATE"], &["CREATE", "OR", "REPLACE"]];
    let is_kind = move |at: usize| KINDS.iter().any(|kind| begins(words, at, kind));
    let is_start = move |at: &usize| VERBS.iter().any(|verb| begins(words, *at, verb) && is_kind(at + verb.len()));
    (0..words.len()).filter(is_start)
}

/// Whether these words are at `at`.
fn begins(words: &[&Token], at: usize, expected: &[&str]) -> bool {
    let found = words.get(at..at + expected.len());
    found.is_some_and(|found| expected.iter().zip(found).all(|(expected, word)| is_word(word, expected)))
}

/// An error of a CREATE SECRET without the statement's text: a value whose quotes are wrong is no value to the parser.
pub(super) fn without_text(error: SqlError) -> SqlError {
    let repeats = error.message.contains(" at or near ") || error.state == SqlState::NAME_TOO_LONG;
    if repeats { SqlError { message: "syntax error in CREATE SECRET".into(), ..error } } else { error }
}
