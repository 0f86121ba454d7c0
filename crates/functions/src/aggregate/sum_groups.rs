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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlstate_of;
    use arrow::array::{Decimal64Array, Decimal128Array, Int64Array};
    use arrow::datatypes::Decimal64Type;
    use proptest::prelude::*;

    fn sums() -> SumGroups<Decimal64Type, Decimal128Type> {
        SumGroups::new(DataType::Decimal128(38, 2))
    }

    fn values(array: &ArrayRef) -> Vec<Option<i128>> {
        array.as_primitive::<Decimal128Type>().iter().collect()
    }

    #[test]
    fn widens_when_a_sum_leaves_64_bits() {
        let mut sums = sums();
        let batch: ArrayRef = Arc::new(Decimal64Array::from(vec![Some(i64::MAX), Some(5), None, Some(-7)]));
        sums.update_batch(&[Arc::clone(&batch)], &[0, 1, 2, 1], None, 3).unwrap();
        assert!(matches!(sums.sums, Sums::Narrow(_)));
        sums.update_batch(&[batch], &[0, 1, 2, 3], None, 4).unwrap();
        assert!(matches!(sums.sums, Sums::Wide(_)));
        let first = sums.evaluate(EmitTo::First(2)).unwrap();
        assert_eq!(values(&first), [Some(2 * i128::from(i64::MAX)), Some(3)]);
        assert_eq!(values(&sums.evaluate(EmitTo::All).unwrap()), [None, Some(-7)]);
    }

    #[test]
    fn states_of_single_rows_merge() {
        let batch: ArrayRef = Arc::new(Decimal64Array::from(vec![Some(1), None, Some(3), Some(4)]));
        let filter = BooleanArray::from(vec![Some(true), Some(true), None, Some(true)]);
        let states = sums().convert_to_state(&[batch], Some(&filter)).unwrap();
        assert_eq!(values(&states[0]), [Some(1), None, None, Some(4)]);
        let mut merged = sums();
        merged.merge_batch(&states, &[0, 1, 0, 0], 2).unwrap();
        assert_eq!(values(&merged.state(EmitTo::All).unwrap()[0]), [Some(5), None]);
    }

    #[test]
    fn the_result_has_at_most_38_digits() {
        let nines: ArrayRef = Arc::new(Decimal128Array::from(vec![10i128.pow(38) - 1; 2]));
        let mut sums = SumGroups::<Decimal128Type, Decimal128Type>::new(DataType::Decimal128(38, 0));
        let result = sums.update_batch(&[nines], &[0, 0], None, 1).and_then(|()| sums.evaluate(EmitTo::All));
        assert_eq!(sqlstate_of(&result.unwrap_err()), Some("22003"));
        let mut sums = SumGroups::<Int64Type, Int64Type>::new(DataType::Int64);
        let batch: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 1]));
        sums.update_batch(&[batch], &[0, 0], None, 1).unwrap();
        assert_eq!(sqlstate_of(&sums.evaluate(EmitTo::All).unwrap_err()), Some("22003"));
    }

    proptest! {
        /// Whatever the batches, and wherever the sums leave 64 bits.
        #[test]
        fn equals_a_sum_in_128_bits(
            batches in proptest::collection::vec(
                proptest::collection::vec((0usize..4, proptest::option::of(any::<i64>()), any::<bool>()), 0..20), 0..8)
        ) {
            let mut sums = sums();
            let mut expected = [None; 4];
            for batch in &batches {
                let array: ArrayRef = Arc::new(Decimal64Array::from(batch.iter().map(|row| row.1).collect::<Vec<_>>()));
                let filter = BooleanArray::from(batch.iter().map(|row| row.2).collect::<Vec<_>>());
                let groups: Vec<usize> = batch.iter().map(|row| row.0).collect();
                sums.update_batch(&[array], &groups, Some(&filter), 4).unwrap();
                for (group, value, passes) in batch {
                    if let (Some(value), true) = (value, passes) {
                        *expected[*group].get_or_insert(0i128) += i128::from(*value);
                    }
                }
            }
            if !batches.is_empty() {
                prop_assert_eq!(values(&sums.evaluate(EmitTo::All).unwrap()), expected);
            }
        }
    }
}
