//! One expression: PostgreSQL's operators, casts and literal types in place of DataFusion's.

use super::dates::{compared_as_dates, compared_as_spans, compared_with_texts, date_arithmetic};
use super::numeric_common::{Kind, Member, cast_number, common_type, decimal_operand, kind, unify};
use super::postgres_rule::{Scope, cast_columns};
use super::type_names::name_of_type;
use super::{casts, function_calls, patterns};
use crate::FunctionError;
use crate::limits::NUMERIC_DIGITS_MAX;
use crate::numeric_type::digits_of;
use crate::register::{aggregate, scalar};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNodeRewriter};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{
    AggregateFunction, Between, Case, InList, InSubquery, ScalarFunction, WindowFunction,
};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, Subquery, WindowFunctionDefinition, cast,
};
use datafusion::optimizer::analyzer::type_coercion::TypeCoercionRewriter;
use std::sync::Arc;

/// Works bottom up: when it sees a node, its children have PostgreSQL's types. What it leaves alone gets DataFusion's
/// own coercion at once, because the nodes above must know its final type.
pub struct ExpressionRewriter<'a> {
    /// The columns of the node's inputs.
    pub schema: &'a DFSchema,
    /// The columns of the queries around this one.
    pub outer: Option<&'a Scope<'a>>,
}

impl TreeNodeRewriter for ExpressionRewriter<'_> {
    type Node = Expr;

    fn f_up(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        match expr {
            Expr::Literal(ScalarValue::Decimal256(..), _) => Err(FunctionError::TooManyDigits.into()),
            Expr::Literal(value, metadata) => Ok(Transformed::yes(Expr::Literal(literal(value), metadata))),
            Expr::OuterReferenceColumn(field, column) => {
                // Planned before the query around it was rewritten.
                let data_type =
                    self.outer.and_then(|outer| outer.type_of(&column)).unwrap_or(field.data_type().clone());
                let field = Arc::new(field.as_ref().clone().with_data_type(data_type));
                Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
            }
            Expr::BinaryExpr(binary) => self.binary(binary),
            Expr::Negative(operand) => self.negative(*operand),
            Expr::Cast(cast) => Ok(match casts::rewritten(&cast, self.schema)? {
                Some(expr) => Transformed::yes(expr),
                None => Transformed::no(Expr::Cast(cast)),
            }),
            Expr::Like(like) => self.coerce(Expr::Like(patterns::like(like)?)),
            Expr::SimilarTo(like) => self.coerce(patterns::similar_to(like)?),
            Expr::Between(between) => self.between(between),
            Expr::InList(list) => self.in_list(list),
            Expr::Case(case) => self.case(case),
            Expr::InSubquery(subquery) => self.in_subquery(subquery),
            Expr::ScalarFunction(function) => self.function(function),
            Expr::AggregateFunction(function) => self.aggregate(function),
            Expr::WindowFunction(function) => self.window(*function),
            other => self.coerce(other),
        }
    }
}

