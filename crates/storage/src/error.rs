//! What can go wrong with a segment's files, and with the files that COPY reads and writes.

use crate::object_clients::{lacks_credentials, told};
use damson_cluster::TableId;
use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use thiserror::Error as ThisError;

/// Between an error's message and what it says in detail, as PostgreSQL prints it. The master takes them apart.
const DETAIL: &str = "\nDETAIL:  ";
/// What can be done about it, after all else.
const HINT: &str = "\nHINT:  ";

/// Every error of this crate. Inside plans it travels as [`DataFusionError::External`], or, from below a Parquet reader,
/// wrapped once more: [`StorageError::find`] digs it out.
#[derive(Debug, ThisError)]
pub enum StorageError {
    /// A table file is not what was written.
    #[error("table {table}: file {path} is corrupt: {detail}")]
    Corrupt { table: TableId, path: String, detail: String },

    /// The catalog names a table file that is not there.
    #[error("table {table}: file {path} is missing")]
    Missing { table: TableId, path: String },

    #[error("could not {operation} {path}: {source}")]
    Io { operation: &'static str, path: String, source: io::Error },

    #[error(
        "null value in column \"{column}\" of relation \"{relation}\" violates not-null constraint{}Failing row contains ({row}).",
        DETAIL
    )]
    NotNull { relation: String, column: String, row: String },

    #[error(
        "new row for relation \"{relation}\" violates check constraint \"{constraint}\"{}Failing row contains ({row}).",
        DETAIL
    )]
    Check { relation: String, constraint: String, row: String },

    #[error(
        "duplicate key value violates unique constraint \"{constraint}\"{}Key ({columns})=({values}) already exists.",
        DETAIL
    )]
    Duplicate { constraint: String, columns: String, values: String },

    /// What arrives at a table is not of the table's types: a plan was made wrongly.
    #[error("table {table}: {detail}")]
    WrongRows { table: TableId, detail: String },

    #[error("{command} command cannot affect row a second time")]
    Repeated { command: &'static str },

    /// A record of a COPY file.
    #[error(transparent)]
    Record(#[from] Box<RecordError>),

    /// A text or bytea is longer than [`crate::limits::VALUE_BYTES_MAX`].
    #[error(
        "value of column \"{column}\" of relation \"{relation}\" is too long: {bytes} bytes, of at most {}",
        crate::limits::VALUE_BYTES_MAX
    )]
    ValueTooLong { relation: String, column: String, bytes: usize },

    /// Too many rows of COPY's files could not be read.
    #[error("segment reject limit reached, aborting operation{}Last error was: {message}, {file}, line {line}", DETAIL)]
    RejectLimit { message: String, file: String, line: u64 },

    /// A column of a COPY Parquet file.
    #[error("file {path}, column {column}: {message}")]
    Column { path: String, column: String, message: String, sqlstate: &'static str },

    /// A COPY file as a whole.
    #[error("file {path}: {message}")]
    File { path: String, message: String, sqlstate: &'static str },

    /// A place of backups or of tables that cannot be used.
    #[error("{place}: {message}")]
    Place { place: String, message: String, sqlstate: &'static str },

    #[error("column \"{column}\" has type {data_type}, which {what} cannot hold")]
    UnsupportedType { column: String, data_type: String, what: &'static str },

    #[error("COPY's {option} must be a single one-byte character")]
    Option { option: &'static str },

    /// The Parquet library refused to write.
    #[error("could not write {path}: {source}")]
    Write { path: String, source: ParquetError },
}

/// Where a record of a COPY text file went wrong.
#[derive(Debug)]
pub struct RecordError {
    pub path: String,
    /// Counted from 1; the line on which the record begins.
    pub line: u64,
    pub column: Option<String>,
    /// The offending text, cut to [`crate::limits::ERROR_VALUE_BYTES_MAX`].
    pub value: Option<String>,
    pub message: String,
    pub sqlstate: &'static str,
}

impl Error for RecordError {}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (file {}, line {}", self.message, self.path, self.line)?;
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        if let Some(value) = &self.value {
            write!(f, ": \"{value}\"")?;
        }
        f.write_str(")")?;
        match (&self.column, &self.value) {
            // A header that was read as a record.
            (Some(column), Some(value)) if self.line == 1 && value.trim().eq_ignore_ascii_case(column) => {
                write!(f, "{HINT}Is the first line a header? With HEADER it is left out.")
            }
            _ => Ok(()),
        }
    }
}

impl StorageError {
    /// The SQLSTATE to answer a client with.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            StorageError::Corrupt { .. } => "XX001",
            StorageError::Missing { .. } => "58P01",
            StorageError::Io { source, .. } => io_sqlstate(source),
            StorageError::NotNull { .. } => "23502",
            StorageError::Check { .. } => "23514",
            StorageError::Duplicate { .. } => "23505",
            StorageError::ValueTooLong { .. } => "54000",
            StorageError::Repeated { .. } => "21000",
            StorageError::WrongRows { .. } => "XX000",
            StorageError::Record(record) => record.sqlstate,
            StorageError::RejectLimit { .. } => "22P04",
            StorageError::Column { sqlstate, .. }
            | StorageError::File { sqlstate, .. }
            | StorageError::Place { sqlstate, .. } => sqlstate,
            StorageError::UnsupportedType { .. } => "0A000",
            StorageError::Option { .. } => "22023",
            StorageError::Write { source, .. } => root_io(source).map_or("58030", io_sqlstate),
        }
    }

    /// The storage error inside a query's error, however it was wrapped on its way up.
    pub fn find(error: &DataFusionError) -> Option<&StorageError> {
        find_in(error)
    }

    pub(crate) fn io(operation: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> StorageError {
        let path = path.as_ref().display().to_string();
        move |source| StorageError::Io { operation, path, source }
    }

    /// A failure of the Parquet writer; what the disk said is kept as such.
    pub(crate) fn write(path: &str, source: ParquetError) -> StorageError {
        match root_io(&source) {
            // `io::Error` is not Clone: keep what the SQLSTATE and the message need.
            Some(io) => StorageError::Io { operation: "write", path: path.into(), source: copy_of(io) },
            None => StorageError::Write { path: path.into(), source },
        }
    }
}

impl From<StorageError> for DataFusionError {
    fn from(error: StorageError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

/// What a store says of one of its files, with the kind that its SQLSTATE follows from.
pub(crate) fn store_error(operation: &'static str, name: &str, error: object_store::Error) -> StorageError {
    use object_store::Error::{AlreadyExists, NotFound, PermissionDenied, Unauthenticated};
    let kind = match &error {
        NotFound { .. } => io::ErrorKind::NotFound,
        AlreadyExists { .. } => io::ErrorKind::AlreadyExists,
        PermissionDenied { .. } | Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        other if lacks_credentials(other) => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    let text = told(&error);
    // The error itself may say more to a program.
    let source = if text == error.to_string() { io::Error::new(kind, error) } else { io::Error::new(kind, text) };
    StorageError::Io { operation, path: name.into(), source }
}

fn io_sqlstate(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "53100",
        io::ErrorKind::NotFound => "58P01",
        io::ErrorKind::PermissionDenied => "42501",
        io::ErrorKind::AlreadyExists => "58P02",
        _ => "58030",
    }
}

/// An error of the same kind and code, with its text.
pub(crate) fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

fn root_io<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    walk(error, &mut |e| e.downcast_ref::<io::Error>())
}

fn find_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a StorageError> {
    walk(error, &mut |e| e.downcast_ref::<StorageError>())
}

/// Looks at an error and all that it wraps. `source()` is not enough: DataFusion, Arrow and Parquet each leave out some
/// of their variants or skip a level.
fn walk<'a, T>(
    error: &'a (dyn Error + 'static),
    found: &mut dyn FnMut(&'a (dyn Error + 'static)) -> Option<&'a T>,
) -> Option<&'a T> {
    if let Some(hit) = found(error) {
        return Some(hit);
    }
    if let Some(error) = error.downcast_ref::<DataFusionError>() {
        return match error {
            DataFusionError::External(inner) => walk(inner.as_ref(), found),
            DataFusionError::ArrowError(inner, _) => walk(inner.as_ref(), found),
            DataFusionError::ParquetError(inner) => walk(inner.as_ref(), found),
            DataFusionError::ObjectStore(inner) => walk(inner.as_ref(), found),
            DataFusionError::IoError(inner) => walk(inner, found),
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => walk(inner.as_ref(), found),
            DataFusionError::Shared(inner) => walk(inner.as_ref(), found),
            DataFusionError::Collection(all) => all.iter().find_map(|inner| walk(inner, found)),
            _ => None,
        };
    }
    if let Some(ParquetError::External(inner)) = error.downcast_ref::<ParquetError>() {
        return walk(inner.as_ref(), found);
    }
    match error.downcast_ref::<ArrowError>() {
        Some(ArrowError::ExternalError(inner)) => return walk(inner.as_ref(), found),
        Some(ArrowError::IoError(_, inner)) => return walk(inner, found),
        _ => {}
    }
    error.source().and_then(|inner| walk(inner, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_disk() -> StorageError {
        StorageError::Io { operation: "write", path: "x".into(), source: io::Error::from_raw_os_error(28) }
    }

    #[test]
    fn a_full_disk_is_53100() {
        assert_eq!(full_disk().sqlstate(), "53100");
        let wrapped = ParquetError::External(Box::new(io::Error::from_raw_os_error(28)));
        assert_eq!(StorageError::write("x", wrapped).sqlstate(), "53100");
        assert_eq!(StorageError::write("x", ParquetError::General("no".into())).sqlstate(), "58030");
    }

    #[test]
    fn a_header_that_was_read_as_a_record_is_told() {
        let told = |line: u64, value: &str| {
            let (path, column, value) = ("/f".to_owned(), Some("id".to_owned()), Some(value.to_owned()));
            let message = "invalid input syntax for type bigint".to_owned();
            RecordError { path, line, column, value, message, sqlstate: "22P02" }.to_string()
        };
        let hint = "(file /f, line 1, column id: \"ID\")\nHINT:  Is the first line a header?";
        assert!(told(1, "ID").contains(hint), "{}", told(1, "ID"));
        assert!(!told(2, "ID").contains("HINT") && !told(1, "x").contains("HINT"));
    }

    #[test]
    fn an_error_is_found_however_it_is_wrapped() {
        let direct = DataFusionError::from(full_disk());
        let parquet = DataFusionError::from(ParquetError::External(Box::new(full_disk())));
        let arrow =
            DataFusionError::from(ArrowError::ExternalError(Box::new(ParquetError::External(Box::new(full_disk())))));
        let shared = DataFusionError::Shared(DataFusionError::from(full_disk()).context("scan").into());
        for error in [direct, parquet, arrow, shared] {
            assert_eq!(StorageError::find(&error).map(StorageError::sqlstate), Some("53100"), "{error}");
        }
        assert!(StorageError::find(&DataFusionError::Execution("x".into())).is_none());
    }
}
