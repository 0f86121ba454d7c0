//! Which files of a COPY FROM were loaded before: each is loaded once.

use super::Session;
use super::backup::until;
use crate::catalog::CopiedFile;
use crate::error::{SqlError, SqlResult};
use crate::transaction::{LockWait, Transaction};
use damson_cluster::{CopyFile, SnapshotId, TableDef, TableId};
use std::collections::{HashMap, HashSet};
use tokio_util::sync::CancellationToken;

/// Of what was found, what is to be loaded.
pub(super) struct ToLoad {
    pub files: Vec<CopyFile>,
    /// Files that were loaded before.
    pub skipped: usize,
}

impl Session {
    /// Takes from the files those that the table has loaded before, and locks the rest to the transaction's end: of two
    /// transactions that load one file the second waits, and sees then that it was loaded. Nothing is taken away with `force`.
    ///
    /// # Errors
    /// 40P01, 55P03, 57014; the catalog's.
    pub(super) async fn lock_to_load(
        &self,
        transaction: &Transaction,
        table: &TableDef,
        files: Vec<CopyFile>,
        force: bool,
        cancel: &CancellationToken,
    ) -> SqlResult<ToLoad> {
        let found = files.len();
        let files = if force { files } else { self.not_loaded(transaction, table.id, files, cancel).await? };
        let timeout = self.settings.lock().lock_timeout();
        let wait = LockWait { timeout, cancel, nowait: false };
        // In the order of their URLs, as everybody does: two that wait for each other are seldom.
        for file in &files {
            if cancel.is_cancelled() {
                return Err(SqlError::canceled());
            }
            transaction.lock_file(table, &file.url, wait).await?;
        }
        // Whoever had the lock may have loaded it.
        let files = if force { files } else { self.not_loaded(transaction, table.id, files, cancel).await? };
        Ok(ToLoad { skipped: found - files.len(), files })
    }

    /// The files that neither a committed transaction nor this one has loaded. A file that has changed since is another one.
    async fn not_loaded(
        &self,
        transaction: &Transaction,
        table: TableId,
        files: Vec<CopyFile>,
        cancel: &CancellationToken,
    ) -> SqlResult<Vec<CopyFile>> {
        if files.is_empty() {
            return Ok(files);
        }
        let own = transaction.own_copied(table);
        let committed = if own.forgets_committed {
            vec![]
        } else {
            let urls: Vec<String> = files.iter().map(|file| file.url.clone()).collect();
            let asked = self.master.files.in_catalog(move |catalog| catalog.copied_files(table, &urls));
            until(cancel, asked).await?
        };
        let loaded = Loaded::of(committed.into_iter().chain(own.files).map(|copied| copied.file));
        Ok(files.into_iter().filter(|file| !loaded.has(file)).collect())
    }
}

/// Files that were loaded.
struct Loaded(HashMap<(String, u64, Option<i64>), HashSet<Option<String>>>);

impl Loaded {
    fn of(files: impl Iterator<Item = CopyFile>) -> Self {
        let mut loaded: HashMap<_, HashSet<Option<String>>> = HashMap::new();
        for CopyFile { url, bytes, modified_us, etag, .. } in files {
            loaded.entry((url, bytes, modified_us)).or_default().insert(etag);
        }
        Loaded(loaded)
    }

    /// Some servers tell a file's etag when it is asked for and not when it is listed: where it is not known, length and time decide.
    fn has(&self, file: &CopyFile) -> bool {
        let same = self.0.get(&(file.url.clone(), file.bytes, file.modified_us));
        same.is_some_and(|etags| file.etag.is_none() || etags.contains(&file.etag) || etags.contains(&None))
    }
}

/// What the history is to keep of the files; the commit gives them its snapshot.
pub(super) fn copied(table: TableId, files: &[CopyFile], rows: u64) -> Vec<CopiedFile> {
    let loaded_us = chrono::Utc::now().timestamp_micros();
    let copied = |file: &CopyFile| CopiedFile { table, file: recorded(file), rows, loaded_us, snapshot: SnapshotId(0) };
    files.iter().map(copied).collect()
}

/// As the history has it: where its directories put it is no part of a file.
fn recorded(file: &CopyFile) -> CopyFile {
    CopyFile { partition: vec![], ..file.clone() }
}

/// The notice about files that are left out.
pub(super) fn skipped_notice(skipped: usize) -> Option<String> {
    match skipped {
        0 => None,
        1 => Some("1 file was loaded before and is skipped (FORCE loads it again)".into()),
        n => Some(format!("{n} files were loaded before and are skipped (FORCE loads them again)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_length_and_time_where_its_etag_is_not_told() {
        let file = |etag: Option<&str>, bytes| CopyFile {
            url: "s3://b/a".into(),
            bytes,
            etag: etag.map(str::to_owned),
            modified_us: Some(5),
            partition: vec![],
        };
        let loaded = Loaded::of([file(Some("1"), 3)].into_iter());
        assert!(loaded.has(&file(Some("1"), 3)) && loaded.has(&file(None, 3)));
        assert!(!loaded.has(&file(Some("2"), 3)) && !loaded.has(&file(None, 4)));
        let listed = Loaded::of([file(None, 3)].into_iter());
        assert!(listed.has(&file(Some("1"), 3)));
    }

    #[test]
    fn notices() {
        assert_eq!(skipped_notice(0), None);
        assert!(skipped_notice(1).unwrap().starts_with("1 file was"));
        assert!(skipped_notice(3).unwrap().starts_with("3 files were"));
    }
}
