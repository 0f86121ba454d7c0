//! What a process has moved in a time, and what CPU time that took.

use crate::message::Schedule;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;
use tokio::sync::watch;

/// Counts a process's bytes; says when to stop. Shared by the threads or tasks that move them.
pub struct Meter {
    bytes: AtomicU64,
    phase: watch::Sender<Phase>,
}

/// Where the process is in its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    WarmUp,
    /// Windows are numbered from 0.
    Window(usize),
    /// After the windows, while the peer may still be in its last one.
    Linger,
    Over,
}

/// What was moved between two moments.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Window {
    pub seconds: f64,
    pub bytes: u64,
    /// CPU time of the whole process.
    pub user_s: f64,
    pub system_s: f64,
}

impl Window {
    pub fn gb_per_s(&self) -> f64 {
        self.bytes as f64 / self.seconds / 1e9
    }

    /// Seconds of CPU time for a gigabyte, or nanoseconds for a byte: in the process itself, and in the kernel.
    pub fn cpu_per_gb(&self) -> (f64, f64) {
        let gb = self.bytes as f64 / 1e9;
        (self.user_s / gb, self.system_s / gb)
    }
}

impl Meter {
    pub fn new() -> Self {
        Meter { bytes: AtomicU64::new(0), phase: watch::Sender::new(Phase::WarmUp) }
    }

    pub fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// True when senders shall end.
    pub fn is_over(&self) -> bool {
        *self.phase.borrow() == Phase::Over
    }

    /// For those who do different things in different phases.
    pub fn phases(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Goes through the schedule on the calling thread.
    pub fn run(&self, schedule: &Schedule) -> Vec<Window> {
        thread::sleep(schedule.warm_up);
        let mut last = Reading::take(self);
        let windows = (0..schedule.windows).map(|number| {
            self.phase.send_replace(Phase::Window(number));
            thread::sleep(schedule.window);
            let now = Reading::take(self);
            let window = now.since(&last);
            last = now;
            window
        });
        let windows = windows.collect();
        self.phase.send_replace(Phase::Linger);
        thread::sleep(schedule.linger);
        self.phase.send_replace(Phase::Over);
        windows
    }
}

/// All counters at one moment.
struct Reading {
    at: Instant,
    bytes: u64,
    user_s: f64,
    system_s: f64,
}

impl Reading {
    fn take(meter: &Meter) -> Self {
        let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask about itself");
        let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        Reading {
            at: Instant::now(),
            bytes: meter.bytes.load(Ordering::Relaxed),
            user_s: seconds(usage.user_time()),
            system_s: seconds(usage.system_time()),
        }
    }

    fn since(&self, before: &Reading) -> Window {
        Window {
            seconds: (self.at - before.at).as_secs_f64(),
            bytes: self.bytes - before.bytes,
            user_s: self.user_s - before.user_s,
            system_s: self.system_s - before.system_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn windows_count_what_is_moved_in_them() {
        let meter = Meter::new();
        let schedule =
            Schedule { warm_up: Duration::ZERO, window: Duration::from_millis(20), windows: 2, linger: Duration::ZERO };
        let windows = thread::scope(|scope| {
            scope.spawn(|| {
                while !meter.is_over() {
                    meter.add(1000);
                }
            });
            meter.run(&schedule)
        });
        assert_eq!(windows.len(), 2);
        for window in windows {
            assert!(window.bytes > 0 && window.seconds >= 0.02, "{window:?}");
            let (user, system) = window.cpu_per_gb();
            assert!(user >= 0.0 && system >= 0.0, "{window:?}");
        }
    }
}
