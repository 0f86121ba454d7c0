//! A disk that has no room for what queries spill: row 13 of the faults that the project answers for. The query fails, and says why;
//! others go on, and no file is left.

use damson_tests::processes::{Node, ProcessCluster, Setup, Shell, ShellRun, wait_for};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// The system's numbers.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// MiB of each process, of which some 40 are for queries: less than one of [`SPILLING`] would have on a segment.
const MEMORY_MIB: &str = "64";
const ROWS: u32 = 600_000;
/// Room on each process for what [`SPILLING`] spills on a segment, 38 MiB, and for half of [`TOO_MUCH`].
const LIMIT_MIB: &str = "50";

/// An aggregate and a sort on the segments, with their answers.
const SPILLING: [(&str, u32); 2] = [
    ("SELECT count(*) FROM (SELECT t, count(*) FROM big GROUP BY t) x", ROWS),
    ("SELECT count(*) FROM (SELECT k, t FROM big ORDER BY t OFFSET 10) x", ROWS - 10),
];
/// A sort on the segments of rows twice as long, and one of all rows on the master.
const TOO_MUCH: [(&str, u32); 2] = [
    ("SELECT count(*) FROM (SELECT t || v AS u, t FROM big ORDER BY 1, 2 OFFSET 10) x", ROWS - 10),
    ("SELECT count(l) FROM (SELECT lag(t) OVER (ORDER BY t) AS l FROM big) x", ROWS - 1),
];
/// Files are written on top of what spills.
const WRITING: &str = "CREATE TABLE few AS SELECT t, count(*) AS n FROM big GROUP BY t DISTRIBUTED BY (t)";
/// Spills nothing.
const MODEST: &str = "SELECT count(*), sum(k) FROM big WHERE v >= 0";

/// A failed query's tasks end, and give their memory back, a moment after its error.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(10);
/// No file is left after this time.
const CLEAN_WITHIN: Duration = Duration::from_secs(60);
/// Allocators keep some of what they had.
const RSS_MORE_MAX: u64 = 64 << 20;
/// Statements that fail, twice each.
const FAILURES: usize = 10;

fn cluster(limit: &[&str]) -> ProcessCluster {
    let arguments =
        |more: &[&str]| ["--memory", MEMORY_MIB].iter().chain(limit).chain(more).map(|s| (*s).to_owned()).collect();
    let setup = Setup {
        segments: 2,
        has_faults: true,
        master_arguments: arguments(&[]),
        segment_arguments: arguments(&["--threads", "2"]),
        ..Setup::default()
    };
    let cluster = ProcessCluster::start_with(setup);
    let shell = cluster.shell();
    shell.execute("CREATE TABLE big (k int, v int, t text) DISTRIBUTED BY (k)");
    shell.execute(&format!(
        "INSERT INTO big SELECT x, x % 1000, 'some text that takes a hundred bytes or more, so that a few hundred thousand rows \
         are more than the pool has' || x FROM generate_series(1, {ROWS}) AS g(x)"
    ));
    cluster
}

/// What a statement gives once the memory of those before it is back.
fn run(shell: &Shell, sql: &str) -> ShellRun {
    wait_for("memory", GIVEN_BACK_WITHIN, || {
        let run = shell.run("csv", &["-c", sql]);
        (run.success || !run.stderr.contains("SQLSTATE 53200")).then_some(run)
    })
}

fn answers(shell: &Shell, sql: &str, wanted: u32) {
    let run = run(shell, sql);
    assert!(run.success && run.stdout.lines().nth(1) == Some(wanted.to_string().as_str()), "{sql}: {run:?}");
}

fn fails(shell: &Shell, sql: &str, state: &str, reason: &str) {
    let run = run(shell, sql);
    let is_told = run.stderr.contains(&format!("SQLSTATE {state}")) && run.stderr.contains(reason);
    assert!(!run.success && is_told, "{sql}, not {state}: {run:?}");
}

