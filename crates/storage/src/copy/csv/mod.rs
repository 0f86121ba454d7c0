//! PostgreSQL's CSV and its text format: cutting text into records and fields, and reading a file's share of them into batches.

mod dialect;
mod escaped;
mod reader;
mod records;
mod share;
mod sort_out;

pub(crate) use dialect::{Dialect, Form};
pub(crate) use reader::CsvReader;
