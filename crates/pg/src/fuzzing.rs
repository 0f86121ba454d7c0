//! What bytes of a client do, for fuzz targets and tests: the decoders that the server uses, and what must hold of whatever they take.

mod changes;
mod examples;
mod messages;
mod rows;
mod values;

#[cfg(test)]
mod tests;

pub use changes::edited;
pub use examples::{valid_binary_rows, valid_lines, valid_messages, valid_openings, valid_values};
pub use messages::{authentication, message, opening};
pub use rows::{LINE_STYLES, binary_rows, lines};
pub use values::{VALUE_KINDS, value};
