//! Reading table files: the plan, the file reader below it, and the match of a file's columns with the table's.

mod columns;
mod plan;
mod reader;

pub(crate) use plan::scan;
pub(crate) use reader::TableFileReaders;
