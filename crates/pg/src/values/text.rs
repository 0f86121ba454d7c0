//! Values as PostgreSQL 14 prints them.

use std::fmt::{self, Write as _};
use std::io::Write as _;

/// What a vector is printed to never fails.
const NEVER: &str = "a vector takes all";

/// `smallint`, `integer`, `bigint`.
pub fn integer_to_text(value: i64, out: &mut Vec<u8>) {
    write!(out, "{value}").expect(NEVER);
}

/// `float8`: the shortest digits that read back as the same number.
pub fn float8_to_text(value: f64, out: &mut Vec<u8>) {
    // As many digits before an exponent as printf's %g has by default.
    float(value.is_finite().then_some(&value), value, 15, out);
}

/// `float4`.
pub fn float4_to_text(value: f32, out: &mut Vec<u8>) {
    float(value.is_finite().then_some(&value), f64::from(value), 6, out);
}

fn float<F: fmt::Display + fmt::LowerExp>(finite: Option<&F>, value: f64, plain_below: i32, out: &mut Vec<u8>) {
    let Some(finite) = finite else {
        let name: &[u8] = if value.is_nan() {
            b"NaN"
        } else if value > 0.0 {
            b"Infinity"
        } else {
            b"-Infinity"
        };
        return out.extend_from_slice(name);
    };
    let mut scientific = String::with_capacity(32);
    write!(scientific, "{finite:e}").expect("a string takes all");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let printed = if (-4..plain_below).contains(&exponent) {
        write!(out, "{finite}")
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{mantissa}e{sign}{:02}", exponent.unsigned_abs())
    };
    printed.expect(NEVER);
}

/// `numeric`: `unscaled / 10^scale` with all `scale` digits; a negative scale gives zeros before the point.
///
/// # Panics
/// If `scale` is more than 38, which no decimal of 128 bits has.
pub fn numeric_to_text(unscaled: i128, scale: i8, out: &mut Vec<u8>) {
    let (sign, magnitude) = (if unscaled < 0 { "-" } else { "" }, unscaled.unsigned_abs());
    let digits = usize::from(scale.unsigned_abs());
    let printed = if scale <= 0 {
        let zeros = if magnitude == 0 { 0 } else { digits };
        write!(out, "{sign}{magnitude}{:0<zeros$}", "")
    } else {
        assert!(digits <= 38, "a decimal of 128 bits has at most 38 digits");
        let unit = 10u128.pow(digits as u32);
        write!(out, "{sign}{}.{:0digits$}", magnitude / unit, magnitude % unit)
    };
    printed.expect(NEVER);
}

