//! Time zones by what SQL calls them.

use crate::FunctionError;
use crate::calendar::MICROS_PER_SECOND;
use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Seconds west and east of UTC that a zone may be, as PostgreSQL has it.
const OFFSET_SECONDS_MAX: i64 = 16 * 3600 - 1;

/// A zone of the tz database, or an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    Named(Tz),
    /// Seconds east of UTC.
    Fixed(i64),
}

/// Abbreviations that PostgreSQL's default list has with one offset, in seconds east of UTC. They go before zones of the same name.
const ABBREVIATIONS: [(&str, i64); 47] = [
    ("acdt", 37_800),
    ("acst", 34_200),
    ("adt", -10_800),
    ("aedt", 39_600),
    ("aest", 36_000),
    ("akdt", -28_800),
    ("akst", -32_400),
    ("art", -10_800),
    ("ast", -14_400),
    ("awst", 28_800),
    ("brst", -7_200),
    ("brt", -10_800),
    ("bst", 3_600),
    ("cdt", -18_000),
    ("cest", 7_200),
    ("cet", 3_600),
    ("cst", -21_600),
    ("eat", 10_800),
    ("edt", -14_400),
    ("eest", 10_800),
    ("eet", 7_200),
    ("est", -18_000),
    ("gmt", 0),
    ("hkt", 28_800),
    ("hst", -36_000),
    ("ict", 25_200),
    ("idt", 10_800),
    ("ist", 7_200),
    ("jst", 32_400),
    ("kst", 32_400),
    ("mdt", -21_600),
    ("mest", 7_200),
    ("met", 3_600),
    ("mst", -25_200),
    ("ndt", -9_000),
    ("nst", -12_600),
    ("nzdt", 46_800),
    ("nzst", 43_200),
    ("pdt", -25_200),
    ("pkt", 18_000),
    ("pst", -28_800),
    ("sast", 7_200),
    ("utc", 0),
    ("west", 3_600),
    ("wet", 0),
    ("z", 0),
    ("zulu", 0),
];

/// Zones by their names in lower case.
static NAMES: LazyLock<HashMap<String, Tz>> =
    LazyLock::new(|| TZ_VARIANTS.iter().map(|zone| (zone.name().to_ascii_lowercase(), *zone)).collect());

impl Zone {
    /// `CET`, `Asia/Tokyo`, or POSIX's `UTC+3` and `+3`, which are west of UTC. None for what is none of them.
    pub fn of_name(name: &str) -> Option<Self> {
        let folded = name.trim().to_ascii_lowercase();
        if let Some((_, seconds)) = ABBREVIATIONS.iter().find(|(abbreviation, _)| *abbreviation == folded) {
            return Some(Zone::Fixed(*seconds));
        }
        match NAMES.get(&folded) {
            Some(zone) => Some(Zone::Named(*zone)),
            None => posix(&folded).map(|seconds| Zone::Fixed(-seconds)),
        }
    }

    /// An offset of an interval, east of UTC.
    ///
    /// # Errors
    /// 22023 where it has months or days, or is too long.
    pub fn of_interval(months: i64, days: i64, micros: i64) -> Result<Self, FunctionError> {
        let refuse = |what: &str| Err(FunctionError::invalid("22023", format!("interval time zone {what}")));
        if months != 0 || days != 0 {
            return refuse("must not include months or days");
        }
        match micros / MICROS_PER_SECOND {
            seconds if seconds.abs() <= OFFSET_SECONDS_MAX => Ok(Zone::Fixed(seconds)),
            _ => refuse("is more than 16 hours from UTC"),
        }
    }

    /// The local time of an instant, both in microseconds since 1970-01-01. None beyond the type.
    pub fn local_of_instant(self, micros: i64) -> Option<i64> {
        let seconds = match self {
            Zone::Fixed(seconds) => seconds,
            Zone::Named(zone) => seconds_at(zone, naive(micros)),
        };
        micros.checked_add(seconds * MICROS_PER_SECOND)
    }

