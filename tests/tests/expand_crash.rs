//! Clusters that grow and shrink under a load, while the master and segments are killed: rows 21 and 22 of the faults that the project answers for.
//!
//! 21: the master, or a segment, crashes at any step of an expansion, which is then resumed or rolled back; the rows are the same. 22: others
//! read and write, define tables and COPY while rows are moved; none is lost or doubled, and tables that are laid out by different bucket maps
//! join right.
//!
//! A round is a new cluster of 2 segments, which becomes one of 5, and of 3 of these. `DAMSON_EXPANSIONS=100 cargo test --release -p damson-tests
//! expand_crash::` does more of them; `DAMSON_SEED` chooses other moments and maps.

use damson_cluster::{BUCKETS, BucketMap};
use damson_tests::load::{Load, acknowledged, holders, strays};
use damson_tests::processes::{ProcessCluster, Setup, Shell, wait_for};
use damson_tests::random::seed_from_env;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

const OLD: Range<usize> = 0..2;
const NEW: Range<usize> = 2..5;
/// Segments that are left in the end.
const LEFT: usize = 3;
/// All tables are laid out by a new map within this time, whatever is killed meanwhile.
const LAID_OUT_WITHIN: Duration = Duration::from_secs(120);
/// Orphans are gone after two rounds of the collector.
const COLLECTED_WITHIN: Duration = Duration::from_secs(60);
/// Which rounds wait for the collector: every so many, and the last one.
const COLLECTED_EVERY: usize = 5;
/// Runs of buckets that each segment owns.
const RUNS: usize = 2;

/// Where the master ends itself while a cluster is laid out anew, and how often each place is passed at least. As one more fault it is killed at any
/// moment.
const OF_MASTER: [(&str, u32); 6] = [
    ("map.before_commit", 1),
    ("map.after_commit", 1),
    ("expand.after_copy", 1),
    ("expand.after_group", 3),
    ("expand.before_switch", 5),
    ("expand.after_switch", 5),
];

/// What is killed at some moment; the master at one of its failpoints, too.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Master,
    Segment(usize),
}

/// The faults of one change of the layout.
#[derive(Clone, Debug)]
struct Faults {
    /// The master's failpoint; None: it is killed like a segment.
    failpoint: Option<String>,
    kills: Vec<(Duration, Victim)>,
}

impl Faults {
    /// The `kind`th of the master's, and the kill of a segment: of one that was there, or that came.
    fn new(kind: usize, rng: &mut StdRng) -> Self {
        let failpoint = OF_MASTER.get(kind).map(|(name, passed)| format!("{name}={}", rng.random_range(1..=*passed)));
        let mut moment = || Duration::from_millis(rng.random_range(50..2500));
        let mut kills = vec![];
        if failpoint.is_none() {
            kills.push((moment(), Victim::Master));
        }
        let at = moment();
        let contents = if rng.random_bool(0.5) { OLD } else { NEW };
        kills.push((at, Victim::Segment(rng.random_range(contents))));
        kills.sort_by_key(|(at, _)| *at);
        Faults { failpoint, kills }
    }
}

/// A bucket map as the setting is written: each of the segments owns something, in several runs of any length.
fn some_map(segments: &[usize], rng: &mut StdRng) -> String {
    let owners = segments.iter().copied().cycle().take(RUNS * segments.len());
    let mut ends = BTreeSet::from([BUCKETS]);
    while ends.len() < RUNS * segments.len() {
        ends.insert(rng.random_range(1..BUCKETS));
    }
    let mut begin = 0;
    let run = |(owner, end): (usize, usize)| {
        let buckets = end - std::mem::replace(&mut begin, end);
        format!("{owner}*{buckets}")
    };
    owners.zip(ends).map(run).collect::<Vec<_>>().join(" ")
}

/// Sets the map, and moves one table after the other, until all are where it says: whatever fails is done again.
fn lay_out(shell: &Shell, map: &str) {
    let began = Instant::now();
    let wait = |what: &str| {
        assert!(began.elapsed() < LAID_OUT_WITHIN, "{what} by {map} is not done");
        thread::sleep(Duration::from_millis(20));
    };
    let is_set = || {
        let shown = shell.run("csv", &["-c", "SHOW bucket_map"]);
        shown.success && shown.stdout.lines().nth(1) == Some(map)
    };
    while !is_set() && !acknowledged(shell, &format!("ALTER SYSTEM SET bucket_map = '{map}'")) {
        wait("the map");
    }
    let mut moved = BTreeSet::new();
    loop {
        let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
        let tables = shell.run("csv", &["-c", tables]);
        if tables.success {
            let left: Vec<&str> = tables.stdout.lines().skip(1).filter(|table| !moved.contains(*table)).collect();
            if left.is_empty() {
                return;
            }
            for table in left {
                // One that has been dropped meanwhile is not there in the next list.
                if acknowledged(shell, &format!("ALTER TABLE {table} EXPAND TABLE")) {
                    moved.insert(table.to_owned());
                }
            }
        }
        wait("the layout");
    }
}

