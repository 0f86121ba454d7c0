//! Logs on stderr.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Logs what `filter` selects, else what `RUST_LOG` does, else warnings.
///
/// # Errors
/// A filter that is none.
pub fn start(filter: Option<&str>) -> Result<(), ParseError> {
    let filter = match filter {
        Some(filter) => EnvFilter::try_new(filter)?,
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")),
    };
    let colours = has_colours(std::io::stderr().is_terminal(), std::env::var("NO_COLOR").ok().as_deref());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    Ok(())
}

/// A file is read by programs; `NO_COLOR` is the user's wish wherever it is not empty.
fn has_colours(is_terminal: bool, no_color: Option<&str>) -> bool {
    is_terminal && no_color.is_none_or(str::is_empty)
}

#[cfg(test)]
mod tests {
    use super::has_colours;

    #[test]
    fn files_have_no_colours() {
        assert!(has_colours(true, None) && has_colours(true, Some("")));
        assert!(!has_colours(false, None) && !has_colours(true, Some("1")));
    }
}
