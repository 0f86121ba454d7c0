//! How each column of a file is encoded. By itself Parquet's writer begins a dictionary for every column of every row group, hashes and looks up
//! value after value, and gives up where the dictionary is full: work for nothing wherever most values are new. A file's first rows tell before.

use super::stats::value_bytes;
use crate::limits::{
    DELTA_COLUMNS_MAX, DICTIONARY_BYTES_MAX, DICTIONARY_FEW_VALUES, ENCODING_PAYS, ENCODING_SAMPLE_ROWS,
    ROW_GROUP_ROWS_MAX,
};
use damson_cluster::placement;
use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{
    DataType, Decimal64Type, Int16Type, Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::HashSet;

#[cfg(test)]
mod tests;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnEncoding {
    /// RLE_DICTIONARY, PLAIN after the dictionary is full. PLAIN of types that have no dictionary.
    Dictionary,
    Plain,
    /// DELTA_BINARY_PACKED: differences of neighbours, in as many bits as the largest of a few dozen needs.
    Delta,
}

/// The encodings of the columns of a file that begins with `first`; `is_whole`: these are all of its rows.
pub(super) fn choose(first: &[RecordBatch], is_whole: bool) -> Vec<ColumnEncoding> {
    let columns = first.first().map_or(0, RecordBatch::num_columns);
    let mut deltas = 0;
    let of_column = |position| {
        let sample = Sample::of(first, position);
        match sample.map_or(ColumnEncoding::Dictionary, |sample| sample.encoding(is_whole)) {
            ColumnEncoding::Delta if deltas == DELTA_COLUMNS_MAX => ColumnEncoding::Plain,
            encoding => {
                deltas += usize::from(encoding == ColumnEncoding::Delta);
                encoding
            }
        }
    };
    (0..columns).map(of_column).collect()
}

/// The first rows of a column. NULLs take part in nothing but the number of rows.
#[derive(Default)]
struct Sample {
    rows: usize,
    /// Of the values, in their order.
    hashes: Vec<u64>,
    /// Bytes of the values in PLAIN.
    plain_bytes: usize,
    /// The values, where they can be DELTA_BINARY_PACKED.
    integers: Vec<i64>,
}

impl Sample {
    /// None of a type that has no dictionary.
    fn of(batches: &[RecordBatch], position: usize) -> Option<Sample> {
        let mut sample = Sample::default();
        let mut hashes = vec![];
        for batch in batches {
            let column = batch.column(position);
            let rows = column.len().min(ENCODING_SAMPLE_ROWS - sample.rows);
            sample.add(&column.slice(0, rows), &mut hashes)?;
        }
        Some(sample)
    }

    /// `hashes` is scratch space.
    fn add(&mut self, column: &ArrayRef, hashes: &mut Vec<u64>) -> Option<()> {
        let width = Width::of(column.data_type())?;
        let values = column.len() - column.null_count();
        self.rows += column.len();
        placement::hash_rows(std::slice::from_ref(column), hashes).ok()?;
        match column.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => self.hashes.extend_from_slice(hashes),
            Some(nulls) => self.hashes.extend(nulls.valid_indices().map(|row| hashes[row])),
        }
        self.plain_bytes += match width {
            Width::Fixed(bytes) => values * bytes,
            Width::Variable => values * size_of::<u32>() + value_bytes(column, values) as usize,
        };
        add_integers(column, &mut self.integers);
        Some(())
    }

    fn encoding(&self, is_whole: bool) -> ColumnEncoding {
        let values = self.hashes.len() as f64;
        if self.hashes.is_empty() {
            // Of a whole file there is nothing to encode; of another one nothing is known.
            return if is_whole { ColumnEncoding::Plain } else { ColumnEncoding::Dictionary };
        }
        let of_row_group = if is_whole { values } else { values / self.rows as f64 * ROW_GROUP_ROWS_MAX as f64 };
        // Bytes of a value from here on.
        let plain = self.plain_bytes as f64 / values;
        let delta = (!self.integers.is_empty()).then(|| delta_bytes(&self.integers, plain as usize) as f64 / values);
        let (other, shortest) = match delta {
            Some(delta) if delta <= plain * ENCODING_PAYS => (ColumnEncoding::Delta, delta),
            _ => (ColumnEncoding::Plain, plain),
        };
        let distinct = distinct_values(&self.hashes, of_row_group);
        let dictionary = distinct * plain;
        let is_few = distinct <= DICTIONARY_FEW_VALUES as f64 && distinct * 2.0 <= of_row_group;
        let number = distinct.log2().ceil() / 8.0;
        let pays = is_few || dictionary / of_row_group + number <= shortest * ENCODING_PAYS;
        let fits = dictionary <= DICTIONARY_BYTES_MAX as f64;
        if fits && pays { ColumnEncoding::Dictionary } else { other }
    }
}

