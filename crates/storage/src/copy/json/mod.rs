//! JSON objects, one a line.

mod object;
mod reader;

pub(crate) use object::Names;
pub(crate) use reader::JsonReader;
