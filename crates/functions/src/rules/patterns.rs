//! SIMILAR TO, and LIKE with an escape character of its own.

use crate::FunctionError;
use crate::register::scalar;
use crate::scalar::{translate, with_backslash};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::Like;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, lit};

/// `expr SIMILAR TO pattern` as a match of the regular expression that means the same.
pub fn similar_to(like: Like) -> Result<Expr> {
    let Like { negated, expr, pattern, escape_char, .. } = like;
    let regex = match *pattern {
        Expr::Literal(value, metadata) => match value.try_as_str() {
            Some(Some(text)) => {
                let regex = translate(text, Some(escape_char.unwrap_or('\\')))?;
                Expr::Literal(ScalarValue::Utf8View(Some(regex)), metadata)
            }
            _ => Expr::Literal(value, metadata),
        },
        _ if escape_char.is_some_and(|escape| escape != '\\') => {
            let message = "SIMILAR TO with ESCAPE and a pattern that is not constant is not supported";
            return Err(FunctionError::unsupported(message).into());
        }
        pattern => scalar("similar_to_regex").call(vec![pattern]),
    };
    let op = if negated { Operator::RegexNotMatch } else { Operator::RegexMatch };
    Ok(Expr::BinaryExpr(BinaryExpr::new(expr, op, Box::new(regex))))
}

/// LIKE with the backslash as its escape character, the only one that DataFusion knows.
pub fn like(mut like: Like) -> Result<Like> {
    let Some(escape) = like.escape_char.take_if(|escape| *escape != '\\') else { return Ok(like) };
    *like.pattern = match *like.pattern {
        Expr::Literal(value, metadata) => match value.try_as_str() {
            Some(Some(text)) => Expr::Literal(ScalarValue::Utf8View(Some(with_backslash(text, escape)?)), metadata),
            // NULL.
            _ => Expr::Literal(value, metadata),
        },
        pattern => scalar("like_escape").call(vec![pattern, lit(escape.to_string())]),
    };
    Ok(like)
}
