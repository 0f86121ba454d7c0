//! The report as text.

use super::summary::geometric_mean;
use super::{QueryResult, Report};
use damson_bench_report::{aligned, gibibytes};
use std::fmt::Write;

const FAILED: &str = "failed";

pub fn render(report: &Report) -> String {
    let mut rows = vec![header(report)];
    for (index, &query) in report.queries.iter().enumerate() {
        let mut row = vec![format!("Q{query}")];
        row.extend(report.engines.iter().map(|e| seconds(e.queries.get(index).and_then(QueryResult::best))));
        row.extend(report.comparisons.iter().map(|c| ratio(c.ratios[index])));
        rows.push(row);
    }
    let mut total = vec!["total".to_string()];
    total.extend(report.engines.iter().map(|e| seconds(e.total())));
    total.extend(report.comparisons.iter().map(|c| ratio(c.total)));
    rows.push(total);
    let mut means = vec!["geo. mean".to_string()];
    let mean = |e: &super::EngineResult| geometric_mean(e.queries.iter().filter_map(QueryResult::best));
    means.extend(report.engines.iter().map(|e| seconds(mean(e))));
    means.extend(report.comparisons.iter().map(|c| ratio(c.geometric_mean)));
    rows.push(means);

    let mut text = preamble(report);
    text += &aligned(&rows);
    text += &remarks(report);
    text
}

fn header(report: &Report) -> Vec<String> {
    let mut row = vec!["seconds".to_string()];
    row.extend(report.engines.iter().map(|e| e.engine.title().to_string()));
    row.extend(report.comparisons.iter().map(|c| format!("{} / {}", c.engine.title(), c.baseline.title())));
    row
}

fn preamble(report: &Report) -> String {
    let machine = &report.machine;
    let limit = report.memory_limit_bytes.map_or_else(String::new, |b| format!(", {:.1} GiB each", gibibytes(b)));
    let mut text = format!(
        "\nTPC-H SF{}, best of {} after a warm-up, {} cores for each engine{limit}\n{machine}; {}\n",
        report.sf, report.runs, report.cores, report.date
    );
    for engine in &report.engines {
        // Writing to a String cannot fail.
        let _ = write!(text, "{} ({})", engine.engine.title(), engine.version);
        if let Some(seconds) = engine.load_seconds {
            let _ = write!(text, ", loaded in {seconds:.1} s");
        }
        if let Some(bytes) = engine.peak_rss_bytes {
            let _ = write!(text, ", at most {:.2} GiB resident", gibibytes(bytes));
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

fn remarks(report: &Report) -> String {
    let mut text = String::from("\n");
    for comparison in &report.comparisons {
        if let Some((query, ratio)) = comparison.worst {
            let (engine, baseline) = (comparison.engine.title(), comparison.baseline.title());
            let _ = writeln!(text, "{engine} is slowest against {baseline} in Q{query}: {ratio:.2}");
        }
    }
    for engine in &report.engines {
        for query in &engine.queries {
            if let Some(error) = &query.error {
                let _ = writeln!(text, "{} failed at Q{}: {error}", engine.engine.title(), query.query);
            }
        }
        let verified = engine.queries.iter().filter(|q| q.correct == Some(true)).count();
        if engine.engine.is_damson() {
            let asked = engine.queries.len();
            let _ = writeln!(
                text,
                "{}: {verified} of {asked} results compared equal to the answers",
                engine.engine.title()
            );
        }
    }
    text
}

fn seconds(value: Option<f64>) -> String {
    value.map_or_else(|| FAILED.to_string(), |seconds| format!("{seconds:.3}"))
}

fn ratio(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_string(), |ratio| format!("{ratio:.2}"))
}
