//! What the tables should hold: SQLite, in memory.

use super::keyed::constraints;
use super::{Rows, Step, TABLES};
use rusqlite::Connection;
use rusqlite::types::Value;

pub struct Model {
    connection: Connection,
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

impl Model {
    /// The tables, empty.
    ///
    /// # Panics
    /// Like all of it, where SQLite does not take what the generator writes: the test is wrong then.
    pub fn new() -> Self {
        let connection = Connection::open_in_memory().expect("a database in memory");
        for (name, _) in TABLES {
            let sql = format!("CREATE TABLE {name} (k INTEGER, a INTEGER, b TEXT, c INTEGER)");
            connection.execute_batch(&sql).expect("a table");
        }
        Model { connection }
    }

    /// Rows that the statement changed; or the SQLSTATEs of the constraints that it broke, and nothing has changed.
    pub fn run(&self, step: &Step) -> Result<u64, Vec<&'static str>> {
        let constraints = step.table.and_then(|table| Some((table, constraints(table)?)));
        let Some((table, constraints)) = constraints else { return Ok(self.pieces(step)) };
        self.batch("SAVEPOINT statement");
        let changed = self.pieces(step);
        let mut broken = vec![];
        for key in constraints.keys {
            let (columns, whole) = (key.join(", "), whole_key(key));
            if self.is_any(&format!("SELECT 1 FROM {table} WHERE {whole} GROUP BY {columns} HAVING count(*) > 1")) {
                broken.push("23505");
            }
        }
        if self.is_any(&format!("SELECT 1 FROM {table} WHERE NOT ({})", constraints.check)) {
            broken.push("23514");
        }
        if broken.is_empty() {
            self.batch("RELEASE statement");
            return Ok(changed);
        }
        self.batch("ROLLBACK TO statement; RELEASE statement");
        Err(broken)
    }

    fn pieces(&self, step: &Step) -> u64 {
        let mut changed = 0;
        for piece in &step.sqlite {
            if piece.counts {
                let of_piece = self.connection.execute(&piece.sql, []);
                changed += of_piece.unwrap_or_else(|e| panic!("SQLite: {}: {e}", piece.sql)) as u64;
            } else {
                self.batch(&piece.sql);
            }
        }
        changed
    }

    fn batch(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap_or_else(|e| panic!("SQLite: {sql}: {e}"));
    }

    fn is_any(&self, sql: &str) -> bool {
        let mut statement = self.connection.prepare(sql).unwrap_or_else(|e| panic!("SQLite: {sql}: {e}"));
        statement.exists([]).unwrap_or_else(|e| panic!("SQLite: {sql}: {e}"))
    }

    pub fn count(&self, table: &str) -> usize {
        let sql = format!("SELECT count(*) FROM {table}");
        self.connection.query_row(&sql, [], |row| row.get::<_, u32>(0)).expect("a count") as usize
    }

    pub fn rows(&self, table: &str) -> Rows {
        let sql = format!("SELECT k, a, b, c FROM {table}");
        let mut statement = self.connection.prepare(&sql).expect("a query");
        let text = |value: Value| match value {
            Value::Null => None,
            Value::Integer(number) => Some(number.to_string()),
            Value::Text(text) => Some(text),
            other => panic!("{other:?} in {table}"),
        };
        let row = |row: &rusqlite::Row<'_>| (0..4).map(|column| row.get(column).map(text)).collect();
        let mut rows = statement.query_map([], row).expect("rows").collect::<Result<Rows, _>>().expect("rows");
        rows.sort();
        rows
    }
}

/// The condition that a key has no NULL.
fn whole_key(key: &[&str]) -> String {
    key.iter().map(|column| format!("{column} IS NOT NULL")).collect::<Vec<_>>().join(" AND ")
}
