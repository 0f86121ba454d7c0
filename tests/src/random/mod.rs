//! Random queries over random tables, from a seed: the same seed gives the same tables and queries.
//!
//! Only operations that mean the same in DataFusion and in PostgreSQL are generated, and only results that do not
//! depend on the order in which rows meet (sums of doubles are of multiples of a quarter; LIMIT has a total order).

mod campaign;
mod expression;
mod generate;
mod query;
mod schema;
mod shrink;

pub use campaign::{Campaign, seed_from_env};
pub use generate::random_query;
pub use query::Query;
pub use schema::{Table, Universe};
pub use shrink::shrink;
