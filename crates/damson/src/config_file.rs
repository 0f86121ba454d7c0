//! The small TOML file that can stand in for a node's flags.

use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A configuration that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Parse { path: PathBuf, source: toml::de::Error },
    #[error("--{0} is missing, on the command line and in the configuration file")]
    Missing(&'static str),
    #[error("--{name} {mib}: so many MiB are more than 64 bits of bytes")]
    TooLarge { name: &'static str, mib: u64 },
    #[error("interconnect: {0}")]
    Interconnect(String),
}

/// The file's options, whose keys are the flags without `--`, those of the interconnect in a section of its name; the
/// defaults without a file.
///
/// # Errors
/// A file that cannot be read, or has a key that is none.
pub(crate) fn read<T: DeserializeOwned + Default>(path: Option<&Path>) -> Result<T, ConfigError> {
    let Some(path) = path else { return Ok(T::default()) };
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|source| ConfigError::Parse { path: path.to_owned(), source })
}

/// An option in MiB, as bytes.
pub(crate) fn mib_as_bytes(mib: u64, name: &'static str) -> Result<u64, ConfigError> {
    mib.checked_mul(1 << 20).ok_or(ConfigError::TooLarge { name, mib })
}

/// An option that has no default.
pub(crate) fn required<T>(value: Option<T>, name: &'static str) -> Result<T, ConfigError> {
    value.ok_or(ConfigError::Missing(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_too_many_bytes_is_refused() {
        assert_eq!(mib_as_bytes(3, "spill-limit").unwrap(), 3 << 20);
        assert_eq!(mib_as_bytes((1 << 44) - 1, "spill-limit").unwrap(), u64::MAX - ((1 << 20) - 1));
        let error = mib_as_bytes(1 << 44, "spill-limit").unwrap_err().to_string();
        assert!(error.contains("--spill-limit 17592186044416"), "{error}");
    }
}
