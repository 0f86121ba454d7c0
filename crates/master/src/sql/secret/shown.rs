//! Statements as they may be shown and kept.

use super::starts;
use crate::sql::cursor::{is_word, tokenize};
use crate::sql::text::Text;
use sqlparser::tokenizer::Token;
use std::borrow::Cow;

/// A statement's text, or a script's, as it may be shown, logged and kept: what each CREATE SECRET says is left out, what follows the word
/// PASSWORD in quotes, and who a URL says asks (`s3://key:secret@…`, which no statement takes). Of a text that is no SQL, all that follows the
/// first CREATE SECRET, or PASSWORD.
pub fn shown_statement(text: &str) -> Cow<'_, str> {
    const HIDE: [fn(&str) -> Cow<'_, str>; 3] = [without_secrets, without_passwords, without_user_info];
    HIDE.into_iter().fold(Cow::Borrowed(text), |text, hide| match text {
        Cow::Borrowed(text) => hide(text),
        Cow::Owned(text) => Cow::Owned(hide(&text).into_owned()),
    })
}

fn without_user_info(text: &str) -> Cow<'_, str> {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("://").map(|at| at + "://".len()) {
        let (before, after) = rest.split_at(at);
        let end = after.find(|c: char| c.is_whitespace() || "/?#'\"".contains(c)).unwrap_or(after.len());
        shown += before;
        rest = after;
        if let Some(host) = after[..end].rfind('@') {
            shown += "***";
            rest = &after[host..];
        }
    }
    match shown + rest {
        same if same == text => Cow::Borrowed(text),
        shown => Cow::Owned(shown),
    }
}

fn without_passwords(text: &str) -> Cow<'_, str> {
    const HIDDEN: &str = "'***'";
    const WORD: &str = "PASSWORD";
    let upper = text.to_ascii_uppercase();
    let Some(first) = upper.find(WORD) else { return Cow::Borrowed(text) };
    let source = Text::new(text);
    let Ok(tokens) = tokenize(&source) else {
        // Only of roles' statements: `password` is the name of many columns.
        let is_of_role = ["ROLE", "USER", "GROUP"].iter().any(|kind| upper[..first].contains(kind));
        return match is_of_role {
            true => Cow::Owned(format!("{} {HIDDEN}", &text[..first + WORD.len()])),
            false => Cow::Borrowed(text),
        };
    };
    let tokens: Vec<_> = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let (mut shown, mut done) = (String::new(), 0);
    for pair in tokens.windows(2) {
        let is_string = !matches!(pair[1].token, Token::Word(_) | Token::SemiColon | Token::Comma | Token::Period)
            && text[source.byte(pair[1].span.start)..source.byte(pair[1].span.end)].contains(['\'', '$', '"']);
        if is_word(&pair[0].token, WORD) && is_string {
            shown += &text[done..source.byte(pair[1].span.start)];
            shown += HIDDEN;
            done = source.byte(pair[1].span.end);
        }
    }
    match done {
        0 => Cow::Borrowed(text),
        _ => Cow::Owned(shown + &text[done..]),
    }
}

fn without_secrets(text: &str) -> Cow<'_, str> {
    const HIDDEN: &str = "(***)";
    // Most have none, and are not looked at twice.
    if !text.to_ascii_uppercase().contains("SECRET") {
        return Cow::Borrowed(text);
    }
    let source = Text::new(text);
    let Ok(tokens) = tokenize(&source) else {
        // An open quote, perhaps: where the statement ends cannot be told.
        return match words_of_create(text) {
            Some(at) => Cow::Owned(format!("{} {HIDDEN}", text[..at].trim_end())),
            None => Cow::Borrowed(text),
        };
    };
    let tokens: Vec<_> = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let words: Vec<&Token> = tokens.iter().map(|token| &token.token).collect();
    let (mut shown, mut done) = (String::new(), 0);
    for start in starts(&words) {
        let is_of = |token: &&&Token| **token != &Token::SemiColon;
        let end = start + words[start..].iter().take_while(is_of).count();
        // The parenthesis, or what stands in its place.
        let opened = (start..end).find(|&at| !matches!(tokens[at].token, Token::Word(_)));
        let Some(opened) = opened.filter(|&at| source.byte(tokens[at].span.start) >= done) else { continue };
        shown += &text[done..source.byte(tokens[opened].span.start)];
        shown += HIDDEN;
        done = source.byte(tokens[end - 1].span.end);
    }
    match done {
        0 => Cow::Borrowed(text),
        _ => Cow::Owned(shown + &text[done..]),
    }
}

/// The end of `CREATE … SECRET` in a text that has no tokens.
fn words_of_create(text: &str) -> Option<usize> {
    let upper = text.to_ascii_uppercase();
    let create = upper.find("CREATE")?;
    upper[create..].find("SECRET").map(|at| create + at + "SECRET".len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_left_out() {
        for (text, shown) in [
            ("create user u password 'hush'", "create user u password '***'"),
            ("ALTER ROLE u ENCRYPTED PASSWORD E'hu\\'sh' LOGIN", "ALTER ROLE u ENCRYPTED PASSWORD '***' LOGIN"),
            (
                "create role r password $$hush$$; alter role r password null",
                "create role r password '***'; alter role r password null",
            ),
            ("alter user u password 'hush", "alter user u password '***'"),
            (
                "create user u password 'hush'; create secret s (secret 'hush')",
                "create user u password '***'; create secret s (***)",
            ),
        ] {
            assert_eq!(shown_statement(text), shown, "{text}");
        }
        for text in ["select password from t", "select t.password, 'x' from t where password = 'y'"] {
            assert_eq!(shown_statement(text), text);
        }
    }

    #[test]
    fn what_secrets_say_is_left_out() {
        for (text, shown) in [
            ("create secret s (type s3, secret 'hush')", "create secret s (***)"),
            ("CREATE OR REPLACE\n SECRET \"S\" (secret = 'hush'));", "CREATE OR REPLACE\n SECRET \"S\" (***);"),
            (
                "select ';'; create secret s (secret 'hush;'); create persistent secret t (secret hush) hush",
                "select ';'; create secret s (***); create persistent secret t (***)",
            ),
            (
                "explain create secret if not exists s (secret 'hush') x; select 1",
                "explain create secret if not exists s (***); select 1",
            ),
            ("create secret s (secret 'hush", "create secret (***)"),
            ("create secret s secret 'hush'", "create secret s secret (***)"),
            ("create secret /* ( */ s (secret 'hush')", "create secret /* ( */ s (***)"),
            ("copy t from 's3://a:hush@b/x', 'http://hush@h', 'x", "copy t from 's3://***@b/x', 'http://***@h', 'x"),
            ("create secret s (secret 'hush'); select 's3://a@hush@b'", "create secret s (***); select 's3://***@b'"),
        ] {
            assert_eq!(shown_statement(text), shown, "{text}");
        }
        for text in [
            "drop secret s",
            "copy t from 's3://b' (secret s)",
            "create table secret (a text default 'x')",
            "select 'a://b/c@d' || '://'",
            "",
            "'",
        ] {
            assert!(matches!(shown_statement(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }
}
