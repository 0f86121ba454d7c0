//! What is shown meanwhile.

use super::times::spoken;
use crate::shell::{say, size, tables};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Results on stdout, and on stderr what changes.
pub(super) struct Display(Kind);

enum Kind {
    /// A terminal.
    Bar(ProgressBar),
    Lines,
    /// `-s`
    Silent,
}

impl Display {
    pub(super) fn new(is_silent: bool, is_simple: bool) -> Self {
        Display(if is_silent {
            Kind::Silent
        } else if is_simple || !std::io::stderr().is_terminal() {
            Kind::Lines
        } else {
            let bar = ProgressBar::new_spinner();
            bar.set_style(ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
            Kind::Bar(bar)
        })
    }

    /// A line that stays.
    pub(super) fn say(&self, line: &str) {
        match &self.0 {
            Kind::Bar(bar) => bar.suspend(|| print(line)),
            Kind::Lines => print(line),
            Kind::Silent => {}
        }
    }

    /// A line that stays, also where nothing else is shown.
    pub(super) fn warn(&self, line: &str) {
        match &self.0 {
            Kind::Bar(bar) => bar.suspend(|| eprintln!("{line}")),
            Kind::Lines | Kind::Silent => eprintln!("{line}"),
        }
    }

    /// A line that is replaced, on a terminal.
    pub(super) fn waiting(&self, line: &str) {
        if let Kind::Bar(bar) = &self.0 {
            bar.set_message(line.to_owned());
        }
    }

    /// Takes that line away.
    pub(super) fn waited(&self) {
        if let Kind::Bar(bar) = &self.0 {
            bar.set_message(String::new());
            bar.finish_and_clear();
            bar.reset();
        }
    }
}

/// A stdout that cannot be written does not end an expansion: the record has the same.
fn print(line: &str) {
    if let Err(error) = say(line) {
        tracing::debug!(%error, line, "a line could not be shown");
    }
}

/// How far phase 2 is.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    began: Instant,
    bytes_done_before: u64,
}

impl Pace {
    pub(super) fn new(bytes_done: u64) -> Self {
        Pace { began: Instant::now(), bytes_done_before: bytes_done }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// `3 of 12 tables, 120 MB of 3120 MB, 35 MB/s, 1 min 25 s left; moving public.lineitem`.
    pub(super) fn line(&self, done: usize, all: usize, bytes: (u64, u64), moving: &[String]) -> String {
        line(self.elapsed(), self.bytes_done_before, (done, all), bytes, moving)
    }
}

fn line(
    elapsed: Duration,
    before: u64,
    (tables_done, all): (usize, usize),
    (bytes_done, bytes_left): (u64, u64),
    moving: &[String],
) -> String {
    let sizes = format!("{} of {}", size(bytes_done), size(bytes_done + bytes_left));
    let mut text = format!("{tables_done} of {}, {sizes}", tables(all as u64));
    let rate = bytes_done.saturating_sub(before) as f64 / elapsed.as_secs_f64().max(0.001);
    // Until a table is done nothing is known.
    if rate >= 1.0 {
        let left = Duration::from_secs_f64(bytes_left as f64 / rate);
        text += &format!(", {}/s, {} left", size(rate as u64), spoken(left));
    }
    if !moving.is_empty() {
        text += &format!("; moving {}", moving.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_it_is() {
        let moving = ["public.t".to_owned()];
        let seconds = Duration::from_secs(10);
        assert_eq!(
            line(seconds, 0, (3, 12), (500_000_000, 4_000_000_000), &moving),
            "3 of 12 tables, 500 MB of 4500 MB, 50 MB/s, 1 min 20 s left; moving public.t"
        );
        // What was done by an earlier run says nothing of the rate of this one.
        assert_eq!(line(seconds, 500, (3, 12), (500, 4000), &[]), "3 of 12 tables, 500 bytes of 4500 bytes");
    }
}
