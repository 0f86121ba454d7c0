//! Backups: what one says of its snapshot, how it is made by the segments, and where its files go when it is restored. What a place of
//! backups holds: `docs/formats/backup.md`.

mod calls;
mod layout;
mod limits;
mod make;
mod manifest;
mod place_name;
mod progress;

pub(crate) use calls::PlaceCalls;
pub(crate) use layout::{PlacedTable, place_table};
pub(crate) use make::{Made, back_up};
pub(crate) use manifest::{BackupSequence, Manifest};
pub(crate) use place_name::shown_url;
pub(crate) use progress::{Transfer, TransferRow, Transfers};
