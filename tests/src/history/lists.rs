//! Lists as rows of tables, and the statements that read them and append to them.

/// UPDATE locks a table: several tables, so that transactions overlap.
const TABLES: usize = 4;
const KEYS_OF_TABLE: usize = 3;
/// A list has a number below this.
pub(super) const KEYS: usize = TABLES * KEYS_OF_TABLE;
/// Errors after which a client begins anew: its transaction was rolled back.
pub(super) const RETRIED: [&str; 2] = ["40001", "40P01"];

/// The lists of one campaign.
#[derive(Clone, Copy)]
pub(super) struct Lists {
    /// What the names of its tables begin with.
    pub tables: &'static str,
}

impl Lists {
    /// Makes the tables, with empty lists.
    pub(super) fn create(self) -> Vec<String> {
        let tables = self.tables;
        let create = |table| {
            [
                format!("CREATE TABLE {tables}{table} (k int, elements text) DISTRIBUTED BY (k)"),
                format!("INSERT INTO {tables}{table} SELECT x, '' FROM generate_series(1, {KEYS_OF_TABLE}) AS g(x)"),
            ]
        };
        (0..TABLES).flat_map(create).collect()
    }

    pub(super) fn append(self, key: usize, element: u32) -> String {
        let (tables, table, key) = (self.tables, key / KEYS_OF_TABLE, key % KEYS_OF_TABLE + 1);
        format!("UPDATE {tables}{table} SET elements = elements || ',{element}' WHERE k = {key}")
    }

    pub(super) fn read(self, key: usize) -> String {
        let (tables, table, key) = (self.tables, key / KEYS_OF_TABLE, key % KEYS_OF_TABLE + 1);
        format!("SELECT elements FROM {tables}{table} WHERE k = {key}")
    }
}

/// The elements of a list, as its row has them.
pub(super) fn parse(elements: &str) -> Vec<u32> {
    elements.split(',').filter_map(|element| element.trim().parse().ok()).collect()
}
