//! Which transaction may do what with a table or load a file into it, and which waits.

mod held;
mod mode;
mod queue;
mod tag;

pub(crate) use held::{LockRow, Locks, TransactionLocks};
pub(crate) use mode::LockMode;
pub(crate) use tag::LockTag;
