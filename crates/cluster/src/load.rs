//! What COPY reads and writes: formats, and the pieces of files that the master gives to segments.

use serde::{Deserialize, Serialize};

/// PostgreSQL's CSV options; each character is one byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvOptions {
    pub header: bool,
    pub delimiter: u8,
    pub quote: u8,
    pub escape: u8,
    /// The unquoted text that is NULL.
    pub null: String,
    pub encoding: Encoding,
}

impl Default for CsvOptions {
    fn default() -> Self {
        CsvOptions {
            header: false,
            delimiter: b',',
            quote: b'"',
            escape: b'"',
            null: String::new(),
            encoding: Encoding::Utf8,
        }
    }
}

/// PostgreSQL's text format: one row a line, backslash escapes, no quotes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextOptions {
    pub header: bool,
    pub delimiter: u8,
    /// None: a backslash is a character like any other (`ESCAPE 'OFF'`).
    pub escape: Option<u8>,
    /// The text that is NULL, compared before escapes are taken out.
    pub null: String,
    pub encoding: Encoding,
}

impl Default for TextOptions {
    fn default() -> Self {
        TextOptions {
            header: false,
            delimiter: b'\t',
            escape: Some(b'\\'),
            null: "\\N".into(),
            encoding: Encoding::Utf8,
        }
    }
}

/// One JSON object a line; members are matched to columns by name, a missing one is NULL, one without a column is passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JsonOptions {}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParquetOptions {}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopyFormat {
    Csv(CsvOptions),
    Text(TextOptions),
    Json(JsonOptions),
    Parquet(ParquetOptions),
}

/// The encoding of a text file, by its WHATWG label in lower case as the `encoding_rs` crate names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    Utf8,
    Other(String),
}

/// How the lines of a text file end: all as the first one that is outside quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Newline {
    Lf,
    CrLf,
    Cr,
}

/// How a file's bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Codec {
    None,
    Gzip,
    Zstd,
    /// The framing format.
    Snappy,
    /// The frame format.
    Lz4,
}

impl Codec {
    /// By a name's last extension: `.gz`, `.zst`, `.snappy` or `.sz`, `.lz4`.
    pub fn by_name(name: &str) -> Codec {
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        match extension.to_ascii_lowercase().as_str() {
            "gz" | "gzip" => Codec::Gzip,
            "zst" | "zstd" => Codec::Zstd,
            "snappy" | "sz" => Codec::Snappy,
            "lz4" => Codec::Lz4,
            _ => Codec::None,
        }
    }
}

/// A file that COPY reads, as its place described it when it was listed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CopyFile {
    /// An absolute path, or a URL without credentials.
    pub url: String,
    pub bytes: u64,
    /// Of object stores and http, as the server gives it.
    pub etag: Option<String>,
    /// Microseconds since 1970.
    pub modified_us: Option<i64>,
    /// Columns and values of the directories `column=value` in its path, in their order; None: Hive's NULL.
    pub partition: Vec<(String, Option<String>)>,
}

/// A piece of a file for one segment to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopyUnit {
    /// The records that *start* in `start..end` (bytes). `start` is a record's first byte, or 0, where a byte order mark
    /// and the header may come first; the last record may end beyond `end`. A file that is compressed, or whose encoding is
    /// other than UTF-8, is one unit: `0..u64::MAX`. `newline`: the file's, which a unit cannot see that does not begin it; None: the
    /// unit's first line tells.
    Records { file: CopyFile, codec: Codec, newline: Option<Newline>, start: u64, end: u64 },
    /// Row groups by index.
    RowGroups { file: CopyFile, row_groups: Vec<usize> },
}

impl CopyUnit {
    pub fn file(&self) -> &CopyFile {
        match self {
            CopyUnit::Records { file, .. } | CopyUnit::RowGroups { file, .. } => file,
        }
    }

    /// How much there is to read; of row groups their file's bytes, until it is opened.
    pub fn bytes(&self) -> u64 {
        match self {
            CopyUnit::Records { file, start, end, .. } => (*end).min(file.bytes).saturating_sub(*start),
            CopyUnit::RowGroups { file, .. } => file.bytes,
        }
    }
}

/// How many rows that cannot be read a segment passes over: `SEGMENT REJECT LIMIT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RejectLimit {
    Rows(u64),
    /// Of the rows read so far, looked at from [`REJECT_PERCENT_FROM_ROWS`] rows on and at the end.
    Percent(u8),
}

/// Rows before which a percentage says little; Greenplum's `gp_reject_percent_threshold`.
pub const REJECT_PERCENT_FROM_ROWS: u64 = 300;

impl RejectLimit {
    /// Whether `rejected` of `read` rows, the rejected among them, are too many. `at_end`: no more rows come.
    pub fn is_passed(self, rejected: u64, read: u64, at_end: bool) -> bool {
        match self {
            RejectLimit::Rows(limit) => rejected >= limit,
            RejectLimit::Percent(percent) => {
                let is_looked_at = at_end || read >= REJECT_PERCENT_FROM_ROWS;
                is_looked_at && rejected > 0 && rejected * 100 >= read * u64::from(percent)
            }
        }
    }
}

/// What becomes of rows that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnBadRow {
    /// The statement fails with the first.
    Fail,
    /// They are passed over until the limit is reached; `log`: they go to the table's error log.
    Reject { limit: RejectLimit, log: bool },
    /// Nothing is loaded; every bad row is a row of the statement's result.
    Report,
}

/// A row that could not be read: a row of `gp_read_error_log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadRow {
    /// Microseconds since 1970.
    pub time_us: i64,
    /// As [`CopyFile::url`].
    pub file: String,
    /// Of the record's first line, from 1. Of Parquet and JSON: the row.
    pub line: u64,
    /// Of the record's first byte in the (decompressed, UTF-8) file; None where it has none.
    pub byte_offset: Option<u64>,
    pub column: Option<String>,
    pub sqlstate: String,
    pub message: String,
    /// The record as it stands in the file, cut to [`BAD_ROW_BYTES_MAX`]; None if it cannot be shown.
    pub raw: Option<String>,
}

/// Bytes of a bad row that are kept.
pub const BAD_ROW_BYTES_MAX: usize = 4096;

/// What a segment has read of a COPY so far, or written: a row of `gp_stat_progress_copy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyCounts {
    /// Of the units that the segment was given; of what is written, of the files that were begun, and `bytes` is 0.
    pub units: u64,
    pub units_done: u64,
    pub bytes: u64,
    /// Of the files, compressed as they are.
    pub bytes_done: u64,
    pub rows: u64,
    pub rejected: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_bad_rows() {
        let rows = RejectLimit::Rows(2);
        assert!(!rows.is_passed(1, 1000, true) && rows.is_passed(2, 2, false));
        let percent = RejectLimit::Percent(10);
        assert!(!percent.is_passed(5, 20, false), "20 rows say little");
        assert!(percent.is_passed(5, 20, true));
        assert!(percent.is_passed(30, 300, false) && !percent.is_passed(29, 300, false));
        assert!(!percent.is_passed(0, 0, true));
    }

    #[test]
    fn codecs_by_name() {
        for (name, codec) in [
            ("a.csv", Codec::None),
            ("a.csv.GZ", Codec::Gzip),
            ("a.zst", Codec::Zstd),
            ("a.sz", Codec::Snappy),
            ("a.lz4", Codec::Lz4),
            ("gz", Codec::None),
        ] {
            assert_eq!(Codec::by_name(name), codec, "{name}");
        }
    }
}
