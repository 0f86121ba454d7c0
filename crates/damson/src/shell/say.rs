//! What a command says on stdout when it is done.

use super::failure::Failure;
use std::io::{self, Write};

/// Writes a line. A reader that has gone, as of `| head -1`, wants no more: that is no failure, what the command did is done.
///
/// # Errors
/// [`Failure::Output`].
pub(crate) fn say(line: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Failure::Output),
    }
}
