//! Values that a client binds → what the session takes.

use super::columns::pg_type;
use crate::error::{SqlError, SqlResult, SqlState};
use damson_functions::datetime_text;
use damson_pg::PgType;
use damson_pg::frontend::Format;
use damson_pg::values::{self, ArrayError, IntervalError, NumericError};
use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use datafusion::scalar::ScalarValue;

const BAD_BINARY: SqlState = SqlState("22P03");
const INTERVAL_OUT_OF_RANGE: SqlState = SqlState("22015");
const UTC: &str = "+00:00";

/// The OID of the type `oid`, whose values are of four bytes, without a sign.
const OID: u32 = 26;

/// Microseconds of a day; `24:00:00` is a time.
const DAY_US: i64 = 86_400_000_000;

/// Digits after the point of a numeric of which nothing else is known.
const NUMERIC_SCALE: i8 = 10;

/// A parameter of a prepared statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parameter {
    /// What the client said, or is told.
    pub oid: u32,
    /// What its NULL is of.
    pub data_type: DataType,
}

impl Parameter {
    /// Of a type that the statement gives it.
    pub(super) fn inferred(data_type: DataType) -> Self {
        Parameter { oid: pg_type(&data_type).oid, data_type }
    }
}

/// The Arrow type of a client's OID; None for 0, `unknown`, and what Damson does not have: the statement tells then.
pub(super) fn type_of_oid(oid: u32) -> Option<DataType> {
    if oid == 705 {
        return None;
    }
    type_of_name(&damson_pg::name_of_oid(oid)?)
}

fn type_of_name(name: &str) -> Option<DataType> {
    if let Some(item) = name.strip_suffix("[]") {
        return Some(DataType::new_list(type_of_name(item)?, true));
    }
    Some(match name {
        "boolean" => DataType::Boolean,
        "smallint" => DataType::Int16,
        "integer" => DataType::Int32,
        "bigint" => DataType::Int64,
        "real" => DataType::Float32,
        "double precision" => DataType::Float64,
        "numeric" => DataType::Decimal128(DECIMAL128_MAX_PRECISION, NUMERIC_SCALE),
        "text" | "character" | "character varying" | "json" | "uuid" => DataType::Utf8View,
        "bytea" => DataType::BinaryView,
        "date" => DataType::Date32,
        "time without time zone" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp without time zone" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamp with time zone" => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        _ => return None,
    })
}

/// The value of parameter `number`, from 1, or of no parameter but a column of COPY; None is NULL.
///
/// # Errors
/// 22P02, 22P03, 22003, 22007, 22021 for what is no value of the type.
pub(super) fn decode(
    number: Option<usize>,
    parameter: &Parameter,
    format: Format,
    value: Option<&[u8]>,
) -> SqlResult<ScalarValue> {
    let Some(value) = value else {
        return ScalarValue::try_from(&parameter.data_type).map_err(crate::error::of_datafusion);
    };
    let name = damson_pg::name_of_oid(parameter.oid).unwrap_or_else(|| "text".into());
    match format {
        Format::Text => text(&name, &parameter.data_type, utf8(value)?),
        Format::Binary => {
            let decoded = if parameter.oid == OID { oid(value) } else { binary(&name, value) };
            decoded.map_err(|wrong| wrong.error(number, &name))
        }
    }
}

fn utf8(value: &[u8]) -> SqlResult<&str> {
    let invalid = |_| SqlError::new(SqlState::INVALID_ENCODING, "invalid byte sequence for encoding \"UTF8\"");
    let text = str::from_utf8(value).map_err(invalid)?;
    if text.contains('\0') {
        return Err(SqlError::new(SqlState::INVALID_ENCODING, "invalid byte sequence for encoding \"UTF8\": 0x00"));
    }
    Ok(text)
}

fn invalid_text(name: &str, text: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_TEXT, format!("invalid input syntax for type {name}: \"{text}\""))
}

