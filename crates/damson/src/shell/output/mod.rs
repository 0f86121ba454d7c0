//! Results as text: tables for people, csv and json for programs.

mod csv;
mod json;
mod table;
mod texts;

pub(super) use csv::CsvOutput;
pub(super) use json::JsonOutput;
pub(crate) use table::TableOutput;
pub(crate) use texts::Texts;
pub(super) use texts::number_field;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use std::io;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns, like psql's.
    Table,
    /// RFC 4180 with a header; NULL is empty, an empty text is `""`.
    Csv,
    /// One array of objects a result; numbers keep all their digits.
    Json,
}

/// Prints one result: `begin`, then each batch as it comes, then `end`.
pub(crate) trait Output: Send {
    /// # Errors
    /// Where the text goes cannot take it.
    fn begin(&mut self, schema: &Schema) -> io::Result<()>;
    fn batch(&mut self, batch: &RecordBatch) -> io::Result<()>;
    fn end(&mut self) -> io::Result<()>;

    /// True if rows are printed as they come.
    fn is_shown_at_once(&self) -> bool {
        true
    }
}
