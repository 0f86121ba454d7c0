//! Files that are queried, and external tables, on clusters of real processes: the same rows as when COPY has loaded them.

use damson_tests::processes::{ProcessCluster, Setup, Shell, wait_for};
use damson_tests::s3_server::{BUCKET, S3Server};
use damson_tests::web_server::{WebFile, WebServer};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// With a header; quoted line ends, NULLs, and a column of each type that is found in text.
fn csv(rows: Range<u32>) -> String {
    let row = |k: u32| {
        let note = if k.is_multiple_of(7) { String::new() } else { format!("\"note {k},\nof it\"") };
        let (day, flag) = (k % 28 + 1, k.is_multiple_of(2));
        format!("{k},{}.5,{note},2026-02-{day:02},2026-02-{day:02} 10:00:{:02},{flag}\n", k % 10, k % 60)
    };
    let rows: String = rows.map(row).collect();
    format!("K,Price,Note,Day,At,Flag\n{rows}")
}

fn json(rows: Range<u32>) -> String {
    rows.map(|k| format!("{{\"k\": {k}, \"s\": \"v{}\", \"x\": {}}}\n", k % 5, if k % 3 == 0 { "null" } else { "1.5" }))
        .collect()
}

fn put(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().expect("it is below the directory")).expect("room");
    fs::write(&path, text).expect("room");
    path
}

/// SQLSTATE and message of a statement that fails.
fn failure(shell: &Shell, sql: &str) -> String {
    let run = shell.run("csv", &["-c", sql]);
    assert!(!run.success, "{sql} fails: {run:?}");
    run.stderr
}

fn assert_fails(shell: &Shell, sql: &str, parts: &[&str]) {
    let error = failure(shell, sql);
    assert!(parts.iter().all(|part| error.contains(part)), "{sql}: {error}");
}

/// What is asked of a relation `t` and of the same rows elsewhere.
const QUERIES: [&str; 11] = [
    "SELECT count(*) FROM {}",
    "SELECT * FROM {} ORDER BY k LIMIT 20",
    "SELECT t.k, note FROM {} WHERE day = date '2026-02-05' AND k > 100 ORDER BY 1",
    "SELECT day, sum(price), count(note), min(at), bool_and(flag) FROM {} GROUP BY day ORDER BY day",
    "SELECT count(DISTINCT note) FROM {} WHERE note IS NOT NULL",
    "SELECT d.name, count(*) FROM {} JOIN d ON d.k = t.k % 5 GROUP BY 1 ORDER BY 1",
    "SELECT count(*) FROM {} LEFT JOIN d USING (k) WHERE d.name IS NULL",
    "SELECT k FROM {} WHERE k IN (SELECT k + 10 FROM d) ORDER BY k",
    "SELECT name, (SELECT count(*) FROM {} WHERE t.k = d.k) FROM d ORDER BY k",
    "SELECT a.k FROM {} JOIN (SELECT max(k) AS k FROM d) AS a ON a.k = t.k",
    "SELECT k, row_number() OVER (PARTITION BY day ORDER BY k) FROM {} ORDER BY k OFFSET 50 LIMIT 5",
];

