//! Statistics of one column of one file, collected while it is written.

use crate::limits::STAT_TEXT_BYTES_MAX;
use damson_cluster::{ColumnStats, StatValue, placement, sketch};
use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use datafusion::arrow::compute::{max, max_boolean, max_string_view, min, min_boolean, min_string_view};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal64Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};

/// Collects a [`ColumnStats`]. NULLs count, and take no part in the rest.
#[derive(Debug)]
pub(crate) struct StatsCollector {
    nulls: u64,
    value_bytes: u64,
    range: Range,
    /// Empty for types that have no placement hash.
    registers: Vec<u8>,
}

/// The values seen so far, from smallest to largest.
#[derive(Debug)]
enum Range {
    /// The type has no statistics: bytea, uuid, interval.
    None,
    Bool(Option<(bool, bool)>),
    Int(Option<(i64, i64)>),
    Decimal(Option<(i128, i128)>),
    /// NaN is kept apart: it is larger than every number, and JSON cannot say it.
    Float {
        range: Option<(f64, f64)>,
        nan: bool,
    },
    Text(Option<(String, String)>),
}

impl StatsCollector {
    pub(crate) fn new(data_type: &DataType) -> Self {
        let range = match data_type {
            DataType::Boolean => Range::Bool(None),
            DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Date32 => Range::Int(None),
            DataType::Time64(TimeUnit::Microsecond) | DataType::Timestamp(TimeUnit::Microsecond, _) => Range::Int(None),
            DataType::Decimal64(..) | DataType::Decimal128(..) => Range::Decimal(None),
            DataType::Float32 | DataType::Float64 => Range::Float { range: None, nan: false },
            DataType::Utf8View => Range::Text(None),
            _ => Range::None,
        };
        StatsCollector { nulls: 0, value_bytes: 0, range, registers: sketch::empty() }
    }

    /// Adds a batch's column; `hashes` is scratch space.
    pub(crate) fn update(&mut self, column: &ArrayRef, hashes: &mut Vec<u64>) {
        if self.registers.is_empty() {
            self.update_range(column);
        } else if placement::hash_rows(std::slice::from_ref(column), hashes).is_ok() {
            self.update_hashed(column, hashes);
        } else {
            self.registers.clear();
            self.update_range(column);
        }
    }

