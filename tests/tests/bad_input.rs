//! What users give that is wrong, odd or huge: rows 25, 26, 28 and 30 of the faults that the project answers for. Each case ends in an
//! answer or in an error of its own, nothing of it is kept, and no process dies or grows.

use damson_tests::processes::{ProcessCluster, Shell};
use std::io::{BufWriter, Write};
use std::path::Path;

/// What a process may have used at most, whatever it was given.
const RSS_MAX: u64 = 3 << 30;

fn fails(shell: &Shell, sql: &str, states: &[&str]) -> String {
    let run = shell.run("csv", &["-c", sql]);
    let head: String = sql.chars().take(100).collect();
    assert!(!run.success, "{head}: {}", run.stdout);
    assert!(states.iter().any(|state| run.stderr.contains(state)), "{head}, not {states:?}: {}", run.stderr);
    run.stderr
}

/// Works, or fails with one of `states`.
fn works_or_fails(shell: &Shell, sql: &str, states: &[&str]) -> Option<String> {
    let run = shell.run("csv", &["-c", sql]);
    let head: String = sql.chars().take(100).collect();
    let is_expected = run.success || states.iter().any(|state| run.stderr.contains(state));
    assert!(is_expected, "{head}, not {states:?}: {}", run.stderr);
    run.success.then_some(run.stdout)
}

/// A statement that is too long for a command line.
fn script(directory: &Path, sql: &str) -> String {
    let path = directory.join("statement.sql");
    std::fs::write(&path, sql).expect("room for a file");
    path.display().to_string()
}

#[test]
fn files_that_are_wrong_are_named_with_the_line_and_leave_nothing() {
    let cluster = ProcessCluster::start(2);
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (a int, b numeric(10,2), d date, s varchar(5)) DISTRIBUTED BY (a)");
    let path = cluster.directory().join("bad.csv");
    let copy = format!("COPY t FROM '{}' (FORMAT csv)", path.display());
    let good = "1,1.50,2024-02-29,abc\n";
    for (what, line, state) in [
        ("too few fields", &b"2,2"[..], "22P04"),
        ("too many fields", b"2,2,2024-01-01,x,y", "22P04"),
        ("a quote that is never closed", b"2,2,2024-01-01,\"x", "22P04"),
        ("a NUL byte", b"2,2,2024-01-01,a\0b", "22021"),
        ("no UTF-8", b"2,2,2024-01-01,a\xc3\x28", "22021"),
        ("half a character", b"2,2,2024-01-01,\xe2\x82", "22021"),
        ("a word for a number", b"two,2,2024-01-01,x", "22P02"),
        ("a number too large", b"2147483648,2,2024-01-01,x", "22003"),
        ("a number that is none", b"NaN,2,2024-01-01,x", "22P02"),
        ("digits before the point", b"2,123456789.00,2024-01-01,x", "22003"),
        ("39 digits", b"2,123456789012345678901234567890123456789,2024-01-01,x", "22003"),
        ("no such day", b"2,2,2023-02-30,x", "22008"),
        ("no such month", b"2,2,2023-13-01,x", "22008"),
        ("too long a text", b"2,2,2024-01-01,abcdef", "22001"),
    ] {
        let mut bytes = good.as_bytes().repeat(3);
        bytes.extend(line);
        bytes.push(b'\n');
        std::fs::write(&path, &bytes).expect("room for a file");
        let message = fails(&shell, &copy, &[state]);
        assert!(message.contains("bad.csv"), "{what}: the file is named: {message}");
        assert!(message.contains("line 4") || message.contains(":4"), "{what}: the line is named: {message}");
        assert_eq!(shell.value("SELECT count(*) FROM t"), "0", "{what}");
    }
    // A byte order mark, and both kinds of line ends in quotes, are no errors.
    std::fs::write(&path, "\u{feff}1,1.50,2024-02-29,\"a\nb\"\n2,2,2024-01-01,\"a\r\nb\"\n").expect("room for a file");
    shell.execute(&copy);
    assert_eq!(shell.value("SELECT string_agg(length(s)::text, ',' ORDER BY a) FROM t"), "3,4");
}

