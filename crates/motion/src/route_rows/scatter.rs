//! One column's values to all destinations.

mod bits;
mod boolean;
mod bytes;
mod dictionary;
mod fixed;
mod taken;
mod validity;
mod views;

use arrow::array::{ArrayRef, downcast_integer, downcast_primitive};
use arrow::datatypes::{
    BinaryType, BinaryViewType, DataType, LargeBinaryType, LargeUtf8Type, StringViewType, Utf8Type,
};
use arrow::error::ArrowError;

/// Rows of a grouped batch that go to one destination.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) destination: usize,
    /// Where the numbers of its rows are in the batch's groups; at least one.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Rows that the destination has gathered before.
    pub(super) before: usize,
    /// Rows to make room for, if there is no room.
    pub(super) capacity: usize,
}

impl Piece {
    fn rows<'a>(&self, groups: &'a [u32]) -> &'a [u32] {
        &groups[self.start..self.end]
    }
}

/// What one column has gathered for each destination. One implementation for each layout; [`of`] chooses.
pub(super) trait Scatter: Send {
    /// Looks at the column of the next batch, before any of its rows is appended.
    fn begin(&mut self, _column: &ArrayRef) {}

    /// Whether the begun batch's values can join what was gathered for the destination.
    fn is_joinable(&self, _destination: usize) -> bool {
        true
    }

    /// Copies each piece's values to its destination. `rows` are the batch's row numbers, by destination.
    fn append(&mut self, column: &ArrayRef, rows: &[u32], pieces: &[Piece]) -> Result<(), ArrowError>;

    /// What was gathered for a destination, which starts anew.
    fn finish(&mut self, destination: usize) -> Result<ArrayRef, ArrowError>;

    /// Bytes allocated for what was gathered.
    fn bytes(&self) -> usize;
}

/// The scatter of a column's type, for batches of `message_bytes`.
pub(super) fn of(data_type: &DataType, destinations: usize, message_bytes: usize) -> Box<dyn Scatter> {
    macro_rules! fixed {
        ($t:ty) => {
            Box::new(fixed::Fixed::<$t>::new(data_type, destinations)) as Box<dyn Scatter>
        };
    }
    macro_rules! dictionary {
        ($t:ty, $values:ident) => {
            Box::new(dictionary::Dictionary::<$t>::new($values, destinations)) as Box<dyn Scatter>
        };
    }
    downcast_primitive! {
        data_type => (fixed),
        DataType::Boolean => Box::new(boolean::Booleans::new(destinations)),
        DataType::Utf8 => Box::new(bytes::Bytes::<Utf8Type>::new(destinations, message_bytes)),
        DataType::LargeUtf8 => Box::new(bytes::Bytes::<LargeUtf8Type>::new(destinations, message_bytes)),
        DataType::Binary => Box::new(bytes::Bytes::<BinaryType>::new(destinations, message_bytes)),
        DataType::LargeBinary => Box::new(bytes::Bytes::<LargeBinaryType>::new(destinations, message_bytes)),
        DataType::Utf8View => Box::new(views::Views::<StringViewType>::new(destinations, message_bytes)),
        DataType::BinaryView => Box::new(views::Views::<BinaryViewType>::new(destinations, message_bytes)),
        DataType::Dictionary(key, values) => downcast_integer! {
            key.as_ref() => (dictionary, values),
            _ => Box::new(taken::Taken::new(data_type, destinations)),
        },
        _ => Box::new(taken::Taken::new(data_type, destinations)),
    }
}
