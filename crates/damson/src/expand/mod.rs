//! `damson expand`, also called `gpexpand`: a cluster grows, shrinks, or shares its buckets anew, while it serves.
//!
//! The decisions are `damson-gpexpand`'s; this is its driver over SQL. What it does is recorded in schema `gpexpand` before it is done,
//! so that whoever dies, the next run goes on.

mod args;
mod candidates;
mod change;
mod cluster;
mod failure;
mod interview;
mod moving;
mod one_tool;
mod progress;
mod record;
mod session;
mod setup;
mod state;
mod status;
mod times;
mod tool;
mod undo;

pub use args::ExpandArgs;
pub use state::{StateArgs, state};
pub use tool::run;
