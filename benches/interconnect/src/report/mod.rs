//! What the benchmark found: tables, what is demanded and whether it is met, and a chart.

mod chart;
mod demands;
mod tables;

pub use demands::Demand;

use crate::bench::Outcome;
use crate::error::BenchError;
use crate::message::Side;
use crate::options::Options;
use crate::suite::{Kind, Measure, Way};
use crate::tpch::Tpch;
use damson_bench_report::Machine;
use damson_bench_report::machine::{commit, date};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One measurement and all its rounds.
#[derive(Debug)]
pub struct Measured {
    pub measure: Measure,
    outcomes: Vec<Outcome>,
    /// The first failure.
    error: Option<String>,
}

impl Measured {
    pub fn new(measure: Measure) -> Self {
        Measured { measure, outcomes: vec![], error: None }
    }

    pub fn add(&mut self, outcome: Result<Outcome, BenchError>) {
        match outcome {
            Ok(outcome) => self.outcomes.push(outcome),
            Err(error) => self.error = self.error.take().or(Some(error.to_string())),
        }
    }

    /// The fastest round; None when one failed.
    pub fn best(&self) -> Option<&Outcome> {
        if self.error.is_some() {
            return None;
        }
        self.outcomes.iter().max_by(|a, b| a.gb_per_s().total_cmp(&b.gb_per_s()))
    }
}

#[derive(Debug)]
pub struct Report {
    date: String,
    command: String,
    commit: Option<String>,
    machine: Machine,
    window: Duration,
    rounds: u32,
    results: Vec<Measured>,
    tpch: Option<Result<Tpch, String>>,
}

impl Report {
    pub fn new(options: &Options, results: Vec<Measured>, tpch: Option<Result<Tpch, String>>) -> Self {
        let program = std::env::args().next().unwrap_or_default();
        let name = Path::new(&program).file_name().map(|name| name.to_string_lossy().into_owned());
        let arguments = name.into_iter().chain(std::env::args().skip(1));
        Report {
            date: date(),
            command: arguments.collect::<Vec<_>>().join(" "),
            commit: commit(),
            machine: Machine::this(),
            window: options.window(),
            rounds: options.rounds(),
            results,
            tpch,
        }
    }

    /// The tables.
    pub fn text(&self) -> String {
        tables::render(self)
    }

    pub fn demands(&self) -> Vec<Demand> {
        demands::of(self)
    }

    /// False when a measurement failed, or a demand is not met. In a quick run no demand of speed counts.
    pub fn is_right(&self, is_quick: bool) -> bool {
        let demands = self.demands();
        let failed = demands.iter().filter(|demand| !(is_quick && demand.is_speed)).any(|d| d.is_met == Some(false));
        !failed && self.results.iter().all(|result| result.error.is_none()) && !matches!(self.tpch, Some(Err(_)))
    }

    /// Writes `interconnect-<date>.md` and `.svg` into `directory`.
    ///
    /// # Errors
    /// A directory or file that cannot be written.
    pub fn write(&self, directory: &Path) -> io::Result<(PathBuf, PathBuf)> {
        fs::create_dir_all(directory)?;
        let day = self.date.get(..10).unwrap_or(&self.date);
        let stem = format!("interconnect-{day}");
        let (text, svg) = (directory.join(format!("{stem}.md")), directory.join(format!("{stem}.svg")));
        fs::write(&text, tables::markdown(self, &stem))?;
        fs::write(&svg, chart::svg(self))?;
        Ok((text, svg))
    }

    fn find(&self, kind: Kind, way: Way) -> Option<&Measured> {
        self.results.iter().find(|result| result.measure.kind == kind && result.measure.way == way)
    }

    fn best(&self, kind: Kind, way: Way) -> Option<&Outcome> {
        self.find(kind, way).and_then(Measured::best)
    }

    fn gb_per_s(&self, kind: Kind, way: Way) -> Option<f64> {
        Some(self.best(kind, way)?.gb_per_s())
    }
}

impl Outcome {
    /// The rate at which rows arrived, over all windows.
    pub fn gb_per_s(&self) -> f64 {
        let windows = &self.receiver.windows;
        let bytes: u64 = windows.iter().map(|window| window.bytes).sum();
        bytes as f64 / windows.iter().map(|window| window.seconds).sum::<f64>() / 1e9
    }

    /// GB for each second of CPU time of both processes together; the same process counts once.
    pub fn gb_per_cpu_s(&self, side: Side) -> f64 {
        let cpu = |windows: &[crate::meter::Window]| windows.iter().map(|w| w.user_s + w.system_s).sum::<f64>();
        let bytes: u64 = self.receiver.windows.iter().map(|window| window.bytes).sum();
        let others = if side == Side::Both { 0.0 } else { cpu(&self.sender.windows) };
        bytes as f64 / 1e9 / (cpu(&self.receiver.windows) + others)
    }

    /// Of the slow receiver: the others' rates in windows in which it is awake, and asleep.
    pub fn awake_and_asleep(&self) -> (f64, f64) {
        let mean = |parity: usize| {
            let windows = self.receiver.windows.iter().enumerate().filter(|(number, _)| number % 2 == parity);
            let (bytes, seconds) = windows.fold((0, 0.0), |(b, s), (_, window)| (b + window.bytes, s + window.seconds));
            bytes as f64 / seconds / 1e9
        };
        (mean(0), mean(1))
    }

    /// Of the slow receiver: what a sleep changes of the others' rate, against the mean of the windows before and after it; the
    /// median of all sleeps.
    pub fn change_by_sleep(&self) -> f64 {
        let rates: Vec<f64> = self.receiver.windows.iter().map(|window| window.gb_per_s()).collect();
        let sleeps = rates.windows(3).step_by(2);
        let mut changes: Vec<f64> = sleeps.map(|of| 2.0 * of[1] / (of[0] + of[2]) - 1.0).collect();
        changes.sort_by(f64::total_cmp);
        let middle = changes.len() / 2;
        if changes.len() % 2 == 1 { changes[middle] } else { (changes[middle - 1] + changes[middle]) / 2.0 }
    }

    /// The most memory that the sender held more than before it began.
    pub fn sender_growth_bytes(&self) -> u64 {
        self.sender.rss_peak_bytes.saturating_sub(self.sender.rss_before_bytes)
    }
}

#[cfg(test)]
mod tests;
