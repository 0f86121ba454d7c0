//! Histories of clients of real processes, each transaction over a connection of its own, while something is done to the processes.

use super::check::{ClientOrder, End, Level, Op, Transaction, check};
use super::lists::{KEYS, Lists, RETRIED, parse};
use crate::processes::{ProcessCluster, Shell, ShellRun, parse_csv, wait_for};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// Who reaches no master waits so long.
const NO_MASTER: Duration = Duration::from_millis(100);
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// Between two runs of VACUUM.
const VACUUM_EVERY: Duration = Duration::from_millis(200);
/// The last statement before COMMIT: who has its answer has made all of the transaction's steps.
const ALL_DONE: &str = "SELECT 'yes' AS all_done";
/// Classes of what clients are told when a master or its connections go: conflicts, connections, shutdown; 58: the catalog's database
/// did not answer.
const EXPECTED: [&str; 4] = ["40", "08", "57", "58"];

/// One run over processes.
pub struct ProcessCampaign {
    pub seed: u64,
    pub clients: usize,
    pub level: Level,
    pub order: ClientOrder,
    /// Of which at least so many must have committed, or nothing was tested.
    pub committed_min: usize,
}

impl ProcessCampaign {
    /// Clients go on for as long as `disturb` does what it does to the cluster, whose tables are compacted all the while.
    ///
    /// # Panics
    /// With the seed and what was seen, when the level forbids it.
    pub fn run(&self, cluster: &mut ProcessCluster, disturb: impl FnOnce(&mut ProcessCluster)) {
        let lists = Lists {
            tables: match self.level {
                Level::ReadCommitted => "rc",
                Level::RepeatableRead => "rr",
            },
        };
        lists.create().iter().for_each(|sql| cluster.shell().execute(sql));
        // A client that finds a stopped master waits for it: others begin with the other one.
        let shells = cluster.shells();
        let (stop, next) = (AtomicBool::new(false), AtomicU32::new(1));
        let history: Vec<Transaction> = thread::scope(|scope| {
            let ends = Ends(&stop);
            let clients: Vec<_> = (0..self.clients)
                .map(|number| {
                    let rng = StdRng::seed_from_u64(self.seed.wrapping_add(number as u64));
                    let shell = &shells[number % shells.len()];
                    let client = Client { number, shell, level: self.level, lists, next: &next, rng };
                    scope.spawn(|| client.run(&stop))
                })
                .collect();
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // Whether it is done does not matter, nor why not.
                    shells[0].run("csv", &["-c", "VACUUM"]);
                    thread::sleep(VACUUM_EVERY);
                }
            });
            disturb(cluster);
            drop(ends);
            clients.into_iter().flat_map(|client| client.join().expect("a client's history")).collect()
        });
        // What was asked of a master that is gone for good can happen no more.
        cluster.restart(true, &[]);
        self.judge(&history, &final_lists(&cluster.shell(), lists));
    }

    fn judge(&self, history: &[Transaction], lists: &[Vec<u32>]) {
        let count = |end: End| history.iter().filter(|transaction| transaction.end == end).count();
        let (committed, unknown) = (count(End::Committed), count(End::Unknown));
        println!(
            "{:?}: {committed} transactions committed, {} did not, {unknown} may have; {} elements",
            self.level,
            count(End::Aborted),
            lists.iter().map(Vec::len).sum::<usize>(),
        );
        assert!(committed >= self.committed_min, "too few transactions committed: {committed}");
        if let Err(anomaly) = check(self.level, self.order, history, lists) {
            panic!("seed {}, {:?}: {anomaly}", self.seed, self.level);
        }
    }
}

/// Ends the threads of a scope, also when its test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// All lists, once the cluster answers.
fn final_lists(shell: &Shell, lists: Lists) -> Vec<Vec<u32>> {
    let read = |key| {
        let run = shell.run("csv", &["-c", &lists.read(key)]);
        run.success.then(|| parse(&parse_csv(&run.stdout)[1][0]))
    };
    (0..KEYS).map(|key| wait_for("answer", BACK_WITHIN, || read(key))).collect()
}

/// Makes one transaction after the other, each over a connection of its own.
struct Client<'a> {
    number: usize,
    shell: &'a Shell,
    level: Level,
    lists: Lists,
    /// The element that is appended next, by whoever.
    next: &'a AtomicU32,
    rng: StdRng,
}

/// What a transaction is to do.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Append { key: usize, element: u32 },
    Read { key: usize },
}

