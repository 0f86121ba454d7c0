//! What `damson backup` and `damson restore` have in common: one statement, how far it is, and what it did.

use super::connection::{Connection, Reply};
use super::failure::Failure;
use super::interrupt::Interrupt;
use super::output::Output;
use super::quoted;
use super::run::run_with;
use super::sizes::size;
use super::tls::TlsArgs;
use super::waiting::{News, Waiting};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema};
use damson_storage::shown_url;
use std::convert::Infallible;
use std::io;
use std::time::{Duration, Instant};

/// How often the server is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Who to ask.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Server {
    /// The server.
    #[arg(long, default_value = "flight://127.0.0.1:50051", env = "DAMSON_URL")]
    pub url: String,
    /// The user, whose password is in the environment variable DAMSON_PASSWORD; any will do where no password is asked.
    #[arg(long, env = "USER", default_value = "damson")]
    pub user: String,
    #[command(flatten)]
    pub tls: TlsArgs,
}

impl Server {
    /// A session.
    ///
    /// # Errors
    /// As [`Connection::open_flight`].
    pub(crate) async fn connect(&self) -> Result<Connection, Failure> {
        Connection::open_flight(&self.url, &self.user, &self.tls).await
    }
}

/// What BACKUP or RESTORE did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub backup: String,
    pub snapshot: u64,
    pub tables: u64,
    pub files: u64,
    pub files_copied: u64,
    pub bytes: u64,
    pub bytes_copied: u64,
    pub elapsed: Duration,
}

impl Done {
    /// `3 files, 120 MB in 3.2 s (37 MB/s)`.
    pub(super) fn copied(&self) -> String {
        let seconds = self.elapsed.as_secs_f64();
        let rate = self.bytes_copied as f64 / 1e6 / seconds.max(0.001);
        format!("{}, {} in {seconds:.1} s ({rate:.0} MB/s)", files(self.files_copied), size(self.bytes_copied))
    }
}

/// `1 file`, `3 files`.
pub(super) fn files(count: u64) -> String {
    format!("{count} {}", if count == 1 { "file" } else { "files" })
}

/// `1 table`, `3 tables`.
pub(crate) fn tables(count: u64) -> String {
    format!("{count} {}", if count == 1 { "table" } else { "tables" })
}

/// Runs BACKUP or RESTORE to its end. What takes longer than two seconds shows how far it is, on a terminal.
///
/// # Errors
/// The server's, or Ctrl-C.
pub(super) async fn transfer(server: &Server, command: &str, place: &str, statement: &str) -> Result<Done, Failure> {
    let mut interrupt = Interrupt::install().map_err(Failure::from)?;
    let mut connection = server.connect().await?;
    let (mut row, news, began) = (OneRow::default(), News::default(), Instant::now());
    let waiting = Waiting::with_news(news.clone());
    let ran = tokio::select! {
        ran = run_with(&mut connection, statement, &mut row, &mut interrupt, waiting) => ran,
        never = ask_forever(server, command, place, &news) => match never {},
    };
    connection.close().await;
    ran?;
    row.done(began.elapsed()).ok_or_else(|| Failure::Connection("the server did not say what it did".into()))
}

/// Looks how far it is, in a session of its own; never ends, because it only accompanies other work.
async fn ask_forever(server: &Server, command: &str, place: &str, news: &News) -> Infallible {
    let progress = format!(
        "SELECT phase, files_done, files_total, bytes_done, bytes_total FROM gp_stat_progress_backup \
         WHERE command = {} AND place = {} ORDER BY elapsed_ms LIMIT 1",
        quoted(command),
        quoted(shown_url(place))
    );
    let mut session = None;
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        if session.is_none() {
            session = server.connect().await.ok();
        }
        let Some(connection) = &mut session else { continue };
        match ask(connection, &progress).await {
            Ok(Some(text)) => news.tell(text),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "could not ask how far it is");
                session = None;
            }
        }
    }
}

