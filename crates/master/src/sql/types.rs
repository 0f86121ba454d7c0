//! SQL types ↔ Arrow types.

use crate::error::{SqlError, SqlResult, SqlState};
use arrow::datatypes::{DECIMAL64_MAX_PRECISION, DECIMAL128_MAX_PRECISION, DataType, IntervalUnit, TimeUnit};
use sqlparser::ast::{self, CharacterLength, ExactNumberInfo, TimezoneInfo};
use std::sync::Arc;

/// The zone of `timestamptz` columns: values are UTC instants. DataFusion's own text for it, so that its literals and
/// casts give the same type.
const UTC: &str = "+00:00";

/// `numeric` without precision: what PostgreSQL leaves open must be fixed here.
const NUMERIC_DEFAULT: (u8, i8) = (DECIMAL128_MAX_PRECISION, 10);

/// A column's type as the user knows it and as it is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlType {
    /// PostgreSQL's full name: `numeric(15,2)`, `character varying(25)`, `timestamp without time zone`.
    pub name: String,
    pub data_type: DataType,
}

/// The type of a column that was declared with `sql`.
///
/// # Errors
/// 42704 for a type that PostgreSQL does not have, 0A000 for one that Damson does not, 22023 for a bad length or
/// precision. None has a position: types of an AST have none.
pub fn sql_type_of(sql: &ast::DataType) -> SqlResult<SqlType> {
    use ast::DataType as Sql;
    let fixed = |name: &str, data_type| Ok(SqlType { name: name.into(), data_type });
    match sql {
        Sql::SmallInt(None) | Sql::Int2(None) => fixed("smallint", DataType::Int16),
        Sql::Int(None) | Sql::Integer(None) | Sql::Int4(None) => fixed("integer", DataType::Int32),
        Sql::BigInt(None) | Sql::Int8(None) => fixed("bigint", DataType::Int64),
        Sql::Real | Sql::Float4 => fixed("real", DataType::Float32),
        Sql::DoublePrecision | Sql::Float8 => fixed("double precision", DataType::Float64),
        Sql::Float(info) => float(info),
        Sql::Numeric(info) | Sql::Decimal(info) | Sql::Dec(info) => numeric(info),
        Sql::Text => fixed("text", DataType::Utf8View),
        Sql::Varchar(length) | Sql::CharacterVarying(length) | Sql::CharVarying(length) => {
            character("character varying", length.as_ref(), None)
        }
        Sql::Char(length) | Sql::Character(length) => character("character", length.as_ref(), Some(1)),
        Sql::Boolean | Sql::Bool => fixed("boolean", DataType::Boolean),
        Sql::Date => fixed("date", DataType::Date32),
        Sql::Time(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            microseconds(*precision, "time")?;
            fixed("time without time zone", DataType::Time64(TimeUnit::Microsecond))
        }
        Sql::Timestamp(precision, zone) => {
            microseconds(*precision, "timestamp")?;
            match zone {
                TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => {
                    fixed("timestamp without time zone", DataType::Timestamp(TimeUnit::Microsecond, None))
                }
                TimezoneInfo::Tz | TimezoneInfo::WithTimeZone => fixed("timestamp with time zone", timestamptz()),
            }
        }
        Sql::Interval { fields: None, precision: None } => {
            fixed("interval", DataType::Interval(IntervalUnit::MonthDayNano))
        }
        Sql::Bytea => fixed("bytea", DataType::BinaryView),
        Sql::Uuid => fixed("uuid", DataType::Utf8View),
        Sql::JSON => fixed("json", DataType::Utf8View),
        Sql::JSONB => Err(unsupported(sql).with_hint("Use json: it is kept as text.")),
        Sql::Array(_) | Sql::Interval { .. } | Sql::Bit(_) | Sql::BitVarying(_) | Sql::VarBit(_) | Sql::Regclass => {
            Err(unsupported(sql))
        }
        Sql::Time(..) => Err(unsupported(sql)),
        Sql::Custom(name, modifiers) => custom(name, modifiers),
        _ => Err(unknown(sql)),
    }
}

