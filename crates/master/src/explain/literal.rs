//! Constants as SQL writes them.

use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::scalar::ScalarValue;

/// `'x'`, `0.05`, `'1998-09-02'::date`, `NULL`.
pub(super) fn literal(value: &ScalarValue) -> String {
    if value.is_null() {
        return "NULL".into();
    }
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            quoted(text)
        }
        ScalarValue::Dictionary(_, value) => literal(value),
        ScalarValue::Date32(_) | ScalarValue::Date64(_) => format!("{}::date", quoted(&formatted(value))),
        ScalarValue::Time32Second(_)
        | ScalarValue::Time32Millisecond(_)
        | ScalarValue::Time64Microsecond(_)
        | ScalarValue::Time64Nanosecond(_) => format!("{}::time", quoted(&formatted(value))),
        ScalarValue::TimestampSecond(_, zone)
        | ScalarValue::TimestampMillisecond(_, zone)
        | ScalarValue::TimestampMicrosecond(_, zone)
        | ScalarValue::TimestampNanosecond(_, zone) => {
            let name = if zone.is_some() { "timestamptz" } else { "timestamp" };
            format!("{}::{name}", quoted(&formatted(value)))
        }
        ScalarValue::IntervalYearMonth(_) | ScalarValue::IntervalDayTime(_) | ScalarValue::IntervalMonthDayNano(_) => {
            format!("{}::interval", quoted(&formatted(value)))
        }
        ScalarValue::Binary(Some(bytes))
        | ScalarValue::LargeBinary(Some(bytes))
        | ScalarValue::BinaryView(Some(bytes))
        | ScalarValue::FixedSizeBinary(_, Some(bytes)) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("'\\x{hex}'::bytea")
        }
        _ => formatted(value),
    }
}

/// In single quotes, those within doubled.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// As Arrow prints a cell.
fn formatted(value: &ScalarValue) -> String {
    let options = FormatOptions::new()
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"));
    let array = value.to_array();
    let formatter = array.as_ref().ok().and_then(|array| ArrayFormatter::try_new(array, &options).ok());
    let text = formatter.and_then(|formatter| formatter.value(0).try_to_string().ok());
    text.unwrap_or_else(|| value.to_string())
}

/// Types whose constants DataFusion writes into the names of computed columns: `Utf8("x")`, `Decimal128(Some(5),3,2)`.
const TYPES: &[&str] = &[
    "Boolean",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Float16",
    "Float32",
    "Float64",
    "Utf8",
    "LargeUtf8",
    "Utf8View",
    "Decimal32",
    "Decimal64",
    "Decimal128",
    "Decimal256",
    "Date32",
    "Date64",
    "Time64Microsecond",
    "Time64Nanosecond",
    "TimestampSecond",
    "TimestampMillisecond",
    "TimestampMicrosecond",
    "TimestampNanosecond",
    "IntervalYearMonth",
    "IntervalDayTime",
    "IntervalMonthDayNano",
];

/// A column's name without the types of the constants in it.
pub(super) fn plain_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while !rest.is_empty() {
        let word = rest.len() - rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').len();
        if word == 0 {
            let next = rest.chars().next().map_or(rest.len(), char::len_utf8);
            out.push_str(&rest[..next]);
            rest = &rest[next..];
            continue;
        }
        let (ident, after) = rest.split_at(word);
        match (TYPES.contains(&ident), arguments(after)) {
            (true, Some((inside, tail))) => {
                out.push_str(&constant(ident, inside));
                rest = tail;
            }
            _ => {
                out.push_str(ident);
                rest = after;
            }
        }
    }
    out
}

/// What stands in the parentheses that `text` begins with, and what follows them.
fn arguments(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('(')?;
    let (mut depth, mut in_quotes) = (1, false);
    for (at, c) in inside.char_indices() {
        match c {
            '"' => in_quotes = !in_quotes,
            '(' if !in_quotes => depth += 1,
            ')' if !in_quotes => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&inside[..at], &inside[at + 1..]));
        }
    }
    None
}

fn constant(data_type: &str, inside: &str) -> String {
    if let Some(text) = inside.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        return quoted(text);
    }
    if data_type.starts_with("Decimal") {
        return decimal(inside).unwrap_or_else(|| inside.to_owned());
    }
    inside.to_owned()
}

/// `Some(5),3,2` is 0.05.
fn decimal(inside: &str) -> Option<String> {
    let mut parts = inside.rsplitn(3, ',');
    let scale: usize = parts.next()?.trim().parse().ok()?;
    let _precision = parts.next()?;
    let unscaled = match parts.next()?.strip_prefix("Some(") {
        Some(some) => some.strip_suffix(')')?,
        None => return Some("NULL".into()),
    };
    let (sign, digits) = match unscaled.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", unscaled),
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if scale == 0 {
        return Some(unscaled.to_owned());
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    Some(format!("{sign}{whole}.{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_written_as_sql() {
        let cases = [
            (ScalarValue::Utf8View(Some("it's".into())), "'it''s'"),
            (ScalarValue::Int64(Some(-3)), "-3"),
            (ScalarValue::Int64(None), "NULL"),
            (ScalarValue::Boolean(Some(true)), "true"),
            (ScalarValue::Decimal128(Some(5), 15, 2), "0.05"),
            (ScalarValue::Decimal64(Some(-1234), 15, 2), "-12.34"),
            (ScalarValue::Date32(Some(10471)), "'1998-09-02'::date"),
            (ScalarValue::TimestampMicrosecond(Some(1_500_000), None), "'1970-01-01 00:00:01.500'::timestamp"),
            (ScalarValue::Binary(Some(vec![1, 255])), "'\\x01ff'::bytea"),
        ];
        for (value, expected) in cases {
            assert_eq!(literal(&value), expected);
        }
    }

    #[test]
    fn names_lose_their_types() {
        let cases = [
            ("count(Int64(1))", "count(1)"),
            ("sum(t.a * Decimal128(Some(5),3,2))", "sum(t.a * 0.05)"),
            ("Decimal64(Some(-5),3,0)", "-5"),
            ("Decimal64(None,3,0)", "NULL"),
            ("a = Utf8View(\"b (c\")", "a = 'b (c'"),
            ("my_Int64(1)", "my_Int64(1)"),
            ("Int64(broken", "Int64(broken"),
            ("größe", "größe"),
        ];
        for (name, expected) in cases {
            assert_eq!(plain_name(name), expected);
        }
    }
}
