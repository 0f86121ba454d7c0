use super::ColumnEncoding::{Delta, Dictionary, Plain};
use super::*;
use datafusion::arrow::array::*;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Encoding;
use datafusion::parquet::file::properties::WriterProperties;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;

const ROWS: usize = ENCODING_SAMPLE_ROWS;

fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let named = columns.into_iter().enumerate().map(|(i, column)| (format!("c{i}"), column, true));
    RecordBatch::try_from_iter_with_nullable(named).unwrap()
}

/// Of a column that begins so.
fn begins(column: ArrayRef) -> ColumnEncoding {
    choose(&[batch(vec![column])], false)[0]
}

/// Of a column of a file with these rows.
fn whole(column: ArrayRef) -> ColumnEncoding {
    choose(&[batch(vec![column])], true)[0]
}

fn ints(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn texts(values: impl IntoIterator<Item = String>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(values))
}

fn decimals(precision: u8, values: impl IntoIterator<Item = i64>) -> ArrayRef {
    let values = Decimal64Array::from_iter_values(values);
    Arc::new(values.with_precision_and_scale(precision, 2).unwrap())
}

/// Draws from `0..set`.
fn drawn(seed: u64, set: i64) -> Vec<i64> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..ROWS).map(|_| rng.random_range(0..set)).collect()
}

/// Each key one to seven times, as l_orderkey of l_linenumber.
fn lines(seed: u64, rows: usize) -> Vec<i64> {
    let mut rng = StdRng::seed_from_u64(seed);
    let of_order = |key: i64| std::iter::repeat_n(key * 4, rng.random_range(1..=7)).collect::<Vec<_>>();
    (0..).flat_map(of_order).take(rows).collect()
}

#[test]
fn the_columns_of_lineitem() {
    let modes = ["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"];
    let cases: [(&str, ColumnEncoding, ArrayRef); 9] = [
        ("orderkey", Delta, ints(lines(1, ROWS))),
        ("partkey", Delta, ints(drawn(2, 200_000))),
        // As many bits by either, and no hash of ten thousand values.
        ("suppkey", Delta, ints(drawn(3, 10_000))),
        ("linenumber", Dictionary, Arc::new(Int32Array::from_iter_values(drawn(4, 7).iter().map(|&i| i as i32)))),
        ("quantity", Dictionary, decimals(15, drawn(5, 50).iter().map(|i| i * 100 + 100))),
        ("extendedprice", Delta, decimals(15, drawn(6, 10_000_000).iter().map(|i| i + 90_000))),
        ("shipdate", Dictionary, Arc::new(Date32Array::from_iter_values(drawn(7, 2_526).iter().map(|&i| i as i32)))),
        ("shipmode", Dictionary, texts(drawn(8, 7).iter().map(|&i| modes[i as usize].to_owned()))),
        ("comment", Plain, texts(drawn(9, 4_000_000).iter().map(|i| format!("carefully bold packages {i}")))),
    ];
    for (name, expected, column) in cases {
        assert_eq!(begins(column), expected, "{name}");
    }
}

#[test]
fn every_type_has_its_own() {
    let wide = |i: i64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64);
    let rows = || 0..ROWS as i64;
    let cases: [(ColumnEncoding, ArrayRef); 14] = [
        (Delta, ints(rows())),
        // No shorter by differences.
        (Plain, ints(drawn(1, i64::MAX).into_iter().map(wide))),
        (Delta, Arc::new(Int16Array::from_iter_values(drawn(2, 20_000).iter().map(|&i| i as i16)))),
        // See `add_integers`.
        (Plain, Arc::new(Int32Array::from_iter_values(0..ROWS as i32))),
        (Plain, Arc::new(Date32Array::from_iter_values(0..ROWS as i32))),
        (Delta, decimals(9, rows())),
        (Plain, Arc::new(Float64Array::from_iter_values(rows().map(|i| i as f64 / 7.0)))),
        (Dictionary, Arc::new(Float64Array::from_iter_values(rows().map(|i| (i % 100) as f64)))),
        (Delta, Arc::new(TimestampMicrosecondArray::from_iter_values(rows().map(|i| i * 1_000_000)))),
        (Delta, Arc::new(Time64MicrosecondArray::from_iter_values(rows()))),
        (Plain, Arc::new(BinaryViewArray::from_iter_values(rows().map(|i| wide(i).to_le_bytes())))),
        // Without a dictionary in any case.
        (Dictionary, Arc::new(BooleanArray::from_iter(rows().map(|i| Some(i % 2 == 0))))),
        (Dictionary, Arc::new(Decimal128Array::from_iter_values(rows().map(i128::from)))),
        (Dictionary, Arc::new(FixedSizeBinaryArray::try_from_iter(rows().map(|i| wide(i).to_le_bytes())).unwrap())),
    ];
    for (expected, column) in cases {
        let data_type = column.data_type().clone();
        assert_eq!(begins(column), expected, "{data_type}");
    }
}

