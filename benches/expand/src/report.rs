//! What was measured, as a table and two charts.

use crate::clients::Timed;
use damson_bench_report::{Machine, Phase, Points, TimeChart, aligned, colours, machine};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The run.
pub struct Run {
    pub sf: f64,
    /// Whether the tables are in a bucket of an S3 server on loopback, not on the machine's disk.
    pub is_in_bucket: bool,
    pub command: String,
    pub phases: Vec<Phase>,
    pub reads: Vec<Timed>,
    pub writes: Vec<Timed>,
    /// Rows of the journal, all of which were found.
    pub journal: usize,
    /// What the tool said.
    pub said: String,
}

impl Run {
    /// Writes the report and its charts; gives the report's path.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, directory: &Path) -> std::io::Result<PathBuf> {
        let date = machine::date();
        let place = if self.is_in_bucket { "-bucket" } else { "" };
        let name = format!("expand{place}-{}", date.split('T').next().unwrap_or(&date));
        fs::create_dir_all(directory)?;
        for (kind, chart) in [("queries", self.reads_chart()), ("writers", self.writes_chart())] {
            fs::write(directory.join(format!("{name}-{kind}.svg")), chart.svg())?;
        }
        let path = directory.join(format!("{name}.md"));
        fs::write(&path, self.markdown(&name, &date))?;
        Ok(path)
    }

    fn markdown(&self, name: &str, date: &str) -> String {
        let commit = machine::commit().unwrap_or_default();
        format!(
            "# A cluster grows from two segments to four\n\nTPC-H SF{}{}, {}, {date}, commit {commit}: `{}`\n\n\
             One client runs the 22 queries again and again: {} answers, each equal to the one before. Another writes to every table \
             in turn, a statement every 50 ms; {} rows of its journal were acknowledged, and found at the end.\n\n```text\n{}```\n\n\
             ![queries over time]({name}-queries.svg)\n\n![writers over time]({name}-writers.svg)\n\n\
             ## What the tool said\n\n```text\n{}```\n",
            self.sf,
            if self.is_in_bucket { " in a bucket of an S3 server on loopback" } else { "" },
            Machine::this(),
            self.command,
            self.reads.len(),
            self.journal,
            aligned(&self.rows()),
            self.said
        )
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let header =
            ["phase", "seconds", "queries", "of the time before, mean", "highest", "writes", "mean ms", "highest ms"];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        let relative = self.relative_reads();
        for phase in &self.phases {
            let within = |at: f64| (phase.from..phase.to).contains(&at);
            let reads: Vec<f64> = relative.iter().filter(|(at, _)| within(*at)).map(|(_, ratio)| *ratio).collect();
            let writes: Vec<f64> = self.writes.iter().filter(|t| within(t.at)).map(|t| t.seconds * 1e3).collect();
            rows.push(vec![
                phase.label.clone(),
                format!("{:.1}", phase.to - phase.from),
                reads.len().to_string(),
                format!("{:.2}", mean(&reads)),
                format!("{:.2}", reads.iter().copied().fold(0.0, f64::max)),
                writes.len().to_string(),
                format!("{:.1}", mean(&writes)),
                format!("{:.1}", writes.iter().copied().fold(0.0, f64::max)),
            ]);
        }
        rows
    }

    /// When each query began, and its time by the mean of that query's before anything was changed, without the first round.
    fn relative_reads(&self) -> Vec<(f64, f64)> {
        let changed_at = self.phases.first().map_or(f64::MAX, |phase| phase.to);
        let mut before: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for read in self.reads.iter().filter(|read| read.at < changed_at) {
            before.entry(read.what).or_default().push(read.seconds);
        }
        let usual = |what: usize| {
            let times = before.get(&what)?;
            // The first one reads from the disk.
            Some(mean(if times.len() > 1 { &times[1..] } else { times })).filter(|mean| *mean > 0.0)
        };
        self.reads.iter().filter_map(|read| Some((read.at, read.seconds / usual(read.what)?))).collect()
    }

    fn reads_chart(&self) -> TimeChart {
        TimeChart {
            title: format!("TPC-H SF{} while two segments become four", self.sf),
            subtitle: "each query's time beside its mean before".into(),
            unit: "times the time before",
            phases: self.phases.clone(),
            points: vec![Points { label: "query".into(), colour: colours::BLUE, values: self.relative_reads() }],
        }
    }

    fn writes_chart(&self) -> TimeChart {
        let values = self.writes.iter().map(|write| (write.at, write.seconds * 1e3)).collect();
        TimeChart {
            title: format!("Writers while two segments become four, SF{}", self.sf),
            subtitle: "an INSERT of no row into each table in turn".into(),
            unit: "milliseconds",
            phases: self.phases.clone(),
            points: vec![Points { label: "INSERT".into(), colour: colours::ORANGE, values }],
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_compared_with_themselves_before() {
        let timed = |what, at, seconds| Timed { what, at, seconds };
        let phase = |label: &str, from, to| Phase { label: label.into(), from, to };
        let run = Run {
            sf: 1.0,
            is_in_bucket: false,
            command: "x".into(),
            phases: vec![phase("before", 0.0, 10.0), phase("after", 10.0, 20.0)],
            reads: vec![
                timed(1, 1.0, 9.0),
                timed(2, 2.0, 4.0),
                timed(1, 3.0, 2.0),
                timed(1, 12.0, 3.0),
                timed(2, 13.0, 2.0),
            ],
            writes: vec![timed(0, 11.0, 0.002), timed(1, 12.0, 0.004)],
            journal: 2,
            said: "done\n".into(),
        };
        assert_eq!(run.relative_reads(), [(1.0, 4.5), (2.0, 1.0), (3.0, 1.0), (12.0, 1.5), (13.0, 0.5)]);
        assert_eq!(run.rows()[2], ["after", "10.0", "2", "1.00", "1.50", "2", "3.0", "4.0"]);
        assert!(run.markdown("n", "d").contains("5 answers"));
    }
}