async fn ask(connection: &mut Connection, progress: &str) -> Result<Option<String>, Failure> {
    let planned = connection.plan(progress).await?;
    let Reply::Rows(mut rows) = connection.fetch(&planned).await? else { return Ok(None) };
    let mut told = None;
    while let Some(batch) = rows.next().await? {
        told = told.or(describe(&batch)?);
    }
    Ok(told)
}

/// `copying files: 3 of 48 files, 120 MB of 3120 MB`.
fn describe(batch: &RecordBatch) -> Result<Option<String>, Failure> {
    if batch.num_rows() == 0 {
        return Ok(None);
    }
    let phase = cast(batch.column(0), &DataType::Utf8)?;
    let number = |column: usize| {
        let numbers = batch.column(column).as_primitive_opt::<Int64Type>();
        numbers.map_or(0, |numbers| numbers.value(0).unsigned_abs())
    };
    let (files_done, files_total) = (number(1), number(2));
    let bytes = format!("{} of {}", size(number(3)), size(number(4)));
    Ok(Some(format!("{}: {files_done} of {}, {bytes}", phase.as_string::<i32>().value(0), files(files_total))))
}

/// Takes the only row of a result.
#[derive(Default)]
struct OneRow(Option<RecordBatch>);

impl OneRow {
    fn done(&self, elapsed: Duration) -> Option<Done> {
        let batch = self.0.as_ref()?;
        let number = |name: &str| {
            let numbers = batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
            Some(numbers.value(0).unsigned_abs())
        };
        let backup = cast(batch.column_by_name("backup")?, &DataType::Utf8).ok()?;
        Some(Done {
            backup: backup.as_string::<i32>().value(0).to_owned(),
            snapshot: number("snapshot")?,
            tables: number("tables")?,
            files: number("files")?,
            files_copied: number("files_copied")?,
            bytes: number("bytes")?,
            bytes_copied: number("bytes_copied")?,
            elapsed,
        })
    }
}

impl Output for OneRow {
    fn begin(&mut self, _: &Schema) -> io::Result<()> {
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch) -> io::Result<()> {
        if batch.num_rows() > 0 {
            self.0 = Some(batch.clone());
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn is_shown_at_once(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::Field;
    use std::sync::Arc;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), false));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        RecordBatch::try_new(schema, columns.into_iter().map(|(_, array)| array).collect()).unwrap()
    }

    fn number(value: i64) -> ArrayRef {
        Arc::new(Int64Array::from(vec![value]))
    }

    #[test]
    fn a_row_says_what_was_done() {
        let names = ["snapshot", "tables", "files", "files_copied", "bytes", "bytes_copied"];
        let mut columns: Vec<(&str, ArrayRef)> = vec![("backup", Arc::new(StringArray::from(vec!["b-s17"])))];
        columns.extend(names.iter().zip(1..).map(|(name, value)| (*name, number(value * 10_000_000))));
        let mut row = OneRow::default();
        assert_eq!(row.done(Duration::ZERO), None);
        row.batch(&batch(columns)).unwrap();
        let done = row.done(Duration::from_secs(2)).unwrap();
        assert_eq!((done.backup.as_str(), done.snapshot, done.bytes_copied), ("b-s17", 10_000_000, 60_000_000));
        assert_eq!(done.copied(), "40000000 files, 60 MB in 2.0 s (30 MB/s)");
    }

    #[test]
    fn progress_is_told_in_one_line() {
        let phase: ArrayRef = Arc::new(StringArray::from(vec!["copying files"]));
        let columns = vec![
            ("phase", phase),
            ("files_done", number(1)),
            ("files_total", number(3)),
            ("bytes_done", number(5)),
            ("bytes_total", number(20_000)),
        ];
        let told = describe(&batch(columns)).unwrap().unwrap();
        assert_eq!(told, "copying files: 1 of 3 files, 5 bytes of 20 kB");
    }
}
