//! Stops 1 and 8 of a query's walk: the PostgreSQL protocol, for psql, pgjdbc and what else speaks it.

mod authentication;
mod backends;
mod cells;
mod columns;
mod connection;
mod copy;
mod copy_in;
mod copy_rows;
mod cursors;
mod encryption;
mod extended;
mod limits;
mod opening;
mod parameters;
mod run;
mod serve;
mod simple;
mod wire;

pub use serve::serve;
