//! Which transaction may do what with a table, and which waits.

mod held;
mod mode;
mod queue;

pub(crate) use held::{LockRow, Locks, TransactionLocks};
pub(crate) use mode::LockMode;
