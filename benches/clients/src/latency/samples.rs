//! What the times of many statements are, in a few figures.

use std::time::Duration;

/// Statements of all connections together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// Statements that began in the window; all of them were waited for.
    pub statements: usize,
    /// Statements that ended in the window, for each second of it.
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
}

impl Latency {
    /// `ended` is how many statements ended in the window.
    ///
    /// # Errors
    /// No statement began in the window.
    pub fn of(mut times: Vec<Duration>, ended: usize, window: Duration) -> Result<Self, String> {
        times.sort_unstable();
        let (Some(p50), Some(p99)) = (percentile(&times, 50), percentile(&times, 99)) else {
            return Err("no statement began within the window".into());
        };
        let per_second = ended as f64 / window.as_secs_f64();
        Ok(Latency { statements: times.len(), per_second, p50, p99 })
    }
}

/// The smallest time that `percent` of all are not above; None of none.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times = |count: u64| (1..=count).rev().map(Duration::from_millis).collect::<Vec<_>>();
        let of = |count| {
            Latency::of(times(count), 30, Duration::from_secs(2)).map(|l| (l.p50.as_millis(), l.p99.as_millis()))
        };
        assert_eq!(of(100), Ok((50, 99)));
        assert_eq!(of(101), Ok((51, 100)));
        assert_eq!(of(1), Ok((1, 1)));
        assert_eq!(of(2), Ok((1, 2)));
        assert!(of(0).is_err());
        assert_eq!(
            Latency::of(times(3), 30, Duration::from_secs(2)).map(|l| (l.statements, l.per_second)),
            Ok((3, 15.0))
        );
    }
}