/// The type beneath serial and its like, which only columns may be declared with; None for a type that is one.
pub fn serial_type_of(sql: &ast::DataType) -> Option<SqlType> {
    let ast::DataType::Custom(name, modifiers) = sql else { return None };
    if !modifiers.is_empty() {
        return None;
    }
    let (name, data_type) = match name.to_string().to_ascii_lowercase().as_str() {
        "smallserial" | "serial2" => ("smallint", DataType::Int16),
        "serial" | "serial4" => ("integer", DataType::Int32),
        "bigserial" | "serial8" => ("bigint", DataType::Int64),
        _ => return None,
    };
    Some(SqlType { name: name.into(), data_type })
}

fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from(UTC)))
}

fn unsupported(sql: &ast::DataType) -> SqlError {
    let name = sql.to_string().to_ascii_lowercase();
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("type {name} is not supported"))
}

fn unknown(sql: &impl std::fmt::Display) -> SqlError {
    let name = sql.to_string().to_ascii_lowercase();
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
}

fn invalid(message: String) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER, message)
}

fn float(info: &ExactNumberInfo) -> SqlResult<SqlType> {
    let (name, data_type) = match info {
        ExactNumberInfo::None | ExactNumberInfo::Precision(25..=53) => ("double precision", DataType::Float64),
        ExactNumberInfo::Precision(1..=24) => ("real", DataType::Float32),
        _ => return Err(invalid("precision for type float must be between 1 and 53 bits".into())),
    };
    Ok(SqlType { name: name.into(), data_type })
}

fn numeric(info: &ExactNumberInfo) -> SqlResult<SqlType> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => {
            let (precision, scale) = NUMERIC_DEFAULT;
            return Ok(SqlType { name: "numeric".into(), data_type: DataType::Decimal128(precision, scale) });
        }
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    if !(1..=1000).contains(&precision) {
        return Err(invalid(format!("NUMERIC precision {precision} must be between 1 and 1000")));
    }
    let max = u64::from(DECIMAL128_MAX_PRECISION);
    let unsupported = |message| SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message);
    let Some(precision) = u8::try_from(precision).ok().filter(|precision| u64::from(*precision) <= max) else {
        return Err(unsupported(format!("numeric with more than {max} digits is not supported")));
    };
    let Some(scale) = i8::try_from(scale).ok().filter(|scale| (0..=precision as i8).contains(scale)) else {
        let message = format!("NUMERIC scale {scale} must be between 0 and precision {precision}");
        return Err(invalid(message));
    };
    let data_type = if precision <= DECIMAL64_MAX_PRECISION {
        DataType::Decimal64(precision, scale)
    } else {
        DataType::Decimal128(precision, scale)
    };
    Ok(SqlType { name: format!("numeric({precision},{scale})"), data_type })
}

/// PostgreSQL's largest n of `varchar(n)`.
const CHARACTERS_MAX: u64 = 10_485_760;

fn character(name: &str, length: Option<&CharacterLength>, default: Option<u64>) -> SqlResult<SqlType> {
    let length = match length {
        None => default,
        Some(CharacterLength::IntegerLength { length, unit: None }) => Some(*length),
        Some(other) => return Err(unknown(&format!("{name}({other})"))),
    };
    let name = match length {
        None => name.to_owned(),
        Some(length @ 1..=CHARACTERS_MAX) => format!("{name}({length})"),
        Some(_) => {
            return Err(invalid(format!("length for type {name} must be between 1 and {CHARACTERS_MAX}")));
        }
    };
    Ok(SqlType { name, data_type: DataType::Utf8View })
}

/// Only microseconds are held: `timestamp(3)` would have to round.
fn microseconds(precision: Option<u64>, name: &str) -> SqlResult<()> {
    match precision {
        None | Some(6) => Ok(()),
        Some(precision) => {
            let message = format!("{name}({precision}) is not supported");
            let hint = format!("Use {name}: it has microseconds.");
            Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).with_hint(hint))
        }
    }
}