/// `bytea`: `\x00ff`.
pub fn bytea_to_text(value: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(2 + 2 * value.len());
    out.extend_from_slice(b"\\x");
    for byte in value {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// `date`, of days since 1970.
pub fn date_to_text(days: i32, out: &mut Vec<u8>) {
    date(i64::from(days), "", out);
}

/// `time`, of microseconds since midnight.
pub fn time_to_text(micros: i64, out: &mut Vec<u8>) {
    time(micros.unsigned_abs(), out);
}

/// `timestamp`, of microseconds since 1970.
pub fn timestamp_to_text(micros: i64, out: &mut Vec<u8>) {
    timestamp(micros, "", out);
}

/// `timestamptz` in UTC, of microseconds since 1970.
pub fn timestamptz_to_text(micros: i64, out: &mut Vec<u8>) {
    timestamp(micros, "+00", out);
}

fn timestamp(micros: i64, zone: &str, out: &mut Vec<u8>) {
    const DAY_US: i64 = 86_400_000_000;
    let mut after = vec![b' '];
    time(micros.rem_euclid(DAY_US).unsigned_abs(), &mut after);
    after.extend_from_slice(zone.as_bytes());
    date(micros.div_euclid(DAY_US), str::from_utf8(&after).unwrap_or_default(), out);
}

/// `YYYY-MM-DD`, then `middle`, then ` BC` where due.
fn date(days: i64, middle: &str, out: &mut Vec<u8>) {
    // H. Hinnant, "chrono-compatible low-level date algorithms".
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (year, suffix) = if year <= 0 { (1 - year, " BC") } else { (year, "") };
    write!(out, "{year:04}-{month:02}-{day:02}{middle}{suffix}").expect(NEVER);
}

/// `hh:mm:ss`, and a fraction without trailing zeros.
fn time(micros: u64, out: &mut Vec<u8>) {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60).expect(NEVER);
    if fraction > 0 {
        let digits = format!(".{fraction:06}");
        out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
    }
}

/// `interval` in the style `postgres`: `1 year 2 mons -3 days +04:05:06.7`. Nanoseconds below a microsecond are cut off.
pub fn interval_to_text(months: i32, days: i32, nanos: i64, out: &mut Vec<u8>) {
    let start = out.len();
    let mut after_negative = false;
    for (count, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if count != 0 {
            let space = if out.len() > start { " " } else { "" };
            let plus = if after_negative && count > 0 { "+" } else { "" };
            let plural = if count == 1 { "" } else { "s" };
            write!(out, "{space}{plus}{count} {unit}{plural}").expect(NEVER);
            after_negative = count < 0;
        }
    }
    let micros = nanos / 1000;
    if micros != 0 || out.len() == start {
        if out.len() > start {
            out.push(b' ');
        }
        match micros {
            negative if negative < 0 => out.push(b'-'),
            _ if after_negative => out.push(b'+'),
            _ => {}
        }
        time(micros.unsigned_abs(), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(print: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        print(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_have_the_shortest_digits() {
        for (value, want) in [
            (0.1, "0.1"),
            (-0.0, "-0"),
            (100_000_000_000_000.0, "100000000000000"),
            (1e15, "1e+15"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e300, "1e+300"),
            (5e-324, "5e-324"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text(|out| float8_to_text(value, out)), want);
        }
        for (value, want) in
            [(0.1f32, "0.1"), (123_456.0, "123456"), (1e6, "1e+06"), (16_777_216.0, "1.6777216e+07"), (1e20, "1e+20")]
        {
            assert_eq!(text(|out| float4_to_text(value, out)), want);
        }
    }

    #[test]
    fn numerics_have_all_their_digits() {
        for (unscaled, scale, want) in [
            (150, 2, "1.50"),
            (-5, 2, "-0.05"),
            (0, 2, "0.00"),
            (7, 0, "7"),
            (123, -2, "12300"),
            (0, -2, "0"),
            (i128::MIN, 38, "-1.70141183460469231731687303715884105728"),
        ] {
            assert_eq!(text(|out| numeric_to_text(unscaled, scale, out)), want);
        }
    }

    #[test]
    fn dates_and_times_are_iso() {
        assert_eq!(text(|out| date_to_text(8_824, out)), "1994-02-28");
        assert_eq!(text(|out| date_to_text(-735_160, out)), "0044-03-15 BC");
        assert_eq!(text(|out| time_to_text(3_723_000_400, out)), "01:02:03.0004");
        assert_eq!(text(|out| time_to_text(86_400_000_000, out)), "24:00:00");
        assert_eq!(text(|out| timestamp_to_text(-100_000, out)), "1969-12-31 23:59:59.9");
        assert_eq!(text(|out| timestamptz_to_text(0, out)), "1970-01-01 00:00:00+00");
        assert_eq!(text(|out| timestamptz_to_text(-735_160 * 86_400_000_000, out)), "0044-03-15 00:00:00+00 BC");
    }

    #[test]
    fn intervals_are_in_style_postgres() {
        const HOUR: i64 = 3_600_000_000_000;
        for (months, days, nanos, want) in [
            (14, 3, 14_706_789_000_000, "1 year 2 mons 3 days 04:05:06.789"),
            (0, -1, 2 * HOUR, "-1 days +02:00:00"),
            (-14, 3, -4 * HOUR, "-1 years -2 mons +3 days -04:00:00"),
            (0, 0, 0, "00:00:00"),
            (0, 0, 999, "00:00:00"),
            (1, 0, 0, "1 mon"),
            (0, 0, i64::MIN, "-2562047:47:16.854775"),
        ] {
            assert_eq!(text(|out| interval_to_text(months, days, nanos, out)), want);
        }
    }

    #[test]
    fn bytes_are_hexadecimal() {
        assert_eq!(text(|out| bytea_to_text(&[0, 255, 16], out)), "\\x00ff10");
        assert_eq!(text(|out| bytea_to_text(&[], out)), "\\x");
    }
}
