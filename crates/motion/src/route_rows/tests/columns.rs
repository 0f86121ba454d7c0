//! Random columns of every type.

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, FixedSizeBinaryArray, FixedSizeListArray, Int32Array, Int64Array,
    IntervalDayTimeArray, IntervalMonthDayNanoArray, IntervalYearMonthArray, ListArray, MapArray, StringArray,
    StructArray, UnionArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowDictionaryKeyType, DataType, Field, Int8Type, Int32Type, IntervalDayTime, IntervalMonthDayNano, IntervalUnit,
    TimeUnit, UInt16Type, UnionFields, UnionMode,
};
use rand::Rng;
use rand::rngs::StdRng;
use std::sync::Arc;

pub(super) fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

fn struct_of(types: Vec<DataType>) -> DataType {
    let fields = types.into_iter().enumerate().map(|(i, t)| Field::new(format!("f{i}"), t, true));
    DataType::Struct(fields.collect())
}

pub(super) fn all_types() -> Vec<DataType> {
    use DataType::*;
    let dictionary = |key: DataType, value: DataType| Dictionary(Box::new(key), Box::new(value));
    let entries = struct_of(vec![Utf8, Int64]);
    let Struct(entries) = entries else { unreachable!() };
    let entries = vec![entries[0].as_ref().clone().with_nullable(false), entries[1].as_ref().clone()];
    let union = UnionFields::try_new(vec![0, 1], vec![Field::new("i", Int32, true), Field::new("s", Utf8, true)]);
    vec![
        Null,
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float16,
        Float32,
        Float64,
        Decimal32(9, 2),
        Decimal64(18, 2),
        Decimal128(38, 4),
        Decimal256(76, 4),
        Date32,
        Date64,
        Time32(TimeUnit::Second),
        Time64(TimeUnit::Microsecond),
        Timestamp(TimeUnit::Microsecond, None),
        Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        Duration(TimeUnit::Millisecond),
        Interval(IntervalUnit::YearMonth),
        Interval(IntervalUnit::DayTime),
        Interval(IntervalUnit::MonthDayNano),
        Utf8,
        LargeUtf8,
        Utf8View,
        Binary,
        LargeBinary,
        BinaryView,
        FixedSizeBinary(5),
        dictionary(Int8, Utf8),
        dictionary(Int32, Utf8),
        dictionary(UInt16, Int64),
        list_of(Int64),
        list_of(Utf8View),
        list_of(list_of(Utf8)),
        LargeList(Arc::new(Field::new_list_field(Int32, true))),
        FixedSizeList(Arc::new(Field::new_list_field(Int32, true)), 3),
        struct_of(vec![Int32, Utf8, list_of(Int64)]),
        struct_of(vec![Utf8View, BinaryView]),
        Map(Arc::new(Field::new("entries", Struct(entries.into()), false)), false),
        Union(union.unwrap(), UnionMode::Sparse),
    ]
}