    /// The instant of a local time. One that a change of clocks leaves out is taken by the clock before it, one that there is twice by the
    /// clock after it, as PostgreSQL does.
    pub fn instant_of_local(self, micros: i64) -> Option<i64> {
        let seconds = match self {
            Zone::Fixed(seconds) => seconds,
            Zone::Named(zone) => {
                let local = naive(micros);
                match zone.offset_from_local_datetime(&local) {
                    MappedLocalTime::Single(offset) => offset.fix().local_minus_utc().into(),
                    MappedLocalTime::Ambiguous(_, after) => after.fix().local_minus_utc().into(),
                    MappedLocalTime::None => {
                        let day_before = local.checked_sub_signed(TimeDelta::days(1)).unwrap_or(local);
                        seconds_at(zone, day_before)
                    }
                }
            }
        };
        micros.checked_sub(seconds * MICROS_PER_SECOND)
    }
}

fn seconds_at(zone: Tz, instant: NaiveDateTime) -> i64 {
    zone.offset_from_utc_datetime(&instant).fix().local_minus_utc().into()
}

/// What chrono has no dates for is before or after every change of clocks.
fn naive(micros: i64) -> NaiveDateTime {
    let end = if micros < 0 { NaiveDateTime::MIN } else { NaiveDateTime::MAX };
    DateTime::from_timestamp_micros(micros).map_or(end, |instant| instant.naive_utc())
}

/// Seconds of `[name]±H[H][:MM[:SS]]`, with their sign.
fn posix(text: &str) -> Option<i64> {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, digits.strip_prefix('+')?),
    };
    let number = |part: &str| -> Option<i64> {
        (1..=2).contains(&part.len()).then_some(part).filter(|p| p.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
    };
    let parts = digits.split(':').map(number).collect::<Option<Vec<i64>>>()?;
    let seconds = match parts.as_slice() {
        [hours] => hours * 3600,
        [hours, minutes @ 0..60] => hours * 3600 + minutes * 60,
        [hours, minutes @ 0..60, seconds @ 0..60] => hours * 3600 + minutes * 60 + seconds,
        _ => return None,
    };
    (seconds <= OFFSET_SECONDS_MAX).then_some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        crate::datetime_text::timestamp(text.as_bytes()).unwrap()
    }

    #[test]
    fn instants_and_local_times() {
        for (zone, instant, local) in [
            ("Asia/Tokyo", "2024-01-01 00:00", "2024-01-01 09:00"),
            ("asia/kolkata", "2024-01-01 00:00", "2024-01-01 05:30"),
            ("America/New_York", "2024-07-01 00:00", "2024-06-30 20:00"),
            ("CET", "2024-07-01 00:00", "2024-07-01 01:00"),
            ("Europe/Berlin", "2024-07-01 00:00", "2024-07-01 02:00"),
            ("UTC+2", "2024-01-01 00:00", "2023-12-31 22:00"),
            ("+02", "2024-01-01 00:00", "2023-12-31 22:00"),
            ("-03:30", "2024-01-01 00:00", "2024-01-01 03:30"),
            ("Z", "2024-01-01 00:00", "2024-01-01 00:00"),
        ] {
            let zone = Zone::of_name(zone).unwrap();
            assert_eq!(zone.local_of_instant(at(instant)), Some(at(local)), "{zone:?}");
            assert_eq!(zone.instant_of_local(at(local)), Some(at(instant)), "{zone:?}");
        }
        for name in ["Nowhere/City", "", "+17", "1", "+1:60", "UTC+é"] {
            assert_eq!(Zone::of_name(name), None, "{name}");
        }
    }

    #[test]
    fn changes_of_clocks() {
        let zone = Zone::of_name("America/New_York").unwrap();
        // 02:30 was left out in March, 01:30 there twice in November.
        assert_eq!(zone.instant_of_local(at("2024-03-10 02:30")), Some(at("2024-03-10 07:30")));
        assert_eq!(zone.instant_of_local(at("2024-11-03 01:30")), Some(at("2024-11-03 06:30")));
        assert_eq!(zone.local_of_instant(i64::MAX), Some(i64::MAX - 5 * 3600 * 1_000_000));
    }

    #[test]
    fn intervals() {
        assert_eq!(Zone::of_interval(0, 0, 9 * 3600 * 1_000_000), Ok(Zone::Fixed(32_400)));
        assert_eq!(Zone::of_interval(0, 1, 0).unwrap_err().sqlstate(), "22023");
        assert_eq!(Zone::of_interval(0, 0, 17 * 3600 * 1_000_000).unwrap_err().sqlstate(), "22023");
    }
}
