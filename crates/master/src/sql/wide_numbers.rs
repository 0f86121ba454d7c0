//! Numbers that no numeric can hold.

use sqlparser::tokenizer::{Token, TokenWithSpan, Word};
use std::iter::once;

/// Digits of the widest numeric.
const NUMERIC_DIGITS_MAX: i64 = 38;

/// Writes a literal of more than 38 digits, such as `1e100`, as `'1e100'::float8`. PostgreSQL's numeric has no such bound:
/// where it keeps every digit, Damson keeps the magnitude and 15 digits.
pub(super) fn as_floats(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_wide =
        |token: &TokenWithSpan| matches!(&token.token, Token::Number(text, _) if digits(text) > NUMERIC_DIGITS_MAX);
    if !tokens.iter().any(is_wide) {
        return tokens;
    }
    let replace = |token: TokenWithSpan| -> Box<dyn Iterator<Item = TokenWithSpan>> {
        match &token.token {
            Token::Number(text, _) if is_wide(&token) => {
                let float8 =
                    Word { value: "float8".into(), quote_style: None, keyword: sqlparser::keywords::Keyword::FLOAT8 };
                let parts = [Token::SingleQuotedString(text.replace('_', "")), Token::DoubleColon, Token::Word(float8)];
                Box::new(parts.into_iter().map(move |part| TokenWithSpan::new(part, token.span)))
            }
            _ => Box::new(once(token)),
        }
    };
    tokens.into_iter().flat_map(replace).collect()
}

/// Digits that a numeric needs to write the number out, before and after the point.
fn digits(text: &str) -> i64 {
    let text = text.replace('_', "");
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // An exponent beyond i64 is beyond any numeric.
    let Ok(exponent) = exponent.parse::<i64>() else { return i64::MAX };
    let significant = [whole, fraction].concat().trim_start_matches('0').len() as i64;
    let scale = (fraction.len() as i64).saturating_sub(exponent);
    if scale > 0 { significant.max(scale) } else { significant.saturating_sub(scale) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_counted_on_both_sides_of_the_point() {
        for (text, expected) in [
            ("0", 0),
            ("12.50", 4),
            ("0.001", 3),
            ("1e37", 38),
            ("1e38", 39),
            ("1E-38", 38),
            ("1e-39", 39),
            ("1_000.5", 5),
            ("1e99999999999999999999", i64::MAX),
        ] {
            assert_eq!(digits(text), expected, "{text}");
        }
    }

    #[test]
    fn only_wide_numbers_become_floats() {
        let parse = |sql| crate::sql::parse_expression(sql).unwrap().to_string();
        assert_eq!(parse("1e37 + 2"), "1e37 + 2");
        assert_eq!(parse("-1e100"), "-'1e100'::FLOAT8");
    }
}
