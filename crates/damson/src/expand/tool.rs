//! Which part of the work is asked for.

use super::args::ExpandArgs;
use super::failure::ExpandFailure;
use super::one_tool::OnlyTool;
use super::progress::Display;
use super::record::Record;
use super::session::Session;
use super::{interview, moving, setup, status, undo};
use crate::shell::{EXIT_INTERRUPTED, Failure, Interrupt};
use damson_gpexpand::{Expansion, ExpansionStatus};
use std::io::{self, IsTerminal};
use std::process::ExitCode;

/// What every part needs.
pub(super) struct Tool<'a> {
    pub args: &'a ExpandArgs,
    pub session: Session,
    pub display: Display,
    only: Option<OnlyTool>,
}

impl Tool<'_> {
    /// From now on no other tool works on the expansion.
    ///
    /// # Errors
    /// Another one does; the server's.
    pub(super) async fn lock(&mut self) -> Result<(), ExpandFailure> {
        self.only = Some(OnlyTool::take(&self.args.server, &self.display).await?);
        Ok(())
    }

    /// The server forgets a lock that cannot be given back by itself.
    pub(super) async fn unlock(&mut self) {
        if let Some(only) = self.only.take()
            && let Err(error) = only.release().await
        {
            tracing::debug!(%error, "the lock of the expansion was not given back");
        }
    }
}

/// Runs the tool to its end. Errors go to stderr.
pub fn run(args: &ExpandArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ERROR:  cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(work(args));
    // Without waiting for an answer that nobody gives any more.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprint!("{}", failure.report());
            match failure {
                ExpandFailure::Session(Failure::Interrupted) => ExitCode::from(EXIT_INTERRUPTED),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

async fn work(args: &ExpandArgs) -> Result<(), ExpandFailure> {
    let mut interrupt = Interrupt::install().map_err(Failure::from)?;
    let session = Session::open(&args.server).await?;
    let mut tool = Tool { args, session, display: Display::new(args.silent, args.simple_progress), only: None };
    let done = dispatch(&mut tool, &mut interrupt).await;
    tool.display.waited();
    tool.unlock().await;
    tool.session.close().await;
    done
}

async fn dispatch(tool: &mut Tool<'_>, interrupt: &mut Interrupt) -> Result<(), ExpandFailure> {
    let args = tool.args;
    if args.plan {
        return unless_interrupted(status::plan(tool), interrupt).await;
    }
    let recorded = Record(&mut tool.session).load().await?;
    if args.names_a_change() {
        return match recorded {
            Some(expansion) => Err(ExpandFailure::SetUpAlready(expansion.status())),
            None => unless_interrupted(setup::set_up(tool), interrupt).await,
        };
    }
    let Some(expansion) = recorded else {
        return match !args.names_an_end() && io::stdin().is_terminal() {
            true => unless_interrupted(interview::ask(tool), interrupt).await,
            false => Err(ExpandFailure::NothingSetUp),
        };
    };
    if args.status {
        status::show(tool, &expansion, interrupt).await
    } else if args.rollback {
        unless_interrupted(roll_back(tool), interrupt).await
    } else if args.clean {
        unless_interrupted(clean(tool), interrupt).await
    } else {
        go_on(tool, interrupt).await
    }
}

/// Phase 1, if it was cut short; else phase 2.
async fn go_on(tool: &mut Tool<'_>, interrupt: &mut Interrupt) -> Result<(), ExpandFailure> {
    let expansion = locked(tool).await?;
    match expansion.status() {
        ExpansionStatus::RollingBack => Err(ExpandFailure::RollingBack),
        ExpansionStatus::Setup => unless_interrupted(set_up_again(tool, expansion), interrupt).await,
        _ => moving::move_tables(tool, expansion, interrupt).await,
    }
}

/// The record, once it is ours.
async fn locked(tool: &mut Tool<'_>) -> Result<Expansion, ExpandFailure> {
    tool.lock().await?;
    // Another tool may have worked until now.
    Record(&mut tool.session).load().await?.ok_or(ExpandFailure::NothingSetUp)
}

async fn roll_back(tool: &mut Tool<'_>) -> Result<(), ExpandFailure> {
    let expansion = locked(tool).await?;
    undo::roll_back(tool, expansion).await
}

async fn clean(tool: &mut Tool<'_>) -> Result<(), ExpandFailure> {
    let expansion = locked(tool).await?;
    undo::clean(tool, expansion).await
}

async fn set_up_again(tool: &mut Tool<'_>, mut expansion: Expansion) -> Result<(), ExpandFailure> {
    let steps = expansion.recover();
    setup::go_on(tool, expansion, steps).await
}

/// What is dropped half-way is recorded, and is gone on with by the next run.
async fn unless_interrupted(
    part: impl Future<Output = Result<(), ExpandFailure>>,
    interrupt: &mut Interrupt,
) -> Result<(), ExpandFailure> {
    tokio::select! {
        done = part => done,
        () = interrupt.pressed() => Err(Failure::Interrupted.into()),
    }
}
