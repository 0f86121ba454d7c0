//! The PostgreSQL protocol's view of types and values: OIDs and type modifiers, and the binary formats. No I/O.

mod types;
pub mod values;

pub use types::PgType;
