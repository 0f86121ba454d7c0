//! TPC-H: its data, its tables and its queries, for `demo`, tests and benchmarks.

mod columns;
mod generate;
mod load;
mod queries;
mod tables;

pub use generate::{FileFormat, GenerateError, generate};
pub use load::{LoadError, load};
pub use queries::{QUERIES, query};
pub use tables::{TABLES, Table};
