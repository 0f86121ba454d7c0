//! Writing table files: the table writer, the constraints that it keeps, and the statistics that it collects.

mod bucket_groups;
mod constraints;
mod encoder;
mod encodings;
mod keys;
mod modify;
mod returned;
mod stats;
mod table;

pub use constraints::Check;

pub(crate) use modify::modify;
pub use modify::{ModifySpec, Writes};
pub use table::WriteSpec;
pub(crate) use table::plan;
