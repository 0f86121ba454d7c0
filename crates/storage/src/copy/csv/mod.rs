//! PostgreSQL's CSV: cutting text into records and fields, and reading a file's share of them into batches.

mod dialect;
mod reader;
mod records;

pub(crate) use dialect::{Dialect, Form};
pub(crate) use reader::CsvReader;
