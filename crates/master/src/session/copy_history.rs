//! Which files of a COPY FROM were loaded before: each is loaded once.

use super::Session;
use super::backup::until;
use crate::catalog::CopiedFile;
use crate::error::{SqlError, SqlResult};
use crate::transaction::{LockWait, Transaction};
use damson_cluster::{CopyFile, SnapshotId, TableDef, TableId};
use std::collections::HashSet;
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
        let loaded: HashSet<CopyFile> = committed.into_iter().chain(own.files).map(|copied| copied.file).collect();
        Ok(files.into_iter().filter(|file| !loaded.contains(&recorded(file))).collect())
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
    fn notices() {
        assert_eq!(skipped_notice(0), None);
        assert!(skipped_notice(1).unwrap().starts_with("1 file was"));
        assert!(skipped_notice(3).unwrap().starts_with("3 files were"));
    }
}
