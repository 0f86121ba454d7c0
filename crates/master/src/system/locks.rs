//! `pg_locks`: who holds a lock of a table, and who waits for one.

use super::PG_CATALOG;
use super::cells::{Row, bigint, boolean, row, text};
use super::table::{SystemContext, SystemTable};

pub(super) const LOCKS: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_locks",
    columns: &[
        text("locktype"),
        bigint("relation"),
        text("relation_name"),
        bigint("transactionid"),
        bigint("pid"),
        text("mode"),
        boolean("granted"),
    ],
    rows,
};

/// `pid` is the session's number.
fn rows(context: &SystemContext) -> Vec<Row> {
    let row = |lock: &crate::locks::LockRow| {
        let name = context.state.table_by_id(lock.table).map(|entry| entry.def.qualified_name());
        row![
            "relation",
            lock.table.0 as i64,
            name,
            lock.transaction.0 as i64,
            lock.session.0 as i64,
            lock.mode.name(),
            lock.granted
        ]
    };
    context.locks.iter().map(row).collect()
}
