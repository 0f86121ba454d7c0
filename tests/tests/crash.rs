//! Processes that are killed while clients change rows: what was acknowledged is there, the rest is whole or not at all.
//!
//! `DAMSON_KILLS=200 cargo test --release -p damson-tests crash::` kills more often; `DAMSON_SEED` chooses other moments.

use damson_tests::load::{Load, strays};
use damson_tests::postgres::PostgresServer;
use damson_tests::processes::{ProcessCluster, Setup, wait_for};
use damson_tests::random::seed_from_env;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::thread;
use std::time::{Duration, Instant};

const SEGMENTS: usize = 2;
/// A process that reaches no failpoint within this time goes on.
const FAILPOINT_WITHIN: Duration = Duration::from_secs(5);
/// Orphans are gone after two rounds of the collector.
const COLLECTED_WITHIN: Duration = Duration::from_secs(60);

/// Where the master can end itself, and where a segment can, at each step of a commit.
const MASTER_FAILPOINTS: [&str; 2] = ["commit.before_store", "commit.after_store"];
const SEGMENT_FAILPOINTS: [&str; 3] = ["write.before_sync", "write.after_sync", "write.after_vector"];
/// Times that a failpoint is passed at most.
const PASSED_MAX: u32 = 12;

#[test]
fn what_was_acknowledged_outlives_every_kill() {
    outlives_every_kill(10, None);
}

/// Where a master is killed, the other one goes on; the database that has the catalog is killed, too.
#[test]
fn what_was_acknowledged_outlives_every_kill_with_a_standby() {
    let Some(server) = PostgresServer::start() else { return };
    outlives_every_kill(6, Some(&server));
}

fn outlives_every_kill(kills: usize, postgres: Option<&PostgresServer>) {
    let kills: usize = std::env::var("DAMSON_KILLS").map_or(kills, |count| count.parse().expect("a number"));
    let seed = seed_from_env();
    println!("seed {seed}, {kills} kills");
    let mut rng = StdRng::seed_from_u64(seed);
    let catalog = postgres.map(|server| server.url().to_owned());
    let mut cluster = ProcessCluster::start_with(Setup { segments: SEGMENTS, catalog, ..Setup::default() });
    let load = Load::new(&cluster);
    let mut at_failpoints = 0;
    for kill in 0..kills {
        // Every other time a process ends by itself, at some step of a commit.
        let failpoint = rng.random_bool(0.5).then(|| {
            let times = rng.random_range(1..=PASSED_MAX);
            let (who, names): (Option<usize>, &[&str]) = match rng.random_bool(0.5) {
                true => (None, &MASTER_FAILPOINTS),
                false => (Some(rng.random_range(0..SEGMENTS)), &SEGMENT_FAILPOINTS),
            };
            (who, format!("{}={times}", names[rng.random_range(0..names.len())]))
        });
        if let Some((who, name)) = &failpoint {
            println!("kill {kill}: {name} of {who:?}");
            cluster.set_failpoint(failpoint.clone());
            cluster.restart(who.is_none(), who.as_slice());
        }
        // Who is killed: a segment, the master, or all at once.
        let victim = rng.random_range(0..SEGMENTS + 2);
        let segments: Vec<usize> =
            (0..SEGMENTS).filter(|&content| victim == content || victim == SEGMENTS + 1).collect();
        let pause = Duration::from_millis(rng.random_range(50..900));
        load.run(&mut rng, || match &failpoint {
            Some((who, _)) => {
                let ends = Instant::now() + FAILPOINT_WITHIN;
                let node = match who {
                    None => cluster.master(),
                    Some(content) => cluster.segment(*content),
                };
                while node.try_wait().is_none() && Instant::now() < ends {
                    thread::sleep(Duration::from_millis(5));
                }
                at_failpoints += usize::from(node.try_wait().is_some());
            }
            None => {
                thread::sleep(pause);
                if victim >= SEGMENTS {
                    cluster.master().kill();
                }
                if let Some(server) = postgres.filter(|_| victim == 0) {
                    server.crash();
                }
                segments.iter().for_each(|&content| cluster.kill_segment(content));
            }
        });
        cluster.set_failpoint(None);
        match &failpoint {
            Some((who, _)) => cluster.restart(who.is_none(), who.as_slice()),
            None => cluster.restart(victim >= SEGMENTS, &segments),
        }
        println!("kill {kill}: victim {victim} after {pause:?}");
        load.check();
    }
    load.assert_something_was_done();
    assert!(at_failpoints > 0 || kills < 5, "no failpoint was reached");
    let (_, missing) = strays(cluster.directory(), postgres);
    assert!(missing.is_empty(), "the catalog names files that are not there: {missing:?}");
    wait_for("end of the orphans", COLLECTED_WITHIN, || {
        strays(cluster.directory(), postgres).0.is_empty().then_some(())
    });
    cluster.wait_until_clean();
    load.check();
}
