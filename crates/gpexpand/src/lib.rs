//! Expansion: a cluster of n segments becomes one of m > n while it serves. This crate decides; it does no I/O and reads
//! no clock. A driver carries its steps out over SQL.

mod expansion;
mod input;
mod limits;
mod moves;
mod status;

pub use expansion::{Event, Expansion, ExpansionError, Step, TableProgress};
pub use input::{InputError, InputProblem, NewSegment, PreferredRole, parse_input};
pub use limits::{PARALLEL_TABLES_MAX, SEGMENTS_MAX};
pub use moves::{BucketMove, GrowError, apply_moves, moves_to_grow};
pub use status::{ExpansionStatus, TableStatus};