fn files_are_queried_as_if_they_were_loaded(segments: usize) {
    let cluster = ProcessCluster::start(segments);
    let (shell, root) = (cluster.shell(), cluster.directory().join("in"));
    for part in 0..3 {
        put(&root, &format!("csv/part{part}.csv"), &csv(part * 20_000..(part + 1) * 20_000));
    }
    shell.execute(
        "CREATE TABLE loaded (k bigint, price double precision, note text, day date, at timestamp, flag boolean) \
         DISTRIBUTED BY (k)",
    );
    let (csv, parquet) = (root.join("csv").display().to_string(), root.join("parquet").display().to_string());
    shell.execute(&format!("COPY loaded FROM '{csv}' (FORMAT csv, HEADER)"));
    assert_eq!(shell.value("SELECT count(*) FROM loaded"), "60000");
    shell.execute("CREATE TABLE d (k bigint, name text) DISTRIBUTED BY (k)");
    shell.execute("INSERT INTO d SELECT g, 'name ' || g FROM generate_series(0, 4) AS g(g)");
    fs::create_dir_all(&parquet).expect("room");
    shell.execute(&format!("COPY loaded TO '{parquet}' (FORMAT parquet)"));

    shell.execute(&format!(
        "CREATE EXTERNAL TABLE ext (k bigint, price double precision, note text, day date, at timestamp, flag boolean) \
         LOCATION ('{csv}/part0.csv', '{csv}/part[12].csv') FORMAT 'CSV' (HEADER)"
    ));
    let relations = [
        format!("'{csv}/*.csv' AS t"),
        format!("read_files('{csv}', format => 'csv', header => true) AS t"),
        format!("'{parquet}/*.parquet' AS t"),
        "ext AS t".to_owned(),
    ];
    for query in QUERIES {
        let wanted = shell.rows(&query.replace("{}", "loaded AS t"));
        assert!(!wanted.is_empty(), "{query}");
        for relation in &relations {
            assert_eq!(shell.rows(&query.replace("{}", relation)), wanted, "{query} of {relation}");
        }
    }
    // All rows, and nothing else.
    for relation in &relations {
        let both = format!(
            "SELECT count(*) FROM ((SELECT * FROM {relation} EXCEPT ALL SELECT * FROM loaded) UNION ALL \
             (SELECT * FROM loaded EXCEPT ALL SELECT * FROM {relation})) AS x"
        );
        assert_eq!(shell.value(&both), "0", "{relation}");
    }
    // Every segment has its part of one file; a plan says so.
    let plan = shell.rows(&format!("EXPLAIN SELECT count(*) FROM '{csv}/part0.csv'"));
    let plan: Vec<String> = plan.concat();
    let scan = format!("File Scan on {csv}/part0.csv (files: 1)");
    assert!(plan.iter().any(|line| line.contains(&scan)), "{plan:?}");
    let analyzed =
        shell.rows(&format!("EXPLAIN ANALYZE SELECT count(*) FROM '{parquet}/*' AS t WHERE k < 10")).concat();
    assert!(analyzed.iter().any(|line| line.contains("File Scan on")), "{analyzed:?}");

    // Where a table is made, filled and changed.
    shell.execute(&format!("CREATE TABLE made AS SELECT k, note FROM '{csv}/*.csv' WHERE k < 1000 DISTRIBUTED BY (k)"));
    assert_eq!(shell.value("SELECT count(*) FROM made"), "1000");
    shell.execute(&format!("INSERT INTO made SELECT k, note FROM '{parquet}/*.parquet' WHERE k BETWEEN 1000 AND 1099"));
    assert_eq!(shell.rows("SELECT count(*), count(DISTINCT k) FROM made"), [["1100", "1100"]]);
    shell.execute(&format!("DELETE FROM made WHERE k IN (SELECT k FROM '{csv}/part0.csv' WHERE k % 2 = 0)"));
    assert_eq!(shell.value("SELECT count(*) FROM made"), "550");
    shell.execute(&format!("CREATE VIEW v AS SELECT k, day FROM '{csv}/*.csv'"));
    assert_eq!(shell.value("SELECT count(*) FROM v AS a JOIN v AS b USING (k)"), "60000");
}

#[test]
fn one_segment_queries_files() {
    files_are_queried_as_if_they_were_loaded(1);
}

#[test]
fn three_segments_query_files() {
    files_are_queried_as_if_they_were_loaded(3);
}