impl ExpressionRewriter<'_> {
    /// DataFusion's coercion of this node.
    fn coerce(&self, expr: Expr) -> Result<Transformed<Expr>> {
        TypeCoercionRewriter::new(self.schema).f_up(expr)
    }

    fn binary(&self, binary: BinaryExpr) -> Result<Transformed<Expr>> {
        let BinaryExpr { left, op, right } = binary;
        if compares(op)
            && let Some(unified) = self.comparable(&[&left, &right])?
            && let Ok([left, right]) = <[Expr; 2]>::try_from(unified)
        {
            return self.coerce(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))));
        }
        if op.is_numerical_operators()
            && let Some(expr) = self.arithmetic(&left, op, &right)?
        {
            return Ok(Transformed::yes(expr));
        }
        let (left, right) = if op == Operator::StringConcat {
            (Box::new(self.shown(*left)?), Box::new(self.shown(*right)?))
        } else {
            (left, right)
        };
        self.coerce(Expr::BinaryExpr(BinaryExpr::new(left, op, right)))
    }

    /// An operand of `||`.
    fn shown(&self, operand: Expr) -> Result<Expr> {
        let data_type = operand.get_type(self.schema)?;
        // Bytes are concatenated as they are.
        let text = if data_type.is_binary() { None } else { casts::as_text(&operand, &data_type) };
        Ok(text.unwrap_or(operand))
    }

    /// Operands of a comparison with one type; None where DataFusion finds it.
    fn comparable(&self, operands: &[&Expr]) -> Result<Option<Vec<Expr>>> {
        if let Some(unified) = unify(operands, self.schema)? {
            return Ok(Some(unified));
        }
        if let Some(texts) = compared_with_texts(operands, self.schema)? {
            return Ok(Some(texts));
        }
        match compared_as_dates(operands, self.schema)? {
            Some(dates) => Ok(Some(dates)),
            None => compared_as_spans(operands, self.schema),
        }
    }

    /// `+ - * / %` of two numbers or dates; None where DataFusion's is PostgreSQL's.
    fn arithmetic(&self, left: &Expr, op: Operator, right: &Expr) -> Result<Option<Expr>> {
        if let Some(expr) = date_arithmetic(left, op, right, self.schema)? {
            return self.coerce(expr).map(|coerced| Some(coerced.data));
        }
        let (left_type, right_type) = (left.get_type(self.schema)?, right.get_type(self.schema)?);
        match (kind(&left_type), kind(&right_type)) {
            (Kind::Integer, Kind::Integer) => {
                let Some(common) = common_integer(&left_type, &right_type) else {
                    return Ok(None);
                };
                let (left, right) = (as_type(left, &left_type, &common), as_type(right, &right_type, &common));
                let name = match op {
                    Operator::Plus => "int_add",
                    Operator::Minus => "int_sub",
                    Operator::Multiply => "int_mul",
                    _ => return Ok(Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))),
                };
                Ok(Some(scalar(name).call(vec![left, right])))
            }
            (Kind::Decimal, Kind::Decimal | Kind::Integer) | (Kind::Integer, Kind::Decimal) => {
                numeric_arithmetic(left, op, right, self.schema)
            }
            (Kind::Float, Kind::Float | Kind::Decimal | Kind::Integer)
            | (Kind::Decimal | Kind::Integer, Kind::Float) => {
                let single = left_type == DataType::Float32 && right_type == DataType::Float32;
                let common = if single { DataType::Float32 } else { DataType::Float64 };
                let (left, right) = (as_type(left, &left_type, &common), as_type(right, &right_type, &common));
                Ok(Some(if op == Operator::Divide {
                    scalar("float_div").call(vec![left, right])
                } else {
                    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
                }))
            }
            _ => Ok(None),
        }
    }

    fn negative(&self, operand: Expr) -> Result<Transformed<Expr>> {
        let data_type = operand.get_type(self.schema)?;
        if kind(&data_type) != Kind::Integer {
            return self.coerce(Expr::Negative(Box::new(operand)));
        }
        if let Expr::Literal(value, metadata) = &operand
            && let Some(negated) = negated(value)
        {
            return Ok(Transformed::yes(Expr::Literal(negated, metadata.clone())));
        }
        let Some(signed) = common_integer(&data_type, &DataType::Int16) else {
            return self.coerce(Expr::Negative(Box::new(operand)));
        };
        Ok(Transformed::yes(scalar("int_neg").call(vec![as_type(&operand, &data_type, &signed)])))
    }

    fn between(&self, between: Between) -> Result<Transformed<Expr>> {
        let Between { expr, negated, low, high } = between;
        if let Some(unified) = self.comparable(&[&expr, &low, &high])?
            && let Ok([expr, low, high]) = <[Expr; 3]>::try_from(unified)
        {
            return self.coerce(Expr::Between(Between::new(Box::new(expr), negated, Box::new(low), Box::new(high))));
        }
        self.coerce(Expr::Between(Between::new(expr, negated, low, high)))
    }

    fn in_list(&self, in_list: InList) -> Result<Transformed<Expr>> {
        let InList { expr, list, negated } = in_list;
        let members: Vec<&Expr> = std::iter::once(expr.as_ref()).chain(&list).collect();
        if let Some(mut unified) = self.comparable(&members)? {
            let expr = Box::new(unified.remove(0));
            return self.coerce(Expr::InList(InList::new(expr, unified, negated)));
        }
        self.coerce(Expr::InList(InList::new(expr, list, negated)))
    }

    fn case(&self, mut case: Case) -> Result<Transformed<Expr>> {
        if let Some(operand) = &case.expr {
            let members: Vec<&Expr> = std::iter::once(operand.as_ref())
                .chain(case.when_then_expr.iter().map(|(when, _)| when.as_ref()))
                .collect();
            if let Some(mut unified) = unify(&members, self.schema)? {
                case.expr = Some(Box::new(unified.remove(0)));
                for ((when, _), unified) in case.when_then_expr.iter_mut().zip(unified) {
                    **when = unified;
                }
            }
        }
        let results = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
        let members: Vec<&Expr> = results.chain(case.else_expr.as_deref()).collect();
        if let Some(unified) = unify(&members, self.schema)? {
            let mut unified = unified.into_iter();
            for (_, then) in &mut case.when_then_expr {
                if let Some(unified) = unified.next() {
                    **then = unified;
                }
            }
            case.else_expr = unified.next().map(Box::new);
        }
        self.coerce(Expr::Case(case))
    }

    fn in_subquery(&self, in_subquery: InSubquery) -> Result<Transformed<Expr>> {
        let InSubquery { expr, subquery, negated } = in_subquery;
        let field = subquery.subquery.schema().field(0);
        let members = [Member::of_expr(&expr, self.schema)?, Member::of_type(field.data_type())];
        let Some(target) = common_type(&members) else {
            return self.coerce(Expr::InSubquery(InSubquery { expr, subquery, negated }));
        };
        let expr = Box::new(cast_number(*expr, &target, self.schema)?);
        let plan: LogicalPlan = Arc::unwrap_or_clone(subquery.subquery);
        let subquery = Subquery { subquery: Arc::new(cast_columns(plan, &[Some(target)])?), ..subquery };
        self.coerce(Expr::InSubquery(InSubquery { expr, subquery, negated }))
    }

    fn function(&self, function: ScalarFunction) -> Result<Transformed<Expr>> {
        let ScalarFunction { func, args } = function;
        if func.name() == "pg_typeof"
            && let [value] = args.as_slice()
        {
            let name = ScalarValue::Utf8View(Some(name_of_type(&value.get_type(self.schema)?)));
            return Ok(Transformed::yes(Expr::Literal(name, None)));
        }
        if func.name() == "mod"
            && let [left, right] = args.as_slice()
        {
            let (left, right) = (Box::new(left.clone()), Box::new(right.clone()));
            return self.binary(BinaryExpr::new(left, Operator::Modulo, right));
        }
        let call = function_calls::rewritten(ScalarFunction { func, args }, self.schema)?;
        let is_series = call.func.name() == "generate_series";
        let coerced = self.coerce(Expr::ScalarFunction(call))?;
        match if is_series { coerced.data.get_type(self.schema)? } else { DataType::Null } {
            // Of nanoseconds, as DataFusion makes it.
            DataType::List(item) if matches!(item.data_type(), DataType::Timestamp(..)) => {
                let micros = match item.data_type() {
                    DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
                    other => other.clone(),
                };
                let list = DataType::List(Arc::new(item.as_ref().clone().with_data_type(micros)));
                Ok(Transformed::yes(cast(coerced.data, list)))
            }
            _ => Ok(coerced),
        }
    }

    fn aggregate(&self, mut function: AggregateFunction) -> Result<Transformed<Expr>> {
        function.params.args = function_calls::literals_for(function.func.name(), function.params.args);
        if self.sums_to_bigint(function.func.name(), &function.params.args)? {
            function.func = aggregate("sum_int");
        }
        self.coerce(Expr::AggregateFunction(function))
    }

    fn window(&self, mut function: WindowFunction) -> Result<Transformed<Expr>> {
        function.params.args = function_calls::literals_for(function.fun.name(), function.params.args);
        if let WindowFunctionDefinition::AggregateUDF(udaf) = &function.fun
            && self.sums_to_bigint(udaf.name(), &function.params.args)?
        {
            function.fun = WindowFunctionDefinition::AggregateUDF(aggregate("sum_int"));
        }
        self.coerce(Expr::from(function))
    }

    /// `sum(int2)` and `sum(int4)`.
    fn sums_to_bigint(&self, name: &str, args: &[Expr]) -> Result<bool> {
        Ok(match args {
            [argument] if name == "sum" => {
                matches!(argument.get_type(self.schema)?, DataType::Int8 | DataType::Int16 | DataType::Int32)
            }
            _ => false,
        })
    }
}

