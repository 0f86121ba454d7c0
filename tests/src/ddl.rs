//! Damson's DDL as plain DataFusion takes it: without what says where rows are and how they are stored.

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

/// Takes `DISTRIBUTED …`, `WITH (…)` and `PRIMARY KEY` out of a CREATE TABLE and turns the types that DataFusion does
/// not have into the ones that hold the same text. Every other statement is returned as it is.
///
/// # Panics
/// On text that has no tokens, such as an unclosed quote.
pub fn for_datafusion(sql: &str) -> String {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize().expect("a statement of a test");
    let words: Vec<String> = tokens.iter().filter(|t| !is_space(t)).take(3).map(upper).collect();
    if words.first().is_none_or(|w| w != "CREATE") || !words.iter().any(|w| w == "TABLE") {
        return sql.to_string();
    }
    let mut out = String::new();
    let mut at = 0;
    while at < tokens.len() {
        let next = skip_spaces(&tokens, at + 1);
        match upper(&tokens[at]).as_str() {
            "DISTRIBUTED" if next < tokens.len() => {
                at = if upper(&tokens[next]) == "BY" { after_parens(&tokens, next + 1) } else { next + 1 };
                continue;
            }
            "WITH" if tokens.get(next) == Some(&Token::LParen) => {
                at = after_parens(&tokens, at + 1);
                continue;
            }
            "PRIMARY" if next < tokens.len() && upper(&tokens[next]) == "KEY" => {
                at = next + 1;
                continue;
            }
            "UUID" | "JSON" | "JSONB" => out.push_str("VARCHAR"),
            _ => out.push_str(&tokens[at].to_string()),
        }
        at += 1;
    }
    out.trim_end().to_string()
}

fn is_space(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_))
}

/// An unquoted word in upper case; anything else as it is written.
fn upper(token: &Token) -> String {
    match token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_uppercase(),
        other => other.to_string(),
    }
}

fn skip_spaces(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() && is_space(&tokens[at]) {
        at += 1;
    }
    at
}

/// The position behind the parenthesised list that starts at or after `at`.
fn after_parens(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0;
    for (position, token) in tokens.iter().enumerate().skip(at) {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        if depth == 0 && *token == Token::RParen {
            return position + 1;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::for_datafusion;

    #[test]
    fn clauses_of_placement_and_storage_go() {
        let sql = "CREATE TABLE t (a int PRIMARY KEY, u uuid, s text) WITH (compresstype=zstd) DISTRIBUTED BY (a)";
        assert_eq!(for_datafusion(sql), "CREATE TABLE t (a int , u VARCHAR, s text)");
        assert_eq!(for_datafusion("create table t (a int) distributed randomly"), "create table t (a int)");
        assert_eq!(
            for_datafusion("CREATE TABLE c AS WITH w AS (SELECT 1) SELECT * FROM w DISTRIBUTED REPLICATED"),
            "CREATE TABLE c AS WITH w AS (SELECT 1) SELECT * FROM w"
        );
    }

    #[test]
    fn other_statements_stay() {
        let sql = "SELECT 'PRIMARY KEY', json FROM t";
        assert_eq!(for_datafusion(sql), sql);
    }
}