#[test]
fn columns_are_found_or_the_files_are_refused() {
    let cluster = ProcessCluster::start(2);
    let (shell, root) = (cluster.shell(), cluster.directory().join("in"));
    let path = |name: &str| root.join(name).display().to_string();
    put(&root, "json/y=2025/a.jsonl", &json(0..100));
    put(&root, "json/y=2026/b.jsonl", &json(100..300));
    let rows = shell.rows(&format!(
        "SELECT y, s, count(*), sum(x) FROM '{}' AS t GROUP BY y, s ORDER BY y, s LIMIT 1",
        path("json")
    ));
    assert_eq!(rows, [["2025", "v0", "20", "19.5"]]);
    assert_eq!(shell.value(&format!("SELECT sum(k) FROM '{}' WHERE y = 2026", path("json"))), "39900");

    // Without a header columns have numbers; a table of TPC-H's form has none.
    put(&root, "plain.csv", "1,007,x\n2,008,y\n");
    let plain = format!("read_files('{}', header => false)", path("plain.csv"));
    assert_eq!(
        shell.rows(&format!("SELECT column1 + 1, column2 FROM {plain} ORDER BY 1")),
        [["2", "007"], ["3", "008"]]
    );
    // The first line is of the types of those below it.
    let rows = shell.rows(&format!("SELECT * FROM '{}' ORDER BY 1", path("plain.csv")));
    assert_eq!(rows, [["1", "007", "x"], ["2", "008", "y"]]);
    put(&root, "parts/a.csv", "1,x\n2,y\n");
    put(&root, "parts/b.csv", "3,z\n");
    assert_eq!(shell.value(&format!("SELECT sum(column1) FROM '{}'", path("parts"))), "6");
    put(&root, "words.csv", "k,v\na,b\n");
    assert_eq!(shell.rows(&format!("SELECT k, v FROM '{}'", path("words.csv"))), [["a", "b"]]);
    put(&root, "x.tbl", "1|a|\n2|b|\n");
    assert_eq!(shell.rows(&format!("SELECT * FROM '{}' ORDER BY 1", path("x.tbl"))), [["1", "a"], ["2", "b"]]);

    put(&root, "two/a.csv", "a,b\n1,2\n");
    put(&root, "two/b.csv", "a,c\n1,2\n");
    let two = format!("SELECT * FROM '{}' AS t", path("two/*.csv"));
    assert_fails(&shell, &two, &["42804", "two/a.csv", "two/b.csv", "header => false"]);
    let wildcard = format!("SELECT * FROM read_files('{}', pattern => '*.csv') AS t", path("two"));
    assert_fails(&shell, &wildcard, &["2201B", "PATTERN \"*.csv\": it is no regular expression", "HINT:", "'\\.csv$'"]);
    assert_fails(&shell, "SELECT * FROM 'no-such-file.csv' AS t", &["58P01", "HINT:", "begins with /"]);
    assert_fails(
        &shell,
        "SELECT * FROM read_csv('/x.csv')",
        &["42883", "function read_csv does not exist", "read_files"],
    );
    // A value beyond what was looked at says where it is.
    let many: String = (0..50_000).map(|k| format!("{k}\n")).collect();
    put(&root, "late.csv", &format!("k\n{many}x\n"));
    assert_fails(&shell, &format!("SELECT sum(k) FROM '{}'", path("late.csv")), &["22P02", "late.csv", "50002"]);
    // A column that is not read is not looked at.
    put(&root, "wide.csv", &format!("k,v\n{}1,x\n", (0..50_000).map(|k| format!("{k},{k}\n")).collect::<String>()));
    assert_eq!(shell.value(&format!("SELECT count(k) FROM '{}'", path("wide.csv"))), "50001");
    assert_fails(&shell, &format!("SELECT max(v) FROM '{}'", path("wide.csv")), &["22P02", "wide.csv"]);

    for (from, code) in [
        (format!("'{}'", path("nothing.csv")), "58P01"),
        ("'ftp://host/x'".to_owned(), "22023"),
        (format!("read_files('{}', format => 'parquet')", path("plain.csv")), "22P04"),
        (format!("read_files('{}', nothing => 1)", path("plain.csv")), "42601"),
        (format!("'{0}' AS t, '{0}' AS t", path("plain.csv")), "42712"),
    ] {
        assert_fails(&shell, &format!("SELECT * FROM {from}"), &[code]);
    }
}

