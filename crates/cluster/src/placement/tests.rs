use super::*;
use crate::{BUCKETS, BucketMap, MapVersion};
use arrow::array::{
    BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Date64Array, Decimal32Array, Decimal64Array,
    Decimal128Array, Decimal256Array, DictionaryArray, FixedSizeBinaryArray, Float16Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, IntervalDayTimeArray, IntervalMonthDayNanoArray,
    IntervalYearMonthArray, LargeStringArray, ListArray, StringArray, StringViewArray, Time32MillisecondArray,
    Time32SecondArray, Time64MicrosecondArray, Time64NanosecondArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt8Array, UInt16Array, UInt32Array,
    UInt64Array,
};
use arrow::datatypes::{ArrowDictionaryKeyType, Int8Type, IntervalDayTime, IntervalMonthDayNano, UInt16Type};
use proptest::prelude::*;
use std::sync::Arc;

fn hashes(columns: &[ArrayRef]) -> Vec<u64> {
    let mut hashes = vec![7; 3];
    hash_rows(columns, &mut hashes).unwrap();
    hashes
}

/// The hash of a column of one row.
fn hash(column: impl Array + 'static) -> u64 {
    let hashes = hashes(&[Arc::new(column)]);
    assert_eq!(hashes.len(), 1);
    hashes[0]
}

fn int(value: i64) -> u64 {
    hash(Int64Array::from(vec![value]))
}

fn decimal128(digits: i128, scale: i8) -> u64 {
    hash(Decimal128Array::from(vec![digits]).with_precision_and_scale(38, scale).unwrap())
}

fn decimal256(digits: i256, scale: i8) -> u64 {
    hash(Decimal256Array::from(vec![digits]).with_precision_and_scale(76, scale).unwrap())
}

fn text(value: &str) -> u64 {
    hash(StringArray::from(vec![value]))
}

/// The table of `docs/formats/placement.md`. If this test fails, stored tables are in the wrong segments.
#[test]
fn golden_vectors() {
    let null = hash(Int32Array::from(vec![None]));
    let two: [ArrayRef; 2] = [Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec!["a"]))];
    let swapped: [ArrayRef; 2] = [Arc::clone(&two[1]), Arc::clone(&two[0])];
    let nulls: [ArrayRef; 2] =
        [Arc::new(Int64Array::from(vec![None])), Arc::new(StringArray::from(vec![None::<&str>]))];
    let day = IntervalMonthDayNano { months: 0, days: 1, nanoseconds: 0 };
    let vectors = [
        ("NULL", null, 0x6E75_6C6C_5F76_3031),
        ("0", int(0), 0xE220_A839_7B1D_CDAF),
        ("1", int(1), 0x910A_2DEC_8902_5CC1),
        ("-1", int(-1), 0xE4D9_7177_1B65_2C20),
        ("6000000", int(6_000_000), 0x810B_E29C_4FCB_25E2),
        ("9223372036854775807", int(i64::MAX), 0x2A67_D755_2E03_9EA7),
        ("18446744073709551615", hash(UInt64Array::from(vec![u64::MAX])), 0xDC4B_BA9B_B635_0FD3),
        ("0.1", decimal128(1, 1), 0x7800_B0D0_0DA4_436A),
        ("-12.34", decimal128(-1234, 2), 0xA546_CB81_A5C1_8A57),
        ("99999999999999999999.5", decimal128(999_999_999_999_999_999_995, 1), 0xFBDA_577F_94D5_88BB),
        ("10^50", decimal256(i256::from_i128(10).checked_pow(50).unwrap(), 0), 0x32BC_EB13_0625_F19D),
        ("float 1", hash(Float64Array::from(vec![1.0])), 0x88D7_C35B_BBF3_EDED),
        ("float -0.5", hash(Float64Array::from(vec![-0.5])), 0x2E06_F253_D765_7712),
        ("NaN", hash(Float64Array::from(vec![f64::NAN])), 0xC729_71D8_2E15_BB46),
        ("''", text(""), 0x37F2_0E63_29E4_DC09),
        ("'a'", text("a"), 0x3202_DB36_593A_028D),
        ("'Customer#000000001'", text("Customer#000000001"), 0xE791_C149_606E_2569),
        ("'Zürich'", text("Zürich"), 0x3C61_9EAC_BE5B_1F09),
        ("true", hash(BooleanArray::from(vec![true])), 0x910A_2DEC_8902_5CC1),
        ("date 1998-12-01", hash(Date32Array::from(vec![10_561])), 0x7E7F_40AD_5183_89A1),
        ("time 12:34:56", hash(Time64MicrosecondArray::from(vec![45_296_000_000])), 0x8121_8A94_A06D_AEC6),
        (
            "timestamp 2001-09-09 01:46:40",
            hash(TimestampMicrosecondArray::from(vec![1_000_000_000_000_000])),
            0x9A86_BE28_E960_578F,
        ),
        ("interval 1 day", hash(IntervalMonthDayNanoArray::from(vec![day])), 0x3293_00AC_5811_E439),
        ("(1, 'a')", hashes(&two)[0], 0x1735_D750_A81C_ACB8),
        ("('a', 1)", hashes(&swapped)[0], 0xE88E_A882_640B_D8D9),
        ("(NULL, NULL)", hashes(&nulls)[0], 0xA98F_1545_9095_D7C1),
    ];
    let actual: Vec<String> =
        vectors.iter().map(|(name, hash, _)| format!("{name} {hash:#018x} {}", bucket_of(*hash))).collect();
    let expected: Vec<String> =
        vectors.iter().map(|(name, _, hash)| format!("{name} {hash:#018x} {}", bucket_of(*hash))).collect();
    assert_eq!(actual.join("\n"), expected.join("\n"));
}