#[test]
fn values_that_do_not_fit_are_refused_and_never_cut() {
    let cluster = ProcessCluster::start(2);
    let shell = cluster.shell();
    shell.execute(
        "CREATE TABLE t (k int, i smallint, n numeric(38,2), f real, d date, s varchar(3)) DISTRIBUTED BY (k)",
    );
    for (column, value, state) in [
        ("i", "32768", "22003"),
        ("i", "'x'", "22P02"),
        ("i", "'NaN'", "22P02"),
        ("i", "'Infinity'::float8", "22003"),
        ("n", "1234567890123456789012345678901234567.00", "22003"),
        ("n", "'123456789012345678901234567890123456789'", "22003"),
        ("f", "'1e400'", "22003"),
        ("d", "'2023-02-30'", "22008"),
        ("d", "DATE '2023-02-29'", "22008"),
        ("s", "'abcd'", "22001"),
    ] {
        let insert = format!("INSERT INTO t (k, {column}) VALUES (1, {value})");
        fails(&shell, &insert, &[state]);
        // The same from a scan, on a segment; a literal there is text.
        let select = format!("INSERT INTO t (k, {column}) SELECT x, {value} FROM generate_series(1, 10) AS g(x)");
        fails(&shell, &select, &[state, "42804"]);
    }
    assert_eq!(shell.value("SELECT count(*) FROM t"), "0");
    // Numbers that PostgreSQL has.
    shell.execute("INSERT INTO t (k, f) VALUES (1, 'NaN'), (2, 'Infinity'), (3, '-0')");
    assert_eq!(shell.value("SELECT count(*) FROM t WHERE f = 'NaN' OR f = 'Infinity' OR f = 0"), "3");
}

#[test]
fn what_is_huge_works_or_is_refused() {
    let mut cluster = ProcessCluster::start(2);
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k int, s text) DISTRIBUTED BY (k)");
    shell.execute("INSERT INTO t VALUES (1, 'x'), (2, 'y')");

    // A string of 1 GB: made by a function, multiplied in a table, in a file.
    let too_large = ["54000", "53200", "22023"];
    works_or_fails(&shell, "SELECT length(repeat('x', 1073741824))", &too_large);
    works_or_fails(&shell, "INSERT INTO t SELECT 3, repeat('x', 1073741824)", &too_large);
    works_or_fails(&shell, "SELECT length(string_agg(repeat(s, 536870912), '')) FROM t", &too_large);
    let path = cluster.directory().join("huge.csv");
    let mut file = BufWriter::new(std::fs::File::create(&path).expect("room for a file"));
    file.write_all(b"4,").expect("room");
    let block = vec![b'z'; 1 << 20];
    (0..1024).for_each(|_| file.write_all(&block).expect("room for 1 GB"));
    file.write_all(b"\n5,five\n").expect("room");
    file.into_inner().expect("room");
    works_or_fails(&shell, &format!("COPY t FROM '{}'", path.display()), &too_large);
    assert_eq!(shell.value("SELECT count(*) FROM t WHERE k IN (1, 2)"), "2");
    std::fs::remove_file(&path).expect("the file is there");
    // Longer than a value may be, without a function that says so; and one that may.
    let text = "SELECT 6, string_agg(part, '') FROM (SELECT repeat('x', 100000000) AS part FROM generate_series(1, 3) AS g(x)) AS parts";
    works_or_fails(&shell, &format!("INSERT INTO t {text}"), &["54000"]);
    assert_eq!(shell.value("SELECT count(*) FROM t WHERE k = 6"), "0");
    shell.execute("INSERT INTO t SELECT 7, repeat('x', 100000000)");
    assert_eq!(shell.value("SELECT length(s) FROM t WHERE k = 7"), "100000000");
    shell.execute("DELETE FROM t WHERE k = 7");

    // 10,000 columns are refused as by PostgreSQL; 1,600 are not.
    let columns: Vec<String> = (0..10_000).map(|n| format!("c{n} int")).collect();
    let create = format!("CREATE TABLE wide ({}) DISTRIBUTED BY (c0);", columns.join(", "));
    let file = script(cluster.directory(), &create);
    let run = shell.run("csv", &["-f", &file]);
    assert!(!run.success && run.stderr.contains("54011"), "{}", run.stderr);
    let columns = &columns[..1_600];
    let file = script(cluster.directory(), &format!("CREATE TABLE wide ({}) DISTRIBUTED BY (c0);", columns.join(", ")));
    let run = shell.run("csv", &["-f", &file]);
    assert!(run.success, "{}", run.stderr);
    let values: Vec<String> = (0..1_600).map(|n| n.to_string()).collect();
    let file = script(cluster.directory(), &format!("INSERT INTO wide VALUES ({});", values.join(", ")));
    let run = shell.run("csv", &["-f", &file]);
    assert!(run.success, "{}", run.stderr);
    assert_eq!(shell.value("SELECT c0 + c800 + c1599 FROM wide"), "2399");
    fails(&shell, "ALTER TABLE wide ADD COLUMN more int", &["54011"]);
    // Of a select list 1,664, those of `*` among them.
    for (list, is_told) in [(vec!["1"; 1_665], true), (vec!["1"; 1_664], false)] {
        let list = list.join(", ");
        for sql in [format!("SELECT {list};"), format!("SELECT count(*) FROM (SELECT {list} FROM t) AS x;")] {
            let run = shell.run("csv", &["-f", &script(cluster.directory(), &sql)]);
            assert_eq!(run.stderr.contains("54011"), is_told, "{}", run.stderr);
        }
    }
    let more = vec!["1"; 65].join(", ");
    assert!(fails(&shell, &format!("SELECT *, {more} FROM wide"), &["54011"]).contains("at most 1664 entries"));

    // 100,000 items of IN.
    let items: Vec<String> = (0..100_000).map(|n| (2 * n).to_string()).collect();
    let file = script(cluster.directory(), &format!("SELECT count(*) AS n FROM t WHERE k IN ({});", items.join(", ")));
    let run = shell.run("csv", &["-f", &file]);
    assert!(if run.success { run.stdout.contains("\n1\n") } else { run.stderr.contains("5400") }, "{run:?}");

    assert_eq!(shell.value("SELECT count(*) FROM t WHERE k IN (1, 2)"), "2");
    for content in 0..2 {
        let peak = cluster.segment(content).rss_peak_bytes();
        assert!(peak < RSS_MAX, "segment {content} used {} MiB", peak >> 20);
    }
    let peak = cluster.master().rss_peak_bytes();
    assert!(peak < RSS_MAX, "the master used {} MiB", peak >> 20);
}