/// Bytes of a value in PLAIN.
enum Width {
    Fixed(usize),
    /// Its length is before it.
    Variable,
}

impl Width {
    /// None of a type that has no dictionary, or is not in files.
    fn of(data_type: &DataType) -> Option<Width> {
        Some(match data_type {
            DataType::Int16 | DataType::Int32 | DataType::Date32 | DataType::Float32 => Width::Fixed(4),
            // On INT32.
            DataType::Decimal64(..=9, _) => Width::Fixed(4),
            DataType::Int64 | DataType::Float64 | DataType::Decimal64(..) => Width::Fixed(8),
            DataType::Time64(_) | DataType::Timestamp(..) => Width::Fixed(8),
            DataType::Utf8View | DataType::BinaryView => Width::Variable,
            _ => return None,
        })
    }
}

/// Adds the values of a type that can be DELTA_BINARY_PACKED. Not Int32 and Date32: the decoder of the crate parquet (59.3) multiplies a
/// difference before it skips values, and fails where 64 times the difference is no i32. Values of smallint and of numeric(9) lie too close
/// together for that.
fn add_integers(column: &ArrayRef, out: &mut Vec<i64>) {
    match column.data_type() {
        DataType::Int16 => add_primitives::<Int16Type>(column, out),
        DataType::Int64 => add_primitives::<Int64Type>(column, out),
        DataType::Decimal64(..) => add_primitives::<Decimal64Type>(column, out),
        DataType::Time64(TimeUnit::Microsecond) => add_primitives::<Time64MicrosecondType>(column, out),
        DataType::Timestamp(TimeUnit::Microsecond, _) => add_primitives::<TimestampMicrosecondType>(column, out),
        _ => {}
    }
}

fn add_primitives<T: ArrowPrimitiveType<Native: Into<i64>>>(column: &ArrayRef, out: &mut Vec<i64>) {
    out.extend(column.as_primitive::<T>().iter().flatten().map(Into::into));
}

/// Bytes of a page of `values` in DELTA_BINARY_PACKED as the crate parquet writes it: blocks of 4 mini blocks of as many values as their type has
/// bits, of which each has the difference less the block's smallest one in as many bits as the mini block's largest needs.
fn delta_bytes(values: &[i64], type_bytes: usize) -> usize {
    const MINI_BLOCKS: usize = 4;
    // The block's smallest difference and the widths of its mini blocks; the sizes of blocks, and the first value.
    const BLOCK_HEADER_BYTES: usize = 6 + MINI_BLOCKS;
    const PAGE_HEADER_BYTES: usize = 12;
    let mini_block = type_bytes * 8;
    let differences: Vec<i64> = values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    let of_block = |block: &[i64]| {
        let smallest = block.iter().copied().min().unwrap_or(0);
        let of_mini_block = |differences: &[i64]| {
            let widest = differences.iter().map(|difference| difference.wrapping_sub(smallest) as u64).max();
            let bits = u64::BITS - widest.unwrap_or(0).leading_zeros();
            bits as usize * mini_block / 8
        };
        BLOCK_HEADER_BYTES + block.chunks(mini_block).map(of_mini_block).sum::<usize>()
    };
    PAGE_HEADER_BYTES + differences.chunks(MINI_BLOCKS * mini_block).map(of_block).sum::<usize>()
}

/// About how many different values there are among `of_row_group` ones of which the first have these hashes, in their order.
///
/// Either they go on to come as fast as in the second half of the sample, as where rows are sorted or nearly all differ. Or the second half has
/// fewer new ones than the first, more clearly than by chance: then they seem to be drawn from a set of D. Of n draws that shows
/// D(1 - e^(-n/D)) values, so there are e^(-n/2D) times as many new ones in the second half as in the first, which gives D.
fn distinct_values(hashes: &[u64], of_row_group: f64) -> f64 {
    let (first, second) = hashes.split_at(hashes.len() / 2);
    let mut seen: HashSet<u64> = HashSet::with_capacity(hashes.len());
    seen.extend(first);
    let of_first = seen.len() as f64;
    seen.extend(second);
    let seen = seen.len() as f64;
    let (new, sampled) = (seen - of_first, hashes.len() as f64);
    let steady = seen + (of_row_group - sampled).max(0.0) * new / second.len() as f64;
    // Two standard deviations of the difference of two such counts.
    if of_first - new <= 2.0 * seen.sqrt() {
        return steady;
    }
    let set = sampled / (-2.0 * (new / of_first).ln());
    let drawn = set * (1.0 - (-of_row_group / set).exp());
    drawn.clamp(seen, steady)
}
