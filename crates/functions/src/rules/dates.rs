//! Dates with intervals: PostgreSQL's `date + interval` is a timestamp, DataFusion's a date.

use super::casts::read_as;
use crate::register::scalar;
use crate::scalar::is_text;
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, cast};

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// `date ± interval` and `interval + date` as timestamps, `date - date` as an integer; None for anything else.
pub fn date_arithmetic(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    if !matches!(op, Operator::Plus | Operator::Minus) {
        return Ok(None);
    }
    let apply = |left: Expr, right: Expr| Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
    Ok(match (left.get_type(schema)?, right.get_type(schema)?) {
        (DataType::Date32, DataType::Interval(_)) => Some(apply(cast(left.clone(), TIMESTAMP), right.clone())),
        (DataType::Interval(_), DataType::Date32) if op == Operator::Plus => {
            Some(apply(left.clone(), cast(right.clone(), TIMESTAMP)))
        }
        (DataType::Date32, DataType::Date32) if op == Operator::Minus => {
            Some(cast(apply(left.clone(), right.clone()), DataType::Int32))
        }
        _ => None,
    })
}

/// The operands of a comparison as dates, where at least one is a date and the others are dates with intervals of whole
/// days: `l_shipdate < date '1994-01-01' + interval '1 year'` then compares the column as it is, which files can be
/// pruned by. None where they cannot be.
pub fn compared_as_dates(operands: &[&Expr], schema: &DFSchema) -> Result<Option<Vec<Expr>>> {
    let mut dates = Vec::with_capacity(operands.len());
    let mut already = 0;
    for operand in operands {
        if operand.get_type(schema)? == DataType::Date32 {
            already += 1;
            dates.push((*operand).clone());
        } else if let Some(date) = as_date(operand, schema)? {
            dates.push(date);
        } else {
            return Ok(None);
        }
    }
    Ok((already > 0 && already < operands.len()).then_some(dates))
}

/// The operands of a comparison of one type of dates or times with texts, which are read as PostgreSQL does; None for others.
pub fn compared_with_texts(operands: &[&Expr], schema: &DFSchema) -> Result<Option<Vec<Expr>>> {
    let types = operands.iter().map(|operand| operand.get_type(schema)).collect::<Result<Vec<_>>>()?;
    let is_some_text = |data_type: &DataType| is_text(data_type) && *data_type != DataType::Null;
    let mut others = types.iter().filter(|data_type| !is_text(data_type));
    let Some(target) = others.next() else { return Ok(None) };
    if others.any(|other| other != target) || !types.iter().any(is_some_text) {
        return Ok(None);
    }
    let read = |(operand, data_type): (&&Expr, &DataType)| match is_some_text(data_type) {
        true => read_as(operand, target),
        false => Some((*operand).clone()),
    };
    Ok(operands.iter().zip(&types).map(read).collect())
}

/// The operands of a comparison of intervals as their lengths; None where there is another type among them. Text is read
/// as an interval.
pub fn compared_as_spans(operands: &[&Expr], schema: &DFSchema) -> Result<Option<Vec<Expr>>> {
    let mut spans = Vec::with_capacity(operands.len());
    let mut intervals = 0;
    for operand in operands {
        let interval = match operand.get_type(schema)? {
            DataType::Interval(_) | DataType::Duration(_) => {
                intervals += 1;
                (*operand).clone()
            }
            text if text.is_string() || text.is_null() => {
                cast((*operand).clone(), DataType::Interval(IntervalUnit::MonthDayNano))
            }
            _ => return Ok(None),
        };
        spans.push(scalar("interval_span").call(vec![interval]));
    }
    Ok((intervals > 0).then_some(spans))
}

/// Undoes [`date_arithmetic`] where the timestamp is at midnight whatever the date.
fn as_date(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else {
        return Ok(None);
    };
    if !matches!(op, Operator::Plus | Operator::Minus) {
        return Ok(None);
    }
    let (left, right) = if has_whole_days(right) {
        (operand_as_date(left, schema)?, Some(right.as_ref().clone()))
    } else if has_whole_days(left) {
        (Some(left.as_ref().clone()), operand_as_date(right, schema)?)
    } else {
        return Ok(None);
    };
    let both = left.zip(right);
    Ok(both.map(|(left, right)| Expr::BinaryExpr(BinaryExpr::new(Box::new(left), *op, Box::new(right)))))
}

fn operand_as_date(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    match expr {
        Expr::Cast(Cast { expr, field })
            if *field.data_type() == TIMESTAMP && expr.get_type(schema)? == DataType::Date32 =>
        {
            Ok(Some(expr.as_ref().clone()))
        }
        other => as_date(other, schema),
    }
}

fn has_whole_days(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) => interval.nanoseconds == 0,
        Expr::Literal(ScalarValue::IntervalYearMonth(Some(_)), _) => true,
        Expr::Literal(ScalarValue::IntervalDayTime(Some(interval)), _) => interval.milliseconds == 0,
        _ => false,
    }
}
