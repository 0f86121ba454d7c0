//! The report as text.

use super::{Measured, Report};
use crate::bench::Outcome;
use crate::limits::{BATCH_BYTES, BATCH_ROWS, COLUMNS, CONTENTS, RECEIVERS};
use crate::message::{Side, Socket, Transport};
use crate::suite::{Kind, Way};
use crate::tpch::ENGINES;
use damson_bench_report::{aligned, gibibytes};
use std::fmt::Write;

/// Crates whose versions matter to the figures.
const CRATES: [&str; 6] = ["arrow-flight", "tonic", "hyper", "h2", "quinn", "rustls"];
const LOCK: &str = include_str!("../../../../Cargo.lock");

/// The whole report for a terminal.
pub fn render(report: &Report) -> String {
    format!("\n{}\n{}", preamble(report), body(report))
}

/// The same as a file of the repository.
pub fn markdown(report: &Report, stem: &str) -> String {
    let day = report.date.get(..10).unwrap_or(&report.date);
    let mut text =
        format!("# Interconnect, {day}\n\n`make bench-interconnect` (`{}`), everything in one run.", report.command);
    // Writing to a String cannot fail.
    let _ = write!(text, " ![chart]({stem}.svg)\n\n```\n{}\n{}```\n", preamble(report), body(report));
    text
}

fn preamble(report: &Report) -> String {
    let commit = report.commit.as_deref().unwrap_or("unknown");
    let versions = CRATES.map(|name| format!("{name} {}", version(name)));
    format!(
        "GB/s of rows: {COLUMNS} columns of 8 bytes, batches of {BATCH_ROWS} rows ({} KiB); best of {} windows of {} s\n\
         {}, kernel {}; {}\n\
         damson {}, commit {commit}; {}\n",
        BATCH_BYTES >> 10,
        report.rounds,
        report.window.as_secs_f64(),
        report.machine,
        report.machine.kernel,
        report.date,
        env!("CARGO_PKG_VERSION"),
        versions.join(", "),
    )
}

/// A crate's version, as it is built in.
fn version(name: &str) -> &'static str {
    let mut lines = LOCK.lines().skip_while(|line| *line != format!("name = \"{name}\""));
    let version = lines.nth(1).and_then(|line| line.strip_prefix("version = \""));
    version.map_or("unknown", |version| version.trim_end_matches('"'))
}

fn body(report: &Report) -> String {
    let mut text = String::new();
    for (kind, title) in [
        (Kind::Stream, "one stream".to_string()),
        (Kind::Streams, format!("{CONTENTS} routes")),
        (Kind::Redistribute, format!("redistribute {CONTENTS}:{CONTENTS}")),
    ] {
        text += &rates(report, kind, title);
    }
    text += &compression(report);
    text += &broadcast(report);
    text += &slow_receiver(report);
    text += &tpch(report);
    text += &demands(report);
    for result in &report.results {
        if let Some(error) = &result.error {
            let _ = writeln!(text, "{} failed: {error}", result.measure.name);
        }
    }
    text
}

/// A table with a line for each result, or nothing where there is none.
fn table<'a>(
    header: &[String],
    results: impl Iterator<Item = &'a Measured>,
    line: impl Fn(&Measured, &Outcome) -> Vec<String>,
) -> String {
    let mut rows = vec![header.to_vec()];
    rows.extend(results.map(|result| match result.best() {
        Some(best) => line(result, best),
        None => {
            let mut row = vec![result.measure.way.title(), "failed".into()];
            row.resize(header.len(), String::new());
            row
        }
    }));
    if rows.len() == 1 { String::new() } else { aligned(&rows) + "\n" }
}

fn of(report: &Report, is_wanted: impl Fn(Kind) -> bool) -> impl Iterator<Item = &Measured> {
    report.results.iter().filter(move |result| is_wanted(result.measure.kind))
}