impl Client<'_> {
    fn run(mut self, stop: &AtomicBool) -> Vec<Transaction> {
        let mut history = vec![];
        while !stop.load(Ordering::Relaxed) {
            let transaction = self.transaction();
            if transaction.end == End::Aborted && transaction.ops.is_empty() {
                thread::sleep(NO_MASTER);
            } else {
                history.push(transaction);
            }
        }
        history
    }

    fn transaction(&mut self) -> Transaction {
        let wanted: Vec<Wanted> = (0..self.rng.random_range(1..=4)).map(|_| self.wanted()).collect();
        let gives_up = self.rng.random_bool(0.1);
        let begin = format!("BEGIN ISOLATION LEVEL {}", self.level.name());
        let steps = wanted.iter().map(|wanted| match *wanted {
            Wanted::Append { key, element } => self.lists.append(key, element),
            Wanted::Read { key } => self.lists.read(key),
        });
        let end = if gives_up { "ROLLBACK" } else { "COMMIT" };
        let script: Vec<String> =
            std::iter::once(begin).chain(steps).chain([ALL_DONE.to_owned(), end.to_owned()]).collect();
        let run = self.shell.run("csv", &["-c", &script.join("; ")]);
        let (ops, mut end) = told(&wanted, &run);
        if gives_up {
            end = End::Aborted;
        }
        Transaction { client: self.number, ops, end }
    }

    fn wanted(&mut self) -> Wanted {
        let key = self.rng.random_range(0..KEYS);
        if self.rng.random_bool(0.5) {
            Wanted::Append { key, element: self.next.fetch_add(1, Ordering::Relaxed) }
        } else {
            Wanted::Read { key }
        }
    }
}

/// What a client knows of a transaction that ends with [`ALL_DONE`] and COMMIT from the answers that it has got. The shell sends
/// nothing after the first statement that fails.
///
/// # Panics
/// When it failed for a reason that a lost master does not explain.
fn told(wanted: &[Wanted], run: &ShellRun) -> (Vec<Op>, End) {
    let state = run.stderr.split_once("(SQLSTATE ").and_then(|(_, rest)| rest.get(..5));
    if let Some(state) = state {
        assert!(EXPECTED.iter().any(|class| state.starts_with(class)), "{wanted:?}: {}", run.stderr);
    }
    // Each answer has a header and a row; an answer that broke off has no row.
    let rows = parse_csv(&run.stdout);
    let answers: Vec<(&str, &str)> =
        rows.chunks_exact(2).map(|pair| (pair[0][0].as_str(), pair[1][0].as_str())).collect();
    let all_done = answers.last().is_some_and(|(name, _)| *name == "all_done");
    let mut lists = answers.iter().filter(|(name, _)| *name == "elements").map(|(_, elements)| parse(elements));
    let mut ops = vec![];
    // How many of `ops` are known to be done: what comes before an answer.
    let mut known = 0;
    for wanted in wanted {
        match *wanted {
            Wanted::Append { key, element } => ops.push(Op::Append { key, element }),
            Wanted::Read { key } => {
                let Some(list) = lists.next() else { break };
                ops.push(Op::Read { key, list });
                known = ops.len();
            }
        }
    }
    if !all_done {
        assert!(!run.success, "{wanted:?} came to its end without its answers: {run:?}");
        ops.truncate(known);
        // Its COMMIT was not sent.
        return (ops, End::Aborted);
    }
    let end = match state {
        _ if run.success => End::Committed,
        Some(state) if RETRIED.contains(&state) => End::Aborted,
        _ => End::Unknown,
    };
    (ops, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(success: bool, stdout: &str, stderr: &str) -> ShellRun {
        ShellRun { success, stdout: stdout.into(), stderr: stderr.into() }
    }

    #[test]
    fn answers_tell_what_was_done() {
        let wanted = [
            Wanted::Append { key: 1, element: 7 },
            Wanted::Read { key: 1 },
            Wanted::Append { key: 2, element: 8 },
            Wanted::Read { key: 3 },
        ];
        let all = "elements\n\",5,7\"\nelements\n\"\"\nall_done\nyes\n";
        let (ops, end) = told(&wanted, &run(true, all, ""));
        assert!(matches!(&ops[1], Op::Read { key: 1, list } if *list == [5, 7]), "{ops:?}");
        assert!(matches!(&ops[3], Op::Read { key: 3, list } if list.is_empty()), "{ops:?}");
        assert_eq!((ops.len(), end), (4, End::Committed));
        // COMMIT was refused, or has no answer.
        for (stderr, wanted_end) in [
            ("ERROR:  conflict (SQLSTATE 40001)\n", End::Aborted),
            ("ERROR:  in doubt (SQLSTATE 58030)\n", End::Unknown),
            ("ERROR:  transport error\n", End::Unknown),
        ] {
            let (ops, end) = told(&wanted, &run(false, all, stderr));
            assert_eq!((ops.len(), end), (4, wanted_end), "{stderr}");
        }
        // It ended before: what the second append did is not known, and does not matter.
        let (ops, end) = told(&wanted, &run(false, "elements\n\",5,7\"\nelements\n", "ERROR:  transport error\n"));
        assert_eq!((ops.len(), end), (2, End::Aborted));
        let (ops, end) = told(&wanted, &run(false, "", "ERROR:  cannot connect\n"));
        assert_eq!((ops.len(), end), (0, End::Aborted));
    }

    #[test]
    #[should_panic(expected = "XX000")]
    fn an_error_that_no_lost_master_explains_is_told() {
        told(&[Wanted::Read { key: 0 }], &run(false, "", "ERROR:  broken (SQLSTATE XX000)\n"));
    }
}
