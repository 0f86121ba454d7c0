//! The bar of a COPY that takes its time: how much is read, how fast, and how long it will take; or how much is written.

use super::connection::{Connection, Reply};
use super::failure::Failure;
use super::sizes::size;
use super::waiting::{News, SHOW_AFTER};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, Instant};

/// How often the server is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Answers that a speed is of: what was ten seconds ago says nothing of now.
const SAMPLES_MAX: usize = 20;

const BAR_CHARS: usize = 20;

/// True for what begins with COPY. One after a comment gets no bar, which is all that it loses.
pub(super) fn is_copy(statement: &str) -> bool {
    statement.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("copy"))
}

/// Looks how far the session's COPY is, in a session of its own; never ends, because it only accompanies other work.
pub(super) async fn ask_forever(of: &Connection, news: &News) -> Infallible {
    tokio::time::sleep(SHOW_AFTER.saturating_sub(ASK_EVERY)).await;
    let (mut asking, mut speed) = (None, Speed::default());
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        // It is known once the statement is planned.
        let Some(session) = of.session() else { continue };
        if asking.is_none() {
            asking = of.another().await.ok();
        }
        let Some(connection) = &mut asking else { continue };
        match ask(connection, session).await {
            Ok(Some(far)) => {
                speed.add(Instant::now(), far);
                news.tell(speed.told(&far));
            }
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "could not ask how far it is");
                asking = None;
            }
        }
    }
}

/// What the segments have read or written together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Far {
    /// It is written: how much there will be is not known.
    writes: bool,
    bytes: u64,
    bytes_total: u64,
    rows: u64,
    rejected: u64,
    /// Files that are whole.
    files: u64,
}

async fn ask(connection: &mut Connection, session: u64) -> Result<Option<Far>, Failure> {
    let progress = format!(
        "SELECT CAST(sum(bytes_processed) AS bigint), CAST(sum(bytes_total) AS bigint), CAST(sum(rows) AS bigint), \
         CAST(sum(rejected) AS bigint), CAST(sum(CASE WHEN command = 'COPY TO' THEN 1 ELSE 0 END) AS bigint), \
         CAST(sum(files_done) AS bigint) FROM gp_stat_progress_copy WHERE pid = {session} AND segment IS NOT NULL"
    );
    let planned = connection.plan(&progress).await?;
    let Reply::Rows(mut rows) = connection.fetch(&planned).await? else { return Ok(None) };
    let mut told = None;
    while let Some(batch) = rows.next().await? {
        told = told.or(far(&batch));
    }
    Ok(told)
}

/// None while no segment has a share.
fn far(batch: &RecordBatch) -> Option<Far> {
    let number = |column: usize| {
        let numbers = batch.column(column).as_primitive_opt::<Int64Type>()?;
        (!numbers.is_empty() && numbers.is_valid(0)).then(|| numbers.value(0).unsigned_abs())
    };
    Some(Far {
        writes: number(4)? > 0,
        bytes: number(0)?,
        bytes_total: number(1)?,
        rows: number(2)?,
        rejected: number(3)?,
        files: number(5)?,
    })
}

/// The last answers.
#[derive(Default)]
struct Speed {
    samples: VecDeque<(Instant, Far)>,
}

impl Speed {
    fn add(&mut self, at: Instant, far: Far) {
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((at, far));
    }

    /// Rows and bytes in a second.
    fn rates(&self) -> Option<(f64, f64)> {
        let ((began, first), (now, last)) = (self.samples.front()?, self.samples.back()?);
        let seconds = now.duration_since(*began).as_secs_f64();
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        (seconds > 0.0).then(|| (rate(last.rows, first.rows), rate(last.bytes, first.bytes)))
    }

