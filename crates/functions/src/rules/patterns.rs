//! SIMILAR TO, and LIKE with an escape character of its own.

use crate::FunctionError;
use crate::register::scalar;
use crate::scalar::{translate, with_backslash};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::Like;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

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

/// LIKE with a constant pattern and the backslash as its escape character.
pub fn like(mut like: Like) -> Result<Like> {
    if let Some(escape) = like.escape_char.filter(|escape| *escape != '\\')
        && let Expr::Literal(value, metadata) = like.pattern.as_ref()
        && let Some(Some(text)) = value.try_as_str()
    {
        let pattern = ScalarValue::Utf8View(Some(with_backslash(text, escape)?));
        like.pattern = Box::new(Expr::Literal(pattern, metadata.clone()));
        like.escape_char = None;
    }
    Ok(like)
}
