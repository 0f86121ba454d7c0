//! What the tables should hold: SQLite, in memory.

use super::{Rows, TABLES};
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

    /// Rows that the statement changed.
    pub fn run(&self, sql: &str) -> u64 {
        self.connection.execute(sql, []).unwrap_or_else(|e| panic!("SQLite: {sql}: {e}")) as u64
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
