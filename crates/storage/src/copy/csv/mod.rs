//! PostgreSQL's CSV and its text format: cutting text into records and fields, and reading a file's share of them into batches.

mod dialect;
mod end_mark;
mod escaped;
mod line_ends;
mod reader;
mod records;
mod share;
mod sort_out;
mod specials;

pub(crate) use dialect::{Dialect, Form};
pub(crate) use line_ends::LineEnds;
pub(crate) use reader::CsvReader;
pub(crate) use records::{Field as RecordField, record_fields};