#[test]
fn names_and_paths_are_only_names_and_paths() {
    let cluster = ProcessCluster::start(2);
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (a int) DISTRIBUTED BY (a)");
    shell.execute("INSERT INTO t VALUES (1), (2)");
    for name in [
        r#"a"b"#,
        "x; DROP TABLE t; --",
        "it's",
        "\u{202e}txet",
        "null",
        "a b\tc",
        "../../etc/passwd",
        "名前 🦀",
        "%s%n",
        "$1",
    ] {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        shell.execute(&format!("CREATE TABLE {quoted} ({quoted} int, b text) DISTRIBUTED BY ({quoted})"));
        shell.execute(&format!("INSERT INTO {quoted} ({quoted}, b) SELECT a, 'b' FROM t"));
        assert_eq!(shell.value(&format!("SELECT sum({quoted}) FROM {quoted} AS x")), "3", "{name}");
        let literal = name.replace('\'', "''");
        let columns = format!("SELECT column_name FROM information_schema.columns WHERE table_name = '{literal}'");
        assert_eq!(shell.rows(&columns)[0], [name], "{name}");
        // Out to a directory of that name, and in again.
        let directory = cluster.directory().join("out").join(name.replace(['/', '\t'], "_"));
        let path = directory.display().to_string().replace('\'', "''");
        shell.execute(&format!("COPY {quoted} TO '{path}' (FORMAT csv)"));
        shell.execute(&format!("COPY {quoted} FROM '{path}' (FORMAT csv)"));
        assert_eq!(shell.value(&format!("SELECT count(*) FROM {quoted}")), "4", "{name}");
        shell.execute(&format!("DROP TABLE {quoted}"));
    }
    for path in ["/nowhere/x; touch /tmp/y", "$(touch y)", "`touch y`", "|cat", "/nowhere/\u{202e}x", "-"] {
        fails(&shell, &format!("COPY t FROM '{path}' (FORMAT csv)"), &["58P01", "22023"]);
    }
    assert_eq!(shell.value("SELECT count(*) FROM t"), "2");
}
