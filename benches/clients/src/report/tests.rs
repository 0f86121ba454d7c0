use super::demands;
use super::*;
use crate::fetch::{Fetched, Run};
use crate::latency::{Latency, Point, STATEMENTS, Statement};
use clap::Parser;

const ROWS: u64 = 1_000_000;

fn report(fetches: Vec<fetch::Measured>, latency: Vec<latency::Measured>) -> Report {
    let rows = ROWS.to_string();
    let options = Options::parse_from(["damson-bench-clients", "--binary", "damson", "--rows", &rows]);
    Report { fetches, latency, ..Report::new(&options) }
}

fn fetched(way: fetch::Way, seconds: f64) -> fetch::Measured {
    let fetched = Fetched {
        version: format!("v{seconds}"),
        seconds,
        rows: ROWS,
        keys: 1,
        arrow_bytes: (way == fetch::Way::DuckDb).then_some(80 * ROWS),
        streams: 1,
        peak_bytes: 64 << 20,
    };
    let run = Run { fetched, master_bytes: Some((32 << 20, 48 << 20)) };
    fetch::Measured { way, outcome: Outcome::Runs(vec![run]) }
}

fn timed(statement: Statement, way: latency::Way, connections: usize, millis: u64) -> latency::Measured {
    let (p50, p99) = (Duration::from_millis(millis), Duration::from_millis(2 * millis));
    let latency = Ok(Latency { statements: 9, per_second: 3.0, p50, p99 });
    latency::Measured { point: Point { statement, way, connections }, latency, master_peak_bytes: Some(1 << 20) }
}

fn met(report: &Report) -> Vec<Option<bool>> {
    demands::of(report).into_iter().map(|demand| demand.is_met).collect()
}

#[test]
fn demands_are_compared() {
    use fetch::Way::{DuckDb, Flight, FlightParallel, PgJdbc, Psycopg};
    let (yes, no) = (Some(true), Some(false));
    let lookups = latency::WAYS.into_iter().zip([2, 3, 1, 4]);
    let lookups: Vec<_> = lookups.map(|(way, millis)| timed(Statement::Lookup, way, 1, millis)).collect();
    let slow = [fetched(Flight, 1.0), fetched(PgJdbc, 4.0), fetched(Psycopg, 9.0), fetched(DuckDb, 0.5)];
    assert_eq!(met(&report(slow.to_vec(), lookups)), [no, yes, no, yes, no]);
    let fast = [fetched(Flight, 1.0), fetched(FlightParallel, 0.5), fetched(PgJdbc, 4.0), fetched(Psycopg, 9.0)];
    assert_eq!(met(&report(fast.to_vec(), vec![])), [yes, None, None, None, None]);
    // Of other statements and connections nothing is demanded.
    let others =
        vec![timed(Statement::One, latency::Way::Flight, 1, 9), timed(Statement::Lookup, latency::Way::Flight, 32, 9)];
    assert_eq!(met(&report(vec![], others)), [None; 5]);
}

#[test]
fn figures_are_told_beside_duckdb() {
    let fetches = [(fetch::Way::Flight, 2.0), (fetch::Way::PgJdbc, 10.0), (fetch::Way::DuckDb, 1.0)];
    let report = report(fetches.map(|(way, seconds)| fetched(way, seconds)).to_vec(), vec![]);
    assert!(report.is_whole());
    let page = tables::markdown(&report, &["x.svg"]);
    let line = |name: &str| {
        let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {page}"));
        line.split_whitespace().skip(name.split(' ').count()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(line("ADBC Flight SQL"), ["1", "2.00", "0.50", "40", "0.50", "32", "48", "64"]);
    assert_eq!(line("pgjdbc"), ["–", "10.00", "0.10", "8", "0.10", "32", "48", "64"]);
    assert!(page.contains("80.0 bytes a row") && page.contains("pgjdbc (v10)") && page.contains("](x.svg)"), "{page}");
    assert!(!page.contains("Small statements"), "{page}");
}

#[test]
fn what_is_not_available_has_not_failed() {
    use damson_bench_report::Bar::{Absent, Failed, Value};
    let unavailable =
        |why: &str| fetch::Measured { way: fetch::Way::FlightParallel, outcome: Outcome::Unavailable(why.into()) };
    let parallel = report(vec![unavailable("no setting")], vec![]);
    assert!(parallel.is_whole() && parallel.text().contains("endpoint per segment: not available: no setting"));
    assert_eq!(charts::fetches(&parallel).groups[0].bars, [Absent]);

    let point = Point { statement: Statement::One, way: latency::Way::Flight, connections: 500 };
    let gone = latency::Measured { point, latency: Err("53300: too many".into()), master_peak_bytes: None };
    let failed = report(vec![], vec![timed(Statement::One, latency::Way::PostgresSimple, 500, 7), gone]);
    let text = failed.text();
    assert!(!failed.is_whole() && text.contains("FAILED") && text.contains("53300: too many"), "{text}");
    let chart = charts::latency(&failed, 500);
    assert_eq!(chart.groups.len(), 2 * STATEMENTS.len());
    assert_eq!(chart.groups[0].bars, [Absent, Value(7.0), Absent, Failed]);
    assert_eq!(chart.groups[1].bars, [Absent, Value(14.0), Absent, Failed]);
}

#[test]
fn a_report_has_its_charts_beside_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let times = [1, 32].map(|connections| timed(Statement::One, latency::Way::Flight, connections, 1));
    let path =
        report(vec![fetched(fetch::Way::Flight, 1.0)], times.to_vec()).write(directory.path()).expect("a report");
    let page = fs::read_to_string(path).expect("the page");
    let charts: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("![chart](")?.strip_suffix(')')).collect();
    assert_eq!(charts.len(), 3, "{page}");
    for chart in charts {
        assert!(fs::read_to_string(directory.path().join(chart)).expect("the chart").ends_with("</svg>\n"));
    }
}