/// Lays the cluster out anew while the clients are at work and `faults` happen. What has ended is started again at once.
fn lay_out_under_load(cluster: &mut ProcessCluster, load: &Load, map: &str, faults: &Faults, rng: &mut StdRng) {
    println!("to {map} with {faults:?}");
    let shell = cluster.shell();
    let mut at_failpoint = false;
    load.run(rng, || {
        thread::scope(|scope| {
            let laying_out = scope.spawn(|| lay_out(&shell, map));
            let began = Instant::now();
            let mut kills = faults.kills.iter().peekable();
            // Kills that come too late for the layout meet the clients.
            while !laying_out.is_finished() || kills.peek().is_some() {
                if let Some((_, victim)) = kills.next_if(|(at, _)| began.elapsed() >= *at) {
                    match victim {
                        Victim::Master => cluster.master().kill(),
                        Victim::Segment(content) => cluster.kill_segment(*content),
                    }
                }
                if cluster.master().try_wait().is_some() {
                    if faults.failpoint.is_some() && !at_failpoint {
                        let told = cluster.master().stderr();
                        assert!(told.contains("the process ends here"), "the master ended by itself: {told}");
                        at_failpoint = true;
                    }
                    cluster.set_failpoint(None);
                    cluster.respawn_master();
                }
                cluster.respawn_segments();
                thread::sleep(Duration::from_millis(10));
            }
            // Its own panic, if it has one.
            if let Err(panic) = laying_out.join() {
                std::panic::resume_unwind(panic);
            }
        });
    });
    assert!(at_failpoint || faults.failpoint.is_none(), "{faults:?}: the failpoint was not reached");
}

/// A cluster that has grown and shrunk, and has no row too many or too few.
fn round(mut cluster: ProcessCluster, faults: [Faults; 2], is_collected: bool, rng: &mut StdRng) {
    let [growing, shrinking] = faults;
    let load = Load::new(&cluster);
    cluster.start_candidates(NEW.len());
    let mut segments: Vec<usize> = OLD.chain(NEW).collect();
    segments.shuffle(rng);
    let map = some_map(&segments, rng);
    lay_out_under_load(&mut cluster, &load, &map, &growing, rng);
    load.check();
    assert_is_laid_out(&cluster, &map);

    if shrinking.failpoint.is_some() {
        cluster.set_failpoint(shrinking.failpoint.clone().map(|failpoint| (None, failpoint)));
        cluster.restart(true, &[]);
    }
    segments.shuffle(rng);
    segments.truncate(LEFT);
    let map = some_map(&segments, rng);
    lay_out_under_load(&mut cluster, &load, &map, &shrinking, rng);
    load.check();
    assert_is_laid_out(&cluster, &map);

    load.assert_something_was_done();
    let (unknown, missing) = strays(cluster.directory(), None);
    assert!(missing.is_empty(), "the catalog names files that are not there: {missing:?}");
    println!("{} files are nobody's", unknown.len());
    if !is_collected {
        return;
    }
    wait_for("end of the orphans", COLLECTED_WITHIN, || strays(cluster.directory(), None).0.is_empty().then_some(()));
    cluster.wait_until_clean();
    load.check();
}

/// No table has rows on a segment that owns nothing. Tables that transactions made which had begun before the map are moved first.
fn assert_is_laid_out(cluster: &ProcessCluster, map: &str) {
    lay_out(&cluster.shell(), map);
    let owners = BucketMap::parse_owners(map).expect("a map");
    let owners: BTreeSet<i32> = owners.into_iter().map(i32::from).collect();
    let holders = holders(cluster.directory(), None);
    assert!(holders.is_subset(&owners), "rows are on segments {holders:?}, of which {owners:?} own something");
}

#[test]
fn an_expansion_outlives_every_kill() {
    let rounds: usize = std::env::var("DAMSON_EXPANSIONS").map_or(3, |rounds| rounds.parse().expect("a number"));
    let seed = seed_from_env();
    println!("seed {seed}, {rounds} rounds");
    let mut rng = StdRng::seed_from_u64(seed);
    // Three rounds have all of the master's.
    let mut kinds: Vec<usize> = (0..=OF_MASTER.len()).collect();
    kinds.shuffle(&mut rng);
    let mut kinds = kinds.into_iter().cycle();
    for number in 0..rounds {
        let began = Instant::now();
        let mut faults = || Faults::new(kinds.next().expect("there is no end of them"), &mut rng);
        let faults = [faults(), faults()];
        println!("round {number}");
        let cluster = ProcessCluster::start_with(Setup {
            segments: OLD.len(),
            segments_later: NEW.len(),
            master_failpoint: faults[0].failpoint.clone(),
            ..Setup::default()
        });
        let is_collected = number % COLLECTED_EVERY == COLLECTED_EVERY - 1 || number == rounds - 1;
        round(cluster, faults, is_collected, &mut rng);
        println!("round {number} took {:?}", began.elapsed());
    }
}
