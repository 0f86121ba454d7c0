//! Links that are cut, lose, delay, or end too early (rows 7, 8 and 11).

use super::scene::*;
use damson_tests::fault_proxy::Faults;
use damson_tests::processes::wait_for;
use std::time::{Duration, Instant};

/// Two segments do not see each other; the master sees both.
fn cut_between_segments(via: Via) {
    let (cluster, shell) = cluster(via, 3);
    let network = cluster.network();
    let expected = shell.rows(REDISTRIBUTED);
    let gathered = shell.rows(GATHERED);
    let mut victim = Running::start(&cluster, "victim", FLOWING, 3);
    assert!(network.bytes("seg0", "seg1") > 0, "nothing went through the proxy");
    let since = Instant::now();
    network.cut("seg0", "seg1");
    let error = victim.fails(since, SILENT_FAILS_WITHIN);
    assert!(names_pair(&error, "seg0", "seg1"), "{error}");
    victim.leaves_nothing(&shell);

    // Again from the start, now that the connections are known to be gone.
    let error = error_of(&shell, REDISTRIBUTED);
    assert!(names_pair(&error, "seg0", "seg1"), "{error}");
    // The cut concerns nobody else: the master sees both.
    assert_eq!(shell.rows(GATHERED), gathered);
    for content in 0..3 {
        wait_for_status(&shell, content, "u", Duration::ZERO);
    }

    network.mend("seg0", "seg1");
    assert_eq!(rows_eventually(&shell, REDISTRIBUTED), expected);
    victim.leaves_nothing(&shell);
}

#[test]
fn segments_that_do_not_see_each_other_tcp() {
    cut_between_segments(Via::Tcp);
}

#[test]
fn segments_that_do_not_see_each_other_quic() {
    cut_between_segments(Via::Quic);
}

/// What one says arrives, what the other answers does not.
fn cut_one_way(via: Via) {
    let (cluster, shell) = cluster(via, 2);
    let network = cluster.network();
    let expected = shell.rows(REDISTRIBUTED);
    for (from, to) in [("seg0", "seg1"), ("seg1", "seg0")] {
        let mut victim = Running::start(&cluster, "victim", FLOWING, 2);
        let since = Instant::now();
        network.set(from, to, Faults::cut());
        let error = victim.fails(since, SILENT_FAILS_WITHIN);
        assert!(names_pair(&error, "seg0", "seg1"), "{error}");
        victim.leaves_nothing(&shell);
        network.mend("seg0", "seg1");
        assert_eq!(rows_eventually(&shell, REDISTRIBUTED), expected);
        // The end that still hears the other one may have kept a connection that this one has given up; what runs over it then is reset.
        std::thread::sleep(SILENT_FAILS_WITHIN.saturating_sub(since.elapsed()));
    }
}

#[test]
fn a_link_cut_one_way_tcp() {
    cut_one_way(Via::Tcp);
}

#[test]
fn a_link_cut_one_way_quic() {
    cut_one_way(Via::Quic);
}

/// The master does not see a segment that the others see.
fn cut_from_the_master(via: Via) {
    let (cluster, shell) = cluster(via, 2);
    let network = cluster.network();
    let expected = shell.rows(REDISTRIBUTED);
    let mut victim = Running::start(&cluster, "victim", FLOWING, 2);
    let since = Instant::now();
    network.cut("master", "seg1");
    let error = victim.fails(since, SILENT_FAILS_WITHIN);
    assert!(names_node(&error, "seg1"), "{error}");
    wait_for_status(&shell, 1, "d", SILENT_FAILS_WITHIN);
    victim.leaves_nothing(&shell);
    assert_eq!(shell.value("SELECT 1 + 1"), "2");

    network.mend("master", "seg1");
    wait_for_status(&shell, 1, "u", Duration::from_secs(10));
    assert_eq!(rows_eventually(&shell, REDISTRIBUTED), expected);
    victim.leaves_nothing(&shell);
}

