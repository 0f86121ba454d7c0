//! Rules that give a logical plan PostgreSQL's meaning.

mod casts;
mod dates;
mod expression_rewriter;
mod function_calls;
mod guard;
mod numeric_common;
mod patterns;
mod postgres_rule;
mod type_names;
mod types;
mod wide_operators;

pub use guard::guard_plan;
pub use postgres_rule::PostgresRule;
pub use types::{PostgresTypes, assign_text, max_chars};
pub use wide_operators::WideOperators;