/// `+ - * / %` of a decimal and a decimal or an integer; None for other operators and operands.
pub fn numeric_arithmetic(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let name = match op {
        Operator::Plus => "numeric_add",
        Operator::Minus => "numeric_sub",
        Operator::Multiply => "numeric_mul",
        Operator::Divide => "numeric_div",
        Operator::Modulo => "numeric_mod",
        _ => return Ok(None),
    };
    let (left, right) = (decimal_operand(left.clone(), schema)?, decimal_operand(right.clone(), schema)?);
    Ok(left.zip(right).map(|(left, right)| scalar(name).call(vec![left, right])))
}

pub fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// int4 for an integer that fits it; numeric for one beyond int8, which DataFusion makes unsigned.
fn literal(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Int64(Some(v)) => match i32::try_from(v) {
            Ok(int4) => ScalarValue::Int32(Some(int4)),
            Err(_) => value,
        },
        ScalarValue::UInt64(Some(v)) => match i64::try_from(v) {
            Ok(int8) => literal(ScalarValue::Int64(Some(int8))),
            Err(_) => ScalarValue::Decimal128(Some(v.into()), 20, 0),
        },
        // 1e3 is 1000, not a decimal of scale -3.
        ScalarValue::Decimal128(Some(v), _, scale @ i8::MIN..0) => {
            let power = 10i128.checked_pow(scale.unsigned_abs().into());
            match power.and_then(|power| v.checked_mul(power)).filter(|v| digits_of(*v) <= NUMERIC_DIGITS_MAX) {
                Some(v) => ScalarValue::Decimal128(Some(v), digits_of(v), 0),
                None => value,
            }
        }
        other => other,
    }
}

