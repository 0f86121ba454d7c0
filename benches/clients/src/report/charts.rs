//! The rates and the times as charts.

use super::Report;
use crate::fetch::Outcome;
use crate::latency::{STATEMENTS, WAYS};
use damson_bench_report::{Bar, BarChart, Group, Series, colours};

/// A bar for each way to fetch.
pub fn fetches(report: &Report) -> BarChart {
    let groups = report.fetches.iter().map(|measured| {
        let bar = match (&measured.outcome, measured.best()) {
            (_, Some(run)) => Bar::Value(report.rate(run) / 1e6),
            (Outcome::Failed(_), None) => Bar::Failed,
            (Outcome::Unavailable(_) | Outcome::Runs(_), None) => Bar::Absent,
        };
        Group { label: measured.way.title().into(), bars: vec![bar] }
    });
    BarChart {
        title: format!("{} rows of ten columns, fetched by one client: million rows each second", report.rows),
        subtitle: format!("{}, best of {}, {}", report.machine, report.rounds, report.date),
        unit: "million rows/s",
        unit_short: "M rows/s",
        groups: groups.collect(),
        series: vec![series("rows fetched", colours::BLUE)],
    }
}

/// Median and 99th percentile of each statement at one number of connections, a bar for each way.
pub fn latency(report: &Report, connections: usize) -> BarChart {
    let mut groups = vec![];
    for statement in STATEMENTS {
        for is_median in [true, false] {
            let bars = WAYS.map(|way| match report.point(statement, way, connections).map(|found| &found.latency) {
                None => Bar::Absent,
                Some(Err(_)) => Bar::Failed,
                Some(Ok(latency)) => {
                    let time = if is_median { latency.p50 } else { latency.p99 };
                    Bar::Value(time.as_secs_f64() * 1e3)
                }
            });
            let label = format!("{}, {}", statement.title(), if is_median { "p50" } else { "p99" });
            groups.push(Group { label, bars: bars.into() });
        }
    }
    let colours = [colours::ORANGE, colours::RED, colours::BLUE, colours::LIGHT_BLUE];
    BarChart {
        title: format!("Small statements at {connections} connections: milliseconds"),
        subtitle: format!("{}, {}", report.machine, report.date),
        unit: "ms",
        unit_short: "ms",
        groups,
        series: WAYS.iter().zip(colours).map(|(way, colour)| series(way.title(), colour)).collect(),
    }
}

fn series(name: &str, colour: &'static str) -> Series {
    Series { name: name.into(), label: name.into(), colour }
}
