//! The binary: one subcommand for each thing that a process can be.

use clap::{Parser, Subcommand};
use damson::{certificate, demo, expand, logging, master_process, segment_process, shell, tpch_command};
use mimalloc::MiMalloc;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Damson, an MPP analytic warehouse.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// What to log on stderr: warn, info, damson_master=debug, … (RUST_LOG does the same).
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Master(master_process::MasterArgs),
    Segment(segment_process::SegmentArgs),
    Certificate(certificate::CertificateArgs),
    Sql(shell::SqlArgs),
    Check(shell::CheckArgs),
    Backup(shell::BackupArgs),
    Restore(shell::RestoreArgs),
    Expand(Box<expand::ExpandArgs>),
    State(expand::StateArgs),
    Tpch(tpch_command::TpchArgs),
}

fn main() -> ExitCode {
    let Cli { log, command } = Cli::parse_from(as_subcommand(std::env::args_os()));
    if let Err(error) = logging::start(log.as_deref()) {
        return failed(&format!("--log: {error}"));
    }
    damson::use_small_pages();
    damson::open_many_files();
    match command {
        Command::Demo(args) => serve(demo::run(args)),
        Command::Master(args) => serve(master_process::run(args)),
        Command::Segment(args) => serve(segment_process::run(args)),
        Command::Certificate(args) => ended(certificate::run(&args)),
        Command::Sql(args) => shell::run(args),
        Command::Check(args) => shell::check(&args),
        Command::Backup(args) => shell::backup(&args),
        Command::Restore(args) => shell::restore(&args),
        Command::Expand(args) => expand::run(&args),
        Command::State(args) => expand::state(&args),
        Command::Tpch(args) => ended(tpch_command::run(&args)),
    }
}

/// The command line, with the subcommand in it where the binary is called by a name that Greenplum's users know.
fn as_subcommand(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    let name = words.first().and_then(|name| Path::new(name).file_name()).and_then(OsStr::to_str);
    let subcommand = match name {
        Some("gpexpand") => "expand",
        Some("gpstate") => "state",
        _ => return words,
    };
    words.insert(1, subcommand.into());
    words
}

/// Runs a server to its end.
fn serve<E: Display>(server: impl Future<Output = Result<(), E>>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => ended(runtime.block_on(server)),
        Err(error) => failed(&format!("cannot start: {error}")),
    }
}

fn ended<E: Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn Display) -> ExitCode {
    eprintln!("ERROR:  {error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_may_be_called_as_greenplums_tools() {
        let parse = |words: &[&str]| Cli::try_parse_from(as_subcommand(words.iter().map(OsString::from)));
        for words in [&["/usr/bin/gpexpand", "-n", "2"][..], &["damson", "expand", "-n", "2"]] {
            let cli = parse(words).unwrap_or_else(|error| panic!("{error}"));
            assert!(matches!(cli.command, Command::Expand(_)), "{words:?}");
        }
        assert!(parse(&["damson", "-n", "2"]).is_err());
        let cli = parse(&["gpstate", "-x"]).unwrap_or_else(|error| panic!("{error}"));
        assert!(matches!(cli.command, Command::State(_)));
    }
}