fn text(name: &str, data_type: &DataType, text: &str) -> SqlResult<ScalarValue> {
    let invalid = || invalid_text(name, text);
    let out_of_range = || {
        let message = format!("value \"{text}\" is out of range for type {name}");
        SqlError::new(SqlState::NUMERIC_OUT_OF_RANGE, message)
    };
    let integer = || text.trim().parse::<i128>().map_err(|_| invalid());
    // Without a word before it, as PostgreSQL says it of floats.
    let float_out_of_range =
        || SqlError::new(SqlState::NUMERIC_OUT_OF_RANGE, format!("\"{text}\" is out of range for type {name}"));
    Ok(match name {
        "boolean" => ScalarValue::Boolean(Some(boolean(text).ok_or_else(invalid)?)),
        "smallint" => ScalarValue::Int16(Some(integer()?.try_into().map_err(|_| out_of_range())?)),
        "integer" => ScalarValue::Int32(Some(integer()?.try_into().map_err(|_| out_of_range())?)),
        "bigint" => ScalarValue::Int64(Some(integer()?.try_into().map_err(|_| out_of_range())?)),
        "real" => {
            let number: f32 = text.trim().parse().map_err(|_| invalid())?;
            if leaves_range(text, f64::from(number)) {
                return Err(float_out_of_range());
            }
            ScalarValue::Float32(Some(number))
        }
        "double precision" => {
            let number: f64 = text.trim().parse().map_err(|_| invalid())?;
            if leaves_range(text, number) {
                return Err(float_out_of_range());
            }
            ScalarValue::Float64(Some(number))
        }
        "numeric" => {
            let (unscaled, scale) = values::numeric_from_text(text).map_err(|error| match error {
                NumericError::Malformed => invalid(),
                error => of_numeric(error),
            })?;
            ScalarValue::Decimal128(Some(unscaled), DECIMAL128_MAX_PRECISION, scale as i8)
        }
        "bytea" => ScalarValue::BinaryView(Some(values::bytea_from_text(text).ok_or_else(invalid)?)),
        "text" | "character" | "character varying" | "json" => ScalarValue::Utf8View(Some(text.into())),
        "uuid" => {
            let uuid = uuid::Uuid::try_parse(text.trim()).map_err(|_| invalid())?;
            ScalarValue::Utf8View(Some(uuid.hyphenated().to_string()))
        }
        _ if name.ends_with("[]") => array_of_text(name, data_type, text)?,
        "interval" => {
            let (months, days, nanos) = values::interval_from_text(text).map_err(|error| match error {
                IntervalError::Malformed => SqlError { state: SqlState::INVALID_DATETIME, ..invalid() },
                IntervalError::OutOfRange => SqlError::new(INTERVAL_OUT_OF_RANGE, "interval out of range"),
            })?;
            ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, nanos)))
        }
        _ => {
            if text.trim().trim_start_matches('-').eq_ignore_ascii_case("infinity") {
                let message = "infinite dates and times are not supported";
                return Err(SqlError::new(SqlState::DATETIME_OUT_OF_RANGE, message));
            }
            let wrong = || SqlError { state: SqlState::INVALID_DATETIME, ..invalid_text(name, text) };
            match datetime_text::scalar(text, data_type) {
                Some(value) => value.map_err(|error| crate::error::of_datafusion(error.into()))?,
                None => return Err(wrong()),
            }
        }
    })
}

/// Whether digits have become an infinity, or zero though they are not.
fn leaves_range(text: &str, number: f64) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    match number == 0.0 {
        true => mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9')),
        false => number.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit()),
    }
}

fn boolean(text: &str) -> Option<bool> {
    let text = text.trim().to_ascii_lowercase();
    let begins = |word: &str| !text.is_empty() && word.starts_with(&text);
    match text.as_str() {
        "1" | "on" => Some(true),
        "0" | "of" | "off" => Some(false),
        _ if begins("true") || begins("yes") => Some(true),
        _ if begins("false") || begins("no") => Some(false),
        _ => None,
    }
}

