//! Values in PostgreSQL's formats. Lengths are not written: the message that holds a value has them.

mod array;
mod datetime;
mod interval;
mod numeric;
mod parse;
mod record;
mod text;

pub use array::{ArrayError, ArrayItems, ITEMS_MAX, TooLong, array_from_pg, array_to_pg, array_to_text};
pub use datetime::{
    OutOfRange, date_from_pg, date_to_pg, interval_from_pg, interval_to_pg, timestamp_from_pg, timestamp_to_pg,
};
pub use interval::{IntervalError, interval_from_text};
pub use numeric::{NumericError, numeric_from_pg, numeric_scale, numeric_to_pg};
pub use parse::{array_from_text, bytea_from_text, numeric_from_text};
pub use record::record_to_text;
pub use text::{
    bytea_to_text, date_to_text, float4_to_text, float8_to_text, integer_to_text, interval_to_text, numeric_to_text,
    time_to_text, timestamp_to_text, timestamptz_to_text,
};
