//! The record of the expansion, in schema `gpexpand`: ordinary tables, written in transactions.

use super::cluster::Table;
use super::failure::ExpandFailure;
use super::session::{Row, Session};
use super::times::now_literal;
use crate::limits::EXPAND_INSERT_ROWS;
use crate::shell::quoted;
use damson_cluster::TableId;
use damson_gpexpand::{Expansion, TableProgress, TableStatus};
use damson_master::Expanded;
use std::collections::BTreeMap;

/// The schema; not one of the tables that are moved by rank.
pub(super) const SCHEMA: &str = "gpexpand";
/// Locked by the tool that runs.
pub(super) const TOOL_TABLE: &str = "gpexpand.tool";
/// The tables of the record that have rows.
const TABLES: [&str; 3] = ["gpexpand.status", "gpexpand.status_detail", "gpexpand.state"];

const DEFINITIONS: [&str; 6] = [
    "CREATE SCHEMA gpexpand",
    "CREATE TABLE gpexpand.status (status text NOT NULL, updated timestamp NOT NULL) DISTRIBUTED BY (status)",
    "CREATE TABLE gpexpand.status_detail (table_oid bigint NOT NULL, fq_name text NOT NULL, rank int NOT NULL, \
     status text NOT NULL, expansion_started timestamp, expansion_finished timestamp, source_bytes bigint NOT NULL, \
     rows_moved bigint, bytes_moved bigint) DISTRIBUTED BY (table_oid)",
    "CREATE TABLE gpexpand.state (id int NOT NULL, state text NOT NULL) DISTRIBUTED BY (id)",
    "CREATE TABLE gpexpand.tool (pid int) DISTRIBUTED BY (pid)",
    PROGRESS,
];

/// As Greenplum's. The rate is of the time that each table took: with several at once, the whole is faster.
const PROGRESS: &str = "CREATE VIEW gpexpand.expansion_progress AS \
    WITH sums AS (SELECT \
    count(CASE WHEN status = 'COMPLETED' THEN 1 END) AS tables_done, \
    count(CASE WHEN status = 'IN PROGRESS' THEN 1 END) AS tables_moving, \
    count(CASE WHEN status = 'NOT STARTED' THEN 1 END) AS tables_left, \
    CAST(coalesce(sum(CASE WHEN status = 'COMPLETED' THEN source_bytes END), 0) AS bigint) AS bytes_done, \
    CAST(coalesce(sum(CASE WHEN status = 'IN PROGRESS' THEN source_bytes END), 0) AS bigint) AS bytes_moving, \
    CAST(coalesce(sum(CASE WHEN status = 'NOT STARTED' THEN source_bytes END), 0) AS bigint) AS bytes_left, \
    CAST(coalesce(sum(bytes_moved), 0) AS bigint) AS bytes_moved, \
    CAST(sum(CASE WHEN status = 'COMPLETED' \
    THEN extract(epoch FROM expansion_finished) - extract(epoch FROM expansion_started) END) AS double precision) AS seconds \
    FROM gpexpand.status_detail) \
    SELECT 'Tables Expanded' AS name, CAST(tables_done AS text) AS value FROM sums \
    UNION ALL SELECT 'Tables In Progress', CAST(tables_moving AS text) FROM sums \
    UNION ALL SELECT 'Tables Left', CAST(tables_left AS text) FROM sums \
    UNION ALL SELECT 'Bytes Done', CAST(bytes_done AS text) FROM sums \
    UNION ALL SELECT 'Bytes In Progress', CAST(bytes_moving AS text) FROM sums \
    UNION ALL SELECT 'Bytes Left', CAST(bytes_left AS text) FROM sums \
    UNION ALL SELECT 'Bytes Moved Between Segments', CAST(bytes_moved AS text) FROM sums \
    UNION ALL SELECT 'Estimated Expansion Rate', \
    CAST(CAST(bytes_done / nullif(seconds, 0) / 1000000 AS bigint) AS text) || ' MB/s' FROM sums \
    UNION ALL SELECT 'Estimated Time to Completion', \
    CAST(CAST((bytes_left + bytes_moving) * seconds / nullif(bytes_done, 0) AS bigint) AS text) || ' s' FROM sums";

/// The rows of a view have no order.
pub(super) const PROGRESS_IN_ORDER: &str = "SELECT name, value FROM gpexpand.expansion_progress ORDER BY \
    strpos('Tables Expanded, Tables In Progress, Tables Left, Bytes Done, Bytes In Progress, Bytes Left, \
    Bytes Moved Between Segments, Estimated Expansion Rate, Estimated Time to Completion', name)";

/// What is stored of the one expansion that there is at a time.
pub(super) struct Record<'a>(pub &'a mut Session);

/// What is known of a table beside its status.
#[derive(Clone, Debug, Default)]
pub(super) struct Detail {
    /// Of tables that are new in the record.
    pub names: BTreeMap<TableId, String>,
    /// Of a table that was moved.
    pub moved: BTreeMap<TableId, Expanded>,
}

impl Detail {
    pub(super) fn of_tables(tables: &[Table]) -> Self {
        Detail { names: tables.iter().map(|table| (table.id, table.full_name())).collect(), ..Detail::default() }
    }
}

