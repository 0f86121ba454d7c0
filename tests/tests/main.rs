//! Tests of the whole system from outside. One binary: the engine is linked once.

mod backup;
mod bad_input;
mod clocks;
mod copy_errors;
mod copy_once;
mod copy_sources;
mod crash;
mod dml;
mod errors;
mod expand;
mod expand_crash;
mod explain;
mod faults;
mod interconnect;
mod interconnect_scale;
mod layout;
mod memory;
mod processes;
mod random;
mod secrets;
mod slt;
mod sort_key;
mod spill;
mod takeover;
mod tpch;
mod transactions;