/// Files in the spill directories of all processes.
fn spill_files(directory: &Path) -> Vec<PathBuf> {
    let below = |path: &Path| fs::read_dir(path).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut files = vec![];
    for node in ["master", "seg0-data", "seg1-data"] {
        for path in below(&directory.join(node).join("spill")) {
            files.extend(below(&path));
        }
    }
    files
}

fn until_clean(cluster: &ProcessCluster) {
    wait_for("empty spill directories", CLEAN_WITHIN, || spill_files(cluster.directory()).is_empty().then_some(()));
    cluster.wait_until_clean();
    assert_eq!(cluster.shell().value("SELECT count(*) FROM pg_locks"), "0");
}

/// Of the master and the segments; from now on, of what comes now.
fn rss_peaks(cluster: &mut ProcessCluster) -> [u64; 3] {
    let peak = |node: &mut Node| {
        let peak = node.rss_peak_bytes();
        node.forget_rss_peak();
        peak
    };
    [peak(cluster.master()), peak(cluster.segment(0)), peak(cluster.segment(1))]
}

/// Ends the threads of a scope, also when its test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs [`MODEST`] again and again while `work` is done; gives how often it was answered.
fn beside_others(shell: &Shell, work: impl FnOnce()) -> usize {
    let (stop, others) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let _ends = Ends(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let rows = shell.run("csv", &["-c", MODEST]);
                // The memory that the others have taken is not this one's fault.
                assert!(rows.success || rows.stderr.contains("53200"), "another query fails, too: {rows:?}");
                others.fetch_add(usize::from(rows.success), Ordering::Relaxed);
            }
        });
        work();
    });
    others.into_inner()
}

#[test]
fn a_query_that_cannot_spill_fails_alone_and_leaves_nothing() {
    let mut cluster = cluster(&[]);
    let shell = cluster.shell();
    let modest = shell.rows(MODEST);
    let all = || SPILLING.iter().chain(&TOO_MUCH);
    all().for_each(|(sql, wanted)| answers(&shell, sql, *wanted));
    // What it takes when all goes well, as often, beside the same other query, which may have the memory that one of these needs: how much of
    // them is there at once is chance.
    let others = beside_others(&shell, || {
        for (sql, _) in all().cycle().take(2 * FAILURES) {
            let run = run(&shell, sql);
            assert!(run.success || run.stderr.contains("53200"), "{sql}: {run:?}");
        }
    });
    assert!(others > 0, "no other query was answered");
    let before = rss_peaks(&mut cluster);
    for (number, state, reason) in [(ENOSPC, "53100", "No space left"), (EIO, "58030", "Input/output error")] {
        cluster.set_fault("spill", Some(number));
        let others = beside_others(&shell, || {
            for sql in all().map(|(sql, _)| *sql).chain([WRITING]).cycle().take(FAILURES) {
                fails(&shell, sql, state, reason);
                fails(&shell, sql, state, "could not write a spill file in ");
            }
        });
        assert!(others > 0, "no other query was answered");
        assert_eq!(shell.rows(MODEST), modest);
        until_clean(&cluster);
        cluster.set_fault("spill", None);
        // The next try works: all that was taken for the failed ones is back.
        all().for_each(|(sql, wanted)| answers(&shell, sql, *wanted));
    }
    for (before, after) in before.into_iter().zip(rss_peaks(&mut cluster)) {
        assert!(after < before + RSS_MORE_MAX, "{} MiB, {} before", after >> 20, before >> 20);
    }
    let made = run(&shell, WRITING);
    assert!(made.success && shell.value("SELECT count(*) FROM few") == ROWS.to_string(), "{made:?}");
    until_clean(&cluster);
}

#[test]
fn what_a_process_spills_has_a_limit() {
    let cluster = cluster(&["--spill-limit", LIMIT_MIB]);
    let shell = cluster.shell();
    for _ in 0..3 {
        // Each has most of the room for itself: what one took is back when it has ended, however it has.
        SPILLING.iter().for_each(|(sql, wanted)| answers(&shell, sql, *wanted));
        TOO_MUCH.iter().for_each(|(sql, _)| fails(&shell, sql, "53400", "limit of 50 MiB (--spill-limit)"));
    }
    until_clean(&cluster);
}
