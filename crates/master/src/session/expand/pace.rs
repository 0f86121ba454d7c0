//! How fast rows are moved at most.

use std::time::{Duration, Instant};

/// Keeps what is moved to a rate, from when it was made: after some bytes it says how long to wait.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes a second; None is as fast as it goes.
    rate: Option<u64>,
    started: Instant,
    moved_bytes: u64,
}

impl Pace {
    pub(super) fn new(rate: Option<u64>, now: Instant) -> Self {
        Pace { rate: rate.filter(|rate| *rate > 0), started: now, moved_bytes: 0 }
    }

    /// Bytes that may be moved at once: a second's, or `most`.
    pub(super) fn at_once(&self, most: u64) -> u64 {
        self.rate.map_or(most, |rate| rate.min(most))
    }

    /// How long to wait, when `bytes` more have been moved.
    pub(super) fn wait_after(&mut self, bytes: u64, now: Instant) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        self.moved_bytes += bytes;
        let due = self.started + Duration::from_secs_f64(self.moved_bytes as f64 / rate as f64);
        due.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn bytes_take_the_time_that_the_rate_gives_them() {
        let start = Instant::now();
        let after = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut pace = Pace::new(Some(10 * MB), start);
        assert_eq!((pace.at_once(256 * MB), pace.at_once(MB)), (10 * MB, MB));
        assert_eq!(pace.wait_after(20 * MB, after(0.5)), Duration::from_millis(1500));
        // Slower than it may: nothing to wait for.
        assert_eq!(pace.wait_after(10 * MB, after(4.0)), Duration::ZERO);
        let mut pace = Pace::new(None, start);
        assert_eq!((pace.at_once(256 * MB), pace.wait_after(1000 * MB, start)), (256 * MB, Duration::ZERO));
        assert_eq!(Pace::new(Some(0), start).wait_after(MB, start), Duration::ZERO);
    }
}
