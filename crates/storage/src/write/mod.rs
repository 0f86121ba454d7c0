//! Writing table files: the table writer and the statistics that it collects.

mod modify;
mod stats;
mod table;

pub(crate) use modify::modify;
pub use modify::{ModifySpec, Writes};
pub use table::WriteSpec;
pub(crate) use table::plan;