/// Types whose names sqlparser does not know.
fn custom(name: &ast::ObjectName, modifiers: &[String]) -> SqlResult<SqlType> {
    let written = name.to_string().to_ascii_lowercase();
    let name = written.strip_prefix("pg_catalog.").unwrap_or(&written);
    match (name, modifiers) {
        ("bpchar" | "name", []) => Ok(SqlType { name: "text".into(), data_type: DataType::Utf8View }),
        ("serial" | "serial4" | "bigserial" | "serial8" | "smallserial" | "serial2", _) => {
            let message = format!("type {name} is not supported");
            Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
                .with_hint("It is for the columns of CREATE TABLE and ALTER TABLE ... ADD COLUMN."))
        }
        ("money" | "xml" | "inet" | "cidr" | "macaddr" | "tsvector" | "tsquery" | "point" | "oid" | "timetz", _) => {
            Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("type {name} is not supported")))
        }
        _ => Err(unknown(&written)),
    }
}

/// PostgreSQL's name of an Arrow type, for `\d`, `information_schema` and errors. What has no equal has its nearest.
pub fn sql_type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => "smallint".into(),
        DataType::UInt16 | DataType::Int32 => "integer".into(),
        DataType::UInt32 | DataType::Int64 => "bigint".into(),
        DataType::UInt64 => "numeric(20,0)".into(),
        DataType::Float16 | DataType::Float32 => "real".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => format!("numeric({precision},{scale})"),
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Time32(_) | DataType::Time64(_) => "time without time zone".into(),
        DataType::Timestamp(_, None) => "timestamp without time zone".into(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".into(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "bytea".into()
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => "text".into(),
        DataType::Dictionary(_, value) => sql_type_name(value),
        DataType::RunEndEncoded(_, value) => sql_type_name(value.data_type()),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => format!("{}[]", sql_type_name(item.data_type())),
        DataType::Struct(_) | DataType::Union(..) | DataType::Map(..) => "record".into(),
    }
}