#[test]
fn buckets_are_the_top_14_bits() {
    assert_eq!(bucket_of(u64::MAX) as usize, BUCKETS - 1);
    assert_eq!(bucket_of(u64::MAX >> 14), 0);
    assert_eq!(bucket_of(1 << 50), 1);
}

fn dictionary<K: ArrowDictionaryKeyType>(values: ArrayRef, keys: PrimitiveArray<K>) -> DictionaryArray<K> {
    DictionaryArray::try_new(keys, values).unwrap()
}

proptest! {
    #[test]
    fn integers_of_all_widths_are_equal(value: i8) {
        let expected = int(i64::from(value));
        prop_assert_eq!(hash(Int8Array::from(vec![value])), expected);
        prop_assert_eq!(hash(Int16Array::from(vec![i16::from(value)])), expected);
        prop_assert_eq!(hash(Int32Array::from(vec![i32::from(value)])), expected);
        if let Ok(value) = u8::try_from(value) {
            prop_assert_eq!(hash(UInt8Array::from(vec![value])), expected);
            prop_assert_eq!(hash(UInt16Array::from(vec![u16::from(value)])), expected);
            prop_assert_eq!(hash(UInt32Array::from(vec![u32::from(value)])), expected);
            prop_assert_eq!(hash(UInt64Array::from(vec![u64::from(value)])), expected);
        }
    }

    #[test]
    fn large_integers_are_equal_to_decimals(value: u64) {
        let expected = hash(UInt64Array::from(vec![value]));
        prop_assert_eq!(decimal128(i128::from(value), 0), expected);
        prop_assert_eq!(decimal128(i128::from(value) * 1000, 3), expected);
        if let Ok(value) = i64::try_from(value) {
            prop_assert_eq!(int(value), expected);
        }
    }

    #[test]
    fn decimals_of_all_widths_and_scales_are_equal(digits in -99_999i32..99_999, scale in 0i8..4, zeros in 0u32..20) {
        let expected = hash(Decimal32Array::from(vec![digits]).with_precision_and_scale(9, scale).unwrap());
        let more = |zeros: u32| (10i128.pow(zeros) * i128::from(digits), scale + zeros as i8);
        let (narrow, narrow_scale) = more(zeros % 10);
        let narrow = Decimal64Array::from(vec![narrow as i64]).with_precision_and_scale(18, narrow_scale).unwrap();
        prop_assert_eq!(hash(narrow), expected);
        let (wide, wide_scale) = more(zeros);
        prop_assert_eq!(decimal128(wide, wide_scale), expected);
        prop_assert_eq!(decimal256(i256::from_i128(wide), wide_scale), expected);
        let widest = i256::from_i128(wide) * i256::from_i128(10).checked_pow(30).unwrap();
        prop_assert_eq!(decimal256(widest, wide_scale + 30), expected);
    }

    #[test]
    fn wide_decimals_are_equal(digits in -(10i128.pow(37))..10i128.pow(37), scale in -20i8..37) {
        let expected = decimal128(digits, scale);
        prop_assert_eq!(decimal128(digits * 10, scale + 1), expected);
        prop_assert_eq!(decimal256(i256::from_i128(digits), scale), expected);
        let more = i256::from_i128(digits) * i256::from_i128(10).checked_pow(20).unwrap();
        prop_assert_eq!(decimal256(more, scale + 20), expected);
    }

    #[test]
    fn floats_of_all_widths_are_equal(value: f32) {
        prop_assert_eq!(hash(Float32Array::from(vec![value])), hash(Float64Array::from(vec![f64::from(value)])));
    }

    #[test]
    fn text_of_all_types_is_equal(value in ".{0,40}", other in ".{0,40}") {
        let expected = text(&value);
        prop_assert_eq!(hash(LargeStringArray::from(vec![value.as_str()])), expected);
        prop_assert_eq!(hash(StringViewArray::from(vec![value.as_str()])), expected);
        let values = StringArray::from(vec![other.as_str(), value.as_str()]);
        // More values than rows, and fewer.
        let few = dictionary(Arc::new(values.clone()), PrimitiveArray::<Int8Type>::from(vec![1]));
        prop_assert_eq!(hash(few), expected);
        let keys = PrimitiveArray::<UInt16Type>::from(vec![Some(1), None, Some(0), Some(1)]);
        let many = hashes(&[Arc::new(dictionary(Arc::new(values), keys))]);
        prop_assert_eq!(many, vec![expected, NULL_HASH, text(&other), expected]);
    }

    #[test]
    fn bytes_of_all_types_are_equal(value in proptest::collection::vec(any::<u8>(), 16..=16)) {
        let expected = hash(BinaryArray::from(vec![value.as_slice()]));
        prop_assert_eq!(hash(BinaryViewArray::from(vec![value.as_slice()])), expected);
        prop_assert_eq!(hash(FixedSizeBinaryArray::try_from_iter([value].into_iter()).unwrap()), expected);
    }

    #[test]
    fn instants_of_all_units_are_equal(seconds in -100_000_000_000i64..100_000_000_000) {
        let expected = hash(TimestampSecondArray::from(vec![seconds]));
        prop_assert_eq!(hash(TimestampMillisecondArray::from(vec![seconds * 1_000])), expected);
        prop_assert_eq!(hash(TimestampMicrosecondArray::from(vec![seconds * 1_000_000])), expected);
        if let Some(nanos) = seconds.checked_mul(1_000_000_000) {
            prop_assert_eq!(hash(TimestampNanosecondArray::from(vec![nanos])), expected);
        }
    }

    #[test]
    fn dates_and_times_of_all_units_are_equal(days in -1_000_000i32..1_000_000, second in 0i32..86_400) {
        let millis = i64::from(days) * MILLIS_PER_DAY;
        prop_assert_eq!(hash(Date32Array::from(vec![days])), hash(Date64Array::from(vec![millis])));
        let expected = hash(Time32SecondArray::from(vec![second]));
        prop_assert_eq!(hash(Time32MillisecondArray::from(vec![second * 1_000])), expected);
        prop_assert_eq!(hash(Time64MicrosecondArray::from(vec![i64::from(second) * 1_000_000])), expected);
        prop_assert_eq!(hash(Time64NanosecondArray::from(vec![i64::from(second) * 1_000_000_000])), expected);
    }

    #[test]
    fn nulls_and_slices_change_nothing(values in proptest::collection::vec(any::<Option<i64>>(), 2..50)) {
        let columns: [ArrayRef; 2] = [
            Arc::new(Int64Array::from(values.clone())),
            Arc::new(StringViewArray::from_iter(values.iter().map(|v| v.map(|v| v.to_string())))),
        ];
        let all = hashes(&columns);
        let tail: Vec<ArrayRef> = columns.iter().map(|c| c.slice(1, values.len() - 1)).collect();
        prop_assert_eq!(&hashes(&tail), &all[1..]);
        for (row, value) in values.iter().enumerate() {
            let alone: Vec<ArrayRef> = columns.iter().map(|c| c.slice(row, 1)).collect();
            prop_assert_eq!(hashes(&alone)[0], all[row]);
            prop_assert_eq!(hashes(&alone[..1])[0], value.map_or(NULL_HASH, int));
        }
    }
}