/// A literal with the other sign, which PostgreSQL types after it has negated it; None for the smallest int8.
fn negated(value: &ScalarValue) -> Option<ScalarValue> {
    match value {
        ScalarValue::Int32(Some(i32::MIN)) => Some(ScalarValue::Int64(Some(-i64::from(i32::MIN)))),
        ScalarValue::Int64(Some(v)) => Some(literal(ScalarValue::Int64(Some(v.checked_neg()?)))),
        other => other.arithmetic_negate().ok(),
    }
}

/// The signed type that holds both; None for types beyond int8.
fn common_integer(left: &DataType, right: &DataType) -> Option<DataType> {
    let rank = |data_type: &DataType| match data_type {
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => Some(2),
        DataType::UInt16 | DataType::Int32 => Some(4),
        // Unsigned 64 bits come from counters such as row_number(), which PostgreSQL has as int8.
        DataType::UInt32 | DataType::Int64 | DataType::UInt64 => Some(8),
        _ => None,
    };
    Some(match rank(left)?.max(rank(right)?) {
        2 => DataType::Int16,
        4 => DataType::Int32,
        _ => DataType::Int64,
    })
}

fn as_type(expr: &Expr, from: &DataType, to: &DataType) -> Expr {
    match expr {
        _ if from == to => expr.clone(),
        Expr::Literal(value, metadata) if !from.is_floating() => match value.cast_to(to) {
            Ok(value) => Expr::Literal(value, metadata.clone()),
            Err(_) => cast(expr.clone(), to.clone()),
        },
        _ => cast(expr.clone(), to.clone()),
    }
}
