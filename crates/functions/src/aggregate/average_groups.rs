//! `avg` of many groups at once.

use super::average::Mean;
use super::sum_groups::{SumGroups, passing};
use super::summand::Summand;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, UInt64Array};
use arrow::datatypes::{Decimal128Type, UInt64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::accumulate::accumulate;
use std::sync::Arc;

/// A sum and a count a group; the sum also knows which groups have no value.
#[derive(Debug)]
pub struct AverageGroups<I> {
    sums: SumGroups<I, Decimal128Type>,
    counts: Vec<u64>,
    mean: Mean,
}

impl<I: Summand> AverageGroups<I> {
    pub fn new(mean: Mean) -> Self {
        Self { sums: SumGroups::new(mean.sum_type()), counts: vec![], mean }
    }
}

impl<I: Summand> GroupsAccumulator for AverageGroups<I> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        self.counts.resize(group_count, 0);
        accumulate(groups, values[0].as_primitive::<I>(), filter, |group, _| self.counts[group] += 1);
        self.sums.update_batch(values, groups, filter, group_count)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], group_count: usize) -> Result<()> {
        self.counts.resize(group_count, 0);
        accumulate(groups, states[0].as_primitive::<UInt64Type>(), None, |group, count| self.counts[group] += count);
        self.sums.merge_batch(&states[1..], groups, group_count)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let counts = emit_to.take_needed(&mut self.counts);
        let sums = self.sums.evaluate(emit_to)?;
        let sums = sums.as_primitive::<Decimal128Type>();
        let averages = sums.values().iter().zip(counts);
        let averages: Vec<i128> = averages
            .map(|(&sum, count)| if count == 0 { Ok(0) } else { self.mean.of(sum, count) })
            .collect::<Result<_>>()?;
        let averages = PrimitiveArray::<Decimal128Type>::new(averages.into(), sums.nulls().cloned());
        Ok(Arc::new(averages.with_precision_and_scale(crate::limits::NUMERIC_DIGITS_MAX, self.mean.scale)?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let counts = emit_to.take_needed(&mut self.counts);
        let mut state: Vec<ArrayRef> = vec![Arc::new(UInt64Array::from(counts))];
        state.extend(self.sums.state(emit_to)?);
        Ok(state)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let sums = self.sums.convert_to_state(values, filter)?;
        let rows = values[0].len();
        let counts: Vec<u64> = match (values[0].nulls(), filter.map(passing)) {
            (None, None) => vec![1; rows],
            _ => (0..rows).map(|row| u64::from(sums[0].is_valid(row))).collect(),
        };
        let mut state: Vec<ArrayRef> = vec![Arc::new(UInt64Array::from(counts))];
        state.extend(sums);
        Ok(state)
    }

    fn size(&self) -> usize {
        self.sums.size() + self.counts.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Decimal64Array;
    use arrow::datatypes::Decimal64Type;

    #[test]
    fn states_merge() {
        let mean = Mean::between(2, 4);
        let batch: ArrayRef = Arc::new(Decimal64Array::from(vec![Some(100), None, Some(201), Some(7)]));
        let filter = BooleanArray::from(vec![Some(true), Some(true), Some(true), None]);
        let fresh = || AverageGroups::<Decimal64Type>::new(mean);
        let converted = fresh().convert_to_state(&[Arc::clone(&batch)], Some(&filter)).unwrap();
        let mut partial = fresh();
        partial.update_batch(&[batch], &[0, 1, 0, 1], Some(&filter), 2).unwrap();
        let partial = partial.state(EmitTo::All).unwrap();
        let mut merged = fresh();
        merged.merge_batch(&converted, &[0, 1, 0, 1], 2).unwrap();
        merged.merge_batch(&partial, &[2, 3], 4).unwrap();
        let averages = merged.evaluate(EmitTo::All).unwrap();
        let averages: Vec<_> = averages.as_primitive::<Decimal128Type>().iter().collect();
        assert_eq!(averages, [Some(15050), None, Some(15050), None]);
    }
}