#[test]
fn zeros_and_nans_are_one() {
    let other_nan = f64::from_bits(0xFFF8_0000_0000_0001);
    assert_eq!(hash(Float64Array::from(vec![-0.0])), hash(Float64Array::from(vec![0.0])));
    assert_eq!(hash(Float64Array::from(vec![other_nan])), hash(Float64Array::from(vec![f64::NAN])));
    assert_eq!(hash(Float32Array::from(vec![f32::NAN])), hash(Float64Array::from(vec![f64::NAN])));
    assert_eq!(hash(Float16Array::from(vec![half(-0.0)])), hash(Float32Array::from(vec![0.0])));
    assert_eq!(decimal128(0, 7), int(0));
    assert_eq!(decimal256(i256::ZERO, -30), int(0));
    assert_eq!(decimal128(12, -2), int(1200));
}

fn half(value: f32) -> <Float16Type as ArrowPrimitiveType>::Native {
    <Float16Type as ArrowPrimitiveType>::Native::from_f32(value)
}

#[test]
fn negative_scales_that_exceed_256_bits_are_equal() {
    let ten = i256::from_i128(10);
    let huge = ten.checked_pow(20).unwrap();
    assert_eq!(decimal256(huge, -70), decimal256(ten, -89));
    assert_ne!(decimal256(huge, -70), decimal256(ten, -88));
}