fn array_of_text(name: &str, data_type: &DataType, text: &str) -> SqlResult<ScalarValue> {
    let malformed = || SqlError::new(SqlState::INVALID_TEXT, format!("malformed array literal: \"{text}\""));
    let DataType::List(item) = data_type else { return Err(malformed()) };
    let item_name = name.trim_end_matches("[]");
    let items = values::array_from_text(text).map_err(|error| match error {
        ArrayError::Malformed => malformed(),
        ArrayError::TooLong => too_many_items(),
    })?;
    let items = items.iter().map(|value| match value {
        None => ScalarValue::try_from(item.data_type()).map_err(crate::error::of_datafusion),
        Some(value) => self::text(item_name, item.data_type(), value)?
            .cast_to(item.data_type())
            .map_err(crate::error::of_datafusion),
    });
    let items = items.collect::<SqlResult<Vec<_>>>()?;
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&items, item.data_type())))
}

/// Why bytes are no value of a type.
enum Wrong {
    Length,
    Error(SqlError),
}

impl Wrong {
    fn error(self, number: Option<usize>, name: &str) -> SqlError {
        match self {
            Wrong::Length => {
                let place = number.map_or_else(String::new, |number| format!(" in bind parameter {number}"));
                let message = format!("incorrect binary data format{place}");
                SqlError::new(BAD_BINARY, message).with_detail(format!("It is to be of type {name}."))
            }
            Wrong::Error(error) => error,
        }
    }
}

fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], Wrong> {
    value.try_into().map_err(|_| Wrong::Length)
}

/// PostgreSQL's type `oid`, which is a bigint here.
fn oid(value: &[u8]) -> Result<ScalarValue, Wrong> {
    Ok(ScalarValue::Int64(Some(i64::from(u32::from_be_bytes(fixed(value)?)))))
}

fn binary(name: &str, value: &[u8]) -> Result<ScalarValue, Wrong> {
    let datetime = |_: values::OutOfRange| {
        let message = "date/time field value out of range";
        Wrong::Error(SqlError::new(SqlState::DATETIME_OUT_OF_RANGE, message))
    };
    Ok(match name {
        "boolean" => ScalarValue::Boolean(Some(fixed::<1>(value)? != [0])),
        "smallint" => ScalarValue::Int16(Some(i16::from_be_bytes(fixed(value)?))),
        "integer" => ScalarValue::Int32(Some(i32::from_be_bytes(fixed(value)?))),
        "bigint" => ScalarValue::Int64(Some(i64::from_be_bytes(fixed(value)?))),
        "real" => ScalarValue::Float32(Some(f32::from_be_bytes(fixed(value)?))),
        "double precision" => ScalarValue::Float64(Some(f64::from_be_bytes(fixed(value)?))),
        "numeric" => {
            let scale = values::numeric_scale(value).ok_or(Wrong::Length)?.min(u16::from(DECIMAL128_MAX_PRECISION));
            let unscaled = values::numeric_from_pg(value, scale as u8).map_err(|error| match error {
                NumericError::Malformed => Wrong::Length,
                error => Wrong::Error(of_numeric(error)),
            })?;
            ScalarValue::Decimal128(Some(unscaled), DECIMAL128_MAX_PRECISION, scale as i8)
        }
        "bytea" => ScalarValue::BinaryView(Some(value.into())),
        "date" => ScalarValue::Date32(Some(values::date_from_pg(fixed(value)?).map_err(datetime)?)),
        "time without time zone" => {
            let micros = i64::from_be_bytes(fixed(value)?);
            if !(0..=DAY_US).contains(&micros) {
                return Err(datetime(values::OutOfRange));
            }
            ScalarValue::Time64Microsecond(Some(micros))
        }
        "timestamp without time zone" => {
            ScalarValue::TimestampMicrosecond(Some(values::timestamp_from_pg(fixed(value)?).map_err(datetime)?), None)
        }
        "timestamp with time zone" => {
            let micros = values::timestamp_from_pg(fixed(value)?).map_err(datetime)?;
            ScalarValue::TimestampMicrosecond(Some(micros), Some(UTC.into()))
        }
        "interval" => {
            let (months, days, nanos) = values::interval_from_pg(fixed(value)?).map_err(datetime)?;
            ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, nanos)))
        }
        "uuid" => {
            let bytes: [u8; 16] = fixed(value)?;
            ScalarValue::Utf8View(Some(uuid::Uuid::from_bytes(bytes).hyphenated().to_string()))
        }
        _ => match name.strip_suffix("[]") {
            Some(item) => array_of_binary(item, value)?,
            None => ScalarValue::Utf8View(Some(utf8(value).map_err(Wrong::Error)?.to_owned())),
        },
    })
}

