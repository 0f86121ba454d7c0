//! Peers that die or stop (rows 5, 6 and 10).

use super::scene::*;
use damson_tests::processes::wait_for;
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// Four seconds are the setting; the rest is for a machine that is busy with the test.
const DETECTED_WITHIN: Duration = Duration::from_secs(7);

fn killed_in_a_motion(via: Via) {
    let (mut cluster, shell) = cluster(via, 3);
    let expected = shell.rows(REDISTRIBUTED);
    let mut victim = Running::start(&cluster, "victim", FLOWING, 3);
    // Runs on the master alone.
    let mut bystander =
        shell.spawn("bystander", cluster.directory(), "SELECT sum(x % 7) FROM generate_series(1, 1000000000) AS g(x)");
    let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT sum(x %'";
    wait_for("the other session's query", Duration::from_secs(10), || (shell.value(running) == "1").then_some(()));
    assert!(bystander.try_wait().is_none(), "the other session's query was too short: {}", bystander.stderr());
    let since = Instant::now();
    cluster.kill_segment(1);
    let error = victim.fails(since, FAILS_WITHIN);
    assert!(names_node(&error, "seg1"), "{error}");
    victim.leaves_nothing(&shell);
    let error = error_of(&shell, REDISTRIBUTED);
    assert!(error.contains("seg1"), "{error}");

    // What needs no lost segment goes on working.
    assert_eq!(shell.value("SELECT 1 + 1"), "2");
    cluster.restart_segment(1);
    assert_eq!(rows_eventually(&shell, REDISTRIBUTED), expected);
    assert!(bystander.wait(Duration::from_secs(120)).success(), "{}", bystander.stderr());
}

#[test]
fn a_segment_killed_in_a_motion_tcp() {
    killed_in_a_motion(Via::Tcp);
}

#[test]
fn a_segment_killed_in_a_motion_unix() {
    killed_in_a_motion(Via::Unix);
}

#[test]
fn a_segment_killed_in_a_motion_quic() {
    killed_in_a_motion(Via::Quic);
}

/// Grey failure: the process is there and says nothing. Its kernel holds connections open and takes what is sent.
fn stopped_in_a_motion(via: Via) {
    let (mut cluster, shell) = cluster(via, 2);
    let expected = shell.rows(REDISTRIBUTED);
    let mut victim = Running::start(&cluster, "victim", FLOWING, 2);
    let since = Instant::now();
    cluster.segment(1).signal(Signal::SIGSTOP);
    let error = victim.fails(since, SILENT_FAILS_WITHIN);
    assert!(names_node(&error, "seg1"), "{error}");
    // The master has taken it for down, and says so at once when it is asked for more.
    wait_for_status(&shell, 1, "d", DETECTED_WITHIN.saturating_sub(since.elapsed()));
    victim.leaves_nothing(&shell);
    let asked = Instant::now();
    let error = error_of(&shell, REDISTRIBUTED);
    assert!(error.contains("seg1"), "{error}");
    assert!(asked.elapsed() < DETECTED_WITHIN, "a segment that is known to be down was waited for");

    // It wakes up with slices of a query that is over, and rows that nobody wants any more.
    cluster.segment(1).signal(Signal::SIGCONT);
    wait_for_status(&shell, 1, "u", Duration::from_secs(10));
    assert_eq!(rows_eventually(&shell, REDISTRIBUTED), expected, "late rows of the failed query were counted");
    victim.leaves_nothing(&shell);
    for _ in 0..3 {
        assert_eq!(shell.rows(REDISTRIBUTED), expected);
    }
}

#[test]
fn a_segment_stopped_in_a_motion_tcp() {
    stopped_in_a_motion(Via::Tcp);
}

#[test]
fn a_segment_stopped_in_a_motion_unix() {
    stopped_in_a_motion(Via::Unix);
}

#[test]
fn a_segment_stopped_in_a_motion_quic() {
    stopped_in_a_motion(Via::Quic);
}
