//! How far backups and restores are: `gp_stat_progress_backup`.

use super::place_name::shown_url;
use damson_cluster::{Copied, SessionId};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The transfers that are under way. One a master; a clone is the same.
#[derive(Clone, Default)]
pub(crate) struct Transfers {
    all: Arc<Mutex<BTreeMap<u64, TransferState>>>,
    next: Arc<AtomicU64>,
}

struct TransferState {
    row: TransferRow,
    began: Instant,
}

/// A row of `gp_stat_progress_backup`.
#[derive(Clone, Debug)]
pub(crate) struct TransferRow {
    pub session: SessionId,
    /// BACKUP or RESTORE.
    pub command: &'static str,
    /// As it may be shown.
    pub place: String,
    pub phase: &'static str,
    pub files_total: u64,
    pub bytes_total: u64,
    /// Those that are where they are to be, copied or there already.
    pub done: Copied,
    pub elapsed_ms: u64,
}

impl Transfers {
    /// Shows a transfer until what comes back is dropped.
    pub(crate) fn begin(&self, session: SessionId, command: &'static str, place: &str) -> Transfer {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let row = TransferRow {
            session,
            command,
            place: shown_url(place).into(),
            phase: "starting",
            files_total: 0,
            bytes_total: 0,
            done: Copied::default(),
            elapsed_ms: 0,
        };
        self.all.lock().insert(number, TransferState { row, began: Instant::now() });
        Transfer { transfers: self.clone(), number }
    }

    /// As of now, the oldest first.
    pub(crate) fn rows(&self) -> Vec<TransferRow> {
        let row = |state: &TransferState| {
            let elapsed_ms = state.began.elapsed().as_millis() as u64;
            TransferRow { elapsed_ms, ..state.row.clone() }
        };
        self.all.lock().values().map(row).collect()
    }
}

/// One transfer.
pub(crate) struct Transfer {
    transfers: Transfers,
    number: u64,
}

impl Transfer {
    fn change(&self, change: impl FnOnce(&mut TransferRow)) {
        if let Some(state) = self.transfers.all.lock().get_mut(&self.number) {
            change(&mut state.row);
        }
    }

    pub(crate) fn enter(&self, phase: &'static str) {
        self.change(|row| row.phase = phase);
    }

    /// What it is about.
    pub(crate) fn expect(&self, files: u64, bytes: u64) {
        self.change(|row| (row.files_total, row.bytes_total) = (files, bytes));
    }

    pub(crate) fn advance(&self, copied: Copied) {
        self.change(|row| row.done += copied);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.transfers.all.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_shown_while_it_lasts() {
        let transfers = Transfers::default();
        let first = transfers.begin(SessionId(1), "BACKUP", "/b");
        let second = transfers.begin(SessionId(2), "RESTORE", "s3://b/p?sig=hush");
        first.enter("copying");
        first.expect(3, 30);
        first.advance(Copied::new_file(10));
        first.advance(Copied::old_file(5));
        let rows = transfers.rows();
        assert_eq!((rows.len(), rows[0].phase, rows[0].files_total), (2, "copying", 3));
        assert_eq!((rows[0].place.as_str(), rows[1].place.as_str()), ("/b", "s3://b/p"));
        assert_eq!((rows[0].done.files, rows[0].done.bytes, rows[0].done.new_bytes), (2, 15, 10));
        drop(first);
        assert_eq!(transfers.rows().iter().map(|row| row.command).collect::<Vec<_>>(), ["RESTORE"]);
        drop(second);
        assert!(transfers.rows().is_empty());
    }
}
