//! Which statements may work on segments now, and which wait for their turn.
//!
//! # Why it does not deadlock
//! Who has a place waits for no lock: a statement takes its locks first. So places come back whatever locks those hold that wait for one, unless a
//! client takes no rows: then its place is given to who waits.

mod held;
mod queue;

pub(crate) use held::{Admission, Admitted, PlaceUse};
