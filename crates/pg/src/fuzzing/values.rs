//! Values of parameters, in text and in binary.

use crate::types::{PgType, name_of_oid};
use crate::values::{
    array_from_pg, array_from_text, array_to_pg, array_to_text, bytea_from_text, bytea_to_text, date_from_pg,
    date_to_pg, date_to_text, interval_from_pg, interval_from_text, interval_to_pg, interval_to_text, numeric_from_pg,
    numeric_from_text, numeric_scale, numeric_to_pg, numeric_to_text, timestamp_from_pg, timestamp_to_pg,
    timestamp_to_text, timestamptz_to_text,
};

/// Kinds of [`value`]: types in one of their formats.
pub const VALUE_KINDS: usize = 10;

/// Reads a value; whether it is one.
///
/// # Panics
/// When it is not the same after it was written and read again.
pub fn value(which: usize, bytes: &[u8]) -> bool {
    let text = str::from_utf8(bytes);
    match (which % VALUE_KINDS, text) {
        (0, _) => binary_date(bytes),
        (1, _) => binary_timestamp(bytes),
        (2, _) => binary_interval(bytes),
        (3, _) => binary_numeric(bytes),
        (4, _) => binary_array(bytes),
        (5, Ok(text)) => numeric(text),
        (6, Ok(text)) => bytea(text),
        (7, Ok(text)) => array(text),
        (8, Ok(text)) => interval(text),
        (9, Ok(text)) => type_name(text),
        _ => false,
    }
}

fn printed(print: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = vec![];
    print(&mut out);
    String::from_utf8(out).expect("what is printed is text")
}

fn binary_date(bytes: &[u8]) -> bool {
    let Ok(value) = bytes.try_into() else { return false };
    let Ok(days) = date_from_pg(value) else { return false };
    assert_eq!(date_to_pg(days), Ok(value));
    assert!(!printed(|out| date_to_text(days, out)).is_empty());
    true
}

fn binary_timestamp(bytes: &[u8]) -> bool {
    let Ok(value) = bytes.try_into() else { return false };
    let Ok(micros) = timestamp_from_pg(value) else { return false };
    assert_eq!(timestamp_to_pg(micros), Ok(value));
    let plain = printed(|out| timestamp_to_text(micros, out));
    assert_eq!(printed(|out| timestamptz_to_text(micros, out)).replace("+00", ""), plain);
    true
}

fn binary_interval(bytes: &[u8]) -> bool {
    let Ok(value) = bytes.try_into() else { return false };
    let Ok((months, days, nanos)) = interval_from_pg(value) else { return false };
    assert_eq!(interval_to_pg(months, days, nanos), value);
    assert!(interval(&printed(|out| interval_to_text(months, days, nanos, out))));
    true
}

fn binary_numeric(bytes: &[u8]) -> bool {
    let Some(scale) = numeric_scale(bytes).map(|scale| scale.min(38) as u8) else { return false };
    let Ok(unscaled) = numeric_from_pg(bytes, scale) else { return false };
    let mut again = vec![];
    numeric_to_pg(unscaled, scale, &mut again);
    assert_eq!(numeric_from_pg(&again, scale), Ok(unscaled));
    let text = printed(|out| numeric_to_text(unscaled, scale as i8, out));
    assert_eq!(numeric_from_text(&text), Ok((unscaled, scale)), "{text}");
    true
}

fn binary_array(bytes: &[u8]) -> bool {
    let Ok((oid, items)) = array_from_pg(bytes) else { return false };
    let mut again = vec![];
    array_to_pg(oid, &items, &mut again).expect("they came in fewer bytes");
    assert_eq!(array_from_pg(&again), Ok((oid, items)));
    if let Some(name) = name_of_oid(oid) {
        assert!(PgType::of_name(&name).is_some(), "{name}");
    }
    true
}

fn numeric(text: &str) -> bool {
    let Ok((unscaled, scale)) = numeric_from_text(text) else { return false };
    let again = printed(|out| numeric_to_text(unscaled, scale as i8, out));
    assert_eq!(numeric_from_text(&again), Ok((unscaled, scale)), "{text} {again}");
    true
}

fn bytea(text: &str) -> bool {
    let Some(bytes) = bytea_from_text(text) else { return false };
    let again = printed(|out| bytea_to_text(&bytes, out));
    assert_eq!(bytea_from_text(&again), Some(bytes));
    true
}

fn array(text: &str) -> bool {
    let Ok(items) = array_from_text(text) else { return false };
    let again = printed(|out| array_to_text(items.iter().map(Option::as_deref), out));
    assert_eq!(array_from_text(&again), Ok(items), "{text} {again}");
    true
}

fn interval(text: &str) -> bool {
    let Ok((months, days, nanos)) = interval_from_text(text) else { return false };
    let again = printed(|out| interval_to_text(months, days, nanos, out));
    assert_eq!(interval_from_text(&again), Ok((months, days, nanos)), "{text} {again}");
    true
}

fn type_name(text: &str) -> bool {
    let Some(found) = PgType::of_name(text) else { return false };
    let name = name_of_oid(found.oid).expect("a type that has a name has one for its OID");
    assert_eq!(PgType::of_name(&name).map(|again| again.oid), Some(found.oid), "{text}");
    true
}
