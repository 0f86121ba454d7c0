//! The shell's end of the PostgreSQL protocol: simple queries, whose values come as text.

mod answer;
mod client;
#[cfg(test)]
pub(super) mod fake;
mod login;
mod rows;
mod wire;

pub(super) use client::PostgresClient;
pub(super) use rows::Rows;
