//! The line on the terminal while a statement runs: `12.3 s, 4096 rows`.

use parking_lot::Mutex;
use std::convert::Infallible;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Short statements show nothing.
pub(super) const SHOW_AFTER: Duration = Duration::from_secs(2);
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// Progress of one statement, on stderr if that is a terminal.
pub(super) struct Waiting {
    started: Instant,
    rows: u64,
    is_terminal: bool,
    is_shown: bool,
    /// What else is known of it.
    news: News,
}

/// What somebody else finds out about a statement while it runs; a clone is the same.
#[derive(Clone, Default)]
pub(super) struct News(Arc<Mutex<String>>);

impl News {
    pub(super) fn tell(&self, text: String) {
        *self.0.lock() = text;
    }
}

impl Waiting {
    /// Whether the line is ever seen.
    pub(super) fn is_seen() -> bool {
        std::io::stderr().is_terminal()
    }

    pub(super) fn start() -> Self {
        Self::with_news(News::default())
    }

    /// Shows what `news` says, too.
    pub(super) fn with_news(news: News) -> Self {
        let is_terminal = Waiting::is_seen();
        Waiting { started: Instant::now(), rows: 0, is_terminal, is_shown: false, news }
    }

    pub(super) fn count(&mut self, rows: usize) {
        self.rows += rows as u64;
    }

    /// Shows the line again and again; never ends, because it only accompanies other work.
    pub(super) async fn show_forever(&mut self) -> Infallible {
        loop {
            let next = SHOW_AFTER.saturating_sub(self.started.elapsed()).max(SHOW_EVERY);
            tokio::time::sleep(next).await;
            if self.is_terminal {
                self.is_shown = true;
                let line = line(self.started.elapsed(), self.rows, &self.news.0.lock());
                // A terminal that went away is found out when the result is printed.
                let _ = write!(std::io::stderr(), "\r{line}\x1b[K");
            }
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    /// Takes the line away for good: rows are printed now.
    pub(super) fn stop(&mut self) {
        self.clear();
        self.is_terminal = false;
    }
}

fn line(elapsed: Duration, rows: u64, news: &str) -> String {
    let seconds = elapsed.as_secs_f64();
    let rows = if rows > 0 { format!(", {rows} rows") } else { String::new() };
    let news = if news.is_empty() { String::new() } else { format!(", {news}") };
    format!("{seconds:.1} s{rows}{news} (Ctrl-C cancels)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_time_and_rows() {
        assert_eq!(line(Duration::from_millis(12_340), 0, ""), "12.3 s (Ctrl-C cancels)");
        assert_eq!(line(Duration::from_secs(2), 4096, ""), "2.0 s, 4096 rows (Ctrl-C cancels)");
        assert_eq!(line(Duration::from_secs(2), 0, "1 of 3 files"), "2.0 s, 1 of 3 files (Ctrl-C cancels)");
    }
}