#[test]
fn external_tables_have_the_types_that_they_declare() {
    let cluster = ProcessCluster::start(2);
    let (shell, root) = (cluster.shell(), cluster.directory().join("in"));
    put(&root, "a.csv", "1;2.50;abc\n2;;toolong\n");
    put(&root, "bad.csv", "1;1\nx;2\n3;3\ny;4\n");
    let (a, bad) = (root.join("a.csv").display().to_string(), root.join("bad.csv").display().to_string());
    shell.execute(&format!(
        "CREATE READABLE EXTERNAL TABLE e (k smallint, n numeric(6,2), v varchar(7)) LOCATION ('{a}') \
         FORMAT 'CSV' (DELIMITER ';')"
    ));
    assert_eq!(shell.rows("SELECT * FROM e ORDER BY k"), [["1", "2.50", "abc"], ["2", "", "toolong"]]);
    assert_eq!(shell.rows("SELECT sum(n) * 2 FROM e"), [["5.00"]]);
    let columns = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'e' ORDER BY ordinal_position";
    assert_eq!(shell.rows(columns), [["k", "smallint"], ["n", "numeric"], ["v", "character varying"]]);
    assert_eq!(shell.value("SELECT table_type FROM information_schema.tables WHERE table_name = 'e'"), "FOREIGN");
    shell.execute("CREATE VIEW above AS SELECT k FROM e");
    assert_fails(&shell, "DROP EXTERNAL TABLE e", &["2BP01", "above"]);

    let narrow = format!(
        "CREATE EXTERNAL TABLE narrow (k int, n numeric, v varchar(3)) LOCATION ('{a}') FORMAT 'CSV' (DELIMITER ';')"
    );
    shell.execute(&narrow);
    assert_fails(&shell, "SELECT * FROM narrow", &["22001", "a.csv", "line 2"]);
    assert_eq!(shell.value("SELECT sum(k) FROM narrow"), "3");

    let make = |name: &str, tail: &str| {
        format!("CREATE EXTERNAL TABLE {name} (k int, n int) LOCATION ('{bad}') FORMAT 'CSV' (DELIMITER ';') {tail}")
    };
    shell.execute(&make("strict", ""));
    assert_fails(&shell, "SELECT * FROM strict", &["22P02", "bad.csv", "line 2"]);
    shell.execute(&make("lax", "SEGMENT REJECT LIMIT 3"));
    assert_eq!(shell.rows("SELECT * FROM lax ORDER BY k"), [["1", "1"], ["3", "3"]]);
    shell.execute(&make("little", "SEGMENT REJECT LIMIT 2 ROWS"));
    assert_fails(&shell, "SELECT * FROM little", &["22P04"]);

    // Each scan logs the rows that it passes over.
    shell.execute(&make("logged", "LOG ERRORS SEGMENT REJECT LIMIT 3"));
    let log = "SELECT linenum, colname, sqlstate, rawdata FROM gp_read_error_log('logged') ORDER BY linenum";
    let bad_rows = [["2", "k", "22P02", "x;2"], ["4", "k", "22P02", "y;4"]];
    assert_eq!(shell.rows(log), [[""; 4]; 0]);
    assert_eq!(shell.rows("SELECT * FROM logged ORDER BY k"), [["1", "1"], ["3", "3"]]);
    assert_eq!(shell.rows(log), bad_rows);
    assert_eq!(shell.value("SELECT DISTINCT relname FROM gp_read_error_log('public.logged')"), "logged");
    // Of a column that is read they are none.
    assert_eq!(shell.value("SELECT sum(n) FROM logged"), "10");
    assert_eq!(shell.rows(log), bad_rows);
    shell.execute("CREATE VIEW over_logged AS SELECT k FROM logged");
    assert_eq!(shell.value("SELECT count(k) FROM over_logged"), "2");
    assert_eq!(shell.rows(log).len(), 4);
    assert_eq!(shell.value("SELECT gp_truncate_error_log('logged')"), "t");
    assert_eq!(shell.rows(log), [[""; 4]; 0]);
    // What was logged of a query that fails stays.
    shell.execute(&make("strictly_logged", "LOG ERRORS SEGMENT REJECT LIMIT 2 ROWS"));
    assert_fails(&shell, "SELECT * FROM strictly_logged", &["22P04"]);
    assert_eq!(shell.value("SELECT count(*) FROM gp_read_error_log('strictly_logged')"), "2");
    assert_fails(&shell, &make("x", "LOG ERRORS"), &["42601"]);
    // Another table of the name has another log.
    shell.execute("DROP EXTERNAL TABLE strictly_logged");
    assert_fails(&shell, "SELECT * FROM gp_read_error_log('strictly_logged')", &["42P01"]);
    shell.execute(&make("strictly_logged", "LOG ERRORS SEGMENT REJECT LIMIT 9"));
    assert_eq!(shell.value("SELECT count(*) FROM gp_read_error_log('strictly_logged')"), "0");

    shell.execute("CREATE WRITABLE EXTERNAL TABLE w (k int) LOCATION ('/tmp/nowhere') FORMAT 'CSV'");
    for (sql, code) in [
        ("INSERT INTO e VALUES (1, 2, 'x')", "42809"),
        ("UPDATE e SET k = 1", "0A000"),
        ("DELETE FROM e", "0A000"),
        ("TRUNCATE e", "0A000"),
        ("UPDATE w SET k = 1", "0A000"),
        ("COPY w FROM '/x'", "0A000"),
        ("SELECT * FROM w", "42809"),
        ("SELECT * FROM gp_read_error_log('w')", "0A000"),
        ("COPY w TO '/tmp/nowhere'", "0A000"),
        ("DROP TABLE e", "42809"),
        ("DROP VIEW e", "42809"),
        ("DROP EXTERNAL TABLE above", "42809"),
        ("CREATE TABLE e (k int)", "42P07"),
        ("CREATE EXTERNAL TABLE e (k int) LOCATION ('/x') FORMAT 'CSV'", "42P07"),
        ("CREATE EXTERNAL WEB TABLE x (k int) EXECUTE 'ls' FORMAT 'CSV'", "0A000"),
        ("CREATE EXTERNAL TABLE x (k int) LOCATION ('gpfdist://h:1/f') FORMAT 'CSV'", "0A000"),
        ("CREATE EXTERNAL TABLE x (k int NOT NULL) LOCATION ('/x') FORMAT 'CSV'", "0A000"),
    ] {
        assert_fails(&shell, sql, &[code]);
    }
    shell.execute("DROP EXTERNAL TABLE e CASCADE");
    assert_fails(&shell, "SELECT * FROM above", &["42P01"]);
    shell.execute("DROP EXTERNAL TABLE IF EXISTS e");
    assert!(Path::new(&a).exists(), "the files stay");
}

