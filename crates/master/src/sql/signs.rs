//! Operators before a sign: `a>-1` is `a > -1`. The tokenizer takes all characters of operators that follow each other for one.

use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

/// An operator with one of these may end in a sign, in PostgreSQL: `||-` is one.
const OF_OTHERS: [char; 10] = ['~', '!', '@', '#', '%', '^', '&', '|', '`', '?'];

/// The tokens with operators cut before the signs that they end in, as PostgreSQL cuts them. An operator that nobody knows is left as it is.
pub(super) fn cut(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|token| pieces(&token.token).is_some()) {
        return tokens;
    }
    let mut all = Vec::with_capacity(tokens.len() + 1);
    for token in tokens {
        match pieces(&token.token) {
            None => all.push(token),
            Some(pieces) => {
                let mut start = token.span.start;
                for (piece, length) in pieces {
                    let end = Location { line: start.line, column: start.column + length };
                    all.push(TokenWithSpan { token: piece, span: Span { start, end } });
                    start = end;
                }
            }
        }
    }
    all
}

/// What an operator is cut into, and how many characters each has.
fn pieces(token: &Token) -> Option<Vec<(Token, u64)>> {
    let Token::CustomBinaryOperator(operator) = token else { return None };
    // A comment begins with two.
    if operator.contains(OF_OTHERS) || operator.contains("--") {
        return None;
    }
    let before = operator.trim_end_matches(['+', '-']);
    let first = match before {
        "<" => Token::Lt,
        ">" => Token::Gt,
        "<=" => Token::LtEq,
        ">=" => Token::GtEq,
        "<>" => Token::Neq,
        "=" => Token::Eq,
        "*" => Token::Mul,
        "/" => Token::Div,
        _ => return None,
    };
    let sign = |sign: char| (if sign == '+' { Token::Plus } else { Token::Minus }, 1);
    let signs = operator[before.len()..].chars().map(sign);
    Some(std::iter::once((first, before.len() as u64)).chain(signs).collect())
}

#[cfg(test)]
mod tests {
    use crate::sql::cursor::tokenize;
    use crate::sql::text::Text;

    fn written(sql: &str) -> Vec<String> {
        let tokens = tokenize(&Text::new(sql)).unwrap();
        tokens.iter().map(|token| format!("{}@{}", token.token, token.span.start.column)).collect()
    }

    #[test]
    fn signs_belong_to_what_follows() {
        assert_eq!(written("a>-1"), ["a@1", ">@2", "-@3", "1@4"]);
        assert_eq!(written("a>=+-b"), ["a@1", ">=@2", "+@4", "-@5", "b@6"]);
        assert_eq!(written("a<>-1"), ["a@1", "<>@2", "-@4", "1@5"]);
        // What PostgreSQL takes for one operator.
        assert_eq!(written("a||-1"), ["a@1", "||-@2", "1@5"]);
    }
}