#[test]
fn intervals_compare_as_in_postgresql() {
    let month = hash(IntervalYearMonthArray::from(vec![1]));
    let days = |days, millis| hash(IntervalDayTimeArray::from(vec![IntervalDayTime::new(days, millis)]));
    assert_eq!(days(30, 0), month);
    assert_eq!(days(29, 86_400_000), month);
    let value = IntervalMonthDayNano { months: 1, days: 0, nanoseconds: 0 };
    assert_eq!(hash(IntervalMonthDayNanoArray::from(vec![value])), month);
    assert_ne!(days(31, 0), month);
}

#[test]
fn order_of_columns_matters() {
    let [a, b]: [ArrayRef; 2] = [Arc::new(Int32Array::from(vec![1])), Arc::new(Int32Array::from(vec![2]))];
    let ab = hashes(&[Arc::clone(&a), Arc::clone(&b)]);
    assert_ne!(ab, hashes(&[Arc::clone(&b), Arc::clone(&a)]));
    assert_ne!(ab, hashes(&[Arc::clone(&a)]));
    assert_ne!(hashes(&[Arc::clone(&a), Arc::clone(&a)]), hashes(&[Arc::clone(&b), Arc::clone(&b)]));
}

#[test]
fn families_and_unhashable_types() {
    let pairs = [
        (DataType::Int16, DataType::Decimal64(18, 2)),
        (DataType::Utf8View, DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::LargeUtf8))),
        (DataType::Float32, DataType::Float64),
    ];
    for (a, b) in pairs {
        assert_eq!(hash_family(&a), hash_family(&b), "{a} {b}");
    }
    assert_ne!(hash_family(&DataType::Int64), hash_family(&DataType::Float64));
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
    assert_eq!(hash_family(list.data_type()), None);
    let error = hash_rows(&[Arc::new(list)], &mut vec![]).unwrap_err();
    assert!(error.to_string().contains("List"), "{error}");
}