/// Files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return vec![] };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn rows_are_inserted_into_writable_external_tables() {
    let bucket = S3Server::start();
    let segment_environment = bucket.environment();
    let cluster = ProcessCluster::start_with(Setup { segments: 3, segment_environment, ..Setup::default() });
    let (shell, root) = (cluster.shell(), cluster.directory().join("out"));
    let place = |name: &str| root.join(name).display().to_string();
    shell.execute("CREATE TABLE t (k bigint, v text, d date, n numeric(8,2)) DISTRIBUTED BY (k)");
    shell.execute(
        "INSERT INTO t SELECT x, CASE WHEN x % 7 = 0 THEN NULL ELSE 'v \"' || CAST(x AS text) || '\", ' END, \
         CAST('2026-01-0' || CAST(x % 3 + 1 AS text) AS date), x / 4.0 FROM generate_series(1, 3000) AS g(x)",
    );
    let all = shell.rows("SELECT * FROM t ORDER BY k");
    for (number, (to, format)) in [
        (place("csv"), "'CSV' (DELIMITER '|' NULL 'nil' HEADER)"),
        (place("text"), "'TEXT' COMPRESSION zstd"),
        (place("json"), "'JSON' COMPRESSION gzip"),
        (place("parquet"), "'PARQUET'"),
        (format!("s3://{BUCKET}/out/csv"), "'CSV' COMPRESSION gzip"),
        (format!("s3://{BUCKET}/out/parquet"), "'PARQUET' COMPRESSION zstd"),
    ]
    .into_iter()
    .enumerate()
    {
        shell.execute(&format!("CREATE WRITABLE EXTERNAL TABLE w{number} (LIKE t) LOCATION ('{to}') FORMAT {format}"));
        // Each statement adds files.
        for half in 0..2 {
            let sql = format!("INSERT INTO w{number} SELECT * FROM t WHERE k % 2 = {half}");
            let run = shell.run("table", &["-c", &sql]);
            assert!(run.success && format!("{}{}", run.stdout, run.stderr).contains("INSERT 0 1500"), "{sql}: {run:?}");
        }
        let read = if format.starts_with("'PARQUET'") { "'PARQUET'" } else { format };
        shell.execute(&format!("CREATE EXTERNAL TABLE r{number} (LIKE t) LOCATION ('{to}/*') FORMAT {read}"));
        assert_eq!(shell.rows(&format!("SELECT * FROM r{number} ORDER BY k")), all, "{to} {format}");
    }
    // All segments have written, each twice.
    assert_eq!(files(&root.join("csv")).len(), 6);

    // Columns, defaults and types are INSERT's.
    let small = "(k smallint, v varchar(3), n numeric(4,1))";
    shell.execute(&format!("CREATE WRITABLE EXTERNAL TABLE s {small} LOCATION ('{}') FORMAT 'CSV'", place("small")));
    shell.execute("INSERT INTO s (n, k) VALUES (1.25, 1), ('2', '2')");
    let written = files(&root.join("small"));
    assert_eq!(written.len(), 1, "segments without rows write nothing: {written:?}");
    let mut lines: Vec<String> =
        fs::read_to_string(&written[0]).expect("text").lines().map(ToOwned::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["1,,1.3", "2,,2.0"]);
    assert_fails(&shell, "INSERT INTO s VALUES (1, 'long')", &["22001"]);
    assert_fails(&shell, "INSERT INTO s VALUES (70000)", &["22003"]);
    assert_fails(&shell, "INSERT INTO s VALUES (1, 'a', 1, 1)", &["42601"]);
    assert_fails(&shell, "INSERT INTO s (x) VALUES (1)", &["42703"]);
    assert_eq!(files(&root.join("small")), written);

    // Rows of a key are in files of one segment; places are taken in turn; partitions are directories.
    let (a, b) = (place("a"), place("b"));
    shell.execute(&format!(
        "CREATE WRITABLE EXTERNAL TABLE h (LIKE t) LOCATION ('{a}', '{b}') FORMAT 'CSV' PARTITION BY (d) DISTRIBUTED BY (v)"
    ));
    shell.execute("INSERT INTO h SELECT k, 'v' || CAST(k % 40 AS text), d, n FROM t");
    assert_eq!(
        shell
            .value(&format!("SELECT count(*) FROM read_files('{a}/**/*.csv', header => false)"))
            .parse::<u64>()
            .expect("a count")
            + shell
                .value(&format!("SELECT count(*) FROM read_files('{b}/**/*.csv', header => false)"))
                .parse::<u64>()
                .expect("a count"),
        3000
    );
    let mut segments: std::collections::BTreeMap<String, std::collections::BTreeSet<String>> = Default::default();
    for file in [files(&root.join("a")), files(&root.join("b"))].concat() {
        let text = file.display().to_string();
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let segment = name.split('-').next().expect("a segment").to_owned();
        assert!(text.contains("/d=2026-01-0"), "{text}");
        assert_eq!(text.starts_with(&b), segment == "seg1", "{text}");
        for line in fs::read_to_string(&file).expect("text").lines() {
            let key = line.split(',').nth(1).expect("a column").to_owned();
            segments.entry(key).or_default().insert(segment.clone());
        }
    }
    assert_eq!(segments.len(), 40);
    assert!(segments.values().all(|of_key| of_key.len() == 1), "{segments:?}");

    // What fails leaves nothing, on any segment.
    shell.execute(&format!("CREATE WRITABLE EXTERNAL TABLE f (k bigint) LOCATION ('{}') FORMAT 'CSV'", place("f")));
    assert_fails(&shell, "INSERT INTO f SELECT 1 / (k - 2999) FROM t", &["22012"]);
    let object = format!("s3://{BUCKET}/f");
    shell.execute(&format!("CREATE WRITABLE EXTERNAL TABLE g (k bigint) LOCATION ('{object}') FORMAT 'CSV'"));
    assert_fails(&shell, "INSERT INTO g SELECT 1 / (k - 2999) FROM t", &["22012"]);
    wait_for("empty places", Duration::from_secs(40), || {
        (files(&root.join("f")).is_empty() && files(&bucket.object("f")).is_empty()).then_some(())
    });

    // Files cannot be rolled back.
    for sql in ["BEGIN; INSERT INTO f VALUES (1); COMMIT", "BEGIN; INSERT INTO f SELECT k FROM t"] {
        assert_fails(&shell, sql, &["25001", "transaction block"]);
    }
    assert!(files(&root.join("f")).is_empty());
    for (sql, code) in [
        ("INSERT INTO f VALUES (1) RETURNING k", "0A000"),
        ("INSERT INTO f VALUES (1) ON CONFLICT DO NOTHING", "0A000"),
        ("EXPLAIN ANALYZE INSERT INTO f VALUES (1)", "0A000"),
        ("CREATE WRITABLE EXTERNAL TABLE x (k int) LOCATION ('http://h/x') FORMAT 'CSV'", "42P16"),
        ("CREATE WRITABLE EXTERNAL TABLE x (k int) LOCATION ('/x/*') FORMAT 'CSV'", "42P16"),
        ("CREATE WRITABLE EXTERNAL TABLE x (k int) LOCATION ('s3://a:hush@b/x') FORMAT 'CSV'", "22023"),
        ("CREATE WRITABLE EXTERNAL TABLE x (k int) LOCATION ('/x') FORMAT 'CSV' DISTRIBUTED REPLICATED", "42P16"),
        ("CREATE WRITABLE EXTERNAL TABLE x (k int) LOCATION ('/x') FORMAT 'CSV' DISTRIBUTED BY (y)", "42703"),
        ("CREATE WRITABLE EXTERNAL TABLE x (k int) LOCATION ('/x') FORMAT 'CSV' PARTITION BY (k)", "22023"),
        ("CREATE WRITABLE EXTERNAL TABLE x (LIKE nothing) LOCATION ('/x') FORMAT 'CSV'", "42P01"),
    ] {
        let error = failure(&shell, sql);
        assert!(error.contains(code) && !error.contains("hush"), "{sql}: {error}");
    }
    let plan = shell.rows("EXPLAIN INSERT INTO h SELECT * FROM t").concat().concat();
    assert!(plan.contains("Copy To") && plan.contains("Redistribute"), "{plan}");
    // A node's own files are not written over.
    let own = cluster.directory().join("seg0-data").display().to_string();
    assert!(Path::new(&own).exists(), "{own}");
    shell.execute(&format!(
        "CREATE WRITABLE EXTERNAL TABLE o (k int) LOCATION ('{own}') FORMAT 'CSV' DISTRIBUTED BY (k)"
    ));
    assert_fails(&shell, "INSERT INTO o SELECT k FROM t", &["42501"]);
}

