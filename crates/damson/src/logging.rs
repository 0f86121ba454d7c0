//! Logs on stderr.

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
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}
