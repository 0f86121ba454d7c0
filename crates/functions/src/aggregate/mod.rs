//! `sum` and `avg` that neither wrap nor lose digits; they replace DataFusion's of the same names.

mod average;
mod average_groups;
mod distinct;
mod sum;
mod sum_groups;
mod summand;

pub use average::Average;
pub use sum::{Sum, SumFlavour};
