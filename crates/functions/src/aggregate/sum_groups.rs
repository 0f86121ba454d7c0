//! `sum` of many groups at once.

use super::summand::{SumType, Summand};
use crate::FunctionError;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::accumulate::{NullState, accumulate};
use std::sync::Arc;

/// The type of a sum's state and result.
pub trait SumOutput: ArrowPrimitiveType + Send + Sync + std::fmt::Debug {
    /// 22003 if `sum` does not fit.
    fn of(sum: i128) -> Result<Self::Native, FunctionError>;
}

impl SumOutput for Int64Type {
    fn of(sum: i128) -> Result<i64, FunctionError> {
        SumType::bigint(sum)
    }
}

impl SumOutput for Decimal128Type {
    fn of(sum: i128) -> Result<i128, FunctionError> {
        SumType::numeric(sum)
    }
}

/// Sums of inputs `I` handed on as `O`.
///
/// Kept in 64 bits until one of them leaves that range, then all in 128: most sums of money never do, and half the
/// memory is what a hash aggregate of millions of groups runs at.
#[derive(Debug)]
pub struct SumGroups<I, O> {
    sums: Sums,
    nulls: NullState,
    output: DataType,
    types: std::marker::PhantomData<(I, O)>,
}

#[derive(Debug)]
enum Sums {
    Narrow(Vec<i64>),
    Wide(Vec<i128>),
}

impl<I: Summand, O: SumOutput> SumGroups<I, O> {
    pub fn new(output: DataType) -> Self {
        Self { sums: Sums::Narrow(vec![]), nulls: NullState::new(), output, types: std::marker::PhantomData }
    }

    fn add<T: ArrowPrimitiveType + Send>(
        &mut self,
        values: &PrimitiveArray<T>,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()>
    where
        T::Native: Into<i128>,
    {
        if let Sums::Narrow(sums) = &mut self.sums {
            sums.resize(group_count, 0);
            let mut wrong = false;
            self.nulls.accumulate(groups, values, filter, group_count, |group, value| {
                let wide: i128 = value.into();
                let (sum, overflow) = sums[group].overflowing_add(wide as i64);
                sums[group] = sum;
                wrong |= overflow | (wide != i128::from(wide as i64));
            });
            if !wrong {
                return Ok(());
            }
            // Adding modulo 2^64 is undone by subtracting modulo 2^64.
            accumulate(groups, values, filter, |group, value| {
                let wide: i128 = value.into();
                sums[group] = sums[group].wrapping_sub(wide as i64);
            });
            self.sums = Sums::Wide(sums.iter().map(|&sum| sum.into()).collect());
        }
        let Sums::Wide(sums) = &mut self.sums else {
            unreachable!("widened above");
        };
        sums.resize(group_count, 0);
        let mut wrong = false;
        self.nulls.accumulate(groups, values, filter, group_count, |group, value| {
            let (sum, overflow) = sums[group].overflowing_add(value.into());
            sums[group] = sum;
            wrong |= overflow;
        });
        if wrong { Err(super::summand::overflow().into()) } else { Ok(()) }
    }

    fn emit(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let values: Vec<O::Native> = match &mut self.sums {
            Sums::Narrow(sums) => {
                emit_to.take_needed(sums).into_iter().map(|sum| O::of(sum.into())).collect::<Result<_, _>>()?
            }
            Sums::Wide(sums) => emit_to.take_needed(sums).into_iter().map(O::of).collect::<Result<_, _>>()?,
        };
        let nulls = self.nulls.build(emit_to);
        Ok(Arc::new(PrimitiveArray::<O>::new(values.into(), nulls).with_data_type(self.output.clone())))
    }
}

impl<I: Summand, O: SumOutput> GroupsAccumulator for SumGroups<I, O>
where
    O::Native: Into<i128>,
{
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        self.add(values[0].as_primitive::<I>(), groups, filter, group_count)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], group_count: usize) -> Result<()> {
        self.add(states[0].as_primitive::<O>(), groups, None, group_count)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.emit(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(emit_to)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<I>();
        let states: Vec<O::Native> = match values.nulls() {
            None => values.values().iter().map(|&value| O::of(value.into())).collect::<Result<_, _>>()?,
            // Rubbish under a null must not overflow.
            Some(_) => values.iter().map(|value| O::of(value.map_or(0, Into::into))).collect::<Result<_, _>>()?,
        };
        let nulls = NullBuffer::union(values.nulls(), filter.map(passing).as_ref());
        Ok(vec![Arc::new(PrimitiveArray::<O>::new(states.into(), nulls).with_data_type(self.output.clone()))])
    }

    fn size(&self) -> usize {
        let sums = match &self.sums {
            Sums::Narrow(sums) => sums.capacity() * size_of::<i64>(),
            Sums::Wide(sums) => sums.capacity() * size_of::<i128>(),
        };
        sums + self.nulls.size()
    }
}

/// Valid where a FILTER is true.
pub(super) fn passing(filter: &BooleanArray) -> NullBuffer {
    match filter.nulls() {
        None => NullBuffer::new(filter.values().clone()),
        Some(nulls) => NullBuffer::new(filter.values() & nulls.inner()),
    }
}
