//! The benchmark: starts the engines, lets them take turns, and reports.

use crate::data;
use crate::engine::{self, Engine, EngineError};
use crate::options::Options;
use crate::report::{EngineResult, QueryResult, Report};
use std::error::Error;

/// True when everything that Damson was asked was answered, and rightly.
///
/// # Errors
/// Data that cannot be generated, an engine that does not start, results that cannot be written.
pub fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    data::prepare(options)?;
    let mut engines = vec![];
    for &kind in &options.engines {
        eprintln!("starting {}", kind.title());
        match engine::start(kind, options).map_err(|e| format!("{}: {e}", kind.title()))? {
            Some(engine) => {
                if let Some(seconds) = engine.ready().load_seconds {
                    eprintln!("    loaded in {seconds:.1} s");
                }
                engines.push(Contestant::new(engine));
            }
            None => println!("{} is left out: its Python package is not there", kind.title()),
        }
    }
    let queries = options.queries();
    for &query in &queries {
        eprint!("Q{query}");
        // The first round warms up and is not counted.
        for round in 0..=options.runs {
            for contestant in &mut engines {
                contestant.run(query, round > 0);
            }
        }
        for contestant in &engines {
            match contestant.results.last().and_then(QueryResult::best) {
                Some(best) => eprint!("  {} {best:.3}", contestant.engine.kind()),
                None => eprint!("  {} failed", contestant.engine.kind()),
            }
        }
        eprintln!();
    }
    let results = engines.into_iter().map(Contestant::finish).collect();
    let report = Report::new(options, queries, results);
    print!("{}", report.table());
    let (json, svg) = report.write(&options.out)?;
    println!("written: {} and {}", json.display(), svg.display());
    Ok(report.is_right())
}

/// An engine and what it has done so far.
struct Contestant {
    engine: Box<dyn Engine>,
    results: Vec<QueryResult>,
    /// Why it is asked no more.
    dead: Option<String>,
}

impl Contestant {
    fn new(engine: Box<dyn Engine>) -> Self {
        Contestant { engine, results: vec![], dead: None }
    }

    fn run(&mut self, query: usize, counts: bool) {
        if self.results.last().is_none_or(|result| result.query != query) {
            self.results.push(QueryResult::new(query));
        }
        let result = self.results.last_mut().expect("one was pushed");
        if let Some(error) = &self.dead {
            result.error.get_or_insert_with(|| error.clone());
        }
        // What failed once is not repeated: it may have taken all the time that it is given.
        if result.error.is_some() {
            return;
        }
        match self.engine.run(query) {
            Ok(run) => result.add(run, counts),
            Err(error) => {
                eprintln!("\n{} Q{query}: {error}", self.engine.kind());
                result.error = Some(error.to_string());
                if !matches!(error, EngineError::Query(_)) {
                    self.dead = Some(error.to_string());
                }
            }
        }
    }

    fn finish(self) -> EngineResult {
        let ready = self.engine.ready();
        EngineResult {
            engine: self.engine.kind(),
            version: ready.version.clone(),
            load_seconds: ready.load_seconds,
            peak_rss_bytes: self.engine.peak_rss_bytes(),
            queries: self.results,
        }
    }
}