    /// [`StatsCollector::update`] with the column's placement hashes at hand.
    pub(crate) fn update_hashed(&mut self, column: &ArrayRef, hashes: &[u64]) {
        assert_eq!(column.len(), hashes.len(), "one hash a row");
        match column.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => hashes.iter().for_each(|&hash| sketch::add(&mut self.registers, hash)),
            Some(nulls) => nulls.valid_indices().for_each(|i| sketch::add(&mut self.registers, hashes[i])),
        }
        self.update_range(column);
    }

    fn update_range(&mut self, column: &ArrayRef) {
        let valid = column.len() - column.null_count();
        self.nulls += column.null_count() as u64;
        self.value_bytes += value_bytes(column, valid);
        if valid == 0 {
            return;
        }
        match &mut self.range {
            Range::None => {}
            Range::Bool(range) => {
                let values = column.as_boolean();
                widen(range, min_boolean(values), max_boolean(values));
            }
            Range::Int(range) => match column.data_type() {
                DataType::Int16 => widen_primitive::<Int16Type, i64>(range, column),
                DataType::Int32 => widen_primitive::<Int32Type, i64>(range, column),
                DataType::Int64 => widen_primitive::<Int64Type, i64>(range, column),
                DataType::Date32 => widen_primitive::<Date32Type, i64>(range, column),
                DataType::Time64(_) => widen_primitive::<Time64MicrosecondType, i64>(range, column),
                _ => widen_primitive::<TimestampMicrosecondType, i64>(range, column),
            },
            Range::Decimal(range) => match column.data_type() {
                DataType::Decimal64(..) => widen_primitive::<Decimal64Type, i128>(range, column),
                _ => widen_primitive::<Decimal128Type, i128>(range, column),
            },
            Range::Float { range, nan } => match column.data_type() {
                DataType::Float32 => {
                    let values = column.as_primitive::<Float32Type>();
                    values.iter().flatten().for_each(|value| widen_float(range, nan, f64::from(value)));
                }
                _ => {
                    let values = column.as_primitive::<Float64Type>();
                    values.iter().flatten().for_each(|value| widen_float(range, nan, value));
                }
            },
            Range::Text(range) => {
                let values = column.as_string_view();
                if let (Some(low), Some(high)) = (min_string_view(values), max_string_view(values)) {
                    match range {
                        None => *range = Some((low.to_owned(), high.to_owned())),
                        Some((smallest, largest)) => {
                            if low < smallest.as_str() {
                                *smallest = low.to_owned();
                            }
                            if high > largest.as_str() {
                                *largest = high.to_owned();
                            }
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn finish(self) -> ColumnStats {
        let (min, max) = match self.range {
            Range::None => (None, None),
            Range::Bool(range) => bounds(range, StatValue::Bool),
            Range::Int(range) => bounds(range, StatValue::Int),
            Range::Decimal(range) => bounds(range, StatValue::Decimal),
            Range::Float { range, nan } => {
                let (min, max) = range.map_or((None, None), |(low, high)| (Some(low), Some(high)));
                let finite = |value: Option<f64>| value.filter(|value| value.is_finite()).map(StatValue::Float);
                (finite(min), finite(max.filter(|_| !nan)))
            }
            Range::Text(None) => (None, None),
            Range::Text(Some((low, high))) => {
                (Some(StatValue::Text(cut(&low).to_owned())), cut_up(high).map(StatValue::Text))
            }
        };
        ColumnStats { nulls: self.nulls, min, max, value_bytes: self.value_bytes, distinct_sketch: self.registers }
    }
}

fn bounds<T>(range: Option<(T, T)>, value: fn(T) -> StatValue) -> (Option<StatValue>, Option<StatValue>) {
    match range {
        Some((low, high)) => (Some(value(low)), Some(value(high))),
        None => (None, None),
    }
}

fn widen<T: PartialOrd + Copy>(range: &mut Option<(T, T)>, low: Option<T>, high: Option<T>) {
    let (Some(low), Some(high)) = (low, high) else { return };
    *range = Some(match *range {
        None => (low, high),
        Some((smallest, largest)) => {
            (if low < smallest { low } else { smallest }, if high > largest { high } else { largest })
        }
    });
}

fn widen_primitive<T: ArrowPrimitiveType, W: From<T::Native> + PartialOrd + Copy>(
    range: &mut Option<(W, W)>,
    column: &ArrayRef,
) {
    let values: &PrimitiveArray<T> = column.as_primitive();
    widen(range, min(values).map(W::from), max(values).map(W::from));
}

fn widen_float(range: &mut Option<(f64, f64)>, nan: &mut bool, value: f64) {
    if value.is_nan() {
        *nan = true;
    } else {
        widen(range, Some(value), Some(value));
    }
}

/// Bytes of the values themselves, without what describes them.
pub(super) fn value_bytes(column: &ArrayRef, valid: usize) -> u64 {
    let views = match column.data_type() {
        DataType::Boolean => return valid as u64,
        DataType::FixedSizeBinary(width) => return valid as u64 * *width as u64,
        DataType::Utf8View => column.as_string_view().views(),
        DataType::BinaryView => column.as_binary_view().views(),
        other => return valid as u64 * other.primitive_width().unwrap_or(0) as u64,
    };
    // A view's low 32 bits are its length.
    let length = |view: &u128| u64::from(*view as u32);
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => views.iter().map(length).sum(),
        Some(nulls) => nulls.valid_indices().map(|i| length(&views[i])).sum(),
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(STAT_TEXT_BYTES_MAX)]
}

/// The smallest text of at most [`STAT_TEXT_BYTES_MAX`] bytes found that is not less than `text`; None where there is none.
fn cut_up(text: String) -> Option<String> {
    if text.len() <= STAT_TEXT_BYTES_MAX {
        return Some(text);
    }
    let mut kept = cut(&text).to_owned();
    while let Some(last) = kept.pop() {
        let next = (last as u32 + 1..).take(0x801).find_map(char::from_u32);
        if let Some(next) = next.filter(|next| kept.len() + next.len_utf8() <= STAT_TEXT_BYTES_MAX) {
            kept.push(next);
            return Some(kept);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Float64Array, Int64Array, StringViewArray};
    use std::sync::Arc;

    fn collect(batches: &[ArrayRef]) -> ColumnStats {
        let mut collector = StatsCollector::new(batches[0].data_type());
        let mut hashes = Vec::new();
        batches.iter().for_each(|batch| collector.update(batch, &mut hashes));
        collector.finish()
    }

    #[test]
    fn nulls_count_and_take_no_part_in_the_rest() {
        let stats = collect(&[
            Arc::new(Int64Array::from(vec![None, Some(7), Some(-3)])),
            Arc::new(Int64Array::from(vec![None::<i64>, None])),
            Arc::new(Int64Array::from(vec![Some(7), Some(9)])),
        ]);
        assert_eq!((stats.nulls, stats.value_bytes), (3, 32));
        assert_eq!((stats.min, stats.max), (Some(StatValue::Int(-3)), Some(StatValue::Int(9))));
        assert_eq!(sketch::estimate(&stats.distinct_sketch).unwrap().round(), 3.0);

        let stats = collect(&[Arc::new(Int64Array::from(vec![None::<i64>; 3]))]);
        assert_eq!((stats.nulls, stats.min, stats.max), (3, None, None));
        assert_eq!(sketch::estimate(&stats.distinct_sketch), Some(0.0));
    }

    #[test]
    fn distinct_counts_are_within_five_percent() {
        for distinct in [10i64, 10_000, 1_000_000] {
            let total = distinct.max(100_000);
            let ints: Vec<ArrayRef> = (0..total)
                .collect::<Vec<_>>()
                .chunks(8192)
                .map(|rows| Arc::new(rows.iter().map(|i| Some(i % distinct)).collect::<Int64Array>()) as _)
                .collect();
            let texts: Vec<ArrayRef> = (0..total)
                .collect::<Vec<_>>()
                .chunks(8192)
                .map(|rows| {
                    let text = |i: &i64| Some(format!("customer#{:09}", i % distinct));
                    Arc::new(rows.iter().map(text).collect::<StringViewArray>()) as _
                })
                .collect();
            for batches in [ints, texts] {
                let got = sketch::estimate(&collect(&batches).distinct_sketch).unwrap();
                assert!((got / distinct as f64 - 1.0).abs() < 0.05, "{distinct}: {got}");
            }
        }
    }

    #[test]
    fn a_nan_leaves_no_maximum_and_an_infinity_no_bound() {
        let stats = collect(&[Arc::new(Float64Array::from(vec![1.5, f64::NAN, -2.5]))]);
        assert_eq!((stats.min, stats.max), (Some(StatValue::Float(-2.5)), None));
        let stats = collect(&[Arc::new(Float64Array::from(vec![f64::NEG_INFINITY, 4.0]))]);
        assert_eq!((stats.min, stats.max), (None, Some(StatValue::Float(4.0))));
    }

    #[test]
    fn long_texts_are_cut_and_still_bound() {
        let long = "z".repeat(100);
        let stats = collect(&[Arc::new(StringViewArray::from(vec!["b", &long]))]);
        let Some(StatValue::Text(max)) = &stats.max else { panic!("{:?}", stats.max) };
        assert!(max.len() <= STAT_TEXT_BYTES_MAX && max.as_str() > long.as_str());
        assert_eq!((stats.min, stats.value_bytes), (Some(StatValue::Text("b".into())), 101));

        // Cut in the middle of a character, and before the surrogates.
        let accents = "é".repeat(63) + &"é".repeat(10);
        assert!(cut_up(format!("x{accents}")).unwrap() > format!("x{accents}"));
        let last = "\u{d7ff}".repeat(30);
        assert!(cut_up(last.clone()).unwrap() > last);
        assert_eq!(cut_up("\u{10ffff}".repeat(30)), None);
    }
}