/// CPU time is seconds for a GB: of the sender in its own code and in the kernel, then of the receiver.
fn rates(report: &Report, kind: Kind, title: String) -> String {
    let copy = report.gb_per_s(Kind::Stream, Way::Copy(Socket::Tcp));
    let columns = ["GB/s", "/ TCP copy", "sender user", "sys", "receiver user", "sys", "GB per CPU s"];
    let header: Vec<String> = [title].into_iter().chain(columns.map(String::from)).collect();
    table(&header, of(report, |of| of == kind), |result, best| {
        let way = result.measure.way;
        let is_one = way == Way::Route(Transport::InProcess);
        let rate = best.gb_per_s();
        let ((user_1, system_1), (user_2, system_2)) =
            (best.sender.windows[0].cpu_per_gb(), best.receiver.windows[0].cpu_per_gb());
        // One process has no sides.
        let second = |value: f64| if is_one { "-".to_string() } else { format!("{value:.3}") };
        vec![
            way.title(),
            format!("{rate:.2}"),
            copy.map_or_else(|| "-".into(), |copy| format!("{:.2}", rate / copy)),
            format!("{user_1:.3}"),
            format!("{system_1:.3}"),
            second(user_2),
            second(system_2),
            format!("{:.2}", best.gb_per_cpu_s(if is_one { Side::Both } else { Side::Receiver })),
        ]
    })
}

fn compression(report: &Report) -> String {
    let header = ["compression", "rows", "codec", "GB/s", "sent / rows"].map(String::from);
    table(&header, of(report, |kind| matches!(kind, Kind::Compression { .. })), |result, best| {
        let Kind::Compression { rows, codec } = result.measure.kind else { unreachable!("only these were asked for") };
        let sent = best.sender.totals.encoded_bytes as f64 / best.sender.totals.bytes as f64;
        vec![
            result.measure.way.title(),
            format!("{rows:?}").to_lowercase(),
            format!("{codec:?}").to_lowercase(),
            format!("{:.2}", best.gb_per_s()),
            format!("{sent:.2}"),
        ]
    })
}

fn broadcast(report: &Report) -> String {
    let header = [format!("broadcast to {RECEIVERS}"), "GB/s received".into(), "batches".into(), "encoded".into()];
    table(&header, of(report, |kind| kind == Kind::Broadcast), |result, best| {
        let totals = best.sender.totals;
        vec![
            result.measure.way.title(),
            format!("{:.2}", best.gb_per_s()),
            totals.batches.to_string(),
            totals.broadcasts_encoded.to_string(),
        ]
    })
}

fn slow_receiver(report: &Report) -> String {
    let seconds =
        of(report, |kind| kind == Kind::SlowReceiver).map(|result| result.measure.schedule.window.as_secs_f64());
    let others = RECEIVERS - 1;
    let header = [
        format!("1 of {RECEIVERS} sleeps {} s", seconds.last().unwrap_or(0.0)),
        format!("GB/s of {others}, awake"),
        "asleep".into(),
        "change".into(),
        "sender's memory, GiB".into(),
    ];
    table(&header, of(report, |kind| kind == Kind::SlowReceiver), |result, best| {
        let (awake, asleep) = best.awake_and_asleep();
        vec![
            result.measure.way.title(),
            format!("{awake:.2}"),
            format!("{asleep:.2}"),
            format!("{:+.1} %", best.change_by_sleep() * 100.0),
            format!("{:.3}", gibibytes(best.sender_growth_bytes())),
        ]
    })
}

fn tpch(report: &Report) -> String {
    match &report.tpch {
        None => String::new(),
        Some(Err(error)) => format!("TPC-H failed: {error}\n\n"),
        Some(Ok(tpch)) => {
            let mut rows = vec![["TPC-H SF1", "seconds", "/ in one process"].map(String::from).to_vec()];
            rows.extend(ENGINES.iter().zip(&tpch.totals_s).map(|(engine, total)| {
                vec![engine.to_string(), format!("{total:.3}"), format!("{:.2}", total / tpch.totals_s[0])]
            }));
            aligned(&rows) + "\n"
        }
    }
}

fn demands(report: &Report) -> String {
    let mut rows = vec![["demand", "wanted", "found", ""].map(String::from).to_vec()];
    rows.extend(report.demands().into_iter().filter(|demand| demand.found.is_some()).map(|demand| {
        let verdict = match demand.is_met {
            None => "",
            Some(true) => "pass",
            Some(false) => "FAIL",
        };
        vec![demand.what, demand.wanted, demand.found.unwrap_or_default(), verdict.into()]
    }));
    if rows.len() == 1 { String::new() } else { aligned(&rows) + "\n" }
}
