//! `TABLE t`, which is `SELECT * FROM t`: sqlparser takes three words for it, whatever they are.

use super::cursor::is_word;
use sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

/// What a query may begin behind.
const BEFORE: [&str; 5] = ["UNION", "EXCEPT", "INTERSECT", "ALL", "EXPLAIN"];
/// What has begun a query: an AS behind it names a column, and `AS table` is one.
const BEGINNINGS: [&str; 4] = ["SELECT", "WITH", "VALUES", "TABLE"];

/// The tokens with every `TABLE` that begins a query written out.
pub(super) fn write_out(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|token| is_word(&token.token, "TABLE")) {
        return tokens;
    }
    let mut written = Vec::with_capacity(tokens.len() + 3);
    let mut before: Option<Token> = None;
    // Of CREATE, until its query begins.
    let mut awaits_query = false;
    for token in tokens {
        let begins = match &before {
            None | Some(Token::LParen | Token::RParen) => true,
            Some(word) if is_word(word, "AS") => awaits_query,
            Some(word) => BEFORE.iter().any(|known| is_word(word, known)),
        };
        if !matches!(token.token, Token::Whitespace(_)) {
            if before.is_none() {
                awaits_query = is_word(&token.token, "CREATE");
            } else if is_a_querys_beginning(&token.token, before.as_ref()) {
                awaits_query = false;
            }
            before = Some(token.token.clone());
        }
        if begins && is_word(&token.token, "TABLE") {
            // A space between, as there is none where words are put together again.
            let space = Token::Whitespace(Whitespace::Space);
            let words = [Token::make_keyword("SELECT"), space.clone(), Token::Mul, space, Token::make_keyword("FROM")];
            written.extend(words.map(|word| TokenWithSpan { token: word, span: token.span }));
        } else {
            written.push(token);
        }
    }
    written
}

/// `before`: the token before it. The TABLE of CREATE TABLE, and WITH before its options, begin none.
fn is_a_querys_beginning(token: &Token, before: Option<&Token>) -> bool {
    before.is_some_and(|before| is_word(before, "AS"))
        && (*token == Token::LParen || BEGINNINGS.iter().any(|known| is_word(token, known)))
}

#[cfg(test)]
mod tests {
    use crate::sql::{Statement, parse};

    #[test]
    fn table_is_select() {
        for (text, expected) in [
            ("TABLE t", "SELECT * FROM t"),
            ("table s.t order by 1", "SELECT * FROM s.t ORDER BY 1"),
            ("(TABLE t) UNION ALL TABLE u", "(SELECT * FROM t) UNION ALL SELECT * FROM u"),
            ("SELECT a AS table FROM t", "SELECT a AS table FROM t"),
            ("WITH s AS (TABLE t) TABLE s", "WITH s AS (SELECT * FROM t) SELECT * FROM s"),
        ] {
            let Statement::Query(query) = parse(text).unwrap() else { panic!("{text}") };
            assert_eq!(query.to_string(), expected);
        }
        assert!(!matches!(parse("DROP TABLE t").unwrap(), Statement::Query(_)));
        for view in ["CREATE VIEW v AS TABLE t", "CREATE VIEW v AS SELECT a AS table FROM t"] {
            assert!(matches!(parse(view).unwrap(), Statement::CreateView(_)), "{view}");
        }
    }
}
