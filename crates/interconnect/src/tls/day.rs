//! The day on which a certificate begins or ends.

use rustls_pki_types::UnixTime;
use std::fmt;
use std::time::Duration;

/// The last second of the year 9999, the last that a certificate can name.
const LAST_SECOND: u64 = 253_402_300_799;

/// A day in UTC, shown as `2026-11-26`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(u64);

impl From<UnixTime> for Day {
    fn from(time: UnixTime) -> Self {
        Day(time.as_secs().min(LAST_SECOND))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(self.0);
        write!(f, "{}", time.date())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let day = |seconds| Day::from(UnixTime::since_unix_epoch(Duration::from_secs(seconds))).to_string();
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(1_709_251_199), "2024-02-29");
        assert_eq!(day(1_709_251_200), "2024-03-01");
        assert_eq!(day(u64::MAX), "9999-12-31");
    }
}
