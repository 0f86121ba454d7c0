//! SQL's types in expressions: what DataFusion's planner would lose or hold in another unit.

use crate::register::scalar;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::logical_expr::{Expr, lit};
use datafusion::sql::sqlparser::ast::{CharacterLength, DataType as Sql, TimezoneInfo};
use std::sync::Arc;

/// The zone of `timestamptz`, as DataFusion writes it: values are instants.
const UTC: &str = "+00:00";

/// In the name of the field that a cast to `varchar(n)`, `char(n)` or `json` has as its type, between the function that cuts or checks and
/// n. Metadata would become part of the types of columns, and make VALUES and UNION refuse them next to text.
const SEPARATOR: char = ':';

/// Plans `varchar(n)` and `char(n)` with their lengths, which [`cut`] makes good, and times and timestamps in
/// microseconds. The rest is DataFusion's.
#[derive(Debug, Default)]
pub struct PostgresTypes {}

impl PostgresTypes {
    pub fn new() -> Self {
        Self {}
    }
}

impl TypePlanner for PostgresTypes {
    fn plan_type_field(&self, sql_type: &Sql) -> Result<Option<FieldRef>> {
        Ok(match sql_type {
            Sql::Varchar(Some(length)) | Sql::CharacterVarying(Some(length)) | Sql::CharVarying(Some(length)) => {
                text("to_varchar", length)
            }
            Sql::Char(Some(length)) | Sql::Character(Some(length)) => text("to_bpchar", length),
            Sql::Char(None) | Sql::Character(None) => {
                text("to_bpchar", &CharacterLength::IntegerLength { length: 1, unit: None })
            }
            Sql::JSON => Some(Arc::new(Field::new(format!("text_to_json{SEPARATOR}0"), DataType::Utf8View, true))),
            Sql::Timestamp(None | Some(6), zone) => {
                let zone = match zone {
                    TimezoneInfo::Tz | TimezoneInfo::WithTimeZone => Some(Arc::from(UTC)),
                    TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => None,
                };
                Some(plain(DataType::Timestamp(TimeUnit::Microsecond, zone)))
            }
            Sql::Time(None | Some(6), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                Some(plain(DataType::Time64(TimeUnit::Microsecond)))
            }
            _ => None,
        })
    }
}

fn plain(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("", data_type, true))
}

fn text(function: &str, length: &CharacterLength) -> Option<FieldRef> {
    let CharacterLength::IntegerLength { length, unit: None } = length else {
        return None;
    };
    Some(Arc::new(Field::new(format!("{function}{SEPARATOR}{length}"), DataType::Utf8View, true)))
}

/// The function call in place of a cast to `varchar(n)`, `char(n)` or `json`, of what is cast as `text`; None for a
/// cast to another type.
pub fn cut(cast: &Cast, text: impl FnOnce() -> Expr) -> Option<Expr> {
    let (function, length) = cast.field.name().split_once(SEPARATOR)?;
    let length: i32 = length.parse().ok()?;
    if function == "text_to_json" {
        return Some(scalar(function).call(vec![text()]));
    }
    matches!(function, "to_varchar" | "to_bpchar").then(|| scalar(function).call(vec![text(), lit(length)]))
}

/// What a write makes of `value`, which is text, for a column declared as `sql_type`, PostgreSQL's full name of the type:
/// `character varying(n)` and `character(n)` are checked, any other type is left alone.
pub fn assign_text(value: Expr, sql_type: &str) -> Expr {
    match length_of(sql_type) {
        Some((function, length)) => scalar(function).call(vec![value, lit(length)]),
        None => value,
    }
}

/// Characters that a text of the type may have, spaces at its end not counted; the type is as for [`assign_text`].
pub fn max_chars(sql_type: &str) -> Option<usize> {
    length_of(sql_type).and_then(|(_, length)| usize::try_from(length).ok())
}

/// The function that checks a text, and its argument.
fn length_of(sql_type: &str) -> Option<(&'static str, i32)> {
    let length = |prefix: &str| -> Option<i32> {
        sql_type.strip_prefix(prefix)?.strip_prefix('(')?.strip_suffix(')')?.parse().ok()
    };
    let varying = length("character varying").map(|length| ("assign_varchar", length));
    varying.or_else(|| length("character").map(|length| ("assign_bpchar", length)))
}
