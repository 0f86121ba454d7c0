//! What sessions may do, over both protocols: how many work at once, and how long they may say nothing.

mod active;
mod idle;
