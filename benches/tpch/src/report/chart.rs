//! The report as a chart: a group of bars for each query, a bar for each engine.

use super::{EngineResult, QueryResult, Report};
use crate::engine::EngineKind;
use damson_bench_report::{Bar, BarChart, Group, Series, colours};

fn colour(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Damson => colours::BLUE,
        EngineKind::DamsonFlight => colours::LIGHT_BLUE,
        EngineKind::DamsonFlightTcp => colours::PINK,
        EngineKind::DamsonQuic => colours::RED,
        EngineKind::Datafusion => colours::ORANGE,
        EngineKind::Duckdb => colours::GREEN,
        EngineKind::DuckdbParquet => colours::LIGHT_GREEN,
    }
}

pub fn svg(report: &Report) -> String {
    let groups = report.queries.iter().enumerate().map(|(index, query)| {
        let best = |engine: &EngineResult| engine.queries.get(index).and_then(QueryResult::best);
        let bars = report.engines.iter().map(|engine| best(engine).map_or(Bar::Failed, Bar::Value));
        Group { label: format!("Q{query}"), bars: bars.collect() }
    });
    let chart = BarChart {
        title: format!("TPC-H SF{}: seconds of each query, best of {}", report.sf, report.runs),
        subtitle: format!("{}, {} cores for each engine, {}", report.machine.cpu, report.cores, report.date),
        unit: "seconds",
        unit_short: "s",
        series: report.engines.iter().map(series).collect(),
        groups: groups.collect(),
    };
    chart.svg()
}

fn series(engine: &EngineResult) -> Series {
    let name = engine.engine.title().to_string();
    let total = engine.total().map_or_else(String::new, |seconds| format!(": {seconds:.2} s in all"));
    Series { label: format!("{name} ({}){total}", engine.version), name, colour: colour(engine.engine) }
}
