//! Stops 1 and 8 of a query's walk: Flight SQL, for ADBC, JDBC and the shell.

mod actions;
mod basic;
mod bulk;
mod clients;
mod codec;
mod columns;
mod front;
mod gather;
mod incoming;
mod ingest;
mod keys;
mod known;
mod limits;
mod listing;
mod parameters;
mod peer;
pub mod protocol;
mod result_body;
mod results;
mod retrieve;
mod routes;
mod serve;
mod service;
mod session_options;
mod sql_info;
mod statements;
mod status;
mod transactions;
mod type_info;

pub use retrieve::{RetrieveServer, serve_retrieve};
pub use serve::{ServeError, serve};
