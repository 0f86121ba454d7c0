//! What is wrong with each link, and what has passed it.

use super::TICK;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time until TCP sends again what was lost, as Linux has it at the least.
const RETRANSMIT: Duration = Duration::from_millis(200);
/// As much of each connection's beginning is kept.
const RECORDED_BYTES_MAX: usize = 4 << 20;

/// What is wrong with one direction of one link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Nothing passes.
    pub is_cut: bool,
    /// Everything comes so much later.
    pub delay: Duration,
    pub bytes_per_s_max: Option<u64>,
    /// So many of 100 datagrams, or pieces of a stream, are lost.
    pub loss_percent: u32,
    /// So many of 100 datagrams come twice.
    pub duplicate_percent: u32,
    /// So many of 100 datagrams come later than their successors.
    pub reorder_percent: u32,
}

impl Faults {
    pub fn cut() -> Self {
        Faults { is_cut: true, ..Faults::default() }
    }

    /// A piece of a stream has this size while pieces are lost, so that 5 % of them are often some.
    pub(super) fn piece_bytes(&self) -> usize {
        if self.loss_percent > 0 || self.bytes_per_s_max.is_some() { 16 << 10 } else { 256 << 10 }
    }
}

/// Everything that the proxies share.
pub(super) struct Links {
    is_over: AtomicBool,
    state: Mutex<State>,
}

struct State {
    random: StdRng,
    /// Node names and their processes, the newest last.
    processes: Vec<(String, u32)>,
    links: HashMap<(String, String), Link>,
}

#[derive(Default)]
struct Link {
    faults: Faults,
    bytes: u64,
    /// Both sockets of each connection that the first node made to the second.
    connections: Vec<[TcpStream; 2]>,
    recorded: Option<Vec<Vec<u8>>>,
    /// When the bytes so far will have left, at the link's rate.
    busy_until: Option<Instant>,
}

impl Links {
    pub(super) fn new(seed: u64) -> Self {
        let state = State { random: StdRng::seed_from_u64(seed), processes: vec![], links: HashMap::new() };
        Links { is_over: AtomicBool::new(false), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<R>(&self, from: &str, to: &str, action: impl FnOnce(&mut Link, &mut StdRng) -> R) -> R {
        let State { random, links, .. } = &mut *self.state();
        action(links.entry((from.to_owned(), to.to_owned())).or_default(), random)
    }

    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.state().links.values_mut().for_each(Link::close);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    pub(super) fn set_process(&self, name: &str, pid: u32) {
        let mut state = self.state();
        state.processes.retain(|(_, known)| *known != pid);
        state.processes.push((name.to_owned(), pid));
    }

    pub(super) fn processes(&self) -> Vec<(String, u32)> {
        self.state().processes.clone()
    }

    pub(super) fn set(&self, from: &str, to: &str, faults: Faults) {
        self.with(from, to, |link, _| link.faults = faults);
    }

    pub(super) fn faults(&self, from: &str, to: &str) -> Faults {
        self.with(from, to, |link, _| link.faults)
    }

    pub(super) fn bytes(&self, from: &str, to: &str) -> u64 {
        self.with(from, to, |link, _| link.bytes)
    }

    pub(super) fn passed(&self, from: &str, to: &str, bytes: usize) {
        self.with(from, to, |link, _| link.bytes += bytes as u64);
    }

    /// True so many times of 100.
    pub(super) fn happens(&self, percent: u32) -> bool {
        percent > 0 && self.state().random.random_range(0..100) < percent
    }

    /// When a piece that has come now is through.
    pub(super) fn due(&self, from: &str, to: &str, bytes: usize) -> Instant {
        self.with(from, to, |link, random| {
            let now = Instant::now();
            let mut due = now + link.faults.delay;
            if link.faults.loss_percent > 0 && random.random_range(0..100) < link.faults.loss_percent {
                due += RETRANSMIT;
            }
            if let Some(rate) = link.faults.bytes_per_s_max {
                let start = link.busy_until.map_or(now, |busy| busy.max(now));
                let end = start + Duration::from_secs_f64(bytes as f64 / rate as f64);
                link.busy_until = Some(end);
                due += end - now;
            }
            due
        })
    }

    /// Sleeps until `due` and the end of a cut. False when the network is over.
    pub(super) fn wait(&self, from: &str, to: &str, due: Instant) -> bool {
        loop {
            if self.is_over() {
                return false;
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() && !self.faults(from, to).is_cut {
                return true;
            }
            std::thread::sleep(left.clamp(Duration::from_micros(100), TICK));
        }
    }

    pub(super) fn opened(&self, from: &str, to: &str, sockets: [TcpStream; 2]) -> Option<usize> {
        self.with(from, to, |link, _| {
            link.connections.push(sockets);
            let recorded = link.recorded.as_mut()?;
            recorded.push(vec![]);
            Some(recorded.len() - 1)
        })
    }

    pub(super) fn close(&self, a: &str, b: &str) {
        self.with(a, b, |link, _| link.close());
        self.with(b, a, |link, _| link.close());
    }

    pub(super) fn record(&self, from: &str, to: &str) {
        self.with(from, to, |link, _| link.recorded = Some(vec![]));
    }

    /// `at` is what [`Links::opened`] gave.
    pub(super) fn keep(&self, from: &str, to: &str, at: usize, bytes: &[u8]) {
        self.with(from, to, |link, _| {
            if let Some(kept) = link.recorded.as_mut().and_then(|recorded| recorded.get_mut(at)) {
                let room = RECORDED_BYTES_MAX - kept.len();
                kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        });
    }

    pub(super) fn recorded(&self, from: &str, to: &str) -> Vec<Vec<u8>> {
        self.with(from, to, |link, _| link.recorded.clone().unwrap_or_default())
    }
}

impl Link {
    fn close(&mut self) {
        for socket in self.connections.drain(..).flatten() {
            // One that is closed already is what is wanted.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