    /// `[########------------] 42 % of 1.2 GB, 8200000 rows, 310000 rows/s, 45 MB/s, 16 s left`, or
    /// `1.2 GB written, 5 files whole, 8200000 rows, 310000 rows/s, 45 MB/s`.
    fn told(&self, far: &Far) -> String {
        let Far { writes, bytes, bytes_total, rows, rejected, files } = *far;
        if writes {
            let told = format!("{} written, {files} files whole, {rows} rows", size(bytes));
            return match self.rates() {
                None => told,
                Some((rows_rate, bytes_rate)) => format!("{told}, {rows_rate:.0} rows/s, {:.0} MB/s", bytes_rate / 1e6),
            };
        }
        let part = if bytes_total == 0 { 1.0 } else { (bytes as f64 / bytes_total as f64).min(1.0) };
        let done = (part * BAR_CHARS as f64) as usize;
        let bar = format!("[{}{}]", "#".repeat(done), "-".repeat(BAR_CHARS - done));
        let mut told = format!("{bar} {:.0} % of {}, {rows} rows", part * 100.0, size(bytes_total));
        if rejected > 0 {
            told += &format!(", {rejected} rejected");
        }
        if let Some((rows_rate, bytes_rate)) = self.rates() {
            told += &format!(", {rows_rate:.0} rows/s, {:.0} MB/s", bytes_rate / 1e6);
            if bytes_rate > 0.0 && bytes < bytes_total {
                told += &format!(", {:.0} s left", (bytes_total - bytes) as f64 / bytes_rate);
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    #[test]
    fn the_bar_says_how_far_and_how_fast() {
        let (mut speed, began) = (Speed::default(), Instant::now());
        let first = Far { bytes: 100_000_000, bytes_total: 500_000_000, rows: 1000, ..Far::default() };
        speed.add(began, first);
        assert_eq!(speed.told(&first), "[####----------------] 20 % of 500 MB, 1000 rows");
        let second = Far { bytes: 200_000_000, rows: 5000, rejected: 2, ..first };
        speed.add(began + Duration::from_secs(2), second);
        let told = "[########------------] 40 % of 500 MB, 5000 rows, 2 rejected, 2000 rows/s, 50 MB/s, 6 s left";
        assert_eq!(speed.told(&second), told);
        let end = Far { bytes: 500_000_000, ..second };
        for second in 3..40 {
            speed.add(began + Duration::from_secs(second), end);
        }
        assert_eq!(speed.samples.len(), SAMPLES_MAX);
        assert!(speed.told(&end).starts_with("[####################] 100 %") && !speed.told(&end).contains("left"));
        let (mut speed, written) =
            (Speed::default(), Far { writes: true, bytes: 7_000_000, rows: 10, files: 2, ..Far::default() });
        speed.add(began, Far { writes: true, ..Far::default() });
        assert_eq!(
            speed.told(&Far { writes: true, ..Far::default() }),
            format!("{} written, 0 files whole, 0 rows", size(0))
        );
        speed.add(began + Duration::from_secs(1), written);
        assert_eq!(
            speed.told(&written),
            format!("{} written, 2 files whole, 10 rows, 10 rows/s, 7 MB/s", size(7_000_000))
        );
        let empty = Far::default();
        assert!(Speed::default().told(&empty).contains("100 % of"));
    }

    #[test]
    fn what_is_a_copy() {
        assert!(is_copy("  Copy t FROM '/f'") && is_copy("COPY\tt") && !is_copy("SELECT 1") && !is_copy("copyt"));
    }

    #[test]
    fn nobody_has_read_yet() {
        let schema = Schema::new((0..6).map(|i| Field::new(i.to_string(), DataType::Int64, true)).collect::<Vec<_>>());
        let batch = |value: Option<i64>| {
            let columns = (0..6).map(|_| Arc::new(Int64Array::from(vec![value])) as Arc<dyn Array>);
            RecordBatch::try_new(Arc::new(schema.clone()), columns.collect()).unwrap()
        };
        assert_eq!(far(&batch(None)), None);
        let threes = Far { writes: true, bytes: 3, bytes_total: 3, rows: 3, rejected: 3, files: 3 };
        assert_eq!(far(&batch(Some(3))), Some(threes));
    }
}
