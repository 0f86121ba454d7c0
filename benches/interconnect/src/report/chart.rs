//! The rates as a chart.

use super::Report;
use crate::limits::CONTENTS;
use crate::suite::{Kind, Way};
use damson_bench_report::{Bar, BarChart, Group, Series, colours};

/// A group for each way to carry bytes, a bar for what it carries.
pub fn svg(report: &Report) -> String {
    let kinds = [
        (Kind::Stream, "one stream".to_string(), colours::BLUE),
        (Kind::Streams, format!("{CONTENTS} routes"), colours::LIGHT_BLUE),
        (Kind::Redistribute, format!("redistribute {CONTENTS}:{CONTENTS}"), colours::ORANGE),
    ];
    let mut ways: Vec<Way> = vec![];
    for result in report.results.iter().filter(|result| kinds.iter().any(|(kind, ..)| *kind == result.measure.kind)) {
        if !ways.contains(&result.measure.way) {
            ways.push(result.measure.way);
        }
    }
    let groups = ways.into_iter().map(|way| {
        let bar = |kind| match report.find(kind, way) {
            None => Bar::Absent,
            Some(result) => result.best().map_or(Bar::Failed, |outcome| Bar::Value(outcome.gb_per_s())),
        };
        Group { label: way.title(), bars: kinds.iter().map(|(kind, ..)| bar(*kind)).collect() }
    });
    let chart = BarChart {
        title: "Rows between two processes, GB/s".into(),
        subtitle: format!("{}, best of {}, {}", report.machine, report.rounds, report.date),
        unit: "GB/s",
        unit_short: "GB/s",
        groups: groups.collect(),
        series: kinds
            .iter()
            .map(|(_, name, colour)| Series { name: name.clone(), label: name.clone(), colour })
            .collect(),
    };
    chart.svg()
}
