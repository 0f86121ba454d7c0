//! The proleptic Gregorian calendar on days and microseconds since 1970-01-01.

pub const MICROS_PER_SECOND: i64 = 1_000_000;
pub const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// 1970-01-01 as a Julian day.
const JULIAN_DAY_OF_EPOCH: i64 = 2_440_588;

/// Year 0 is 1 BC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    pub year: i64,
    pub month: i64,
    pub day: i64,
}

impl Date {
    pub fn new(year: i64, month: i64, day: i64) -> Self {
        Self { year, month, day }
    }

    /// Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
    pub fn of_days(days: i64) -> Self {
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
    }

    /// `days_from_civil` of the same source. The date exists.
    pub fn days(self) -> i64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let from_march = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let day_of_year = (153 * from_march + 2) / 5 + self.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    pub fn exists(self) -> bool {
        (1..=12).contains(&self.month) && (1..=days_in_month(self.year, self.month)).contains(&self.day)
    }

    /// 1 to 366.
    pub fn day_of_year(self) -> i64 {
        self.days() - Self::new(self.year, 1, 1).days() + 1
    }

    /// 1 Monday to 7 Sunday.
    pub fn iso_weekday(self) -> i64 {
        (self.days() + 3).rem_euclid(7) + 1
    }

    /// ISO 8601's year and week: week 1 has the year's first Thursday.
    pub fn iso_week(self) -> (i64, i64) {
        let thursday = Self::of_days(self.days() + 4 - self.iso_weekday());
        (thursday.year, (thursday.day_of_year() - 1) / 7 + 1)
    }

    pub fn quarter(self) -> i64 {
        (self.month - 1) / 3 + 1
    }

    pub fn julian_day(self) -> i64 {
        self.days() + JULIAN_DAY_OF_EPOCH
    }

    /// The number of the period of `years` years that the year is in: 2000 is in century 20, 2001 in 21, 1 BC in -1.
    pub fn period(self, years: i64) -> i64 {
        if self.year > 0 { (self.year + years - 1) / years } else { -((years - self.year) / years) }
    }
}

pub fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// A time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    pub microsecond: i64,
}

impl Clock {
    /// Of microseconds since midnight; hours go on beyond 24, and all parts are negative for a negative number.
    pub fn of_micros(micros: i64) -> Self {
        let seconds = micros / MICROS_PER_SECOND;
        Self {
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            microsecond: micros % MICROS_PER_SECOND,
        }
    }

    pub fn micros(self) -> i64 {
        ((self.hour * 60 + self.minute) * 60 + self.second) * MICROS_PER_SECOND + self.microsecond
    }
}

/// Date and time of day of microseconds since 1970-01-01.
pub fn date_and_clock(micros: i64) -> (Date, Clock) {
    (Date::of_days(micros.div_euclid(MICROS_PER_DAY)), Clock::of_micros(micros.rem_euclid(MICROS_PER_DAY)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_days() {
        assert_eq!(Date::of_days(0), Date::new(1970, 1, 1));
        assert_eq!(Date::of_days(19_782), Date::new(2024, 2, 29));
        assert_eq!(Date::new(2024, 7, 15).julian_day(), 2_460_507);
        assert_eq!(Date::new(2024, 12, 30).iso_week(), (2025, 1));
        assert_eq!(Date::new(2023, 1, 1).iso_week(), (2022, 52));
        assert_eq!(Date::new(2024, 3, 31).iso_weekday(), 7);
        assert_eq!(Date::new(2024, 12, 31).day_of_year(), 366);
        assert!(!Date::new(2023, 2, 29).exists() && !Date::new(1900, 2, 29).exists());
        assert!(Date::new(2000, 2, 29).exists() && !Date::new(2000, 13, 1).exists());
        for (year, century, millennium) in [(2000, 20, 2), (2001, 21, 3), (1, 1, 1), (0, -1, -1), (-99, -1, -1)] {
            let date = Date::new(year, 1, 1);
            assert_eq!((date.period(100), date.period(1000)), (century, millennium), "{year}");
        }
        let (date, clock) = date_and_clock(-1);
        assert_eq!(
            (date, clock),
            (Date::new(1969, 12, 31), Clock { hour: 23, minute: 59, second: 59, microsecond: 999_999 })
        );
    }

    proptest! {
        #[test]
        fn days_there_and_back(days in -2_000_000i64..20_000_000) {
            let date = Date::of_days(days);
            prop_assert!(date.exists());
            prop_assert_eq!(date.days(), days);
            let next = Date::of_days(days + 1);
            prop_assert!(next > date);
        }
    }
}
