//! `damson restore`.

use super::failure::Failure;
use super::say::say;
use super::transfer::{Server, tables, transfer};
use super::{on_runtime, quoted};
use std::process::ExitCode;

/// Restores a backup into an empty cluster, of as many segments as it was made of, or of more or fewer. All of it appears at
/// once, or nothing.
#[derive(Clone, Debug, clap::Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    server: Server,
    /// Where backups are: /directory, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix. The nodes take
    /// credentials from their environment.
    #[arg(long, value_name = "URL")]
    from: String,
    /// Which backup, by its name in `damson backup --list`; the newest if none is named.
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
}

/// Runs the restore to its end.
pub fn restore(args: &RestoreArgs) -> ExitCode {
    on_runtime(run(args))
}

async fn run(args: &RestoreArgs) -> Result<(), Failure> {
    let which = args.backup.as_ref().map_or_else(String::new, |id| format!(" BACKUP {}", quoted(id)));
    let statement = format!("RESTORE FROM {}{which}", quoted(&args.from));
    let done = transfer(&args.server, "RESTORE", &args.from, &statement).await?;
    let (tables, copied) = (tables(done.tables), done.copied());
    // More files than the tables have, where their rows were sent to other segments.
    let (backup, snapshot) = (&done.backup, done.snapshot);
    say(&format!("Restored {tables} of backup {backup}, snapshot {snapshot}. Read from it: {copied}."))?;
    say(&format!("To compare every file with the catalog: damson check --url {}", args.server.url))
}
