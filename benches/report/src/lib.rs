//! What the benchmarks' reports have in common: the machine, tables as text, charts of bars and of time.

mod chart;
pub mod machine;
mod table;
mod time_chart;

pub use chart::{Bar, BarChart, Group, Series, colours};
pub use machine::Machine;
pub use table::{aligned, gibibytes};
pub use time_chart::{Phase, Points, TimeChart};
