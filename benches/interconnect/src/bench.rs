//! The benchmark: every measurement in turns, each by processes of its own.

use crate::error::BenchError;
use crate::message::{Done, Go, Side, Task, Transport};
use crate::options::Options;
use crate::process::Process;
use crate::report::{Measured, Report};
use crate::suite::{self, Measure, Way};
use crate::tpch;
use damson_interconnect::ClusterAuthority;
use std::error::Error;
use std::path::Path;
use tempfile::TempDir;

/// True when nothing failed and every demand is met that was measured.
///
/// # Errors
/// A report that cannot be written. A measurement that fails is in the report.
pub fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let measures = suite::measures(options);
    if options.list {
        measures.iter().for_each(|measure| println!("{}", measure.name));
        return Ok(true);
    }
    let certificate = certificate()?;
    let rounds = measures.iter().map(|measure| measure.rounds).max().unwrap_or(0);
    let mut results: Vec<Measured> = measures.into_iter().map(Measured::new).collect();
    for round in 0..rounds {
        for result in results.iter_mut().filter(|result| round < result.measure.rounds) {
            let outcome = measure(&result.measure, certificate.path());
            eprintln!("{}: {}", result.measure.name, describe(&outcome));
            result.add(outcome);
        }
    }
    let with_tpch = options.is_whole() && !options.no_tpch;
    let tpch = with_tpch.then(|| tpch::run(options.rounds).map_err(|error| error.to_string()));
    let report = Report::new(options, results, tpch);
    print!("{}", report.text());
    if options.is_whole() {
        let (text, chart) = report.write(&options.out)?;
        println!("written: {} and {}", text.display(), chart.display());
    }
    Ok(report.is_right(options.quick))
}

/// What the processes of one measurement have done; the same one twice where there is only one.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub sender: Done,
    pub receiver: Done,
}

fn measure(measure: &Measure, certificate: &Path) -> Result<Outcome, BenchError> {
    let (schedule, certificate) = (measure.schedule, certificate.to_path_buf());
    let task = |side| Task { work: measure.work.clone(), side, schedule, certificate: certificate.clone() };
    let outcome = if measure.way == Way::Route(Transport::InProcess) {
        let (mut process, ready) = Process::start(&task(Side::Both))?;
        process.go(&Go { peer: ready.address })?;
        let done = process.done()?;
        Outcome { sender: done.clone(), receiver: done }
    } else {
        let (mut receiver, at) = Process::start(&task(Side::Receiver))?;
        let (mut sender, from) = Process::start(&task(Side::Sender))?;
        receiver.go(&Go { peer: from.address })?;
        sender.go(&Go { peer: at.address })?;
        // The sender's reason is the better one when both fail.
        let (sent, received) = (sender.done(), receiver.done());
        let outcome = Outcome { sender: sent?, receiver: received? };
        let (sent, received) = (outcome.sender.totals.bytes, outcome.receiver.totals.bytes);
        if sent != received {
            return Err(BenchError::Lost { sent, received });
        }
        outcome
    };
    Ok(outcome)
}

/// A directory with a certificate of an authority that only this run has.
fn certificate() -> Result<TempDir, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let authority = ClusterAuthority::open_or_create(&directory.path().join("authority"))?;
    authority.issue(directory.path(), &["127.0.0.1".into()])?;
    Ok(directory)
}

fn describe(outcome: &Result<Outcome, BenchError>) -> String {
    match outcome {
        Ok(outcome) => {
            let rates = outcome.receiver.windows.iter().map(|window| format!("{:.2}", window.gb_per_s()));
            rates.collect::<Vec<_>>().join(", ") + " GB/s"
        }
        Err(error) => format!("failed: {error}"),
    }
}
