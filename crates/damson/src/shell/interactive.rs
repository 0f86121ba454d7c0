//! The prompt: line editing, history, and statements of many lines.

use super::meta::Meta;
use super::script::is_complete;
use super::shell::{Next, Shell};
use damson_master::shown_statement;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Editor, Helper};
use std::path::PathBuf;
use tokio::runtime::Handle;

/// Statements that are remembered.
const HISTORY_MAX: usize = 10_000;

/// Enter goes on to the next line until the statement has its `;`.
struct UntilSemicolon;

impl Validator for UntilSemicolon {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        let is_complete = is_complete(context.input()) || Meta::of_word(context.input()).is_some();
        Ok(if is_complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Completer for UntilSemicolon {
    type Candidate = String;
}

impl Hinter for UntilSemicolon {
    type Hint = String;
}

impl Highlighter for UntilSemicolon {}
impl Helper for UntilSemicolon {}

/// Reads and runs until `\q` or the end of the input.
///
/// # Errors
/// A terminal that cannot be read.
pub(super) fn interact(shell: &mut Shell, runtime: &Handle) -> Result<(), ReadlineError> {
    let config = Config::builder().max_history_size(HISTORY_MAX)?.history_ignore_space(true).build();
    let mut editor: Editor<UntilSemicolon, FileHistory> = Editor::with_config(config)?;
    editor.set_helper(Some(UntilSemicolon));
    let history = history_file();
    if let Some(file) = &history {
        // There is none before the first time.
        let _ = editor.load_history(file);
    }
    println!("Damson {}, connected to {}. \\? for help.", env!("CARGO_PKG_VERSION"), shell.connection.url());
    let done = read_all(shell, runtime, &mut editor);
    if let Some(file) = &history {
        save_history(&mut editor, file);
    }
    done
}

fn read_all(
    shell: &mut Shell,
    runtime: &Handle,
    editor: &mut Editor<UntilSemicolon, FileHistory>,
) -> Result<(), ReadlineError> {
    loop {
        let input = match editor.readline(shell.prompt()) {
            Ok(input) => input,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error),
        };
        if input.trim().is_empty() {
            continue;
        }
        // Secrets are not to stand in a file.
        editor.add_history_entry(shown_statement(input.trim_end()).into_owned())?;
        let ran = match Meta::of_word(&input) {
            Some(meta) => runtime.block_on(shell.meta(meta)),
            None => runtime.block_on(shell.script(&input)),
        };
        match ran {
            Ok(Next::GoOn) => {}
            Ok(Next::Quit) => return Ok(()),
            Err(_) => runtime.block_on(shell.revive()),
        }
    }
}

fn save_history(editor: &mut Editor<UntilSemicolon, FileHistory>, file: &std::path::Path) {
    let saved = file.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(ReadlineError::from);
    if let Err(error) = saved.and_then(|()| editor.save_history(file)) {
        tracing::warn!(%error, file = %file.display(), "the history was not saved");
    }
}

/// `$XDG_STATE_HOME/damson/history`, by default in `~/.local/state`.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let state = state.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    state.map(|dir| dir.join("damson/history"))
}
