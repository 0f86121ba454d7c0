//! What was measured, what is demanded, and a chart.

use crate::cluster;
use crate::duckdb::Loaded;
use crate::form::Form;
use crate::limits::{CSV_RATIO_MIN, FILES_DIFFERENCE_MAX, FILES_MANY, PARQUET_RATIO_MIN, PEAK_BYTES_MAX};
use damson_bench_report::machine::{commit, date};
use damson_bench_report::{Bar, BarChart, Group, Machine, Series, aligned, colours, gibibytes};
use std::fmt::{self, Write};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One form of the rows in a number of files.
pub struct Measured {
    form: Form,
    files: usize,
    bytes: u64,
    ours: Vec<cluster::Loaded>,
    /// Seconds and bytes of memory.
    theirs: Vec<(f64, u64)>,
    version: Option<String>,
    unavailable: Option<String>,
}

impl Measured {
    pub fn new(form: Form, files: usize, bytes: u64) -> Self {
        Measured { form, files, bytes, ours: vec![], theirs: vec![], version: None, unavailable: None }
    }

    pub fn add_ours(&mut self, loaded: cluster::Loaded) {
        self.ours.push(loaded);
    }

    pub fn add_theirs(&mut self, loaded: Loaded) {
        match loaded {
            Loaded::Done { version, seconds, peak_bytes, .. } => {
                self.version = Some(version);
                self.theirs.push((seconds, peak_bytes));
            }
            Loaded::Unavailable { unavailable } => self.unavailable = Some(unavailable),
        }
    }

    /// As Damson has loaded.
    pub fn has_same_rows(&self, rows: u64, keys: &str) -> bool {
        self.ours.iter().all(|ours| ours.rows == rows && ours.keys == keys)
    }

    fn seconds(&self) -> Option<f64> {
        self.ours.iter().map(|loaded| loaded.time.as_secs_f64()).reduce(f64::min)
    }

    fn their_seconds(&self) -> Option<f64> {
        self.theirs.iter().map(|(seconds, _)| *seconds).reduce(f64::min)
    }

    /// Of our rate to DuckDB's.
    fn ratio(&self) -> Option<f64> {
        Some(self.their_seconds()? / self.seconds()?)
    }

    fn peak_bytes(&self) -> Option<u64> {
        self.ours.iter().map(|loaded| loaded.peak_bytes).max()
    }

    fn their_peak_bytes(&self) -> Option<u64> {
        self.theirs.iter().map(|(_, bytes)| *bytes).max()
    }

    fn title(&self) -> String {
        format!("{}, {} {}", self.form.title(), self.files, if self.files == 1 { "file" } else { "files" })
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, theirs) = (figure(self.seconds(), 2), figure(self.their_seconds(), 2));
        write!(f, "{}: Damson {ours} s, DuckDB {theirs} s, ratio {}", self.title(), figure(self.ratio(), 2))
    }
}

/// A dash for what was not measured.
fn figure(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.decimals$}"))
}

/// One demand.
struct Demand {
    what: String,
    wanted: String,
    found: String,
    /// None where it was not measured.
    is_met: Option<bool>,
}

pub struct Report {
    sf: f64,
    rounds: usize,
    segments: usize,
    rows: u64,
    machine: Machine,
    date: String,
    commit: Option<String>,
    measured: Vec<Measured>,
}

impl Report {
    pub fn new(sf: f64, rounds: usize, segments: usize, rows: u64) -> Self {
        let (machine, date, commit) = (Machine::this(), date(), commit());
        Report { sf, rounds, segments, rows, machine, date, commit, measured: vec![] }
    }

    pub fn add(&mut self, measured: Measured) {
        self.measured.push(measured);
    }

    fn find(&self, form: Form, files: usize) -> Option<&Measured> {
        self.measured.iter().find(|measured| measured.form == form && measured.files == files)
    }

    /// The figures and the demands as text.
    pub fn text(&self) -> String {
        format!("{}\n{}", self.figures(), self.demands_table())
    }

    fn figures(&self) -> String {
        let header = ["", "GB", "s", "M rows/s", "MB/s", "peak GiB", "DuckDB s", "M rows/s", "peak GiB", "ratio"];
        let mut table = vec![header.map(String::from).to_vec()];
        for measured in &self.measured {
            let rate = |seconds: Option<f64>| seconds.map(|seconds| self.rows as f64 / seconds / 1e6);
            let (ours, theirs) = (measured.seconds(), measured.their_seconds());
            table.push(vec![
                measured.title(),
                format!("{:.2}", measured.bytes as f64 / 1e9),
                figure(ours, 2),
                figure(rate(ours), 2),
                figure(ours.map(|seconds| measured.bytes as f64 / seconds / 1e6), 0),
                figure(measured.peak_bytes().map(gibibytes), 2),
                figure(theirs, 2),
                figure(rate(theirs), 2),
                figure(measured.their_peak_bytes().map(gibibytes), 2),
                figure(measured.ratio(), 2),
            ]);
        }
        aligned(&table)
    }

