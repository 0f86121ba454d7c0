//! What a statement changes of a table's rows, as plans and reports say it.

use crate::{ContentId, DeleteVector, FileEntry};
use serde::{Deserialize, Serialize};

/// A key that new rows must not repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniqueKey {
    /// The constraint's name.
    pub constraint: String,
    /// Positions in the table.
    pub columns: Vec<usize>,
    pub on_duplicate: OnDuplicate,
}

/// What a new row does whose key is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnDuplicate {
    /// It is an error.
    Fail,
    /// It is left out: ON CONFLICT DO NOTHING. Of new rows that have one key, the first stays.
    Skip,
    /// It is an error, and of new rows that have one key another one: ON CONFLICT DO UPDATE.
    Repeat,
}

/// Why an old row may be changed once only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Once {
    /// Copies of a replicated table would not agree on which of its new rows counts.
    Copies,
    Merge,
    OnConflict,
}

/// What becomes of a row, as a plan tells its writers (UInt8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RowChange {
    /// The old row is deleted.
    Delete = 0,
    /// The old row is deleted, and the new one takes its place.
    Replace = 1,
    /// There is no old row: the new one is written.
    Insert = 2,
    /// The old row is deleted, and its new one written on another segment.
    Depart = 3,
    /// The new row of one that has departed.
    Arrive = 4,
}

impl RowChange {
    const ALL: [RowChange; 5] =
        [RowChange::Delete, RowChange::Replace, RowChange::Insert, RowChange::Depart, RowChange::Arrive];

    /// Of the value in a plan's column.
    pub fn of(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Whether there is an old row, which goes.
    pub fn deletes(self) -> bool {
        matches!(self, RowChange::Delete | RowChange::Replace | RowChange::Depart)
    }

    /// Whether there is a new row.
    pub fn writes(self) -> bool {
        matches!(self, RowChange::Replace | RowChange::Insert | RowChange::Arrive)
    }

    /// Whether it is a row of the statement's count; a row that moves is counted where it departs.
    pub fn counts(self) -> bool {
        self != RowChange::Arrive
    }

    /// Whether RETURNING gives it; a row that moves is given where it arrives.
    pub fn returns(self) -> bool {
        self != RowChange::Depart
    }
}

/// What a DELETE, UPDATE or MERGE changed on one segment, for the commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Modification {
    pub content: ContentId,
    /// By the path of the file: its new delete vector; None where all of its rows are deleted now.
    pub deletes: Vec<(String, Option<DeleteVector>)>,
    pub adds: Vec<FileEntry>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_changes_have_their_codes() {
        for change in RowChange::ALL {
            assert_eq!(RowChange::of(change as u8), Some(change));
        }
        assert_eq!(RowChange::of(5), None);
    }
}
