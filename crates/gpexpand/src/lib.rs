//! Expansion: a cluster grows, shrinks, or shares its buckets anew, while it serves. This crate decides; it does no I/O and reads
//! no clock. A driver carries its steps out over SQL.

mod expansion;
mod input;
mod limits;
mod moves;
mod status;

pub use expansion::{Event, Expansion, ExpansionError, Plan, Step, TableProgress};
pub use input::{InputError, InputProblem, Members, NewSegment, PreferredRole, parse_input};
pub use limits::{PARALLEL_TABLES_MAX, SEGMENTS_MAX};
pub use moves::{BucketMove, MovesError, apply_moves, moves_to_add, moves_to_grow, moves_to_shrink, moves_to_weights};
pub use status::{ExpansionStatus, TableStatus};
