//! A cluster that has something of everything, and a look at all of it.

use damson_tests::{Damson, TestCluster};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use std::collections::BTreeMap;

/// Tables of all distributions, with keys, checks, defaults, NULLs, deleted and updated rows, none at all, sequences of all kinds, and
/// views of views.
pub const TABLES: &[&str] = &[
    "CREATE SCHEMA sales",
    "CREATE TABLE h (k int PRIMARY KEY, t text, n numeric(12,2), d date, f double precision) DISTRIBUTED BY (k)",
    "CREATE TABLE sales.orders (id bigint, k int NOT NULL, note text DEFAULT 'none', \
     CONSTRAINT positive CHECK (id > 0), UNIQUE (id, k)) DISTRIBUTED BY (id, k)",
    "CREATE TABLE r (a int, b text) WITH (compresstype=zstd, compresslevel=3) DISTRIBUTED RANDOMLY",
    "CREATE TABLE everywhere (a int PRIMARY KEY, b text) DISTRIBUTED REPLICATED",
    "CREATE TABLE empty (a int) DISTRIBUTED BY (a)",
    "CREATE TABLE emptied (a int) DISTRIBUTED BY (a)",
    "CREATE TABLE grown (a int) DISTRIBUTED BY (a)",
    "INSERT INTO h SELECT x, CASE WHEN x % 7 = 0 THEN NULL ELSE 't' || CAST(x AS text) END, CAST(x AS numeric(12,2)) / 4, \
     CAST('2026-01-01' AS date), x / 3.0 FROM generate_series(1, 5000) AS g(x)",
    "INSERT INTO sales.orders (id, k) SELECT x, x % 100 FROM generate_series(1, 3000) AS g(x)",
    "INSERT INTO r SELECT x, 'r' FROM generate_series(1, 1000) AS g(x)",
    "INSERT INTO r SELECT x, NULL FROM generate_series(1001, 1100) AS g(x)",
    "INSERT INTO everywhere SELECT x, 'e' || CAST(x AS text) FROM generate_series(1, 50) AS g(x)",
    "INSERT INTO emptied SELECT x FROM generate_series(1, 100) AS g(x)",
    "INSERT INTO grown SELECT x FROM generate_series(1, 100) AS g(x)",
    "ALTER TABLE grown ADD COLUMN b text",
    "INSERT INTO grown VALUES (101, 'b')",
    "DELETE FROM h WHERE k % 5 = 0",
    "UPDATE h SET t = 'changed' WHERE k % 11 = 1",
    "UPDATE sales.orders SET id = id + 10000 WHERE id % 10 = 0",
    "DELETE FROM r WHERE a % 4 = 0",
    "DELETE FROM everywhere WHERE a % 3 = 0",
    "UPDATE everywhere SET b = 'again' WHERE a = 1",
    "DELETE FROM emptied",
    "CREATE SEQUENCE tickets START WITH 100 INCREMENT BY 5",
    "CREATE TABLE numbered (id bigserial, i int GENERATED ALWAYS AS IDENTITY, ticket bigint DEFAULT nextval('tickets'), \
     v text) DISTRIBUTED BY (v)",
    "INSERT INTO numbered (v) SELECT 'v' || CAST(x AS text) FROM generate_series(1, 100) AS g(x)",
    "CREATE VIEW per_k (k, orders) AS SELECT k, count(*) FROM sales.orders GROUP BY k",
    "CREATE VIEW sales.named AS SELECT h.t, p.orders FROM public.h AS h JOIN public.per_k AS p ON h.k = p.k",
];

/// Looks at every row and definition.
const LOOKS: &[&str] = &[
    "SELECT * FROM h ORDER BY k",
    "SELECT * FROM sales.orders ORDER BY id, k",
    "SELECT * FROM r ORDER BY a",
    "SELECT * FROM everywhere ORDER BY a",
    "SELECT count(*) FROM empty",
    "SELECT count(*) FROM emptied",
    "SELECT * FROM grown ORDER BY a",
    "SELECT * FROM numbered ORDER BY id",
    "SELECT schemaname, sequencename, data_type, start_value, increment_by FROM pg_sequences ORDER BY 1, 2",
    "SELECT * FROM per_k ORDER BY k",
    "SELECT count(*), count(t), sum(orders) FROM sales.named",
    "SELECT table_schema, table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns \
     WHERE table_schema IN ('public', 'sales') ORDER BY 1, 2, 3",
    "SELECT table_schema, table_name, constraint_name, constraint_type FROM information_schema.table_constraints \
     WHERE table_schema IN ('public', 'sales') ORDER BY 1, 2, 3",
    "SELECT check_clause FROM information_schema.check_constraints WHERE constraint_name = 'positive'",
];

pub async fn fill(session: &Damson) {
    for sql in TABLES {
        session.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

/// What every look shows.
pub async fn contents(session: &Damson) -> Vec<(&'static str, Vec<String>)> {
    let mut all = vec![];
    for look in LOOKS {
        all.push((*look, session.lines(look).await));
    }
    all
}

/// Files that are not as the catalog says.
pub async fn problems(session: &Damson) -> Vec<String> {
    session.lines("SELECT gp_segment_id, table_name, path, problem FROM gp_check").await
}

/// The row that BACKUP or RESTORE gives: the backup's name, and numbers.
pub async fn transfer(session: &Damson, sql: &str) -> (String, BTreeMap<String, i64>) {
    let batches = session.batches(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).expect("a row");
    assert_eq!(batch.num_rows(), 1);
    let name = cast(batch.column(0), &DataType::Utf8).expect("text").as_string::<i32>().value(0).to_owned();
    let schema = batch.schema();
    let numbers = schema.fields().iter().zip(batch.columns()).skip(1).map(|(field, column)| {
        let column = cast(column, &DataType::Int64).expect("a number");
        let value = column.as_primitive::<datafusion::arrow::datatypes::Int64Type>().value(0);
        (field.name().clone(), value)
    });
    (name, numbers.collect())
}

/// SQLSTATE and message of a statement that fails.
pub async fn refusal(session: &Damson, sql: &str) -> (String, String) {
    match session.execute(sql).await {
        Ok(_) => panic!("{sql} must fail"),
        Err(error) => (error.state.0.to_owned(), error.message),
    }
}

/// Table files on the disks of a cluster.
pub fn files_on_disk(cluster: &TestCluster) -> Vec<String> {
    let mut names = vec![];
    let mut open = vec![cluster.data_dir().to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "parquet" || e == "deletes") {
                names.push(path.display().to_string());
            }
        }
    }
    names
}
