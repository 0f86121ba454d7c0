//! Hive's directories: `…/year=2026/month=11/part.parquet` has two more columns.

use percent_encoding::percent_decode_str;

/// The name of a directory whose value is NULL.
pub(crate) const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Columns and values of the directories in a file's path, in their order. A directory that does not decode to text is none.
pub(crate) fn partition_of(path: &str) -> Vec<(String, Option<String>)> {
    let directories = path.rsplit_once('/').map_or("", |(directories, _)| directories);
    let column = |directory: &str| {
        let (name, value) = directory.split_once('=')?;
        if name.is_empty() {
            return None;
        }
        let decoded = |text| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
        let value = if value == HIVE_NULL { None } else { Some(decoded(value)?) };
        Some((decoded(name)?, value))
    };
    directories.split('/').filter_map(column).collect()
}
