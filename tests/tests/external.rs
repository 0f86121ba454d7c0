//! Files that are queried, and external tables, on clusters of real processes: the same rows as when COPY has loaded them.

use damson_tests::processes::{ProcessCluster, Setup, Shell};
use damson_tests::s3_server::{BUCKET, S3Server};
use damson_tests::web_server::{WebFile, WebServer};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

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
    put(&root, "x.tbl", "1|a|\n2|b|\n");
    assert_eq!(shell.rows(&format!("SELECT * FROM '{}' ORDER BY 1", path("x.tbl"))), [["1", "a"], ["2", "b"]]);

    put(&root, "two/a.csv", "a,b\n1,2\n");
    put(&root, "two/b.csv", "a,c\n1,2\n");
    let two = format!("SELECT * FROM '{}' AS t", path("two/*.csv"));
    assert_fails(&shell, &two, &["42804", "two/a.csv", "two/b.csv"]);
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

    shell.execute("CREATE WRITABLE EXTERNAL TABLE w (k int) LOCATION ('/tmp/nowhere') FORMAT 'CSV'");
    for (sql, code) in [
        ("INSERT INTO e VALUES (1, 2, 'x')", "0A000"),
        ("UPDATE e SET k = 1", "0A000"),
        ("DELETE FROM e", "0A000"),
        ("TRUNCATE e", "0A000"),
        ("INSERT INTO w VALUES (1)", "0A000"),
        ("SELECT * FROM w", "0A000"),
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
