//! What happens to the active one of two masters.

use crate::processes::ProcessCluster;
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::thread;
use std::time::{Duration, Instant};

/// Clients have so long with masters that nobody touches, before each disturbance and after the last.
const QUIET: Duration = Duration::from_secs(2);
/// A master is stopped for less than its lease lasts, which nobody need notice, or so long after another has taken over.
const STOPPED: Duration = Duration::from_secs(1);
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// Where a master ends itself, so that it has committed and not said so, or not.
const FAILPOINTS: [&str; 2] = ["commit.after_store", "commit.before_store"];
/// Commits of a master before it ends itself.
const COMMITS_MAX: u32 = 20;

#[derive(Clone, Copy, Debug)]
enum Disturbance {
    /// What is killed ends itself when it is active again.
    Kill,
    /// Until another has taken over, and then some.
    Stop,
    /// For a moment.
    Pause,
}

/// Disturbs the active master, whichever it is, until `duration` is over; at least once in each way in which another takes over.
///
/// # Panics
/// When no other takes over, or a master that was deposed goes on.
pub fn take_over(cluster: &mut ProcessCluster, seed: u64, duration: Duration) {
    let ends = Instant::now() + duration;
    let mut rng = StdRng::seed_from_u64(!seed);
    // Where the standby ends itself once it is active.
    let mut failpoint: Option<String> = None;
    for count in 0.. {
        thread::sleep(QUIET);
        let disturbance = match count {
            0 => Disturbance::Kill,
            1 => Disturbance::Stop,
            _ if Instant::now() > ends => return,
            _ => [Disturbance::Kill, Disturbance::Stop, Disturbance::Pause][rng.random_range(0..3)],
        };
        println!("{disturbance:?}, {failpoint:?} of the standby");
        let took_over = match disturbance {
            Disturbance::Kill => {
                let next = format!("{}={}", FAILPOINTS[rng.random_range(0..2)], rng.random_range(2..=COMMITS_MAX));
                cluster.fail_over_to(Some(&next));
                failpoint.replace(next)
            }
            Disturbance::Stop => {
                cluster.master().signal(Signal::SIGSTOP);
                cluster.standby().wait_until_ready();
                thread::sleep(STOPPED);
                cluster.master().signal(Signal::SIGCONT);
                let status = cluster.master().wait(BACK_WITHIN);
                assert!(!status.success(), "a deposed master ends by itself, and says so: {status}");
                cluster.fail_over();
                failpoint.take()
            }
            Disturbance::Pause => {
                cluster.master().signal(Signal::SIGSTOP);
                thread::sleep(STOPPED);
                cluster.master().signal(Signal::SIGCONT);
                None
            }
        };
        if took_over.is_some() {
            cluster.master().wait(BACK_WITHIN);
            cluster.fail_over();
            failpoint = None;
        }
    }
}
