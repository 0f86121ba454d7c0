//! `damson sql`: the shell, over Flight SQL or the PostgreSQL protocol.

mod address;
mod backup;
mod block;
mod check;
mod connection;
mod copy_progress;
mod describe;
mod failure;
mod flight;
mod interactive;
mod interrupt;
mod meta;
mod output;
mod pattern;
mod postgres;
mod restore;
mod run;
mod say;
mod script;
#[allow(clippy::module_inception, reason = "the shell's state is the shell")]
mod shell;
mod sink;
mod sizes;
mod titled;
mod tls;
mod transfer;
mod variables;
mod waiting;

pub(crate) use connection::{Connection, Reply};
pub(crate) use interrupt::Interrupt;
pub(crate) use output::{TableOutput, Texts};
pub(crate) use run::run as run_statement;
pub(crate) use say::say;
pub(crate) use sizes::size;
pub(crate) use transfer::{Server, tables};

pub use backup::{BackupArgs, backup};
pub use check::{CheckArgs, check};
pub use failure::{Failure, ServerError};
pub use output::Format;
pub use restore::{RestoreArgs, restore};
pub use script::{Piece, is_complete, pieces};

use shell::{Shell, Stop};
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use tls::TlsArgs;
use variables::Variables;

/// As after a Ctrl-C: 128 + SIGINT.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;

/// Runs statements, from the command line, from files, or as they are typed.
#[derive(Clone, Debug, clap::Args)]
pub struct SqlArgs {
    /// The server: flight://HOST:PORT, or postgresql://HOST:PORT to speak the PostgreSQL protocol.
    #[arg(long, default_value = "flight://127.0.0.1:50051", env = "DAMSON_URL")]
    url: String,
    /// The user, whose password is in the environment variable DAMSON_PASSWORD, if one is asked for.
    #[arg(long, env = "USER", default_value = "damson")]
    user: String,
    #[command(flatten)]
    tls: TlsArgs,
    /// Statements to run (may be repeated); then the shell ends.
    #[arg(short = 'c', long = "command", value_name = "SQL", allow_hyphen_values = true)]
    commands: Vec<String>,
    /// File of statements to run after those of -c (may be repeated; - is stdin); then the shell ends.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A variable, as by \set: :NAME stands for VALUE in statements (may be repeated).
    #[arg(short = 'v', long = "set", value_name = "NAME=VALUE")]
    variables: Vec<String>,
    /// How rows are printed.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Runs the shell to its end. Errors go to stderr.
pub fn run(args: SqlArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    let mut variables = Variables::default();
    for variable in &args.variables {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        if let Err(message) = variables.set(name, value) {
            return failed(&format!("--set {variable}: {message}"));
        }
    }
    let opened = runtime.block_on(async {
        let interrupt = Interrupt::install().map_err(Failure::from)?;
        let connection = Connection::open(&args.url, &args.user, &args.tls).await?;
        Ok::<_, Failure>(Shell::new(connection, interrupt, args.format, variables))
    });
    let mut shell = match opened {
        Ok(shell) => shell,
        Err(failure) => return failed_with(&failure),
    };
    let is_scripted = !args.commands.is_empty() || !args.files.is_empty() || !std::io::stdin().is_terminal();
    let code = if is_scripted {
        runtime.block_on(run_scripts(&mut shell, &args))
    } else {
        match interactive::interact(&mut shell, runtime.handle()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&format!("cannot read the terminal: {error}")),
        }
    };
    runtime.block_on(shell.connection.close());
    code
}

async fn run_scripts(shell: &mut Shell, args: &SqlArgs) -> ExitCode {
    let mut scripts = args.commands.clone();
    let stdin = PathBuf::from("-");
    let is_piped = args.commands.is_empty() && args.files.is_empty();
    for file in args.files.iter().chain(is_piped.then_some(&stdin)) {
        match read(file) {
            Ok(script) => scripts.push(script),
            Err(error) => return failed(&format!("{}: {error}", file.display())),
        }
    }
    for script in scripts {
        match shell.script(&script).await {
            Ok(shell::Next::GoOn) => {}
            Ok(shell::Next::Quit) => break,
            Err(Stop::Failed) => return ExitCode::FAILURE,
            Err(Stop::Interrupted) => return ExitCode::from(EXIT_INTERRUPTED),
        }
    }
    ExitCode::SUCCESS
}

fn read(file: &PathBuf) -> std::io::Result<String> {
    if file.as_os_str() != "-" {
        return std::fs::read_to_string(file);
    }
    let mut script = String::new();
    std::io::stdin().read_to_string(&mut script)?;
    Ok(script)
}

/// Runs a command that talks to a server; its failure goes to stderr.
fn on_runtime(command: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    match runtime.block_on(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed_with(&failure),
    }
}

/// The failure on stderr; the exit status.
fn failed_with(failure: &Failure) -> ExitCode {
    eprint!("{}", failure.report(""));
    match failure {
        Failure::Interrupted => ExitCode::from(EXIT_INTERRUPTED),
        _ => ExitCode::FAILURE,
    }
}

fn failed(message: &str) -> ExitCode {
    eprintln!("ERROR:  {message}");
    ExitCode::FAILURE
}

/// A text as an SQL literal.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
