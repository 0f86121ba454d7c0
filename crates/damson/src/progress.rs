//! Progress on stderr: a bar on a terminal, plain lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// Progress of one long task, step by step. Clones show the same.
#[derive(Clone, Debug)]
pub struct Progress {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Bar(ProgressBar),
    Lines,
    Silent,
}

impl Progress {
    /// As fits stderr.
    pub fn stderr() -> Self {
        let kind = if std::io::stderr().is_terminal() { Kind::Bar(ProgressBar::new(0)) } else { Kind::Lines };
        Progress { kind }
    }

    /// Shows nothing: tests and embedders.
    pub fn silent() -> Self {
        Progress { kind: Kind::Silent }
    }

    /// The next step, of about `total` rows.
    pub fn begin(&self, what: String, total: u64) {
        match &self.kind {
            Kind::Bar(bar) => {
                bar.disable_steady_tick();
                bar.reset();
                bar.set_length(total.max(1));
                bar.set_style(style("{msg:24} {wide_bar} {human_pos} of {human_len} rows, {elapsed}"));
                bar.set_message(what);
            }
            Kind::Lines => eprintln!("{what}"),
            Kind::Silent => {}
        }
    }

    /// The next step, whose length is not known.
    pub fn begin_unknown(&self, what: String) {
        match &self.kind {
            Kind::Bar(bar) => {
                bar.reset();
                bar.set_style(style("{msg:24} {spinner} {elapsed}"));
                bar.set_message(what);
                bar.enable_steady_tick(Duration::from_millis(100));
            }
            Kind::Lines => eprintln!("{what}"),
            Kind::Silent => {}
        }
    }

    /// Rows done since the last call.
    pub fn advance(&self, rows: u64) {
        if let Kind::Bar(bar) = &self.kind {
            bar.inc(rows);
        }
    }

    /// A line that stays.
    pub fn note(&self, line: &str) {
        match &self.kind {
            Kind::Bar(bar) => bar.println(line),
            Kind::Lines => eprintln!("{line}"),
            Kind::Silent => {}
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Kind::Bar(bar) = &self.kind {
            bar.finish_and_clear();
        }
    }
}

/// A template that cannot be read shows the default bar.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
