//! `GetXdbcTypeInfo`: the SQL types, as JDBC's `getTypeInfo` lists them.

use super::status::status;
use crate::error::internal;
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};
use tonic::Status;

/// Every type of CREATE TABLE.
pub(super) fn type_info() -> Result<XdbcTypeInfoData, Status> {
    let mut types = XdbcTypeInfoDataBuilder::new();
    number(&mut types, "smallint", XdbcDataType::XdbcSmallint, 5);
    number(&mut types, "integer", XdbcDataType::XdbcInteger, 10);
    number(&mut types, "bigint", XdbcDataType::XdbcBigint, 19);
    number(&mut types, "real", XdbcDataType::XdbcReal, 7);
    number(&mut types, "double precision", XdbcDataType::XdbcDouble, 15);
    types.append(XdbcTypeInfo {
        create_params: Some(vec!["precision".into(), "scale".into()]),
        minimum_scale: Some(0),
        maximum_scale: Some(38),
        num_prec_radix: Some(10),
        fixed_prec_scale: false,
        unsigned_attribute: Some(false),
        ..named("numeric", XdbcDataType::XdbcNumeric, 38)
    });
    types.append(named("boolean", XdbcDataType::XdbcBit, 1));
    text(&mut types, "text", XdbcDataType::XdbcLongvarchar, 1 << 30, false);
    text(&mut types, "character varying", XdbcDataType::XdbcVarchar, 10_485_760, true);
    text(&mut types, "character", XdbcDataType::XdbcChar, 10_485_760, true);
    text(&mut types, "uuid", XdbcDataType::XdbcVarchar, 36, false);
    text(&mut types, "json", XdbcDataType::XdbcLongvarchar, 1 << 30, false);
    types.append(quoted(named("bytea", XdbcDataType::XdbcVarbinary, 1 << 30), "'\\x"));
    // ODBC's code of a date has the number that is named year here.
    let date = XdbcDatetimeSubcode::XdbcSubcodeYear;
    time(&mut types, "date", XdbcDataType::XdbcDate, date, 10);
    time(&mut types, "time without time zone", XdbcDataType::XdbcTime, XdbcDatetimeSubcode::XdbcSubcodeTime, 15);
    let timestamp = XdbcDatetimeSubcode::XdbcSubcodeTimestamp;
    time(&mut types, "timestamp without time zone", XdbcDataType::XdbcTimestamp, timestamp, 26);
    let zoned = XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone;
    time(&mut types, "timestamp with time zone", XdbcDataType::XdbcTimestamp, zoned, 32);
    types.append(quoted(named("interval", XdbcDataType::XdbcInterval, 49), "'"));
    types.build().map_err(|e| status(&internal(e)))
}

fn named(name: &str, data_type: XdbcDataType, size: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.into(),
        data_type,
        sql_data_type: data_type,
        column_size: Some(size),
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Basic,
        auto_increment: Some(false),
        local_type_name: Some(name.into()),
        ..XdbcTypeInfo::default()
    }
}

fn quoted(info: XdbcTypeInfo, prefix: &str) -> XdbcTypeInfo {
    XdbcTypeInfo { literal_prefix: Some(prefix.into()), literal_suffix: Some("'".into()), ..info }
}

fn number(types: &mut XdbcTypeInfoDataBuilder, name: &str, data_type: XdbcDataType, digits: i32) {
    types.append(XdbcTypeInfo {
        unsigned_attribute: Some(false),
        fixed_prec_scale: true,
        num_prec_radix: Some(10),
        ..named(name, data_type, digits)
    });
}

fn text(types: &mut XdbcTypeInfoDataBuilder, name: &str, data_type: XdbcDataType, size: i32, length: bool) {
    types.append(XdbcTypeInfo {
        case_sensitive: true,
        searchable: Searchable::Full,
        create_params: length.then(|| vec!["length".into()]),
        ..quoted(named(name, data_type, size), "'")
    });
}

fn time(
    types: &mut XdbcTypeInfoDataBuilder,
    name: &str,
    data_type: XdbcDataType,
    subcode: XdbcDatetimeSubcode,
    size: i32,
) {
    types.append(XdbcTypeInfo { datetime_subcode: Some(subcode), ..quoted(named(name, data_type, size), "'") });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_listed_and_picked() {
        let types = type_info().unwrap();
        assert_eq!(types.record_batch(None).unwrap().num_rows(), 18);
        assert_eq!(types.record_batch(XdbcDataType::XdbcTimestamp as i32).unwrap().num_rows(), 2);
    }
}