/// Chi-square of `counts` against equal shares, in standard deviations from its mean.
fn chi_square_deviations(counts: &[u64]) -> f64 {
    let share = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    let chi: f64 = counts.iter().map(|&c| (c as f64 - share).powi(2) / share).sum();
    let freedom = (counts.len() - 1) as f64;
    (chi - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn buckets_and_segments_are_filled_evenly() {
    const ROWS: i64 = 1 << 20;
    let sequential: Vec<i64> = (0..ROWS).collect();
    // TPC-H's order keys: eight of every 32.
    let sparse: Vec<i64> = (0..ROWS).map(|i| i / 8 * 32 + i % 8).collect();
    let strided: Vec<i64> = (0..ROWS).map(|i| i << 20).collect();
    let words: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..ROWS).map(|i| format!("Supplier#{i:09}"))));
    let prices = Decimal64Array::from(sequential.clone()).with_precision_and_scale(15, 2).unwrap();
    let keys: [(&str, Vec<ArrayRef>); 6] = [
        ("sequential", vec![Arc::new(Int64Array::from(sequential.clone()))]),
        ("sparse", vec![Arc::new(Int64Array::from(sparse))]),
        ("strided", vec![Arc::new(Int64Array::from(strided))]),
        ("text", vec![words]),
        ("decimal", vec![Arc::new(prices)]),
        (
            "pair",
            vec![
                Arc::new(Int64Array::from_iter_values((0..ROWS).map(|i| i / 1024))),
                Arc::new(Int32Array::from_iter_values((0..ROWS as i32).map(|i| i % 1024))),
            ],
        ),
    ];
    for (name, columns) in keys {
        let buckets: Vec<u16> = hashes(&columns).into_iter().map(bucket_of).collect();
        let mut counts = vec![0; BUCKETS];
        buckets.iter().for_each(|&b| counts[b as usize] += 1);
        let deviations = chi_square_deviations(&counts);
        assert!(deviations.abs() < 5.0, "{name}: {deviations} standard deviations over buckets");
        for segments in 2..=7 {
            let map = BucketMap::uniform(MapVersion(1), segments);
            let mut counts = vec![0; segments];
            buckets.iter().for_each(|&b| counts[map.owner(b).0 as usize] += 1);
            let share = ROWS as f64 / segments as f64;
            let worst = counts.iter().map(|&c| (c as f64 / share - 1.0).abs()).fold(0.0, f64::max);
            assert!(worst < 0.01, "{name}: {segments} segments are {worst} off their share");
        }
    }
}

/// Rows a second of each fast path; run with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn rows_a_second() {
    const ROWS: i64 = 8192;
    let columns: [(&str, ArrayRef); 6] = [
        ("int32", Arc::new(Int32Array::from_iter_values(0..ROWS as i32))),
        ("int64", Arc::new(Int64Array::from_iter_values(0..ROWS))),
        ("int64 with nulls", Arc::new(Int64Array::from_iter((0..ROWS).map(|i| (i % 10 > 0).then_some(i))))),
        ("decimal64", Arc::new(Decimal64Array::from_iter_values((0..ROWS).map(|i| i * 37)))),
        ("decimal128", Arc::new(Decimal128Array::from_iter_values((0..ROWS).map(|i| i128::from(i) * 37)))),
        ("utf8view", Arc::new(StringViewArray::from_iter_values((0..ROWS).map(|i| format!("Supplier#{i:09}"))))),
    ];
    for (name, column) in columns {
        let (mut hashes, column) = (vec![], [column]);
        let start = std::time::Instant::now();
        let rounds = 20_000;
        for _ in 0..rounds {
            hash_rows(std::hint::black_box(&column), &mut hashes).unwrap();
        }
        let rate = f64::from(rounds) * ROWS as f64 / start.elapsed().as_secs_f64() / 1e6;
        println!("{name}: {rate:.0} M rows/s");
    }
}