impl Record<'_> {
    /// # Errors
    /// The server's, or a record that was written by another version.
    pub(super) async fn load(&mut self) -> Result<Option<Expansion>, ExpandFailure> {
        let exists = "SELECT 1 FROM information_schema.tables WHERE table_schema = 'gpexpand' AND table_name = 'state'";
        if self.0.rows(exists).await?.is_empty() {
            return Ok(None);
        }
        let stored = self.0.rows("SELECT state FROM gpexpand.state WHERE id = 1").await?;
        let stored = stored.first().ok_or(ExpandFailure::Answer("gpexpand.state has no row"))?;
        Ok(Some(serde_json::from_str(stored.text(0)?)?))
    }

    /// # Errors
    /// The server's.
    pub(super) async fn create(&mut self, expansion: &Expansion) -> Result<(), ExpandFailure> {
        let mut commands: Vec<String> = DEFINITIONS.iter().map(|definition| (*definition).to_owned()).collect();
        commands.push(format!("INSERT INTO gpexpand.state VALUES (1, {})", quoted(&serde_json::to_string(expansion)?)));
        commands.push(status_row(expansion));
        Ok(self.0.transaction(&commands).await?)
    }

    /// Stores what has become of `before`.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn save(
        &mut self,
        before: &Expansion,
        after: &Expansion,
        detail: &Detail,
    ) -> Result<(), ExpandFailure> {
        if before == after {
            return Ok(());
        }
        let state = quoted(&serde_json::to_string(after)?);
        let mut commands = vec![format!("UPDATE gpexpand.state SET state = {state} WHERE id = 1")];
        if before.status() != after.status() {
            commands.push(status_row(after));
        }
        commands.extend(detail_changes(before.tables(), after.tables(), detail, &now_literal()));
        Ok(self.0.transaction(&commands).await?)
    }

    /// The ranks that users have given.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn ranks(&mut self) -> Result<BTreeMap<TableId, i32>, ExpandFailure> {
        let rows =
            self.0.rows("SELECT table_oid, rank FROM gpexpand.status_detail WHERE status = 'NOT STARTED'").await?;
        let rank =
            |row: &Row| -> Result<(TableId, i32), ExpandFailure> { Ok((TableId(row.number(0)?), row.number(1)?)) };
        rows.iter().map(rank).collect()
    }

    /// Lays the record itself out by the newest map: segments that own nothing may be stopped.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn move_itself(&mut self) -> Result<(), ExpandFailure> {
        for table in TABLES {
            self.0.execute(&format!("ALTER TABLE {table} EXPAND TABLE")).await?;
        }
        Ok(())
    }

    /// # Errors
    /// The server's.
    pub(super) async fn drop(&mut self) -> Result<(), ExpandFailure> {
        self.0.execute("DROP SCHEMA gpexpand CASCADE").await?;
        Ok(())
    }
}

fn status_row(expansion: &Expansion) -> String {
    format!("INSERT INTO gpexpand.status VALUES ('{}', {})", expansion.status(), now_literal())
}

/// The commands for tables that are new, or have another status.
fn detail_changes(before: &[TableProgress], after: &[TableProgress], detail: &Detail, now: &str) -> Vec<String> {
    let before: BTreeMap<TableId, TableStatus> = before.iter().map(|table| (table.table, table.status)).collect();
    let (known, new): (Vec<_>, Vec<_>) = after.iter().partition(|table| before.contains_key(&table.table));
    let mut commands = vec![];
    for rows in new.chunks(EXPAND_INSERT_ROWS) {
        let row = |table: &&TableProgress| {
            let name = detail.names.get(&table.table).map_or("", String::as_str);
            let TableProgress { table: id, rank, source_bytes, status } = table;
            format!("({}, {}, {rank}, '{status}', NULL, NULL, {source_bytes}, NULL, NULL)", id.0, quoted(name))
        };
        let rows: Vec<String> = rows.iter().map(row).collect();
        commands.push(format!("INSERT INTO gpexpand.status_detail VALUES {}", rows.join(", ")));
    }
    for table in known.into_iter().filter(|table| before[&table.table] != table.status) {
        let more = match table.status {
            TableStatus::NotStarted => ", expansion_started = NULL".to_owned(),
            TableStatus::InProgress => format!(", expansion_started = {now}"),
            TableStatus::Completed => {
                let moved = detail.moved.get(&table.table).map_or_else(String::new, |moved| {
                    format!(", rows_moved = {}, bytes_moved = {}", moved.rows, moved.bytes)
                });
                format!(", expansion_finished = {now}{moved}")
            }
            TableStatus::NoLongerExists => format!(", expansion_finished = {now}"),
        };
        commands.push(format!(
            "UPDATE gpexpand.status_detail SET status = '{}'{more} WHERE table_oid = {}",
            table.status, table.table.0
        ));
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_changed_is_written() {
        let table = |id, status| TableProgress { status, ..TableProgress::new(TableId(id), 5, id * 100) };
        let before = [table(1, TableStatus::InProgress), table(2, TableStatus::NotStarted)];
        let after =
            [table(1, TableStatus::Completed), table(2, TableStatus::NotStarted), table(3, TableStatus::NotStarted)];
        let detail = Detail {
            names: BTreeMap::from([(TableId(3), "public.it's".into())]),
            moved: BTreeMap::from([(
                TableId(1),
                Expanded { rows: 7, bytes: 70, copied_bytes: 0, writers_waited_ms: 1 },
            )]),
        };
        assert_eq!(
            detail_changes(&before, &after, &detail, "now"),
            [
                "INSERT INTO gpexpand.status_detail VALUES \
                 (3, 'public.it''s', 5, 'NOT STARTED', NULL, NULL, 300, NULL, NULL)",
                "UPDATE gpexpand.status_detail SET status = 'COMPLETED', expansion_finished = now, rows_moved = 7, \
                 bytes_moved = 70 WHERE table_oid = 1",
            ]
        );
        assert!(detail_changes(&after, &after, &detail, "now").is_empty());
    }
}
