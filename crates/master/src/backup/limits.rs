//! Bounds of backups, with their reasons.

/// Columns' statistics in one part of a backup's list of files: each has a sketch of 4 KiB, so that a part stays below 48 MiB, in one
/// message to a segment and in the memory of both.
pub(super) const PART_COLUMNS_MAX: usize = 8192;

/// Bytes of a backup's name: it is part of file names.
pub(super) const ID_BYTES_MAX: usize = 64;
