//! `avg`: numeric of integers and numerics with PostgreSQL's 16 significant digits, float8 of floats.

use super::average_groups::AverageGroups;
use super::distinct::{Distinct, Fold};
use super::summand::{Summand, add_up, dispatch_summand, overflow};
use crate::NumericType;
use crate::limits::NUMERIC_DIGITS_MAX;
use crate::scalar::{PowerOfTen, average};
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type, UInt64Type};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, Volatility};
use std::marker::PhantomData;

/// State: the number of values, and their exact sum with 38 digits at the input's scale (NULL without values); of
/// DISTINCT, the list of values.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Average {
    signature: Signature,
    aliases: Vec<String>,
}

impl Average {
    pub fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable), aliases: vec!["mean".into()] }
    }
}

/// Whether this file computes the average; DataFusion does that of floats and durations.
fn is_exact(input: &DataType) -> bool {
    macro_rules! yes {
        ($t:ty) => {
            true
        };
    }
    dispatch_summand!(input, yes, false)
}

/// From a sum to an average.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mean {
    /// Of the values.
    pub input_scale: i8,
    /// Of the average.
    pub scale: i8,
    /// From the one to the other.
    up: PowerOfTen,
}

impl Mean {
    fn new(input: &DataType, output: &DataType) -> Result<Self> {
        match (NumericType::of(input), output) {
            (Some(numeric), DataType::Decimal128(_, scale)) => Ok(Self::between(numeric.scale, *scale)),
            _ => internal_err!("avg of {input} as {output}"),
        }
    }

    pub fn between(input_scale: i8, scale: i8) -> Self {
        let more = (i16::from(scale) - i16::from(input_scale)).max(0);
        Self { input_scale, scale, up: PowerOfTen::new(more.unsigned_abs().into()) }
    }

    pub fn sum_type(self) -> DataType {
        DataType::Decimal128(NUMERIC_DIGITS_MAX, self.input_scale)
    }

    /// `count` is not 0.
    pub fn of(self, sum: i128, count: u64) -> Result<i128> {
        Ok(average(sum, count, self.up, self.scale)?)
    }

    fn scalar(self, sum: i128, count: u64) -> Result<ScalarValue> {
        let value = if count == 0 { None } else { Some(self.of(sum, count)?) };
        Ok(ScalarValue::Decimal128(value, NUMERIC_DIGITS_MAX, self.scale))
    }
}

impl AggregateUDFImpl for Average {
    fn name(&self) -> &str {
        "avg"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [input] = types else {
            return plan_err!("avg takes one argument, not {}", types.len());
        };
        Ok(vec![match input {
            DataType::Int8 | DataType::UInt8 => DataType::Int16,
            DataType::UInt16 => DataType::Int32,
            DataType::UInt32 | DataType::Null => DataType::Int64,
            DataType::UInt64 => DataType::Decimal128(20, 0),
            DataType::Decimal32(precision, scale) => DataType::Decimal64(*precision, *scale),
            DataType::Float16 | DataType::Float32 => DataType::Float64,
            DataType::Float64 | DataType::Duration(_) => input.clone(),
            DataType::Dictionary(_, values) => return self.coerce_types(&[values.as_ref().clone()]),
            exact if is_exact(exact) => exact.clone(),
            other => return plan_err!("function avg({other}) does not exist"),
        }])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [input] if is_exact(input) => match NumericType::of(input) {
                Some(numeric) => Ok(numeric.average().wide()),
                None => internal_err!("avg of {input}"),
            },
            [_] => avg_udaf().return_type(types),
            _ => plan_err!("avg takes one argument, not {}", types.len()),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let input = args.input_fields[0].data_type();
        if !is_exact(input) {
            return avg_udaf().state_fields(args);
        }
        if args.is_distinct {
            return Ok(vec![Distinct::<Int64Type, Mean>::state_field(args.name, "avg distinct", input)]);
        }
        let sum = Mean::new(input, args.return_type())?.sum_type();
        Ok(vec![
            Field::new(format_state_name(args.name, "count"), DataType::UInt64, true).into(),
            Field::new(format_state_name(args.name, "sum"), sum, true).into(),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let input = args.expr_fields[0].data_type();
        if !is_exact(input) {
            return avg_udaf().accumulator(args);
        }
        let mean = Mean::new(input, args.return_type())?;
        macro_rules! accumulator {
            ($t:ty) => {
                if args.is_distinct {
                    Ok(Box::new(Distinct::<$t, _>::new(input.clone(), mean)))
                } else {
                    Ok(Box::new(Averages::<$t> { sum: 0, count: 0, mean, input: PhantomData }))
                }
            };
        }
        dispatch_summand!(input, accumulator, internal_err!("avg of {input}"))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        // The accumulators above retract.
        if is_exact(args.expr_fields[0].data_type()) {
            self.accumulator(args)
        } else {
            avg_udaf().create_sliding_accumulator(args)
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let input = args.expr_fields[0].data_type();
        if !is_exact(input) {
            return avg_udaf().create_groups_accumulator(args);
        }
        let mean = Mean::new(input, args.return_type())?;
        macro_rules! groups {
            ($t:ty) => {
                Ok(Box::new(AverageGroups::<$t>::new(mean)))
            };
        }
        dispatch_summand!(input, groups, internal_err!("avg of {input}"))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The average of one group or window.
#[derive(Debug)]
struct Averages<T> {
    sum: i128,
    count: u64,
    mean: Mean,
    input: PhantomData<T>,
}

impl<T: Summand> Accumulator for Averages<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, count) = add_up(values[0].as_primitive::<T>())?;
        self.sum = self.sum.checked_add(sum).ok_or_else(overflow)?;
        self.count += count;
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, count) = add_up(values[0].as_primitive::<T>())?;
        self.sum = self.sum.checked_sub(sum).ok_or_else(overflow)?;
        self.count -= count;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.count += states[0].as_primitive::<UInt64Type>().iter().flatten().sum::<u64>();
        let (sum, _) = add_up(states[1].as_primitive::<Decimal128Type>())?;
        self.sum = self.sum.checked_add(sum).ok_or_else(overflow)?;
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let sum = (self.count > 0).then_some(self.sum);
        Ok(vec![ScalarValue::from(self.count), ScalarValue::Decimal128(sum, NUMERIC_DIGITS_MAX, self.mean.input_scale)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.mean.scalar(self.sum, self.count)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// `avg(DISTINCT …)` of the values that [`Distinct`] has kept.
impl Fold for Mean {
    fn fold(&self, values: impl Iterator<Item = i128>) -> Result<ScalarValue> {
        let (mut sum, mut count) = (0i128, 0);
        for value in values {
            sum = sum.checked_add(value).ok_or_else(overflow)?;
            count += 1;
        }
        self.scalar(sum, count)
    }
}
