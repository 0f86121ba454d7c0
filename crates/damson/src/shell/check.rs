//! `damson check`: every file against the catalog.

use super::connection::{Connection, Planned, Reply};
use super::failure::Failure;
use super::interrupt::Interrupt;
use super::output::{Output, TableOutput};
use super::run::run as run_statement;
use super::say::say;
use super::sizes::size;
use super::tls::TlsArgs;
use super::{failed, failed_with};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, Schema};
use std::io;
use std::process::ExitCode;

/// What is checked, for the summary.
const FILES: &str = "SELECT count(*), CAST(coalesce(sum(bytes), 0) AS bigint) FROM gp_files";
const PROBLEMS: &str = "SELECT gp_segment_id, table_name, path, problem FROM gp_check ORDER BY 1, 2, 3";

/// Compares every file of every table with the catalog: whether it is there, its length, checksum and rows, its delete vector, and
/// whether each row is on the segment that its key says. Names what is wrong, and orphans, and then exits with 1.
///
/// The cluster works meanwhile. All files are read.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// The server.
    #[arg(long, default_value = "flight://127.0.0.1:50051", env = "DAMSON_URL")]
    url: String,
    /// The user, whose password is in the environment variable DAMSON_PASSWORD; any will do where no password is asked.
    #[arg(long, env = "USER", default_value = "damson")]
    user: String,
    #[command(flatten)]
    tls: TlsArgs,
}

/// Runs the check to its end.
pub fn check(args: &CheckArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    match runtime.block_on(run(args)) {
        Ok(code) => code,
        Err(failure) => failed_with(&failure),
    }
}

async fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let mut interrupt = Interrupt::install().map_err(Failure::from)?;
    let mut connection = Connection::open_flight(&args.url, &args.user, &args.tls).await?;
    let files = files(&mut connection).await?;
    eprintln!("Checking {files} …");
    let mut problems = Problems { output: TableOutput::new(io::stdout(), false), schema: None, rows: 0 };
    let done = run_statement(&mut connection, PROBLEMS, &mut problems, &mut interrupt).await;
    connection.close().await;
    done?;
    if problems.rows > 0 {
        let files = if problems.rows == 1 { "1 file is".into() } else { format!("{} files are", problems.rows) };
        return Ok(failed(&format!("{files} not as the catalog says")));
    }
    say(&format!("Nothing is wrong: {files}."))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints rows, if there are any.
struct Problems {
    output: TableOutput<io::Stdout>,
    /// Until there is a row.
    schema: Option<Schema>,
    rows: usize,
}

impl Output for Problems {
    fn begin(&mut self, schema: &Schema) -> io::Result<()> {
        self.schema = Some(schema.clone());
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch) -> io::Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if let Some(schema) = self.schema.take() {
            self.output.begin(&schema)?;
        }
        self.rows += batch.num_rows();
        self.output.batch(batch)
    }

    fn end(&mut self) -> io::Result<()> {
        if self.rows > 0 { self.output.end() } else { Ok(()) }
    }
}

/// `412 files, 3120 MB`.
async fn files(connection: &mut Connection) -> Result<String, Failure> {
    let planned: Planned = connection.plan(FILES).await?;
    let Reply::Rows(mut rows) = connection.fetch(&planned).await? else {
        return Err(Failure::Connection("the server gave no rows".into()));
    };
    let batch = rows.next().await?.filter(|batch| batch.num_rows() > 0);
    let batch = batch.ok_or_else(|| Failure::Connection("the server gave no rows".into()))?;
    let number = |column: usize| batch.column(column).as_primitive_opt::<Int64Type>().map(|numbers| numbers.value(0));
    let (Some(files), Some(bytes)) = (number(0), number(1)) else {
        return Err(Failure::Connection("the server's answer is not two numbers".into()));
    };
    let size = size(bytes.unsigned_abs());
    Ok(format!("{files} {}, {size}", if files == 1 { "file" } else { "files" }))
}
