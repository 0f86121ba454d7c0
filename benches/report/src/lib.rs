//! What the benchmarks' reports have in common: the machine, tables as text, charts of bars.

mod chart;
pub mod machine;
mod table;

pub use chart::{Bar, BarChart, Group, Series, colours};
pub use machine::Machine;
pub use table::{aligned, gibibytes};
