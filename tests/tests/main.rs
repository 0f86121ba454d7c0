//! Tests of the whole system from outside. One binary: the engine is linked once.

mod errors;
mod explain;
mod interconnect;
mod layout;
mod processes;
mod random;
mod slt;
mod tpch;
