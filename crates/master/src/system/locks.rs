//! `pg_locks`: who holds a lock of a table, or of a file that is loaded into it, and who waits for one.

use super::cells::{Row, bigint, boolean, row, text};
use super::table::{SystemContext, SystemTable};
use super::{PG_CATALOG, oids};

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

/// `pid` is the session's number; the relation of a file is the table that it is loaded into.
fn rows(context: &SystemContext) -> Vec<Row> {
    let row = |lock: &crate::locks::LockRow| {
        let name = context.state.table_by_id(lock.tag.table()).map(|entry| entry.def.qualified_name());
        row![
            lock.tag.type_name(),
            oids::of_id(lock.tag.table().0),
            name,
            lock.transaction.0 as i64,
            lock.session.0 as i64,
            lock.mode.name(),
            lock.granted
        ]
    };
    context.locks.iter().map(row).collect()
}
