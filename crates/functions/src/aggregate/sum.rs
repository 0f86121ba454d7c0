//! `sum`: bigint of int2 and int4, numeric of int8 and numerics, never wrapped.

use super::distinct::{Distinct, Fold};
use super::sum_groups::SumGroups;
use super::summand::{SumType, Summand, add_up, dispatch_summand, overflow};
use crate::limits::NUMERIC_DIGITS_MAX;
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::{AggregateFunctionParams, WindowFunctionParams};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, Volatility};
use std::fmt::Debug;
use std::marker::PhantomData;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SumFlavour {
    /// `sum`: int8 to numeric.
    General,
    /// `sum_int`: int2, int4 and int8 to bigint. The rules put it in place of `sum(int2)` and `sum(int4)`: DataFusion
    /// splits a `sum` next to a single DISTINCT aggregate into a sum of sums, whose type must be that of one sum.
    Bigint,
}

/// State: one partial sum of the result's type, NULL without values; of DISTINCT, the list of values.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Sum {
    flavour: SumFlavour,
    signature: Signature,
}

impl Sum {
    pub fn new(flavour: SumFlavour) -> Self {
        Self { flavour, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// None for what DataFusion's `sum` does as PostgreSQL: floats, intervals, durations.
    fn sum_type(&self, input: &DataType) -> Option<SumType> {
        match (self.flavour, input) {
            (_, DataType::Int16 | DataType::Int32) => Some(SumType::Bigint),
            (SumFlavour::Bigint, DataType::Int64) => Some(SumType::Bigint),
            (SumFlavour::General, DataType::Int64) => Some(SumType::Numeric(0)),
            (SumFlavour::General, DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale)) => {
                Some(SumType::Numeric(*scale))
            }
            _ => None,
        }
    }
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        match self.flavour {
            SumFlavour::General => "sum",
            SumFlavour::Bigint => "sum_int",
        }
    }

    /// Both flavours are `sum` to the user.
    fn schema_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        sum_udaf().schema_name(params)
    }

    fn human_display(&self, params: &AggregateFunctionParams) -> Result<String> {
        sum_udaf().human_display(params)
    }

    fn window_function_schema_name(&self, params: &WindowFunctionParams) -> Result<String> {
        sum_udaf().window_function_schema_name(params)
    }

    fn display_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        sum_udaf().display_name(params)
    }

    fn window_function_display_name(&self, params: &WindowFunctionParams) -> Result<String> {
        sum_udaf().window_function_display_name(params)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [input] = types else {
            return plan_err!("sum takes one argument, not {}", types.len());
        };
        Ok(vec![match input {
            DataType::Int8 | DataType::UInt8 => DataType::Int16,
            DataType::UInt16 => DataType::Int32,
            DataType::UInt32 | DataType::Null => DataType::Int64,
            DataType::UInt64 => DataType::Decimal128(20, 0),
            DataType::Decimal32(precision, scale) => DataType::Decimal64(*precision, *scale),
            DataType::Float16 | DataType::Float32 => DataType::Float64,
            DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float64
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Interval(_)
            | DataType::Duration(_) => input.clone(),
            DataType::Dictionary(_, values) => return self.coerce_types(&[values.as_ref().clone()]),
            other => return plan_err!("function sum({other}) does not exist"),
        }])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [input] => match self.sum_type(input) {
                Some(sum_type) => Ok(sum_type.data_type()),
                None => sum_udaf().return_type(types),
            },
            _ => plan_err!("sum takes one argument, not {}", types.len()),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let input = args.input_fields[0].data_type();
        if self.sum_type(input).is_none() {
            return sum_udaf().state_fields(args);
        }
        Ok(vec![if args.is_distinct {
            Distinct::<Int64Type, SumFold>::state_field(args.name, "sum distinct", input)
        } else {
            Field::new(format_state_name(args.name, "sum"), args.return_type().clone(), true).into()
        }])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let input = args.expr_fields[0].data_type();
        let Some(sum_type) = self.sum_type(input) else {
            return sum_udaf().accumulator(args);
        };
        macro_rules! accumulator {
            ($t:ty) => {
                if args.is_distinct {
                    Ok(Box::new(Distinct::<$t, _>::new(input.clone(), SumFold(sum_type))))
                } else {
                    Ok(Box::new(Sums::<$t>::new(sum_type)))
                }
            };
        }
        dispatch_summand!(input, accumulator, internal_err!("sum of {input}"))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        // The accumulators above retract.
        if self.sum_type(args.expr_fields[0].data_type()).is_some() {
            self.accumulator(args)
        } else {
            sum_udaf().create_sliding_accumulator(args)
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let input = args.expr_fields[0].data_type();
        let Some(sum_type) = self.sum_type(input) else {
            return sum_udaf().create_groups_accumulator(args);
        };
        macro_rules! groups {
            ($t:ty) => {
                Ok(match sum_type {
                    SumType::Bigint => Box::new(SumGroups::<$t, Int64Type>::new(DataType::Int64)),
                    SumType::Numeric(scale) => {
                        let data_type = DataType::Decimal128(NUMERIC_DIGITS_MAX, scale);
                        Box::new(SumGroups::<$t, Decimal128Type>::new(data_type))
                    }
                })
            };
        }
        dispatch_summand!(input, groups, internal_err!("sum of {input}"))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The sum of one group or window, in 128 bits.
#[derive(Debug)]
struct Sums<T> {
    sum: i128,
    /// Values in `sum`: it is NULL without any, also after the last one has left the window.
    count: u64,
    sum_type: SumType,
    input: PhantomData<T>,
}

impl<T: Summand> Sums<T> {
    fn new(sum_type: SumType) -> Self {
        Self { sum: 0, count: 0, sum_type, input: PhantomData }
    }
}

impl<T: Summand> Accumulator for Sums<T> {
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
        if let Some(sum) = self.sum_type.merge(&states[0])? {
            self.sum = self.sum.checked_add(sum).ok_or_else(overflow)?;
            self.count += 1;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.sum_type.scalar((self.count > 0).then_some(self.sum))?)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// `sum(DISTINCT …)` of the values that [`Distinct`] has kept.
#[derive(Debug)]
pub(super) struct SumFold(SumType);

impl Fold for SumFold {
    fn fold(&self, values: impl Iterator<Item = i128>) -> Result<ScalarValue> {
        let mut sum = None;
        for value in values {
            sum = Some(sum.unwrap_or(0i128).checked_add(value).ok_or_else(overflow)?);
        }
        Ok(self.0.scalar(sum)?)
    }
}
