//! The files that a cluster's catalog names, and those on its disks.

use crate::postgres::PostgresServer;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeSet;
use std::path::Path;

/// A file that the catalog knows: its segment, its path in the cluster's directory, and whether it is live.
type Known = (i32, String, bool);

fn known(directory: &Path, postgres: Option<&PostgresServer>) -> Vec<Known> {
    let sql = "SELECT content, path, dropped IS NULL FROM files UNION ALL SELECT content, path, dropped IS NULL FROM delete_vectors";
    let of = |content: i32, path: String, is_live: bool| (content, format!("seg{content}-data/{path}"), is_live);
    if let Some(server) = postgres {
        let mut client = postgres::Client::connect(server.url(), postgres::NoTls).expect("the catalog's server");
        client.batch_execute("SET search_path = damson").expect("the catalog's schema");
        let file = |row: postgres::Row| of(row.get(0), row.get(1), row.get(2));
        return client.query(sql, &[]).expect("files").into_iter().map(file).collect();
    }
    let catalog = directory.join("master/catalog.db");
    let catalog = Connection::open_with_flags(catalog, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a catalog");
    let mut statement = catalog.prepare(sql).expect("files");
    let file = |row: &rusqlite::Row<'_>| Ok(of(row.get(0)?, row.get(1)?, row.get(2)?));
    statement.query_map([], file).expect("files").map(|file| file.expect("a file")).collect()
}

/// The segments that have live files.
///
/// # Panics
/// When the catalog cannot be read.
pub fn holders(directory: &Path, postgres: Option<&PostgresServer>) -> BTreeSet<i32> {
    known(directory, postgres).into_iter().filter(|(_, _, is_live)| *is_live).map(|(content, _, _)| content).collect()
}

/// Table files on disk that the catalog does not know, and files that it knows and that are not there.
///
/// # Panics
/// When the catalog or a directory cannot be read.
pub fn strays(directory: &Path, postgres: Option<&PostgresServer>) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut on_disk = BTreeSet::new();
    // One that waits, or was added and has got nothing yet, has no tables.
    let bases = (0..).map(|content| directory.join(format!("seg{content}-data"))).take_while(|data| data.exists());
    for base in bases.map(|data| data.join("base")).filter(|base| base.exists()) {
        for table in std::fs::read_dir(&base).expect("tables") {
            let table = table.expect("a table").path();
            for file in std::fs::read_dir(&table).expect("files") {
                let path = file.expect("a file").path();
                let path = path.strip_prefix(directory).expect("a file of the cluster");
                on_disk.insert(path.to_str().expect("UTF-8").to_owned());
            }
        }
    }
    let known = known(directory, postgres);
    let all: BTreeSet<String> = known.iter().map(|(_, path, _)| path.clone()).collect();
    let live: BTreeSet<String> =
        known.into_iter().filter(|(_, _, is_live)| *is_live).map(|(_, path, _)| path).collect();
    (on_disk.difference(&all).cloned().collect(), live.difference(&on_disk).cloned().collect())
}
