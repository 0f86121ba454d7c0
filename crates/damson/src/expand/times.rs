//! Times on the command line, in the record, and as people read them.

use chrono::{DateTime, Local, NaiveDateTime, Utc};
use std::time::Duration;

/// `hh:mm:ss`, or seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time such as 01:30:00");
    let number = |part: &str| part.parse::<u32>().map(u64::from).map_err(|_| wrong());
    let seconds = match text.split(':').collect::<Vec<_>>()[..] {
        [seconds] => number(seconds)?,
        [hours, minutes, seconds] => {
            let (minutes, seconds) = (number(minutes)?, number(seconds)?);
            if minutes > 59 || seconds > 59 {
                return Err(wrong());
            }
            number(hours)? * 3600 + minutes * 60 + seconds
        }
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(seconds))
}

/// `YYYY-MM-DD hh:mm:ss` of this host's clock.
pub(super) fn moment(text: &str) -> Result<DateTime<Local>, String> {
    let parsed = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok();
    // An hour that a change of the clock repeats is its first one.
    let local = parsed.and_then(|time| time.and_local_timezone(Local).earliest());
    local.ok_or_else(|| format!("{text:?} is no time such as 2026-11-27 18:00:00"))
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    Utc::now().timestamp_millis().unsigned_abs()
}

/// Now as an SQL literal, UTC.
pub(super) fn now_literal() -> String {
    format!("timestamp '{}'", Utc::now().format("%Y-%m-%d %H:%M:%S%.6f"))
}

/// `2 h 05 min`, `3 min 20 s`, `4 s`.
pub(super) fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_told() {
        assert_eq!(duration("01:02:03"), Ok(Duration::from_secs(3723)));
        assert_eq!(duration("100:00:00"), Ok(Duration::from_secs(360_000)));
        assert_eq!((duration("0"), duration("90")), (Ok(Duration::ZERO), Ok(Duration::from_secs(90))));
        for wrong in ["", "1:2", "00:60:00", "00:00:60", "-1", "a:b:c", "1:2:3:4", "1.5"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        let told = [0, 59, 61, 3599, 3600, 7500].map(|seconds| spoken(Duration::from_secs(seconds)));
        assert_eq!(told, ["0 s", "59 s", "1 min 01 s", "59 min 59 s", "1 h 00 min", "2 h 05 min"]);
    }

    #[test]
    fn moments_are_of_this_hosts_clock() {
        let time = moment("2026-11-27 18:00:00").unwrap();
        assert_eq!(time.format("%F %T").to_string(), "2026-11-27 18:00:00");
        assert!(moment("2026-11-27").is_err() && moment("2026-13-01 00:00:00").is_err());
    }
}
