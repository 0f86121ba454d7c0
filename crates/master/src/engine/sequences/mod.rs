//! `nextval`: calls become columns of an operator that takes values where the rows are.

mod function;
mod node;
mod take;

pub(crate) use function::next_value_function;
pub(crate) use node::NextValues;
pub(crate) use take::{Taking, take_next_values};