/// A column with about `null_share` NULLs.
pub(super) fn random_column(rng: &mut StdRng, data_type: &DataType, rows: usize, null_share: f64) -> ArrayRef {
    use DataType::*;
    match data_type {
        Null => new_null_array(data_type, rows),
        Boolean => {
            let nulls = random_nulls(rng, rows, null_share);
            let values = (0..rows).map(|_| rng.random_bool(0.3)).collect::<Vec<_>>();
            Arc::new(BooleanArray::new(values.into(), nulls))
        }
        Interval(IntervalUnit::YearMonth) => Arc::new(IntervalYearMonthArray::from_iter(
            (0..rows).map(|_| optional(rng, null_share, |rng| rng.random_range(-100..100))),
        )),
        Interval(IntervalUnit::DayTime) => Arc::new(IntervalDayTimeArray::from_iter((0..rows).map(|_| {
            optional(rng, null_share, |rng| IntervalDayTime::new(rng.random_range(-9..9), rng.random_range(0..9999)))
        }))),
        Interval(IntervalUnit::MonthDayNano) => Arc::new(IntervalMonthDayNanoArray::from_iter((0..rows).map(|_| {
            optional(rng, null_share, |rng| IntervalMonthDayNano::new(rng.random(), rng.random(), rng.random()))
        }))),
        Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView => {
            cast(&random_text(rng, rows, null_share), data_type).unwrap()
        }
        FixedSizeBinary(bytes) => {
            let values = (0..rows)
                .map(|_| optional(rng, null_share, |rng| (0..*bytes).map(|_| rng.random::<u8>()).collect::<Vec<_>>()));
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, *bytes).unwrap())
        }
        Dictionary(key, value) => match key.as_ref() {
            Int8 => dictionary::<Int8Type>(rng, value, rows, null_share),
            UInt16 => dictionary::<UInt16Type>(rng, value, rows, null_share),
            _ => dictionary::<Int32Type>(rng, value, rows, null_share),
        },
        List(item) => {
            let lengths: Vec<_> = (0..rows).map(|_| rng.random_range(0..4)).collect();
            let items = random_column(rng, item.data_type(), lengths.iter().sum(), null_share);
            let nulls = random_nulls(rng, rows, null_share);
            Arc::new(ListArray::new(Arc::clone(item), OffsetBuffer::from_lengths(lengths), items, nulls))
        }
        LargeList(item) => {
            let list = random_column(rng, &list_of(item.data_type().clone()), rows, null_share);
            cast(&list, data_type).unwrap()
        }
        FixedSizeList(item, size) => {
            let items = random_column(rng, item.data_type(), rows * *size as usize, null_share);
            let nulls = random_nulls(rng, rows, null_share);
            Arc::new(FixedSizeListArray::new(Arc::clone(item), *size, items, nulls))
        }
        Struct(fields) => {
            let columns = fields.iter().map(|field| random_column(rng, field.data_type(), rows, null_share)).collect();
            let nulls = random_nulls(rng, rows, null_share);
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, rows).unwrap())
        }
        Map(entries, ordered) => {
            let Struct(fields) = entries.data_type() else { unreachable!() };
            let lengths: Vec<_> = (0..rows).map(|_| rng.random_range(0..3)).collect();
            let count = lengths.iter().sum();
            let keys = random_column(rng, fields[0].data_type(), count, 0.0);
            let values = random_column(rng, fields[1].data_type(), count, null_share);
            let structs = StructArray::new(fields.clone(), vec![keys, values], None);
            let nulls = random_nulls(rng, rows, null_share);
            let offsets = OffsetBuffer::from_lengths(lengths);
            Arc::new(MapArray::new(Arc::clone(entries), offsets, structs, nulls, *ordered))
        }
        Union(fields, UnionMode::Sparse) => {
            let children =
                fields.iter().map(|(_, field)| random_column(rng, field.data_type(), rows, null_share)).collect();
            let ids: ScalarBuffer<i8> = (0..rows).map(|_| rng.random_range(0..2)).collect();
            Arc::new(UnionArray::try_new(fields.clone(), ids, None, children).unwrap())
        }
        number => {
            let values = (0..rows).map(|_| optional(rng, null_share, |rng| rng.random_range(0..120_i64)));
            let values: ArrayRef = Arc::new(Int64Array::from_iter(values));
            match number {
                Date32 | Time32(_) => cast(&cast(&values, &Int32).unwrap(), number).unwrap(),
                _ => cast(&values, number).unwrap(),
            }
        }
    }
}

fn optional<T>(rng: &mut StdRng, null_share: f64, value: impl FnOnce(&mut StdRng) -> T) -> Option<T> {
    let is_null = rng.random_bool(null_share);
    let value = value(rng);
    (!is_null).then_some(value)
}

fn random_nulls(rng: &mut StdRng, rows: usize, null_share: f64) -> Option<NullBuffer> {
    (null_share > 0.0).then(|| (0..rows).map(|_| !rng.random_bool(null_share)).collect())
}

/// Empty, short enough for a view, and longer.
fn random_text(rng: &mut StdRng, rows: usize, null_share: f64) -> ArrayRef {
    let text = |rng: &mut StdRng| {
        let length = [0, 5, 12, 13, 40, 200][rng.random_range(0..6)];
        let at = rng.random_range(0..1000);
        (0..length).map(|i| char::from_u32(0x61 + (i + at) % 400).unwrap_or('ß')).collect::<String>()
    };
    Arc::new(StringArray::from_iter((0..rows).map(|_| optional(rng, null_share, text))))
}

fn dictionary<K: ArrowDictionaryKeyType>(
    rng: &mut StdRng,
    values: &DataType,
    rows: usize,
    null_share: f64,
) -> ArrayRef {
    let count = rng.random_range(1..20);
    let values = random_column(rng, values, count, 0.1);
    let keys = (0..rows).map(|_| optional(rng, null_share, |rng| rng.random_range(0..count as i32)));
    let keys = cast(&Int32Array::from_iter(keys), &K::DATA_TYPE).unwrap();
    let keys = arrow::array::AsArray::as_primitive::<K>(&keys).clone();
    Arc::new(DictionaryArray::new(keys, values))
}
