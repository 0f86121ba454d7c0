//! SQL text gets PostgreSQL's meaning where DataFusion gives it another: checked integer arithmetic, `numeric` that
//! widens in time, `sum` and `avg` that neither wrap nor lose digits, casts that round, guards that guard.
//!
//! The master calls [`register_all`], takes the [`type_planner`], adds the rules of [`analyzer_rules_before_coercion`] and
//! [`analyzer_rules_after_coercion`], and passes each optimized plan through [`guard_plan`] before physical planning. A
//! segment needs [`register_all`] only, because the rules leave nothing in a plan but DataFusion's own expressions and
//! functions that are found by name. What is still different from PostgreSQL is listed in `docs/sql-differences.md`.

mod aggregate;
mod calendar;
mod cast_text;
pub mod datetime_text;
mod describe;
mod error;
mod format;
mod limits;
mod numeric_type;
mod register;
mod rules;
mod scalar;
#[cfg(test)]
mod tests;
mod zone;

pub use describe::{Described, describe_evaluation, sqlstate_of};
pub use error::FunctionError;
pub use numeric_type::NumericType;
pub use register::{
    aggregate_functions, analyzer_rules_after_coercion, analyzer_rules_before_coercion, optimizer_rules_last,
    register_all, scalar_functions, type_planner,
};
pub use rules::{assign_text, guard_plan, max_chars};
