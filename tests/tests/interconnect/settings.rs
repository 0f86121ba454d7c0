//! The cluster's settings, and what must be the same everywhere (row 37).

use damson_tests::processes::{BUILD, ProcessCluster, Setup};
use std::time::Duration;

fn setup(master: &[&str], segment: &[&str]) -> Setup {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Setup { segments: 1, master_arguments: owned(master), segment_arguments: owned(segment), ..Setup::default() }
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
    let cluster = ProcessCluster::start_master_with(setup(
        &["--interconnect-heartbeat", "1500"],
        &["--interconnect-driver", "x"],
    ));
    let mut segment = cluster.spawn_segment(0, BUILD);
    assert!(!segment.wait(Duration::from_secs(30)).success());
    assert!(segment.stderr().contains("auto, inproc, flight, quic"), "{}", segment.stderr());
    let mut cluster = cluster;
    assert!(!cluster.master().wait(Duration::from_secs(30)).success());
    let message = cluster.master().stderr();
    assert!(message.contains("1500") && message.contains("2000"), "{message}");
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
