//! Writing table files: the table writer and the statistics that it collects.

mod stats;
mod table;

pub use table::WriteSpec;
pub(crate) use table::plan;
