//! The PostgreSQL protocol without its sockets: messages, OIDs and type modifiers, and the formats of values. No I/O.

pub mod backend;
pub mod copy;
pub mod frontend;
#[doc(hidden)]
pub mod fuzzing;
pub mod scram;
mod types;
pub mod values;

pub use types::{PgType, name_of_oid};
