//! Rules that give a logical plan PostgreSQL's meaning.

mod expression_rewriter;
mod guard;
mod numeric_common;
mod postgres_rule;
mod wide_operators;

pub use guard::guard_plan;
pub use postgres_rule::PostgresRule;
pub use wide_operators::WideOperators;
