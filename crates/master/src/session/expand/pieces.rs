//! What has been moved of a table, and is not committed.

use super::moves::Moves;
use crate::catalog::{Commit, FileKey, TableEntry};
use damson_cluster::FileEntry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The rows of some files that leave their segments, moved.
#[derive(Debug)]
pub(super) struct Piece {
    /// The files, with the delete vectors that they had.
    pub read: HashMap<FileKey, Option<String>>,
    pub commit: Commit,
    pub rows: u64,
    /// That were written for rows that have another owner.
    pub bytes: u64,
    /// Those of them that were copied as they are.
    pub copied: u64,
}

impl Piece {
    /// What the new files of `commit` have.
    pub(super) fn new(files: &[Arc<FileEntry>], commit: Commit) -> Self {
        let rows = commit.adds.iter().map(FileEntry::live_rows).sum();
        let bytes = commit.adds.iter().map(|file| file.bytes).sum();
        Piece { bytes, ..Piece::shared(files, commit, rows) }
    }

    /// New entries for files that are there, of so many rows.
    pub(super) fn shared(files: &[Arc<FileEntry>], commit: Commit, rows: u64) -> Self {
        let read = files.iter().map(|file| (FileKey::of(file), vector_of(file))).collect();
        Piece { read, commit, rows, bytes: 0, copied: 0 }
    }
}

fn vector_of(file: &FileEntry) -> Option<String> {
    file.deletes.as_ref().map(|vector| vector.path.clone())
}

#[derive(Debug, Default)]
pub(super) struct Pieces(Vec<Piece>);

impl Pieces {
    pub(super) fn add(&mut self, piece: Piece) {
        self.0.push(piece);
    }

    pub(super) fn take(&mut self) -> Vec<Piece> {
        std::mem::take(&mut self.0)
    }

    /// The files that were written for them.
    pub(super) fn new_files(&self) -> Vec<FileKey> {
        self.0.iter().flat_map(|piece| piece.commit.new_files()).collect()
    }

    /// Gives all of them up; gives the files that were written for them.
    pub(super) fn take_all(&mut self) -> Vec<FileKey> {
        let files = self.new_files();
        self.0.clear();
        files
    }

    /// Gives up those of which a file has changed, or is gone; gives the files that were written for them.
    pub(super) fn drop_outdated(&mut self, entry: &TableEntry) -> Vec<FileKey> {
        let now: HashMap<FileKey, Option<String>> =
            entry.files.iter().map(|file| (FileKey::of(file), vector_of(file))).collect();
        let is_as_read = |piece: &Piece| piece.read.iter().all(|(file, vector)| now.get(file) == Some(vector));
        let (kept, outdated): (Vec<Piece>, Vec<Piece>) = self.take().into_iter().partition(is_as_read);
        self.0 = kept;
        outdated.iter().flat_map(|piece| piece.commit.new_files()).collect()
    }

    /// The files with rows that leave, and that no piece has.
    pub(super) fn left(&self, moves: &Moves, entry: &TableEntry) -> Vec<Arc<FileEntry>> {
        let read: HashSet<&FileKey> = self.0.iter().flat_map(|piece| piece.read.keys()).collect();
        let is_left = |file: &&Arc<FileEntry>| moves.concerns(file) && !read.contains(&FileKey::of(file));
        entry.files.iter().filter(is_left).map(Arc::clone).collect()
    }

    /// Rows, bytes that were written for them, and those of these that were copied.
    pub(super) fn moved(&self) -> (u64, u64, u64) {
        let sum = |of: fn(&Piece) -> u64| self.0.iter().map(of).sum();
        (sum(|piece| piece.rows), sum(|piece| piece.bytes), sum(|piece| piece.copied))
    }
}