#[test]
fn buckets_and_web_servers_are_queried() {
    let (bucket, web, other) = (S3Server::start(), WebServer::start(), WebServer::start());
    let mut segment_environment = bucket.environment();
    segment_environment.push(("DAMSON_HTTP_HOSTS".into(), format!("data.example.com,{}", web.authority())));
    let cluster = ProcessCluster::start_with(Setup { segments: 2, segment_environment, ..Setup::default() });
    let shell = cluster.shell();

    let object = bucket.object("in/y=2026/a.csv");
    fs::create_dir_all(object.parent().expect("it is in the bucket")).expect("room");
    fs::write(object, csv(0..1000)).expect("room");
    let place = format!("'s3://{BUCKET}/in/**/*.csv'");
    assert_eq!(
        shell.rows(&format!("SELECT y, count(*), sum(k) FROM {place} GROUP BY y")),
        [["2026", "1000", "499500"]]
    );

    let text = csv(0..60_000);
    let sums = |path: &str| shell.rows(&format!("SELECT count(*), sum(k) FROM '{}'", web.url(path)));
    let wanted = [["60000", "1799970000"]];
    web.put("/d/good.csv", WebFile::new(text.clone()));
    assert_eq!(sums("/d/good.csv"), wanted);
    web.put("/d/no-ranges.csv", WebFile { has_ranges: false, ..WebFile::new(text.clone()) });
    assert_eq!(sums("/d/no-ranges.csv"), wanted);
    web.put("/d/no-head.csv", WebFile { has_head: false, etag: None, ..WebFile::new(text.clone()) });
    assert_eq!(sums("/d/no-head.csv"), wanted);
    web.put("/d/weak.csv", WebFile { etag: Some("W/\"1\"".into()), ..WebFile::new(text.clone()) });
    assert_eq!(sums("/d/weak.csv"), wanted);
    web.put("/moved.csv", WebFile { moved_to: Some(web.url("/d/good.csv")), ..WebFile::new("") });
    assert_eq!(sums("/moved.csv"), wanted);

    // COPY loads a file once; another etag is another file.
    shell.execute(
        "CREATE TABLE t (k bigint, price double precision, note text, day date, at timestamp, flag boolean) \
         DISTRIBUTED BY (k)",
    );
    let copy = format!("COPY t FROM '{}' (FORMAT csv, HEADER)", web.url("/d/good.csv"));
    shell.execute(&copy);
    shell.execute(&copy);
    assert_eq!(shell.value("SELECT count(*) FROM t"), "60000");
    web.put("/d/good.csv", WebFile { etag: Some("\"2\"".into()), ..WebFile::new(text.clone()) });
    shell.execute(&copy);
    assert_eq!(shell.value("SELECT count(*) FROM t"), "120000");

    // No server but those that are named, whoever sends there.
    other.put("/x.csv", WebFile::new(text));
    web.put("/away.csv", WebFile { moved_to: Some(other.url("/x.csv")), ..WebFile::new("") });
    for (url, code) in [
        (other.url("/x.csv"), "42501"),
        ("http://169.254.169.254/latest/meta-data".to_owned(), "42501"),
        (web.url("/away.csv"), "42501"),
        (web.url("/nothing.csv"), "58P01"),
        (web.url("/d/*.csv"), "22023"),
        (web.url("/d/"), "22023"),
        (format!("http://user:secret@{}/x.csv", web.authority()), "22023"),
        (web.url("/x.csv?token=secret"), "22023"),
    ] {
        let error = failure(&shell, &format!("SELECT * FROM '{url}'"));
        assert!(error.contains(code) && !error.contains("secret"), "{url}: {error}");
    }
    assert_eq!(other.take_requests(), [""; 0], "it was never asked");
}
