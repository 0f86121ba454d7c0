//! Slows down who guesses passwords. A state machine: the time is passed in.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Wrong passwords that a user may give from an address before it must wait.
const FREE_OF_USER: u32 = 5;

/// … and that an address may give for all users together: many users may be behind one.
const FREE_OF_ADDRESS: u32 = 50;

/// The first wait; each further wrong password doubles it.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Who gave no wrong password for so long starts anew.
const FORGET_AFTER: Duration = Duration::from_secs(15 * 60);

/// Users and addresses that are remembered, of about 150 bytes each.
const REMEMBERED_MAX: usize = 20_000;

/// Longer names are no roles'; they count as one.
const NAME_BYTES_MAX: usize = 63;

/// Wrong passwords by user and address, and by address. `A` is an address.
#[derive(Debug)]
pub(super) struct Throttle<A> {
    failures: HashMap<(A, Option<String>), Failures>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

impl<A> Default for Throttle<A> {
    fn default() -> Self {
        Throttle { failures: HashMap::new() }
    }
}

impl<A: Hash + Eq + Copy> Throttle<A> {
    /// How long it is until the user may try again from there; None: now.
    pub(super) fn wait(&self, address: A, user: &str, now: Instant) -> Option<Duration> {
        let of = |key, free| self.failures.get(&key).and_then(|failures| failures.wait(free, now));
        of((address, Some(name(user))), FREE_OF_USER).max(of((address, None), FREE_OF_ADDRESS))
    }

    pub(super) fn failed(&mut self, address: A, user: &str, now: Instant) {
        for key in [(address, None), (address, Some(name(user)))] {
            if self.failures.len() >= REMEMBERED_MAX && !self.failures.contains_key(&key) {
                self.make_room(now);
            }
            let failures = self.failures.entry(key).or_insert(Failures { count: 0, last: now });
            if now.saturating_duration_since(failures.last) >= FORGET_AFTER {
                failures.count = 0;
            }
            *failures = Failures { count: failures.count.saturating_add(1), last: now };
        }
    }

    /// The right password clears the user; not its address, from which others may still guess.
    pub(super) fn succeeded(&mut self, address: A, user: &str) {
        self.failures.remove(&(address, Some(name(user))));
    }

    /// Forgets what is old; else, of users, half of them: addresses, which slow down the same guesser, stay, unless they are too many themselves.
    fn make_room(&mut self, now: Instant) {
        self.failures.retain(|_, failures| now.saturating_duration_since(failures.last) < FORGET_AFTER);
        if self.failures.len() < REMEMBERED_MAX {
            return;
        }
        let mut times: Vec<Instant> = self.failures.values().map(|failures| failures.last).collect();
        let middle = times.len() / 2;
        let middle = *times.select_nth_unstable(middle).1;
        self.failures.retain(|(_, user), failures| user.is_none() || failures.last > middle);
        if self.failures.len() >= REMEMBERED_MAX {
            self.failures.retain(|_, failures| failures.last > middle);
        }
    }
}

fn name(user: &str) -> String {
    if user.len() <= NAME_BYTES_MAX { user.to_owned() } else { String::new() }
}

impl Failures {
    fn wait(&self, free: u32, now: Instant) -> Option<Duration> {
        let beyond = self.count.checked_sub(free)?;
        // Far below an overflow: 2^6 seconds are more than the most.
        let wait = WAIT_FIRST.saturating_mul(1 << beyond.min(6)).min(WAIT_MAX);
        (self.last + wait).checked_duration_since(now).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_and_end() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..FREE_OF_USER {
            assert_eq!(throttle.wait(1, "ann", start), None);
            throttle.failed(1, "ann", start);
        }
        assert_eq!(throttle.wait(1, "ann", start), Some(SECOND));
        assert_eq!(throttle.wait(1, "bob", start), None);
        assert_eq!(throttle.wait(2, "ann", start), None);
        let later = start + SECOND;
        assert_eq!(throttle.wait(1, "ann", later), None);
        throttle.failed(1, "ann", later);
        assert_eq!(throttle.wait(1, "ann", later), Some(2 * SECOND));
        (0..100).for_each(|_| throttle.failed(1, "ann", later));
        assert_eq!(throttle.wait(1, "ann", later), Some(WAIT_MAX));
        assert_eq!(throttle.wait(1, "ann", later + WAIT_MAX), None);
        // Its address waits, too.
        assert!(throttle.wait(1, "bob", later).is_some());
        throttle.succeeded(1, "ann");
        assert!(throttle.wait(1, "ann", later).is_some());
    }

    #[test]
    fn the_right_password_starts_anew() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        (0..FREE_OF_USER).for_each(|_| throttle.failed(1, "ann", now));
        throttle.succeeded(1, "ann");
        assert_eq!(throttle.wait(1, "ann", now), None);
    }

    #[test]
    fn old_failures_do_not_count() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        (0..100).for_each(|_| throttle.failed(1, "ann", now));
        throttle.failed(1, "ann", now + FORGET_AFTER);
        assert_eq!(throttle.wait(1, "ann", now + FORGET_AFTER), None);
    }

    /// Ten thousand guesses, each as soon as it is allowed, take the better part of a week.
    #[test]
    fn guesses_take_their_time() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let mut now = start;
        for _ in 0..10_000 {
            now += throttle.wait(1, "ann", now).unwrap_or_default();
            throttle.failed(1, "ann", now);
        }
        assert!(now - start > Duration::from_secs(6 * 24 * 3600), "{:?}", now - start);
    }

    /// Whoever invents a name for each guess is known by the address, and is not forgotten for it.
    #[test]
    fn many_names_fill_no_memory() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        for i in 0..3 * REMEMBERED_MAX as u64 {
            throttle.failed(1, &format!("user {i}"), start + Duration::from_micros(i));
            assert!(throttle.failures.len() <= REMEMBERED_MAX);
        }
        assert!(throttle.wait(1, "another", start + SECOND).is_some());
        let mut throttle = Throttle::default();
        for i in 0..3 * REMEMBERED_MAX as u64 {
            throttle.failed(i, "ann", start + Duration::from_micros(i));
            assert!(throttle.failures.len() <= REMEMBERED_MAX);
        }
    }

    #[test]
    fn long_names_are_one() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for i in 0..FREE_OF_USER {
            throttle.failed(1, &format!("{i}").repeat(NAME_BYTES_MAX + 1), now);
        }
        assert!(throttle.wait(1, &"y".repeat(1000), now).is_some());
    }
}