/// The type in which a table keeps a query's column: the one of [`sql_type_of`] that holds all its values.
///
/// # Errors
/// 0A000 for lists, records, numerics of more than 38 digits.
pub fn stored_type_of(data_type: &DataType) -> SqlResult<SqlType> {
    let name = sql_type_name(data_type);
    let stored = match data_type {
        DataType::Boolean => DataType::Boolean,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => DataType::Int16,
        DataType::UInt16 | DataType::Int32 => DataType::Int32,
        DataType::UInt32 | DataType::Int64 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 | DataType::Float32 => DataType::Float32,
        DataType::Float64 => DataType::Float64,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale)
            if *precision <= DECIMAL128_MAX_PRECISION && (0..=*precision as i8).contains(scale) =>
        {
            if *precision <= DECIMAL64_MAX_PRECISION {
                DataType::Decimal64(*precision, *scale)
            } else {
                DataType::Decimal128(*precision, *scale)
            }
        }
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => timestamptz(),
        DataType::Interval(_) | DataType::Duration(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::BinaryView
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => DataType::Utf8View,
        DataType::Dictionary(_, value) => return stored_type_of(value),
        DataType::RunEndEncoded(_, value) => return stored_type_of(value.data_type()),
        _ => {
            let message = format!("a column of type {name} cannot be stored");
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
    };
    Ok(SqlType { name, data_type: stored })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlparser::dialect::PostgreSqlDialect;
    use sqlparser::parser::Parser;

    fn parse(sql: &str) -> SqlResult<SqlType> {
        let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(sql).unwrap().parse_data_type().unwrap();
        sql_type_of(&parsed)
    }

    #[test]
    fn types_have_postgresql_names() {
        let us = TimeUnit::Microsecond;
        for (sql, name, data_type) in [
            ("SMALLINT", "smallint", DataType::Int16),
            ("int2", "smallint", DataType::Int16),
            ("int", "integer", DataType::Int32),
            ("INTEGER", "integer", DataType::Int32),
            ("int4", "integer", DataType::Int32),
            ("bigint", "bigint", DataType::Int64),
            ("int8", "bigint", DataType::Int64),
            ("real", "real", DataType::Float32),
            ("float4", "real", DataType::Float32),
            ("float(24)", "real", DataType::Float32),
            ("float(25)", "double precision", DataType::Float64),
            ("float", "double precision", DataType::Float64),
            ("float8", "double precision", DataType::Float64),
            ("double precision", "double precision", DataType::Float64),
            ("numeric", "numeric", DataType::Decimal128(38, 10)),
            ("numeric(5)", "numeric(5,0)", DataType::Decimal64(5, 0)),
            ("decimal(18,2)", "numeric(18,2)", DataType::Decimal64(18, 2)),
            ("numeric(19,2)", "numeric(19,2)", DataType::Decimal128(19, 2)),
            ("dec(38,38)", "numeric(38,38)", DataType::Decimal128(38, 38)),
            ("text", "text", DataType::Utf8View),
            ("varchar", "character varying", DataType::Utf8View),
            ("varchar(25)", "character varying(25)", DataType::Utf8View),
            ("character varying(3)", "character varying(3)", DataType::Utf8View),
            ("char", "character(1)", DataType::Utf8View),
            ("char(10)", "character(10)", DataType::Utf8View),
            ("bpchar", "text", DataType::Utf8View),
            ("boolean", "boolean", DataType::Boolean),
            ("bool", "boolean", DataType::Boolean),
            ("date", "date", DataType::Date32),
            ("time", "time without time zone", DataType::Time64(us)),
            ("timestamp", "timestamp without time zone", DataType::Timestamp(us, None)),
            ("timestamp(6) without time zone", "timestamp without time zone", DataType::Timestamp(us, None)),
            ("timestamptz", "timestamp with time zone", timestamptz()),
            ("timestamp with time zone", "timestamp with time zone", timestamptz()),
            ("interval", "interval", DataType::Interval(IntervalUnit::MonthDayNano)),
            ("bytea", "bytea", DataType::BinaryView),
            ("uuid", "uuid", DataType::Utf8View),
            ("json", "json", DataType::Utf8View),
        ] {
            assert_eq!(parse(sql).unwrap(), SqlType { name: name.into(), data_type }, "{sql}");
        }
    }

    #[test]
    fn other_types_are_refused() {
        for (sql, state) in [
            ("serial", SqlState::FEATURE_NOT_SUPPORTED),
            ("bigserial", SqlState::FEATURE_NOT_SUPPORTED),
            ("numeric(39,2)", SqlState::FEATURE_NOT_SUPPORTED),
            ("numeric(1001)", SqlState::INVALID_PARAMETER),
            ("numeric(0)", SqlState::INVALID_PARAMETER),
            ("numeric(5,6)", SqlState::INVALID_PARAMETER),
            ("numeric(5,-1)", SqlState::INVALID_PARAMETER),
            ("float(54)", SqlState::INVALID_PARAMETER),
            ("varchar(0)", SqlState::INVALID_PARAMETER),
            ("timestamp(3)", SqlState::FEATURE_NOT_SUPPORTED),
            ("time with time zone", SqlState::FEATURE_NOT_SUPPORTED),
            ("jsonb", SqlState::FEATURE_NOT_SUPPORTED),
            ("int[]", SqlState::FEATURE_NOT_SUPPORTED),
            ("money", SqlState::FEATURE_NOT_SUPPORTED),
            ("tinyint", SqlState::UNDEFINED_OBJECT),
            ("nonsense", SqlState::UNDEFINED_OBJECT),
        ] {
            let error = parse(sql).unwrap_err();
            assert_eq!(error.state, state, "{sql}: {error}");
        }
    }

    #[test]
    fn stored_types_are_those_of_create_table() {
        assert_eq!(stored_type_of(&DataType::Utf8).unwrap().data_type, DataType::Utf8View);
        assert_eq!(stored_type_of(&DataType::Decimal128(15, 2)).unwrap().data_type, DataType::Decimal64(15, 2));
        assert_eq!(stored_type_of(&DataType::UInt64).unwrap().name, "numeric(20,0)");
        let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        assert_eq!(stored_type_of(&nanoseconds).unwrap().data_type, timestamptz());
        let list = DataType::new_list(DataType::Int32, true);
        assert_eq!(sql_type_name(&list), "integer[]");
        assert_eq!(stored_type_of(&list).unwrap_err().state, SqlState::FEATURE_NOT_SUPPORTED);
        assert!(stored_type_of(&DataType::Decimal256(40, 2)).is_err());
    }
}
