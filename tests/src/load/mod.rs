//! A load of several clients for tests that kill processes meanwhile. Each knows what it was told: afterwards what was acknowledged is there,
//! and every other statement is there as a whole or not at all.

mod check;
mod clients;
mod files;

pub use files::{holders, strays};

use crate::processes::{ProcessCluster, Shell};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const ACCOUNTS: i64 = 40;
const BALANCE: i64 = 100;
/// Rows of the file that is loaded.
const LOADED: i64 = 50;
/// Rows of each table that is made.
const MADE: i64 = 3;
/// Rows of the table whose rows all go and come again.
const REFILLED: i64 = 20;
/// Rows of the table that segments have copies of.
const COPIES: i64 = 8;

/// The clients' tables, and what they know of them: hashed ones with keys and without (`accounts`, `log`, `marks`, `bank_a`, `bank_b`,
/// `done`, `refilled`, `made1` and so on), a random one (`loaded`) and a replicated one (`copies`).
pub struct Load {
    shell: Shell,
    file: PathBuf,
    journal: Mutex<Journal>,
}

/// What clients know of their statements.
#[derive(Default)]
struct Journal {
    /// Of each number of `log`, what was asked for last, and whether it was acknowledged.
    log: BTreeMap<i64, Entry>,
    /// The same of each number of `done`, where transactions of several tables leave their own.
    done: BTreeMap<i64, Entry>,
    /// Rounds of `marks`: acknowledged, and asked for.
    rounds: (i64, i64),
    /// Of `refilled` and `copies`: the number that was acknowledged last, and the one that was asked for.
    refills: (i64, i64),
    next: i64,
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    There,
    Gone,
    /// An insert or a delete whose answer did not come.
    Unknown,
}

impl Load {
    /// Makes the tables.
    ///
    /// # Panics
    /// When the cluster does not.
    pub fn new(cluster: &ProcessCluster) -> Self {
        let shell = cluster.shell();
        shell.execute("CREATE TABLE accounts (id int PRIMARY KEY, balance bigint) DISTRIBUTED BY (id)");
        shell.execute("CREATE TABLE log (number bigint, half bigint, UNIQUE (half, number)) DISTRIBUTED BY (half)");
        shell.execute("CREATE TABLE marks (k int, round bigint) DISTRIBUTED BY (k)");
        for bank in ["bank_a", "bank_b"] {
            shell.execute(&format!("CREATE TABLE {bank} (id int PRIMARY KEY, balance bigint) DISTRIBUTED BY (id)"));
        }
        for accounts in ["accounts", "bank_a", "bank_b"] {
            shell.execute(&format!(
                "INSERT INTO {accounts} SELECT x - 1, {BALANCE} FROM generate_series(1, {ACCOUNTS}) AS g(x)"
            ));
        }
        shell.execute("CREATE TABLE done (number bigint, kind text, amount bigint) DISTRIBUTED BY (number)");
        shell.execute("CREATE TABLE loaded (k int, v text) DISTRIBUTED RANDOMLY");
        shell.execute("CREATE TABLE refilled (k int, v bigint) DISTRIBUTED BY (k)");
        shell.execute("CREATE TABLE copies (k int, v bigint) DISTRIBUTED REPLICATED");
        for (table, rows) in [("marks", 16), ("refilled", REFILLED), ("copies", COPIES)] {
            shell.execute(&format!("INSERT INTO {table} SELECT x, 0 FROM generate_series(1, {rows}) AS g(x)"));
        }
        let file = cluster.directory().join("loaded.csv");
        let lines: String = (0..LOADED).map(|k| format!("{k},value {k}\n")).collect();
        std::fs::write(&file, lines).expect("a file to load");
        Load { shell, file, journal: Mutex::default() }
    }

    /// Lets the clients work while `meanwhile` does.
    ///
    /// # Panics
    /// When a client has read what no snapshot has.
    pub fn run<T>(&self, rng: &mut StdRng, meanwhile: impl FnOnce() -> T) -> T {
        let stop = AtomicBool::new(false);
        let mut rng = || StdRng::seed_from_u64(rng.random());
        let clients = [rng(), rng(), rng(), rng(), rng(), rng()];
        thread::scope(|scope| {
            let (stop, [a, b, c, d, e, f]) = (&stop, clients);
            // Also where `meanwhile` panics: the scope waits for the clients.
            let _stopped = StopOnDrop(stop);
            scope.spawn(move || self.transact(stop, a));
            scope.spawn(move || self.transact(stop, b));
            scope.spawn(move || self.transfer(stop, c));
            scope.spawn(move || self.transfer(stop, d));
            scope.spawn(move || self.write_log(stop, e));
            scope.spawn(move || self.refill(stop, f));
            scope.spawn(move || self.mark(stop));
            scope.spawn(move || self.read(stop));
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    acknowledged(&self.shell, "VACUUM");
                }
            });
            meanwhile()
        })
    }

    /// # Panics
    /// When no client came far enough for the test to mean anything.
    pub fn assert_something_was_done(&self) {
        let journal = self.journal.lock().unwrap();
        assert!(journal.rounds.0 > 0, "nothing was tested");
        let transactions = journal.done.values().filter(|entry| matches!(entry, Entry::There)).count();
        assert!(transactions > 0, "no transaction was tested");
        assert!(journal.refills.0 > 0, "no refill was tested");
    }
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs one statement, or several; whether all were acknowledged.
pub fn acknowledged(shell: &Shell, sql: &str) -> bool {
    shell.run("csv", &["-c", sql]).success
}
