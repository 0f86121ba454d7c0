//! The common type of numbers that meet in a comparison, a CASE, a list, a UNION or a join key.

use crate::NumericType;
use crate::limits::{NARROW_DIGITS_MAX, NUMERIC_DIGITS_MAX};
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable, cast};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Integer,
    Decimal,
    Float,
    Null,
    Other,
}

pub fn kind(data_type: &DataType) -> Kind {
    match data_type {
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) => Kind::Decimal,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Kind::Float,
        DataType::Null => Kind::Null,
        integer if integer.is_integer() => Kind::Integer,
        _ => Kind::Other,
    }
}

/// One of the things that need a common type: a type, or a literal, of which only its digits count.
pub struct Member {
    data_type: DataType,
    literal: Option<NumericType>,
}

impl Member {
    pub fn of_type(data_type: &DataType) -> Self {
        Self { data_type: data_type.clone(), literal: None }
    }

    pub fn of_expr(expr: &Expr, schema: &DFSchema) -> Result<Self> {
        let literal = match expr {
            Expr::Literal(value, _) => NumericType::of_literal(value).map(|(_, numeric)| numeric),
            _ => None,
        };
        Ok(Self { data_type: expr.get_type(schema)?, literal })
    }

    fn numeric(&self) -> Option<NumericType> {
        self.literal.or_else(|| NumericType::of(&self.data_type))
    }
}

/// The common type where DataFusion's own coercion is not PostgreSQL's: as soon as a decimal or two kinds of number
/// meet. A decimal and a float are compared as double precision; decimals and integers as the decimal that holds both,
/// in 64 bits if no column needs more. None: leave it to DataFusion.
pub fn common_type(members: &[Member]) -> Option<DataType> {
    let kinds: Vec<Kind> = members.iter().map(|member| kind(&member.data_type)).collect();
    let has = |wanted| kinds.contains(&wanted);
    if has(Kind::Other) || members.windows(2).all(|pair| pair[0].data_type == pair[1].data_type) {
        return None;
    }
    if has(Kind::Float) {
        let mixed = has(Kind::Decimal) || has(Kind::Integer);
        let single = members.iter().all(|m| matches!(m.data_type, DataType::Float32 | DataType::Null));
        return (mixed || !single).then_some(DataType::Float64);
    }
    if !has(Kind::Decimal) {
        return None;
    }
    let numerics = members.iter().filter(|member| kind(&member.data_type) != Kind::Null).map(Member::numeric);
    let common = numerics.reduce(|left, right| Some(left?.common(right?)))??;
    let wide = |m: &Member| m.literal.is_none() && matches!(m.data_type, DataType::Decimal128(..));
    let only_literals = members.iter().all(|m| m.literal.is_some() || kind(&m.data_type) == Kind::Null);
    Some(if common.precision > NARROW_DIGITS_MAX || only_literals || members.iter().any(wide) {
        common.wide()
    } else {
        common.narrowest()
    })
}

/// `exprs` of one type; None where they have one, or where DataFusion finds it.
pub fn unify(exprs: &[&Expr], schema: &DFSchema) -> Result<Option<Vec<Expr>>> {
    let decimals = exprs.iter().map(|expr| expr.get_type(schema)).collect::<Result<Vec<_>>>()?;
    let decimals = decimals.iter().any(|data_type| kind(data_type) == Kind::Decimal);
    let number = |expr: &Expr| if decimals { quoted_number(expr) } else { None };
    let exprs: Vec<Expr> = exprs.iter().map(|&expr| number(expr).unwrap_or_else(|| expr.clone())).collect();
    let members = exprs.iter().map(|expr| Member::of_expr(expr, schema)).collect::<Result<Vec<_>>>()?;
    let Some(target) = common_type(&members) else {
        return Ok(None);
    };
    exprs.into_iter().map(|expr| cast_number(expr, &target, schema)).collect::<Result<_>>().map(Some)
}

/// `'1.505'` next to a numeric is 1.505, where DataFusion would first round it to the column's scale.
fn quoted_number(expr: &Expr) -> Option<Expr> {
    let Expr::Literal(value, metadata) = expr else {
        return None;
    };
    let text = value.try_as_str()??.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let digits = [integer, fraction].concat();
    if digits.is_empty()
        || digits.len() > usize::from(NUMERIC_DIGITS_MAX)
        || !digits.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let unscaled: i128 = digits.parse().ok()?;
    let value = ScalarValue::Decimal128(Some(sign * unscaled), NUMERIC_DIGITS_MAX, fraction.len() as i8);
    Some(Expr::Literal(value, metadata.clone()))
}

/// `expr` as `target`. Literals are converted here, so that `column < 24` compares the column as it is.
pub fn cast_number(expr: Expr, target: &DataType, schema: &DFSchema) -> Result<Expr> {
    let source = expr.get_type(schema)?;
    if source == *target {
        return Ok(expr);
    }
    if let Expr::Literal(value, metadata) = &expr {
        let converted = match (value, target) {
            (ScalarValue::Null, _) => Some(ScalarValue::try_from(target)?),
            (value, DataType::Decimal64(precision, scale)) => at_scale(value, *scale)
                .and_then(|value| i64::try_from(value).ok())
                .map(|value| ScalarValue::Decimal64(Some(value), *precision, *scale)),
            (value, DataType::Decimal128(precision, scale)) => {
                at_scale(value, *scale).map(|value| ScalarValue::Decimal128(Some(value), *precision, *scale))
            }
            _ => None,
        };
        if let Some(converted) = converted {
            return Ok(Expr::Literal(converted, metadata.clone()));
        }
    }
    Ok(cast(expr, target.clone()))
}

/// A literal's unscaled value at `scale`, if that is exact.
fn at_scale(value: &ScalarValue, scale: i8) -> Option<i128> {
    let (unscaled, numeric) = NumericType::of_literal(value)?;
    let up = u32::try_from(i16::from(scale) - i16::from(numeric.scale)).ok()?;
    unscaled.checked_mul(10i128.checked_pow(up)?)
}

/// `expr` as an operand of a numeric function: a decimal of 64 or 128 bits, with just the digits it has. None when it
/// is no number with digits.
pub fn decimal_operand(expr: Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    if let Expr::Literal(value, metadata) = &expr
        && let Some((unscaled, numeric)) = NumericType::of_literal(value)
    {
        let literal = match i64::try_from(unscaled) {
            Ok(unscaled) if numeric.precision <= NARROW_DIGITS_MAX => {
                ScalarValue::Decimal64(Some(unscaled), numeric.precision, numeric.scale)
            }
            _ => ScalarValue::Decimal128(Some(unscaled), numeric.precision, numeric.scale),
        };
        return Ok(Some(Expr::Literal(literal, metadata.clone())));
    }
    let data_type = expr.get_type(schema)?;
    Ok(match (&data_type, NumericType::of(&data_type)) {
        (DataType::Decimal64(..) | DataType::Decimal128(..), _) => Some(expr),
        (_, Some(numeric)) => Some(cast(expr, numeric.narrowest())),
        (_, None) => None,
    })
}
