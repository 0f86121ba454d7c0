//! Other programs read our files: pyarrow and DuckDB find in a table's files, and in what COPY TO writes as Parquet, the rows that a query
//! does.

use damson_tests::{Damson, TestCluster, render_exact};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of each table: more than a page has.
const ROWS: u64 = 12_000;

const READERS: [&str; 2] = ["pyarrow", "duckdb"];

/// What columns of the tables are encoded in, and a reader has to know.
const ENCODINGS: [(&str, &str); 6] = [
    ("INT32", "DELTA_BINARY_PACKED"),
    ("INT64", "DELTA_BINARY_PACKED"),
    ("INT32", "PLAIN"),
    ("BYTE_ARRAY", "PLAIN"),
    ("INT32", "RLE_DICTIONARY"),
    ("BYTE_ARRAY", "RLE_DICTIONARY"),
];

/// Every type that a Parquet file has a type for. An interval has none: it is 16 bytes in a table's files, and text in COPY TO's.
const COLUMNS: &str = "id bigint, flag boolean, small smallint, number int, exact numeric(9,2), longer numeric(18,6), longest numeric(38,10), \
     half real, whole double precision, words text, short varchar(20), bytes bytea, key uuid, day date, moment time, \
     stamp timestamp, instant timestamptz";

/// Rows from `first` on as CSV; a sixth of the values are NULL.
fn csv(first: u64) -> String {
    let mut text = String::new();
    for i in first..first + ROWS {
        let id = i as i64;
        let values = [
            (i % 2 == 0).to_string(),
            (id % 60_000 - 30_000).to_string(),
            (id * 7919 - 50_000_000).to_string(),
            format!("{}.{:02}", id - 4000, i % 100),
            format!("-{}.{:06}", i * 12_345_678, i % 1_000_000),
            format!("{i}000000000000000000000.{:010}", i * 77_777),
            format!("{}", (id - 5000) as f32 * 0.25),
            format!("{}", (id - 5000) as f64 * 1_234_567.5),
            match i % 4 {
                0 => "\"\"".into(),
                1 => "\"a\"\"b,\\c\nd\"".into(),
                2 => "ä€😀".into(),
                _ => format!("{}{i}", "long ".repeat((i % 50) as usize)),
            },
            format!("v{}", i % 100),
            format!("\\x{:016x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            format!("{:08x}-9c0b-4ef8-bb6d-{:012x}", i * 7, i * 1_000_003),
            ["1969-12-31", "2024-02-29", "2200-12-31"][i as usize % 3].into(),
            ["00:00:00", "12:34:56.789", "23:59:59.999999"][i as usize % 3].into(),
            ["1969-12-31 23:59:59.5", "2024-02-29 12:00:00.123456"][i as usize % 2].into(),
            ["1999-12-31 23:59:59+00", "2024-02-29 12:00:00.25+02"][i as usize % 2].into(),
        ];
        text += &i.to_string();
        for (column, value) in values.iter().enumerate() {
            text.push(',');
            if (i + column as u64) % 6 != 5 {
                text += value;
            }
        }
        text.push('\n');
    }
    text
}

/// A Python that has what the readers need; None, loudly, where there is no Python at all.
///
/// # Panics
/// Where there is one, and the modules cannot be had; or none, and `DAMSON_REQUIRE_PYTHON` is 1.
fn python() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/duckdb-python");
    let output = Command::new(script).arg("pyarrow").output().expect("scripts/duckdb-python runs");
    let python = String::from_utf8(output.stdout).expect("a path");
    if !python.trim().is_empty() {
        return Some(python.trim().into());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let has_python = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    let is_required = std::env::var("DAMSON_REQUIRE_PYTHON").as_deref() == Ok("1");
    assert!(!has_python && !is_required, "no pyarrow and DuckDB: {said}");
    eprintln!("\nNO PYTHON HERE: the test that other programs read our files is SKIPPED\n");
    None
}

/// The Parquet files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    found
}

/// All rows of files, sorted.
fn read(python: &Path, reader: &str, files: &[PathBuf]) -> Vec<Vec<String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers.py");
    let output = Command::new(python).arg(script).arg(reader).args(files).output().expect("Python runs");
    assert!(output.status.success(), "{reader}: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("text");
    let mut rows: Vec<Vec<String>> = lines.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    rows.sort_unstable();
    rows
}

/// A query's rows, sorted.
async fn query(session: &Damson, sql: &str) -> Vec<Vec<String>> {
    let batches = session.batches(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut rows = vec![];
    for batch in batches {
        let columns: Vec<Vec<String>> = batch.columns().iter().map(render_exact).collect();
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|column| column[row].clone()).collect()));
    }
    rows.sort_unstable();
    rows
}

fn assert_same(what: &str, found: &[Vec<String>], wanted: &[Vec<String>]) {
    for (found, wanted) in found.iter().zip(wanted) {
        assert_eq!(found, wanted, "{what}");
    }
    assert_eq!(found.len(), wanted.len(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pyarrow_and_duckdb_read_our_files() {
    let Some(python) = python() else { return };
    let cluster = TestCluster::start(2).await;
    let session = cluster.session();
    let directory = tempfile::tempdir().expect("a temporary directory");
    // Tables of each compression, sorted ones with page indexes and Bloom filters among them; each has its own rows.
    let options = [
        "compresstype=none",
        "compresstype=snappy",
        "compresstype=lz4",
        "compresstype=zstd, compresslevel=5",
        "compresstype=zstd, sort_key='words, id', bloom_filter_columns='id, short'",
    ];
    let mut all = vec![];
    for (index, option) in options.iter().enumerate() {
        let source = directory.path().join(format!("{index}.csv"));
        fs::write(&source, csv(index as u64 * ROWS)).expect("room");
        for sql in [
            format!("CREATE TABLE t{index} ({COLUMNS}) WITH ({option}) DISTRIBUTED BY (id)"),
            format!("COPY t{index} FROM '{}'", source.display()),
            // And a small file.
            format!("INSERT INTO t{index} (id) VALUES (-{})", index + 1),
        ] {
            session.execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        all.push(format!("SELECT * FROM t{index}"));
    }
    let all = all.join(" UNION ALL ");
    let wanted = query(&session, &all).await;
    assert_eq!(wanted.len(), options.len() * (ROWS as usize + 1));

    let encodings = read(&python, "encodings", &files(cluster.data_dir()));
    for (physical_type, encoding) in ENCODINGS {
        let encoding = [physical_type.to_owned(), encoding.to_owned()];
        assert!(encodings.contains(&encoding.to_vec()), "no {encoding:?} in {encodings:?}");
    }

    let out = directory.path().join("out");
    let sql = format!("COPY ({all}) TO '{}' (FORMAT parquet)", out.display());
    session.execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    for (what, directory) in [("a table's file", cluster.data_dir()), ("a file of COPY TO", &*out)] {
        let files = files(directory);
        assert!(!files.is_empty(), "{what}");
        for reader in READERS {
            assert_same(&format!("{reader}, {what}"), &read(&python, reader, &files), &wanted);
        }
    }
    cluster.shutdown().await;
}