#[test]
fn few_values_keep_their_dictionary_in_any_order() {
    // Rows sorted by it: the sample has two of thousands of values.
    assert_eq!(begins(ints((0..ROWS as i64).map(|row| row / 5_000))), Dictionary);
    assert_eq!(begins(texts((0..ROWS).map(|row| format!("2024-01-{:02}", row / 5_000)))), Dictionary);
    assert_eq!(begins(texts(drawn(1, 4_000).iter().map(|i| format!("clerk {i:09}")))), Dictionary);
    // Values of 1 KiB: no dictionary holds two thousand of them.
    assert_eq!(begins(texts(drawn(2, 2_000).iter().map(|i| format!("{i:01000}")))), Plain);
    // Half of them NULL.
    let values = drawn(3, 100);
    assert_eq!(begins(Arc::new(values.iter().map(|&i| (i % 2 == 0).then_some(i)).collect::<Int64Array>())), Dictionary);
}

#[test]
fn a_file_of_few_rows_is_known() {
    assert_eq!(whole(ints([1])), Plain);
    assert_eq!(whole(texts(["a".into(), "b".into(), "c".into()])), Plain);
    assert_eq!(whole(texts((0..100).map(|i| format!("word {}", i % 3)))), Dictionary);
    let words = || texts((0..1_000).map(|i| format!("word {i}")));
    assert_eq!((whole(words()), begins(words())), (Plain, Plain));
    assert_eq!(whole(ints(0..1_000)), Delta);
    // Nothing but NULL; no rows; no columns.
    let nulls = || Arc::new(Int64Array::new_null(10)) as ArrayRef;
    assert_eq!((whole(nulls()), begins(nulls())), (Plain, Dictionary));
    assert_eq!((whole(ints([])), begins(ints([]))), (Plain, Dictionary));
    assert!(choose(&[], true).is_empty());
}

#[test]
fn a_sample_may_be_in_many_batches() {
    let column = ints(lines(1, 3 * ROWS));
    let all = batch(vec![column, texts(lines(2, 3 * ROWS).iter().map(|key| format!("order {key}")))]);
    let start = |piece: usize| piece * ROWS / 10;
    let pieces: Vec<RecordBatch> = (0..30).map(|i| all.slice(start(i), start(i + 1) - start(i))).collect();
    assert_eq!(choose(&pieces, false), [Delta, Plain]);
    let sample = Sample::of(&pieces, 0).unwrap();
    assert_eq!((sample.rows, sample.hashes.len(), sample.plain_bytes), (ROWS, ROWS, 8 * ROWS));
    assert_eq!(sample.integers, lines(1, ROWS));
}

#[test]
fn only_so_many_columns_hold_a_buffer() {
    let columns = (0..2 * DELTA_COLUMNS_MAX as i64).map(|i| ints(i..i + ROWS as i64)).collect();
    let chosen = choose(&[batch(columns)], false);
    let (first, rest) = chosen.split_at(DELTA_COLUMNS_MAX);
    assert!(first.iter().all(|&encoding| encoding == Delta));
    assert!(rest.iter().all(|&encoding| encoding == Plain));
}

fn hashes(values: Vec<i64>) -> Vec<u64> {
    let mut hashes = vec![];
    placement::hash_rows(&[ints(values)], &mut hashes).unwrap();
    hashes
}

#[test]
fn the_number_of_values_is_told_by_the_first() {
    let of_row_group = ROW_GROUP_ROWS_MAX as f64;
    for set in [1, 7, 100, 2_526, 10_000, 30_000] {
        for seed in 0..20 {
            let got = distinct_values(&hashes(drawn(seed, set)), of_row_group);
            assert!((got / set as f64 - 1.0).abs() < 0.25, "{set}: {got}");
        }
    }
    // Of so many the sample has too few twice.
    for seed in 0..20 {
        let got = distinct_values(&hashes(drawn(seed, 300_000)), of_row_group);
        assert!(got > 200_000.0, "{got}");
    }
    // Never taken for a set: keys come on and on.
    for seed in 0..200 {
        let got = distinct_values(&hashes(lines(seed, ROWS)), of_row_group);
        assert!((got * 4.0 / of_row_group - 1.0).abs() < 0.1, "{got}");
    }
    let all = hashes((0..ROWS as i64).collect());
    assert_eq!(distinct_values(&all, of_row_group), of_row_group);
    assert_eq!(distinct_values(&all, ROWS as f64), ROWS as f64);
    assert_eq!(distinct_values(&all[..1], 1.0), 1.0);
}

#[test]
fn the_length_of_differences_is_that_of_a_page() {
    let cases: [ArrayRef; 6] = [
        ints(lines(1, ROWS)),
        ints(drawn(2, 200_000)),
        ints(drawn(3, i64::MAX)),
        ints([i64::MIN, i64::MAX, 0, -1]),
        decimals(15, drawn(4, 1_000_000)),
        decimals(9, drawn(5, 1_000_000)),
    ];
    for column in cases {
        let mut values = vec![];
        add_integers(&column, &mut values);
        let type_bytes = if matches!(column.data_type(), DataType::Decimal64(9, _)) { 4 } else { 8 };
        let guessed = delta_bytes(&values, type_bytes) as f64;
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_encoding(Encoding::DELTA_BINARY_PACKED)
            .build();
        let data_type = column.data_type().clone();
        let batch = batch(vec![column]);
        let mut writer = ArrowWriter::try_new(vec![], batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        let metadata = writer.finish().unwrap();
        let written = metadata.row_group(0).column(0).uncompressed_size() as f64;
        // Page headers and levels take some tens of bytes.
        assert!((guessed - written).abs() < 0.03 * written + 60.0, "{data_type}: {guessed} of {written}");
    }
}
