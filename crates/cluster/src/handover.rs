//! What goes to another segment of a file without being decoded: its row groups as bytes, or, in a bucket, the right to read it. The rows that carry
//! it, and what is told of it.

use crate::{ContentId, DeleteVector, FileEntry, MapVersion};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock};

/// The maps that a table is laid out by, before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relayout {
    pub from: MapVersion,
    pub to: MapVersion,
}

/// What the bytes of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HandoverPart {
    /// Bytes of a new file, from an offset on.
    Bytes = 0,
    /// The whole delete vector of the new file, or the new reader's of one that stays where it is.
    Vector = 1,
    /// The end of the file: JSON of its [`FileEntry`], whose paths the receiver makes, and of whose statistics it has the NULLs alone.
    End = 2,
    /// To the sender itself: the new delete vector of the file that rows have left; empty if all are gone.
    Left = 3,
    /// Instead of bytes and an end, of a file that the receiver reads where it is: JSON of a [`SharedFile`], whose vector's path the receiver makes.
    Share = 4,
}

impl HandoverPart {
    const ALL: [HandoverPart; 5] =
        [HandoverPart::Bytes, HandoverPart::Vector, HandoverPart::End, HandoverPart::Left, HandoverPart::Share];

    /// Of the value in a plan's column.
    pub fn of(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// Columns of the rows that carry row groups. What one segment sends of one of its files to one other comes in its order.
pub fn handover_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            // Who gets it.
            Field::new("to", DataType::Int32, false),
            Field::new("from", DataType::Int32, false),
            // Position among the sender's files, as they were dispatched.
            Field::new("file", DataType::Int32, false),
            // A [`HandoverPart`].
            Field::new("part", DataType::UInt8, false),
            // Of the bytes in the new file.
            Field::new("offset", DataType::Int64, false),
            Field::new("bytes", DataType::Binary, false),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// What one segment has taken and given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HandedOver {
    pub content: ContentId,
    pub taken: Vec<TakenFile>,
    pub shared: Vec<SharedFile>,
    /// By the path of the file: its new delete vector; None where all of its rows are gone.
    pub left: Vec<(String, Option<DeleteVector>)>,
}

/// A file made of another segment's row groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TakenFile {
    pub from: ContentId,
    /// Of the file that they come from: its statistics bound those of the new one, and its sketches are as good for the whole table.
    pub path: String,
    pub entry: FileEntry,
}

/// A file that another segment has, and that is read where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SharedFile {
    pub from: ContentId,
    pub path: String,
    /// The reader's: of the rows that are not its own.
    pub deletes: Option<DeleteVector>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_their_codes() {
        for part in HandoverPart::ALL {
            assert_eq!(HandoverPart::of(part as u8), Some(part));
        }
        assert_eq!(HandoverPart::of(5), None);
    }
}
