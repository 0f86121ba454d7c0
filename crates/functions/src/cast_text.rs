//! Arrow's errors of casts from text, as PostgreSQL words them.

use crate::describe::Described;

/// None for another error's text.
pub fn of_cast(message: &str) -> Option<Described> {
    if let Some((value, arrow_type)) = string_and_type(message) {
        return Some(refused(value, sql_name(arrow_type)));
    }
    if let Some(value) = between(message, "Error parsing timestamp from '", "': ") {
        return Some(refused(value, "timestamp"));
    }
    if let Some(value) = between(message, "Failed to parse '", "' as time") {
        return Some(refused(value, "time"));
    }
    if let Some(rest) = after(message, "Invalid input syntax for type interval: ") {
        return Some(Described::new("22007", format!("invalid input syntax for type interval: {rest}")));
    }
    None
}

/// Of `Cannot cast string 'abc' to value of Int32 type`.
fn string_and_type(message: &str) -> Option<(&str, &str)> {
    let rest = after(message, "Cannot cast string '").or_else(|| after(message, "Cannot cast value '"))?;
    let end = rest.rfind("' to value of ")?;
    let arrow_type = rest[end..].strip_prefix("' to value of ")?;
    Some((&rest[..end], arrow_type.split(" type").next().unwrap_or(arrow_type)))
}

fn after<'a>(message: &'a str, before: &str) -> Option<&'a str> {
    Some(&message[message.find(before)? + before.len()..])
}

fn between<'a>(message: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    Some(after(message, before)?.rsplit_once(behind)?.0)
}

fn sql_name(arrow_type: &str) -> &'static str {
    match arrow_type {
        "Int8" | "UInt8" | "Int16" => "smallint",
        "UInt16" | "Int32" => "integer",
        "UInt32" | "UInt64" | "Int64" => "bigint",
        "Float16" | "Float32" => "real",
        "Float64" => "double precision",
        "Boolean" => "boolean",
        "Date32" | "Date64" => "date",
        name if name.starts_with("Decimal") => "numeric",
        name if name.starts_with("Time32") || name.starts_with("Time64") => "time",
        name if name.starts_with("Timestamp") => "timestamp",
        name if name.starts_with("Interval") || name.starts_with("Duration") => "interval",
        _ => "this type",
    }
}

/// Text of the right form is out of range; any other is no value of the type at all.
fn refused(value: &str, sql_type: &str) -> Described {
    match sql_type {
        "smallint" | "integer" | "bigint" if is_integer(value) => {
            Described::new("22003", format!("value \"{value}\" is out of range for type {sql_type}"))
        }
        "numeric" if value.trim().parse::<f64>().is_ok_and(f64::is_finite) => {
            Described::new("22003", format!("numeric field overflow: \"{value}\" has more digits than the type"))
        }
        "date" | "timestamp" | "time" if is_date_or_time(value) => {
            Described::new("22008", format!("date/time field value out of range: \"{value}\""))
        }
        "date" | "timestamp" | "time" | "interval" => {
            Described::new("22007", format!("invalid input syntax for type {sql_type}: \"{value}\""))
        }
        _ => Described::new("22P02", format!("invalid input syntax for type {sql_type}: \"{value}\"")),
    }
}

fn is_integer(value: &str) -> bool {
    let value = value.trim();
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// `2023-02-30`, `2023-02-30 10:00:00.5+02`, `25:00`: three numbers with dashes, two or three with colons, or both.
fn is_date_or_time(value: &str) -> bool {
    let value = value.trim();
    let numbers = |text: &str, separator: char, counts: std::ops::RangeInclusive<usize>| {
        let parts: Vec<&str> = text.split(separator).collect();
        counts.contains(&parts.len())
            && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
    };
    let time = |text: &str| {
        let text = text.trim().trim_end_matches(['Z', 'z']);
        let clock = text.find(['+', '-']).map_or(text, |zone| &text[..zone]);
        numbers(clock, ':', 2..=3)
    };
    match value.split_once([' ', 'T', 't']) {
        Some((date, clock)) => numbers(date, '-', 3..=3) && time(clock),
        None => numbers(value, '-', 3..=3) || time(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_from_rubbish() {
        for (value, sql_type, expected) in [
            ("99999999999", "integer", "22003"),
            (" -40000 ", "smallint", "22003"),
            ("1.5", "integer", "22P02"),
            ("", "integer", "22P02"),
            ("2023-02-30", "date", "22008"),
            ("2023-02-30 10:00:00", "timestamp", "22008"),
            ("2023-02-20T25:00:00.5+02", "timestamp", "22008"),
            ("25:00", "time", "22008"),
            ("notadate", "date", "22007"),
            ("2023-02", "date", "22007"),
            ("ten:00", "time", "22007"),
            ("x", "numeric", "22P02"),
            ("NaN", "numeric", "22P02"),
            ("-123456789012345678901234567890123456789.5", "numeric", "22003"),
        ] {
            assert_eq!(refused(value, sql_type).sqlstate, expected, "{value} as {sql_type}");
        }
    }

    #[test]
    fn arrows_texts_are_read() {
        let described = of_cast("Cannot cast string 'it's' to value of Int32 type").unwrap();
        assert_eq!(described, Described::new("22P02", "invalid input syntax for type integer: \"it's\""));
        let described = of_cast("Error parsing timestamp from '2023-02-30 10:00:00': error parsing date").unwrap();
        let message = "date/time field value out of range: \"2023-02-30 10:00:00\"";
        assert_eq!(described, Described::new("22008", message));
        assert_eq!(of_cast("something else"), None);
    }
}
