//! `FROM t AS OF …`: a table as it was.
//!
//! sqlparser knows it as SQL:2011 writes it, `FROM t FOR SYSTEM_TIME AS OF expression`. What Damson writes becomes that before it is
//! parsed: `SNAPSHOT 17` the call `snapshot(17)`, `RESTORE POINT p` the call `restore_point(p)`, and `TIMESTAMP '…'` itself.

use super::cursor::is_word;
use super::names;
use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Value};
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// What stands after AS OF.
#[derive(Clone, Debug, PartialEq)]
pub enum Version {
    Snapshot(u64),
    RestorePoint(String),
    /// A point in time, of no columns.
    Time(Box<Expr>),
}

/// Writes every `AS OF` of a table as the parser knows it. Places in the text stay.
pub(super) fn write_out(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let words: Vec<usize> = (0..tokens.len()).filter(|&i| !matches!(tokens[i].token, Token::Whitespace(_))).collect();
    let is = |n: usize, word: &str| words.get(n).is_some_and(|&i| is_word(&tokens[i].token, word));
    let starts = |n: usize| {
        let what = is(n + 2, "SNAPSHOT") || is(n + 2, "TIMESTAMP") || (is(n + 2, "RESTORE") && is(n + 3, "POINT"));
        is(n, "AS") && is(n + 1, "OF") && what
    };
    if !(0..words.len()).any(starts) {
        return tokens;
    }
    let at = |n: usize, token: Token| TokenWithSpan { token, span: tokens[words[n]].span };
    let word = |n: usize, text: &str| at(n, Token::make_keyword(text));
    let space = |n: usize| at(n, Token::Whitespace(sqlparser::tokenizer::Whitespace::Space));
    let mut written = Vec::with_capacity(tokens.len() + 8);
    let mut n = 0;
    while n < words.len() {
        if !starts(n) {
            written.extend([space(n), tokens[words[n]].clone()]);
            n += 1;
            continue;
        }
        if !(n >= 2 && is(n - 2, "FOR") && is(n - 1, "SYSTEM_TIME")) {
            for keyword in ["FOR", "SYSTEM_TIME"] {
                written.extend([space(n), word(n, keyword)]);
            }
        }
        written.extend([space(n), word(n, "AS"), space(n), word(n + 1, "OF"), space(n)]);
        let what = n + 2;
        n += 3;
        if is(what, "TIMESTAMP") {
            // Before anything but a literal it only says what follows.
            if words.get(n).is_some_and(|&i| matches!(tokens[i].token, Token::SingleQuotedString(_))) {
                written.push(word(what, "TIMESTAMP"));
            }
            continue;
        }
        let is_snapshot = is(what, "SNAPSHOT");
        n += usize::from(!is_snapshot);
        written.extend([word(what, if is_snapshot { "snapshot" } else { "restore_point" }), at(what, Token::LParen)]);
        // Without an argument the parenthesis stays open: a syntax error at the end.
        if let Some(&argument) = words.get(n) {
            written.extend([tokens[argument].clone(), at(n, Token::RParen)]);
        }
        n += 1;
    }
    written
}

/// Whether the parser must know `FOR SYSTEM_TIME AS OF`.
pub(super) fn is_in(tokens: &[TokenWithSpan]) -> bool {
    tokens.iter().any(|token| is_word(&token.token, "SYSTEM_TIME"))
}

impl Version {
    /// What the expression after `FOR SYSTEM_TIME AS OF` says; None for a snapshot without a number, or a restore point without a name.
    pub fn of(expr: &Expr) -> Option<Version> {
        let argument = |name: &str| {
            let Expr::Function(function) = expr else { return None };
            let FunctionArguments::List(list) = &function.args else { return None };
            match list.args.as_slice() {
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))]
                    if function.name.to_string().eq_ignore_ascii_case(name) =>
                {
                    Some(argument)
                }
                _ => None,
            }
        };
        match (argument("snapshot"), argument("restore_point")) {
            (Some(Expr::Value(value)), _) => match &value.value {
                Value::Number(digits, _) => digits.to_string().parse().ok().map(Version::Snapshot),
                _ => None,
            },
            (_, Some(Expr::Identifier(name))) => Some(Version::RestorePoint(names::fold(name))),
            (_, Some(Expr::Value(value))) => match &value.value {
                Value::SingleQuotedString(name) => Some(Version::RestorePoint(name.clone())),
                _ => None,
            },
            (None, None) => Some(Version::Time(Box::new(expr.clone()))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql;

    fn parsed(text: &str) -> String {
        match sql::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")) {
            sql::Statement::Query(query) => query.to_string(),
            other => panic!("{text}: {other:?}"),
        }
    }

    /// sqlparser prints the alias in front.
    #[test]
    fn versions_are_read_where_a_table_is() {
        for (text, wanted) in [
            ("SELECT 1 FROM t AS OF SNAPSHOT 17", "SELECT 1 FROM t FOR SYSTEM_TIME AS OF snapshot(17)"),
            (
                "select * from s.t as of snapshot 17 AS x join t y on x.k = y.k",
                "SELECT * FROM s.t AS x FOR SYSTEM_TIME AS OF snapshot(17) JOIN t y ON x.k = y.k",
            ),
            (
                "SELECT 1 FROM t AS OF TIMESTAMP '2026-11-26 10:00:00' x",
                "SELECT 1 FROM t x FOR SYSTEM_TIME AS OF TIMESTAMP '2026-11-26 10:00:00'",
            ),
            (
                "SELECT 1 FROM t AS OF TIMESTAMP now() - interval '1 hour' WHERE k = 1",
                "SELECT 1 FROM t FOR SYSTEM_TIME AS OF now() - INTERVAL '1 hour' WHERE k = 1",
            ),
            (
                "SELECT 1 FROM t FOR SYSTEM_TIME AS OF SNAPSHOT 17 x",
                "SELECT 1 FROM t x FOR SYSTEM_TIME AS OF snapshot(17)",
            ),
            (
                "SELECT 1 FROM t AS OF RESTORE POINT before_load",
                "SELECT 1 FROM t FOR SYSTEM_TIME AS OF restore_point(before_load)",
            ),
            ("SELECT of FROM t AS of", "SELECT of FROM t AS of"),
            ("SELECT 1 FROM t AS at", "SELECT 1 FROM t AS at"),
        ] {
            assert_eq!(parsed(text), wanted, "{text}");
        }
        for text in [
            "SELECT 1 FROM t AS OF SNAPSHOT",
            "SELECT 1 FROM t AS OF SNAPSHOT 1 2",
            "SELECT 1 AS OF SNAPSHOT 1",
            "SELECT 1 FROM t AS OF TIMESTAMP",
        ] {
            assert_eq!(sql::parse(text).unwrap_err().state, crate::error::SqlState::SYNTAX_ERROR, "{text}");
        }
    }

    #[test]
    fn versions_are_told_apart() {
        let version = |text: &str| Version::of(&sql::parse_expression(text).unwrap());
        assert_eq!(version("snapshot(17)"), Some(Version::Snapshot(17)));
        assert_eq!(version("restore_point(Before)"), Some(Version::RestorePoint("before".into())));
        assert_eq!(version("restore_point('Before')"), Some(Version::RestorePoint("Before".into())));
        assert_eq!(version("snapshot('x')"), None);
        assert_eq!(version("restore_point(1)"), None);
        assert!(matches!(version("now()"), Some(Version::Time(_))));
    }
}
