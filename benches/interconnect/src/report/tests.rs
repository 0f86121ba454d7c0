use super::*;
use crate::message::{Done, Socket, Totals, Transport};
use crate::meter::Window;
use crate::suite;
use clap::Parser;

fn window(bytes: u64) -> Window {
    Window { seconds: 1.0, bytes, user_s: 0.25, system_s: 0.5 }
}

fn outcome(windows: &[u64]) -> Outcome {
    let done = Done {
        windows: windows.iter().map(|&bytes| window(bytes)).collect(),
        totals: Totals { bytes: 10, encoded_bytes: 5, batches: 3, broadcasts_encoded: 3 },
        rss_before_bytes: 1 << 20,
        rss_peak_bytes: 3 << 20,
    };
    Outcome { sender: done.clone(), receiver: done }
}

/// Every measurement, the copy at 4 GB/s and all else at 1 GB/s.
fn report() -> Report {
    let options = Options::parse_from(["x"]);
    let results = suite::measures(&options).into_iter().map(|measure| {
        let bytes = if measure.way == Way::Copy(Socket::Tcp) { 4_000_000_000 } else { 1_000_000_000 };
        let windows = vec![bytes; measure.schedule.windows];
        let mut result = Measured::new(measure);
        result.add(Ok(outcome(&windows[..])));
        result.add(Ok(outcome(&windows.iter().map(|bytes| bytes / 2).collect::<Vec<_>>())));
        result
    });
    Report::new(&options, results.collect(), Some(Ok(Tpch { totals_s: vec![1.0, 1.2, 1.3, 1.4] })))
}

fn verdicts(report: &Report, what: &str) -> Vec<Option<bool>> {
    report.demands().into_iter().filter(|demand| demand.what.contains(what)).map(|demand| demand.is_met).collect()
}

#[test]
fn the_fastest_round_is_compared_with_the_copy() {
    let report = report();
    assert_eq!(report.gb_per_s(Kind::Stream, Way::Copy(Socket::Tcp)), Some(4.0));
    assert_eq!(verdicts(&report, "Flight, TCP / plain TCP copy"), [Some(false)]);
    // Over Flight there is a bound, on whatever it is; over QUIC only the figure.
    assert_eq!(verdicts(&report, "TPC-H SF1"), [Some(true), Some(false), None]);
    assert!(verdicts(&report, "Broadcast").iter().all(|&met| met == Some(true)));
    // 1 GB in 0.75 s of CPU time.
    assert_eq!(verdicts(&report, "Redistribute within"), [Some(false)]);
    assert!(!report.is_right(false) && report.is_right(true));
}

#[test]
fn a_slow_receiver_that_slows_others_is_found() {
    let mut report = report();
    assert!(verdicts(&report, "change of the others").iter().all(|&met| met == Some(true)));
    let way = Way::Route(Transport::FlightTcp);
    let slow = report.results.iter_mut().find(|r| r.measure.kind == Kind::SlowReceiver && r.measure.way == way);
    slow.expect("it is measured").outcomes = vec![outcome(&[100, 90, 100, 90, 100])];
    assert_eq!(verdicts(&report, "Slow receiver, Flight, TCP: change"), [Some(false)]);
}

/// A machine that becomes faster, and one window in which it did something else.
#[test]
fn a_drift_is_no_change() {
    let steady = outcome(&[100, 102, 104, 106, 108, 80, 112, 114, 116]);
    assert!(steady.change_by_sleep().abs() < 0.001, "{}", steady.change_by_sleep());
    let slowed = outcome(&[100, 92, 104, 95, 108, 99, 112, 102, 116]);
    assert!((-0.11..-0.08).contains(&slowed.change_by_sleep()), "{}", slowed.change_by_sleep());
}

#[test]
fn failures_are_said() {
    let mut report = report();
    report.results[2].add(Err(BenchError::Lost { sent: 2, received: 1 }));
    let text = report.text();
    assert!(text.contains("stream/do-put failed: 2 bytes were sent, 1 received"), "{text}");
    assert!(!report.is_right(true));
}

#[test]
fn a_report_is_written() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (text, svg) = report().write(directory.path()).expect("written");
    let text = fs::read_to_string(text).expect("read");
    let svg = fs::read_to_string(svg).expect("read");
    assert!(text.contains("h2 0.") && !text.contains("quinn unknown"), "{text}");
    let line = text.lines().find(|line| line.starts_with("plain TCP copy")).expect("a line of it");
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(cells, ["plain", "TCP", "copy", "4.00", "1.00", "0.062", "0.125", "0.062", "0.125", "2.67"]);
    assert!(svg.contains("<title>plain TCP copy, one stream: 4.000 GB/s</title>"), "{svg}");
}