fn array_of_binary(item_name: &str, value: &[u8]) -> Result<ScalarValue, Wrong> {
    let (oid, items) = values::array_from_pg(value).map_err(|error| match error {
        ArrayError::Malformed => Wrong::Length,
        ArrayError::TooLong => Wrong::Error(too_many_items()),
    })?;
    let item_type = type_of_name(item_name).ok_or(Wrong::Length)?;
    if PgType::of_name(item_name).is_none_or(|item| item.oid != oid) {
        return Err(Wrong::Length);
    }
    let items = items.iter().map(|item| {
        let item = match item {
            None => ScalarValue::try_from(&item_type),
            Some(item) => binary(item_name, item)?.cast_to(&item_type),
        };
        item.map_err(|error| Wrong::Error(crate::error::of_datafusion(error)))
    });
    let items = items.collect::<Result<Vec<_>, _>>()?;
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&items, &item_type)))
}

fn too_many_items() -> SqlError {
    let message = format!("array size exceeds the maximum allowed ({})", values::ITEMS_MAX);
    SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
}

fn of_numeric(error: NumericError) -> SqlError {
    match error {
        NumericError::NotFinite => {
            SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "NaN and infinities are not supported in numeric")
        }
        NumericError::Malformed | NumericError::OutOfRange => {
            SqlError::new(SqlState::NUMERIC_OUT_OF_RANGE, "numeric field overflow: numerics have at most 38 digits")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_pg::fuzzing::edited;
    use datafusion::arrow::array::Array;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    fn parameter(oid: u32) -> Parameter {
        Parameter { oid, data_type: type_of_oid(oid).unwrap() }
    }

    fn decoded(oid: u32, format: Format, value: &[u8]) -> Result<ScalarValue, &'static str> {
        decode(Some(1), &parameter(oid), format, Some(value)).map_err(|error| error.state.0)
    }

    #[test]
    fn texts_are_values() {
        let text = |oid, value: &str| decoded(oid, Format::Text, value.as_bytes());
        assert_eq!(text(23, " -7 "), Ok(ScalarValue::Int32(Some(-7))));
        assert_eq!(text(23, "99999999999"), Err("22003"));
        assert_eq!(text(23, "x"), Err("22P02"));
        assert_eq!(text(16, "t"), Ok(ScalarValue::Boolean(Some(true))));
        assert_eq!(text(16, "maybe"), Err("22P02"));
        for (oid, out_of_range) in [(701, "1e400"), (701, "-1e-400"), (701, "0.1e-400"), (700, "1e-50"), (700, "1E50")]
        {
            assert_eq!(text(oid, out_of_range), Err("22003"), "{out_of_range}");
        }
        for (zero, value) in [("0", 0.0), ("-0.0", -0.0), ("0e-500", 0.0), (" .0E5 ", 0.0), ("1e-310", 1e-310)] {
            assert_eq!(text(701, zero), Ok(ScalarValue::Float64(Some(value))), "{zero}");
        }
        assert_eq!(text(701, "-Infinity"), Ok(ScalarValue::Float64(Some(f64::NEG_INFINITY))));
        assert_eq!(text(1700, "1.50"), Ok(ScalarValue::Decimal128(Some(150), 38, 2)));
        assert_eq!(text(17, "\\x00ff"), Ok(ScalarValue::BinaryView(Some(vec![0, 255]))));
        assert_eq!(text(1082, "1970-01-02"), Ok(ScalarValue::Date32(Some(1))));
        assert_eq!(text(1082, "infinity"), Err("22008"));
        assert_eq!(text(1082, "x"), Err("22007"));
        let interval = IntervalMonthDayNano::new(0, -1, 1_500_000_000);
        assert_eq!(text(1186, "-1 day 0:00:01.5"), Ok(ScalarValue::IntervalMonthDayNano(Some(interval))));
        assert_eq!(text(1186, "1 dax"), Err("22007"));
        assert_eq!(text(1186, "99999999999 days"), Err("22015"));
        assert_eq!(text(25, "a\0b"), Err("22021"));
        let uuid = "00112233-4455-6677-8899-aabbccddeeff";
        assert_eq!(text(2950, "00112233445566778899AABBCCDDEEFF"), Ok(ScalarValue::Utf8View(Some(uuid.into()))));
        assert_eq!(text(2950, "x"), Err("22P02"));
        assert!(matches!(text(1007, "{1,NULL}"), Ok(ScalarValue::List(list)) if list.value(0).len() == 2));
        assert_eq!(text(1007, "{1"), Err("22P02"));
    }

    #[test]
    fn bytes_are_values() {
        let binary = |oid, value: &[u8]| decoded(oid, Format::Binary, value);
        assert_eq!(binary(20, &[0, 0, 0, 0, 0, 0, 0, 7]), Ok(ScalarValue::Int64(Some(7))));
        assert_eq!(binary(20, &[0]), Err("22P03"));
        // An integer's bytes are no bigint: whoever sends -1 does not mean 4294967295.
        assert_eq!(binary(20, &[0xff; 4]), Err("22P03"));
        assert_eq!(binary(26, &[0xff; 4]), Ok(ScalarValue::Int64(Some(4_294_967_295))));
        assert_eq!(binary(1082, &[0xff, 0xff, 0xd5, 0x33]), Ok(ScalarValue::Date32(Some(0))));
        assert_eq!(binary(1700, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 7]), Ok(ScalarValue::Decimal128(Some(7), 38, 0)));
        assert_eq!(binary(25, &[0xff]), Err("22021"));
        let array = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7];
        assert!(matches!(binary(1007, &array), Ok(ScalarValue::List(list)) if list.value(0).len() == 1));
        assert_eq!(binary(1016, &array), Err("22P03"));
        assert_eq!(binary(1007, &array[..20]), Err("22P03"));
    }

    /// Whatever comes is a value of the parameter's type or refused, in both formats of every type.
    #[test]
    fn values_of_any_kind() {
        const ROUNDS: usize = 3_000;
        let mut random = StdRng::seed_from_u64(30);
        let good: [&[u8]; 14] = [
            b"7",
            b" -1.5e3 ",
            b"true",
            b"\\x00ff",
            b"2026-01-02 03:04:05.6+07",
            b"1 year -2 mons 04:05:06.7",
            b"{1,NULL,\"a\"}",
            b"00112233-4455-6677-8899-aabbccddeeff",
            &[0, 1],
            &[0xff, 0xff, 0xd5, 0x33],
            &[0, 0, 0, 0x14, 0x1d, 0xd7, 0x60, 0],
            &[0, 1, 0, 0, 0, 0, 0, 0, 0, 7],
            &[0, 0, 0, 0, 0, 0x2d, 0xc6, 0xc0, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 1],
            &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7],
        ];
        let known = (0..3_000).chain([OID]).filter(|oid| type_of_oid(*oid).is_some());
        let (mut types, mut taken) = (0, 0);
        for oid in known {
            let parameter = parameter(oid);
            types += 1;
            for _ in 0..ROUNDS {
                let changes: Vec<u8> = (0..4 * random.random_range(0..4)).map(|_| random.random()).collect();
                let value = edited(good[random.random_range(0..good.len())], &changes);
                for format in [Format::Text, Format::Binary] {
                    match decode(Some(1), &parameter, format, Some(&value)) {
                        // Numerics come with the digits that they were sent with.
                        Ok(ScalarValue::Decimal128(..)) => taken += 1,
                        Ok(scalar) => {
                            taken += 1;
                            assert_eq!(scalar.data_type(), parameter.data_type, "{oid} {value:?}");
                            scalar.to_array().expect("a value is an array of one");
                        }
                        Err(error) => {
                            let is_told =
                                error.state.0.starts_with("22") || ["0A000", "54000"].contains(&error.state.0);
                            assert!(is_told, "{oid} {value:?}: {error}");
                        }
                    }
                }
            }
        }
        assert!(types > 30 && taken > types * ROUNDS / 20, "{taken} of {types} types");
    }

    #[test]
    fn null_has_its_type() {
        assert_eq!(decode(Some(1), &parameter(23), Format::Binary, None).unwrap(), ScalarValue::Int32(None));
    }
}
