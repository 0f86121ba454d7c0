//! Row groups that get another segment: which of a file's go to whom, the operator that sends their bytes, and the one that makes files of them. Of a bucket's
//! files only delete vectors are sent.

mod give;
mod in_place;
mod part;
mod share;
mod take;

pub(crate) use give::{GiveExec, Giving};
pub(crate) use share::leaving_row_by_row;
pub(crate) use take::take;
