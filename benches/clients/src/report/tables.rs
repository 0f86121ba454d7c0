//! The figures as text.

use super::{Report, demands};
use crate::fetch::{self, Outcome};
use crate::limits::{FETCH_ROWS, GROUPS, SMALL_ROWS};
use damson_bench_report::aligned;
use std::fmt::Write;

/// All tables, below each other.
pub fn text(report: &Report) -> String {
    let tables = [fetches(report), latency(report), Some(demanded(report))];
    let mut text = tables.into_iter().flatten().collect::<Vec<_>>().join("\n");
    for line in notes(report) {
        // Writing to a String cannot fail, here and below.
        let _ = write!(text, "\n{line}\n");
    }
    text
}

/// The report's page; `charts` are files beside it.
pub fn markdown(report: &Report, charts: &[&str]) -> String {
    let mut out = format!(
        "# What clients get, {}\n\n`make bench-clients`: a master and {} segments, each a process; clients on the same machine. {}; commit {}.\n",
        &report.date[..10],
        report.segments,
        report.machine,
        report.commit.as_deref().unwrap_or("unknown"),
    );
    for chart in charts {
        let _ = write!(out, "\n![chart]({chart})\n");
    }
    if let Some(table) = fetches(report) {
        let versions: Vec<String> = report.fetches.iter().filter_map(version).collect();
        let bytes = report.row_bytes().map_or(0.0, |bytes| bytes as f64 / report.rows as f64);
        let _ = write!(
            out,
            "\n## A large result\n\n{} rows of ten columns, fetched by one client: {}. Best of {}. MB are of the rows as Arrow arrays, \
             {bytes:.1} bytes a row, whatever crosses the network; the ratio is to DuckDB's rate. Clients of the PostgreSQL protocol ask \
             for {FETCH_ROWS} rows at once.\n\n```\n{table}```\n",
            report.rows,
            versions.join(", "),
            report.rounds,
        );
    }
    if let Some(table) = latency(report) {
        let _ = write!(
            out,
            "\n## Small statements\n\n`SELECT 1`; a row by its distribution key, of {} rows, without and with `sort_key`; counts and sums of {GROUPS} groups of {SMALL_ROWS} \
             rows. Each connection runs its next statement as soon as it has the answer. {:.1} s for each line, after {:.1} s that \
             do not count.\n\n```\n{table}```\n",
            report.lookup_rows,
            report.window.as_secs_f64(),
            report.warm_up.as_secs_f64(),
        );
    }
    let _ = write!(out, "\n## What is demanded\n\n```\n{}```\n", demanded(report));
    for line in notes(report) {
        let _ = write!(out, "\n{line}\n");
    }
    out
}

fn version(measured: &fetch::Measured) -> Option<String> {
    // Both of ADBC's ways have the same.
    let run = measured.best().filter(|_| measured.way != fetch::Way::FlightParallel)?;
    Some(format!("{} ({})", measured.way.title(), run.fetched.version))
}

fn fetches(report: &Report) -> Option<String> {
    if report.fetches.is_empty() {
        return None;
    }
    let header =
        ["", "endpoints", "s", "M rows/s", "MB/s", "ratio", "master MiB before", "at most", "client MiB at most"];
    let mut table = vec![header.map(String::from).to_vec()];
    let ceiling = report.fetch(fetch::Way::DuckDb).map(|run| report.rate(run));
    for measured in &report.fetches {
        let Some(run) = measured.best() else {
            let why = match measured.outcome {
                Outcome::Failed(_) => "FAILED",
                Outcome::Unavailable(_) | Outcome::Runs(_) => "not available",
            };
            let mut cells = vec![measured.way.title().to_owned(), why.into()];
            cells.resize(header.len(), "–".into());
            table.push(cells);
            continue;
        };
        let rate = report.rate(run);
        let bytes = report.row_bytes().map(|bytes| bytes as f64 / run.fetched.seconds / 1e6);
        let master = run.master_bytes.map(|(before, most)| (mebibytes(before), mebibytes(most)));
        table.push(vec![
            measured.way.title().into(),
            if measured.way.is_flight() { run.fetched.streams.to_string() } else { "–".into() },
            format!("{:.2}", run.fetched.seconds),
            format!("{:.2}", rate / 1e6),
            figure(bytes, 0),
            figure(ceiling.map(|ceiling| rate / ceiling), 2),
            figure(master.map(|(before, _)| before), 0),
            figure(master.map(|(_, most)| most), 0),
            format!("{:.0}", mebibytes(run.fetched.peak_bytes)),
        ]);
    }
    Some(aligned(&table))
}

fn latency(report: &Report) -> Option<String> {
    if report.latency.is_empty() {
        return None;
    }
    let header = ["", "connections", "", "statements/s", "p50 ms", "p99 ms", "counted", "master MiB at most"];
    let mut table = vec![header.map(String::from).to_vec()];
    for measured in &report.latency {
        let point = measured.point;
        let mut cells = vec![point.statement.title().into(), point.connections.to_string(), point.way.title().into()];
        match &measured.latency {
            Ok(latency) => cells.extend([
                format!("{:.0}", latency.per_second),
                format!("{:.2}", latency.p50.as_secs_f64() * 1e3),
                format!("{:.2}", latency.p99.as_secs_f64() * 1e3),
                latency.statements.to_string(),
            ]),
            Err(_) => cells.extend(["FAILED", "–", "–", "–"].map(String::from)),
        }
        cells.push(figure(measured.master_peak_bytes.map(mebibytes), 0));
        table.push(cells);
    }
    Some(aligned(&table))
}

fn demanded(report: &Report) -> String {
    let mut table = vec![["demanded", "wanted", "found", ""].map(String::from).to_vec()];
    table.extend(demands::of(report).into_iter().map(|demand| {
        let met = match demand.is_met {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "not measured",
        };
        vec![demand.what, demand.wanted, demand.found.unwrap_or_else(|| "–".into()), met.into()]
    }));
    aligned(&table)
}

/// Why there are no figures where there are none.
fn notes(report: &Report) -> Vec<String> {
    let fetches = report.fetches.iter().filter_map(|measured| match &measured.outcome {
        Outcome::Runs(_) => None,
        Outcome::Unavailable(why) => Some(format!("{}: not available: {why}", measured.way.title())),
        Outcome::Failed(why) => Some(format!("{}: failed: {why}", measured.way.title())),
    });
    let latency = report.latency.iter().filter_map(|measured| {
        let (point, why) = (measured.point, measured.latency.as_ref().err()?);
        let (statement, way) = (point.statement.title(), point.way.title());
        Some(format!("{statement}, {way}, {} connections: failed: {why}", point.connections))
    });
    fetches.chain(latency).collect()
}

/// A dash for what was not measured.
fn figure(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.decimals$}"))
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
