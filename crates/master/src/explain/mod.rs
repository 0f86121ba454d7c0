//! EXPLAIN: a plan, and what became of it, in Greenplum's shape.
//!
//! [`tree`] builds [`node::Node`]s from a slice table with the words of [`describe`] and the figures of [`cost`];
//! [`actual`] adds what the QEs reported; [`text`] and [`json`] print. Nothing here plans or runs anything.

mod actual;
mod cost;
mod describe;
mod document;
mod expression;
mod join;
mod json;
mod literal;
mod node;
mod placeholder;
mod text;
mod tree;

pub(crate) use document::{Execution, Explained, Part};
pub(crate) use json::json;
pub(crate) use placeholder::placeholder;
pub(crate) use text::lines;

#[cfg(test)]
mod tests;