    fn demands(&self) -> Vec<Demand> {
        let mut demands = vec![];
        for (form, least) in [(Form::Csv, CSV_RATIO_MIN), (Form::Parquet, PARQUET_RATIO_MIN)] {
            for files in [1, FILES_MANY] {
                let measured = self.find(form, files);
                let ratio = measured.and_then(Measured::ratio);
                demands.push(Demand {
                    what: format!("{}, {files} of them: part of DuckDB's rate", form.title()),
                    wanted: format!("≥ {least}"),
                    found: figure(ratio, 2),
                    is_met: ratio.map(|ratio| ratio >= least),
                });
            }
        }
        let peak = self.measured.iter().filter_map(Measured::peak_bytes).max();
        demands.push(Demand {
            what: "peak of all processes together, GiB".into(),
            wanted: format!("< {}", gibibytes(PEAK_BYTES_MAX)),
            found: figure(peak.map(gibibytes), 2),
            is_met: peak.map(|peak| peak < PEAK_BYTES_MAX),
        });
        for form in crate::form::FORMS {
            let seconds = |files| self.find(form, files).and_then(Measured::seconds);
            let difference = seconds(1).zip(seconds(FILES_MANY)).map(|(one, many)| 1.0 - one.min(many) / one.max(many));
            demands.push(Demand {
                what: format!("{}: 1 file or {FILES_MANY}, how much slower the slower is", form.title()),
                wanted: format!("< {FILES_DIFFERENCE_MAX}"),
                found: figure(difference, 2),
                is_met: difference.map(|difference| difference < FILES_DIFFERENCE_MAX),
            });
        }
        demands
    }

    fn demands_table(&self) -> String {
        let mut table = vec![["demanded", "wanted", "found", ""].map(String::from).to_vec()];
        table.extend(self.demands().into_iter().map(|demand| {
            let met = match demand.is_met {
                Some(true) => "met",
                Some(false) => "NOT MET",
                None => "not measured",
            };
            vec![demand.what, demand.wanted, demand.found, met.into()]
        }));
        aligned(&table)
    }

    /// Writes `copy-sf<SF>-<date>.md` and its chart.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, directory: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(directory)?;
        let name = format!("copy-sf{}-{}", self.sf, &self.date[..10]);
        fs::write(directory.join(format!("{name}.svg")), self.chart().svg())?;
        let path = directory.join(format!("{name}.md"));
        fs::write(&path, self.markdown(&name))?;
        Ok(path)
    }

    fn markdown(&self, name: &str) -> String {
        let version = self.measured.iter().find_map(|measured| measured.version.as_deref()).unwrap_or("?");
        let mut out = format!(
            "# COPY FROM at scale factor {}, {}\n\n\
             `make bench-copy SF={}`: lineitem, {} rows, into a table that is distributed by l_orderkey, on a master and {} segments, each a \
             process; beside DuckDB {version} into its own file, on the same files and cores. Best of {}; memory is the most of any round. \
             {}; commit {}.\n\n![chart]({name}.svg)\n\n```\n{}```\n\n## What is demanded\n\n```\n{}```\n",
            self.sf,
            &self.date[..10],
            self.sf,
            self.rows,
            self.segments,
            self.rounds,
            self.machine,
            self.commit.as_deref().unwrap_or("unknown"),
            self.figures(),
            self.demands_table(),
        );
        if let Some(why) = self.measured.iter().find_map(|measured| measured.unavailable.as_deref()) {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "\nDuckDB could not read the bucket: {why}");
        }
        out
    }

    fn chart(&self) -> BarChart {
        let rate = |seconds: Option<f64>| match seconds {
            Some(seconds) => Bar::Value(self.rows as f64 / seconds / 1e6),
            None => Bar::Absent,
        };
        let series = |name: &str, colour| Series { name: name.into(), label: name.into(), colour };
        BarChart {
            title: format!("COPY FROM of TPC-H's lineitem, SF{}: million rows each second", self.sf),
            subtitle: format!("{}, best of {}, {}", self.machine, self.rounds, self.date),
            unit: "million rows/s",
            unit_short: "M rows/s",
            series: vec![series("Damson", colours::BLUE), series("DuckDB", colours::GREEN)],
            groups: self
                .measured
                .iter()
                .map(|measured| Group {
                    label: measured.title(),
                    bars: vec![rate(measured.seconds()), rate(measured.their_seconds())],
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn measured(form: Form, files: usize, ours: f64, theirs: f64, peak_bytes: u64) -> Measured {
        let mut measured = Measured::new(form, files, 1_000_000_000);
        for slower in [1.5, 1.0] {
            let time = Duration::from_secs_f64(ours * slower);
            measured.add_ours(cluster::Loaded { time, rows: 6_000_000, keys: "1".into(), peak_bytes });
            let seconds = theirs * slower;
            measured.add_theirs(Loaded::Done {
                version: "2".into(),
                seconds,
                rows: 6_000_000,
                keys: "1".into(),
                peak_bytes: 1,
            });
        }
        measured
    }

    #[test]
    fn demands_are_compared() {
        let mut report = Report::new(1.0, 2, 2, 6_000_000);
        report.add(measured(Form::Csv, 1, 10.0, 8.0, 1 << 30));
        report.add(measured(Form::Csv, FILES_MANY, 13.0, 8.0, 4 << 30));
        let met: Vec<Option<bool>> = report.demands().into_iter().map(|demand| demand.is_met).collect();
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(met, [yes, no, None, None, no, no, None, None, None]);
        assert!(report.measured[0].has_same_rows(6_000_000, "1") && !report.measured[0].has_same_rows(6_000_000, "2"));
        let markdown = report.markdown("x");
        assert!(
            markdown.contains("0.60") && markdown.contains("NOT MET") && markdown.contains("not measured"),
            "{markdown}"
        );
        assert!(report.chart().svg().contains("CSV, 64 files"));
    }

    #[test]
    fn a_place_that_duckdb_cannot_reach_is_said() {
        let mut report = Report::new(1.0, 1, 2, 1);
        let mut measured = Measured::new(Form::S3, 1, 1);
        measured.add_theirs(Loaded::Unavailable { unavailable: "no extension".into() });
        report.add(measured);
        assert!(report.markdown("x").contains("no extension"));
    }
}
