use super::*;
use clap::Parser;

fn run(seconds: f64, correct: Option<bool>) -> Run {
    let difference = (correct == Some(false)).then(|| "Q1 row 1: 1, not 2".to_string());
    Run { seconds, rows: 1, correct, difference }
}

fn result(engine: EngineKind, queries: &[(usize, &[f64])]) -> EngineResult {
    let queries = queries.iter().map(|&(query, seconds)| {
        let mut result = QueryResult::new(query);
        result.add(run(9.0, engine.is_damson().then_some(true)), false);
        seconds.iter().for_each(|&s| result.add(run(s, engine.is_damson().then_some(true)), true));
        result
    });
    EngineResult {
        engine,
        version: "1.0".into(),
        load_seconds: Some(2.0),
        peak_rss_bytes: Some(3 << 30),
        queries: queries.collect(),
    }
}

fn report() -> Report {
    let engines = vec![
        result(EngineKind::Damson, &[(1, &[0.2, 0.1]), (6, &[0.4])]),
        result(EngineKind::Datafusion, &[(1, &[0.4, 0.5]), (6, &[0.4])]),
    ];
    Report::new(&Options::parse_from(["damson-tpch", "--segments=2"]), vec![1, 6], engines)
}

#[test]
fn the_best_run_counts_and_the_warm_up_does_not() {
    let report = report();
    let [comparison] = &report.comparisons[..] else { panic!("one comparison") };
    let close = |a: Option<f64>, b: f64| assert!((a.expect("a number") - b).abs() < 1e-12, "{a:?}, not {b}");
    close(comparison.ratios[0], 0.25);
    close(comparison.ratios[1], 1.0);
    close(comparison.total, 0.5 / 0.8);
    close(comparison.geometric_mean, 0.5);
    assert_eq!(comparison.worst, Some((6, 1.0)));
    assert!(report.is_right());
}

#[test]
fn a_wrong_answer_is_a_failure() {
    let mut report = report();
    report.engines[0].queries[0].add(run(0.01, Some(false)), true);
    assert_eq!(report.engines[0].queries[0].best(), None);
    assert_eq!(report.engines[0].queries[0].correct, Some(false));
    assert_eq!(report.engines[0].total(), None);
    assert!(!report.is_right());
    let table = report.table();
    assert!(table.contains("Damson failed at Q1: Q1 row 1: 1, not 2"), "{table}");
    assert!(table.contains("Damson: 1 of 2 results compared equal"), "{table}");
}

#[test]
fn the_table_has_a_line_for_each_query() {
    let table = report().table();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    for expected in [
        vec!["Q1", "0.100", "0.400", "0.25"],
        vec!["Q6", "0.400", "0.400", "1.00"],
        vec!["total", "0.500", "0.800", "0.62"],
    ] {
        assert!(lines.contains(&expected), "{expected:?} is not in\n{table}");
    }
}

#[test]
fn results_are_written() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut report = report();
    report.machine.cpu = "A & B <C>".into();
    report.engines[1].queries[1].error = Some("out of memory".into());
    let (json, svg) = report.write(&directory.path().join("new")).expect("written");
    let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(json).expect("read")).expect("JSON");
    assert_eq!(json["engines"][0]["queries"][0]["seconds"], serde_json::json!([0.2, 0.1]));
    assert_eq!(json["engines"][0]["engine"], "damson");
    let svg = fs::read_to_string(svg).expect("read");
    assert!(svg.contains("A &amp; B &lt;C&gt;"), "{svg}");
    // Three bars, the background, two of the legend; a cross for what failed.
    assert_eq!(svg.matches("<rect").count(), 6, "{svg}");
    assert_eq!(svg.matches('×').count(), 1, "{svg}");
}
