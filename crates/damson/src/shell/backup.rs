//! `damson backup`.

use super::failure::Failure;
use super::interrupt::Interrupt;
use super::output::TableOutput;
use super::run::run as run_statement;
use super::say::say;
use super::sizes::size;
use super::transfer::{Server, files, tables, transfer};
use super::{on_runtime, quoted};
use damson_storage::shown_url;
use std::io;
use std::process::ExitCode;

/// Backs up all tables and views, as they are or were, into a directory that all nodes see, or a bucket. Files that are there from
/// earlier backups are not copied again.
///
/// The cluster works meanwhile. `damson restore` brings a backup back, into a cluster of any number of segments.
#[derive(Clone, Debug, clap::Args)]
pub struct BackupArgs {
    #[command(flatten)]
    server: Server,
    /// Where backups are: /directory, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix. The nodes take
    /// credentials from their environment.
    #[arg(long, value_name = "URL")]
    to: String,
    /// Back up the past, as SQL has it: "SNAPSHOT 17", "RESTORE POINT before_load", "TIMESTAMP '2026-11-26 18:00'".
    #[arg(long, value_name = "WHAT")]
    as_of: Option<String>,
    /// List the backups that are there, with what is wrong with them, and make none.
    #[arg(long)]
    list: bool,
}

/// Runs the backup to its end.
pub fn backup(args: &BackupArgs) -> ExitCode {
    on_runtime(async { if args.list { list(args).await } else { back_up(args).await } })
}

async fn list(args: &BackupArgs) -> Result<(), Failure> {
    let mut interrupt = Interrupt::install().map_err(Failure::from)?;
    let mut connection = args.server.connect().await?;
    let mut output = TableOutput::new(io::stdout(), false);
    let statement = format!("SHOW BACKUPS IN {}", quoted(&args.to));
    let listed = run_statement(&mut connection, &statement, &mut output, &mut interrupt).await;
    connection.close().await;
    listed.map(|_| ())
}

async fn back_up(args: &BackupArgs) -> Result<(), Failure> {
    let as_of = args.as_of.as_ref().map_or_else(String::new, |what| format!(" AS OF {what}"));
    let statement = format!("BACKUP TO {}{as_of}", quoted(&args.to));
    let done = transfer(&args.server, "BACKUP", &args.to, &statement).await?;
    let all = format!("{}, {}, {}", tables(done.tables), files(done.files), size(done.bytes));
    let place = shown_url(&args.to);
    say(&format!("Backup {} of snapshot {} is in {place}: {all}.", done.backup, done.snapshot))?;
    let there = files(done.files - done.files_copied.min(done.files));
    say(&format!("Copied: {}. There already: {there}.", done.copied()))?;
    say(&format!("To have it in an empty cluster: damson restore --from {place} --backup {}", done.backup))
}
