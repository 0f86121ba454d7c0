//! What sessions may do, over both protocols: how long they may say nothing.

mod idle;