#[test]
fn a_segment_cut_from_its_master_tcp() {
    cut_from_the_master(Via::Tcp);
}

#[test]
fn a_segment_cut_from_its_master_quic() {
    cut_from_the_master(Via::Quic);
}

/// Every statement gives the right answer, or an error; and some give the answer.
fn right_or_an_error(via: Via, what: &str, faults: Faults) {
    const ROUNDS: usize = 6;
    let (cluster, shell) = cluster(via, 3);
    let network = cluster.network();
    let expected = shell.rows(REDISTRIBUTED);
    let nodes = ["master", "seg0", "seg1", "seg2"];
    for (i, a) in nodes.iter().enumerate() {
        nodes[i + 1..].iter().for_each(|b| network.set_both(a, b, faults));
    }
    let mut answers = 0;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let run = shell.run("csv", &["-c", REDISTRIBUTED]);
        println!("{what}: {} after {:?}", if run.success { "the answer" } else { "an error" }, started.elapsed());
        assert!(started.elapsed() < Duration::from_secs(60), "it hung");
        if run.success {
            answers += 1;
            assert_eq!(damson_tests::processes::parse_csv(&run.stdout)[1..], expected[..]);
        } else {
            assert!(run.stderr.contains("08006"), "not an error of the network: {}", run.stderr);
        }
    }
    assert!(answers > 0, "{what}: no statement of {ROUNDS} succeeded");
    for (i, a) in nodes.iter().enumerate() {
        nodes[i + 1..].iter().for_each(|b| network.mend(a, b));
    }
    assert_eq!(rows_eventually(&shell, REDISTRIBUTED), expected);
}

const LOSSY: Faults = Faults {
    is_cut: false,
    delay: Duration::from_millis(2),
    bytes_per_s_max: None,
    loss_percent: 5,
    duplicate_percent: 5,
    reorder_percent: 10,
};

#[test]
fn five_percent_loss_delay_and_reordering_tcp() {
    right_or_an_error(Via::Tcp, "5 % loss", LOSSY);
}

#[test]
fn five_percent_loss_delay_and_reordering_quic() {
    right_or_an_error(Via::Quic, "5 % loss", LOSSY);
}

/// Connections that end in order, in the middle of streams: never a short result. A QUIC connection has no end that
/// somebody between its nodes could make.
fn ended_too_early(via: Via) {
    let (cluster, shell) = cluster(via, 2);
    let network = cluster.network();
    let expected = shell.rows(REDISTRIBUTED);
    let mut victim = Running::start(&cluster, "victim", FLOWING, 2);
    let since = Instant::now();
    network.close("seg0", "seg1");
    let error = victim.fails(since, FAILS_WITHIN);
    assert!(names_pair(&error, "seg0", "seg1"), "{error}");
    victim.leaves_nothing(&shell);
    assert_eq!(rows_eventually(&shell, REDISTRIBUTED), expected);

    // At any moment of a query that has an end: the whole answer, or an error.
    for round in 0..10_u64 {
        let mut client = shell.spawn("client", cluster.directory(), REDISTRIBUTED);
        let limit = network.bytes("seg0", "seg1") + round * 300_000;
        wait_for("traffic", Duration::from_secs(30), || {
            (network.bytes("seg0", "seg1") > limit || client.try_wait().is_some()).then_some(())
        });
        network.close("seg0", "seg1");
        if client.wait(Duration::from_secs(30)).success() {
            assert_eq!(damson_tests::processes::parse_csv(&client.stdout())[1..], expected[..]);
        } else {
            assert!(client.stderr().contains("08006"), "{}", client.stderr());
        }
    }
    assert_eq!(rows_eventually(&shell, REDISTRIBUTED), expected);
}

#[test]
fn streams_that_end_too_early_tls() {
    ended_too_early(Via::Tcp);
}

#[test]
fn streams_that_end_too_early_plain() {
    ended_too_early(Via::PlainTcp);
}
