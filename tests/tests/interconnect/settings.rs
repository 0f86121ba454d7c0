//! The cluster's settings, and what must be the same everywhere (row 37).

use damson_tests::processes::{BUILD, ProcessCluster, Setup};
use std::time::Duration;

fn setup(master: &[&str], segment: &[&str]) -> Setup {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Setup {
        segments: 1,
        master_arguments: owned(master),
        segment_arguments: owned(segment),
        has_certificates: true,
        ..Setup::default()
    }
}

#[test]
fn the_masters_settings_are_the_segments() {
    let cluster = ProcessCluster::start_with(setup(
        &[
            "--interconnect-driver",
            "flight",
            "--interconnect-peer-timeout",
            "3000",
            "--interconnect-unix-sockets",
            "off",
        ],
        &[],
    ));
    let shell = cluster.shell();
    assert_eq!(shell.value("SHOW interconnect.driver"), "flight");
    assert_eq!(shell.value("SHOW interconnect.peer_timeout"), "3000ms");
    assert_eq!(shell.value("SHOW interconnect.heartbeat"), "500ms");
    assert_eq!(shell.value("SHOW interconnect.unix_sockets"), "off");
    let run = shell.run("csv", &["-c", "SET interconnect.driver = 'quic'"]);
    assert!(!run.success && run.stderr.contains("restart"), "{run:?}");
}

#[test]
fn a_segment_with_another_driver_is_refused() {
    let cluster = ProcessCluster::start_master_with(setup(
        &["--interconnect-driver", "flight"],
        &["--interconnect-driver", "quic"],
    ));
    let mut stranger = cluster.spawn_segment(0, BUILD);
    assert!(!stranger.wait(Duration::from_secs(30)).success());
    let message = stranger.stderr();
    assert!(message.contains("driver quic") && message.contains("flight"), "both drivers are named: {message}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let setup = setup(&["--interconnect-heartbeat", "2500"], &["--interconnect-driver", "x"]);
    let mut cluster = ProcessCluster::start_master_with(Setup { has_certificates: false, ..setup });
    let mut segment = cluster.spawn_segment(0, BUILD);
    assert!(!segment.wait(Duration::from_secs(30)).success());
    assert!(segment.stderr().contains("auto, inproc, flight, quic"), "{}", segment.stderr());
    assert!(!cluster.master().wait(Duration::from_secs(30)).success());
    let message = cluster.master().stderr();
    assert!(message.contains("2500") && message.contains("4000"), "{message}");
}

/// Changed by a restart of the master: segments that run with the old one end, and take the new one when they start.
#[test]
fn another_driver_after_a_restart() {
    let mut cluster = ProcessCluster::start_with(setup(&["--interconnect-driver", "flight"], &[]));
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (a int) DISTRIBUTED BY (a)");
    shell.execute("INSERT INTO t VALUES (1), (2), (3)");
    cluster.restart_master(&["--interconnect-driver", "quic"]);
    assert!(!cluster.segment(0).wait(Duration::from_secs(30)).success());
    let message = cluster.segment(0).stderr();
    assert!(message.contains("driver flight") && message.contains("quic"), "both drivers are named: {message}");
    cluster.restart_segment(0);
    assert_eq!(shell.value("SHOW interconnect.driver"), "quic");
    assert_eq!(shell.value("SELECT sum(a) FROM t"), "6");
}

/// A segment of another build neither starts beside the others nor comes back as one of them.
#[test]
fn a_segment_of_another_build_does_not_join() {
    let mut cluster = ProcessCluster::start(1);
    let shell = cluster.shell();
    cluster.kill_segment(0);
    let mut stranger = cluster.spawn_segment(0, "test-build-2");
    assert!(!stranger.wait(Duration::from_secs(30)).success());
    let message = stranger.stderr();
    assert!(message.contains(BUILD) && message.contains("test-build-2"), "both builds are named: {message}");
    assert_eq!(shell.value("SELECT 1 + 1"), "2");
    cluster.restart_segment(0);
    shell.execute("CREATE TABLE t (a int) DISTRIBUTED BY (a)");
    assert_eq!(shell.value("SELECT count(*) FROM t"), "0");
}
