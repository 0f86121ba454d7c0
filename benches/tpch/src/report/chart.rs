//! The report as a chart: a group of bars for each query, a bar for each engine.

use super::{QueryResult, Report};
use crate::engine::EngineKind;
use std::fmt::Write;

const WIDTH: f64 = 1280.0;
const HEIGHT: f64 = 520.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 96.0;
const BOTTOM: f64 = 48.0;
/// Part of a group's width that is left free between groups.
const GAP: f64 = 0.22;
/// About so many lines across the chart.
const TICKS: f64 = 6.0;

/// Okabe and Ito's colours, which those who do not see all colours can tell apart.
fn colour(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Damson => "#0072b2",
        EngineKind::DamsonFlight => "#56b4e9",
        EngineKind::Datafusion => "#e69f00",
        EngineKind::Duckdb => "#009e73",
        EngineKind::DuckdbParquet => "#8fd3bf",
    }
}

pub fn svg(report: &Report) -> String {
    let bests = report.engines.iter().flat_map(|e| &e.queries).filter_map(QueryResult::best);
    let highest = bests.fold(0.0, f64::max);
    let step = tick_step(highest);
    let top = (highest / step).ceil().max(1.0) * step;
    let y = |seconds: f64| HEIGHT - BOTTOM - seconds / top * (HEIGHT - BOTTOM - TOP);

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let machine = &report.machine;
    let title = format!("TPC-H SF{}: seconds of each query, best of {}", report.sf, report.runs);
    let subtitle = format!("{}, {} cores for each engine, {}", machine.cpu, report.cores, report.date);
    text(&mut out, LEFT, 24.0, "start", "font-size=\"18\" font-weight=\"bold\"", &title);
    text(&mut out, LEFT, 44.0, "start", "fill=\"#666\"", &subtitle);
    legend(&mut out, report);
    axis(&mut out, step, top, &y);
    bars(&mut out, report, &y);
    out += "</svg>\n";
    out
}

fn legend(out: &mut String, report: &Report) {
    let room = (WIDTH - LEFT - RIGHT) / report.engines.len().max(1) as f64;
    for (index, engine) in report.engines.iter().enumerate() {
        let x = LEFT + room * index as f64;
        let total = engine.total().map_or_else(String::new, |seconds| format!(": {seconds:.2} s in all"));
        let fill = colour(engine.engine);
        // Writing to a String cannot fail.
        let _ = writeln!(out, "<rect x=\"{x:.1}\" y=\"58\" width=\"12\" height=\"12\" fill=\"{fill}\"/>");
        let label = format!("{} ({}){total}", engine.engine.title(), engine.version);
        text(out, x + 18.0, 69.0, "start", "", &label);
    }
}

fn axis(out: &mut String, step: f64, top: f64, y: &dyn Fn(f64) -> f64) {
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    for tick in 0..=(top / step).round() as u32 {
        let seconds = f64::from(tick) * step;
        let (height, end) = (y(seconds), WIDTH - RIGHT);
        let stroke = if tick == 0 { "#222" } else { "#ddd" };
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{height:.1}\" x2=\"{end}\" y2=\"{height:.1}\" stroke=\"{stroke}\"/>"
        );
        text(out, LEFT - 8.0, height + 4.0, "end", "fill=\"#666\"", &format!("{seconds:.decimals$}"));
    }
    let middle = (TOP + HEIGHT - BOTTOM) / 2.0;
    let turned = format!("fill=\"#666\" transform=\"rotate(-90 16 {middle:.1})\"");
    text(out, 16.0, middle, "middle", &turned, "seconds");
}

fn bars(out: &mut String, report: &Report, y: &dyn Fn(f64) -> f64) {
    let group = (WIDTH - LEFT - RIGHT) / report.queries.len().max(1) as f64;
    let width = group * (1.0 - GAP) / report.engines.len().max(1) as f64;
    for (index, query) in report.queries.iter().enumerate() {
        let start = LEFT + group * index as f64;
        text(out, start + group / 2.0, HEIGHT - BOTTOM + 20.0, "middle", "", &format!("Q{query}"));
        for (place, engine) in report.engines.iter().enumerate() {
            let x = start + group * GAP / 2.0 + width * place as f64;
            let name = engine.engine.title();
            match engine.queries.get(index).and_then(QueryResult::best) {
                Some(seconds) => {
                    let (at, fill) = (y(seconds), colour(engine.engine));
                    let height = HEIGHT - BOTTOM - at;
                    let _ = writeln!(
                        out,
                        "<rect x=\"{x:.1}\" y=\"{at:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
                         fill=\"{fill}\"><title>Q{query}, {name}: {seconds:.3} s</title></rect>"
                    );
                }
                None => {
                    let attributes = format!("fill=\"{}\" font-weight=\"bold\"", colour(engine.engine));
                    text(out, x + width / 2.0, HEIGHT - BOTTOM - 4.0, "middle", &attributes, "×");
                }
            }
        }
    }
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, attributes: &str, content: &str) {
    let escaped = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {attributes}>{escaped}</text>");
}

/// 1, 2 or 5 times a power of ten, so that `highest` has about [`TICKS`] steps.
fn tick_step(highest: f64) -> f64 {
    if highest <= 0.0 {
        return 1.0;
    }
    let rough = highest / TICKS;
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|&step| step >= rough).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::tick_step;

    #[test]
    fn ticks_are_round() {
        for (highest, step) in [(0.0, 1.0), (0.5, 0.1), (0.7, 0.2), (30.0, 5.0), (6.0, 1.0), (0.013, 0.005)] {
            assert!((tick_step(highest) - step).abs() < 1e-12, "{highest}: {}", tick_step(highest));
        }
    }
}
