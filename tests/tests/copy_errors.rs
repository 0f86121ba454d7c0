//! COPY FROM of files with rows that cannot be read: limits, the error log, VALIDATE, and how far a COPY is.

use damson_tests::processes::{ProcessCluster, Setup, Shell, ShellRun, wait_for};
use damson_tests::s3_server::{Answer, BUCKET, S3Server};
use nix::sys::signal::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).expect("room");
    path
}

/// A statement that fails.
fn refused(shell: &Shell, sql: &str) -> ShellRun {
    let run = shell.run("csv", &["-c", sql]);
    assert!(!run.success, "{sql}: {run:?}");
    run
}

/// A statement that succeeds, for its notices.
fn done(shell: &Shell, sql: &str) -> ShellRun {
    let run = shell.run("csv", &["-c", sql]);
    assert!(run.success, "{sql}: {run:?}");
    run
}

/// Two rows, and four that are wrong: in lines 2, 3, 4 and 7.
const SIX: &str = "1,one\nx,two\n3\n4,four,extra\n5,\"five\nsix\"\ny,seven\n";

#[test]
fn bad_rows_are_passed_over_and_read_back() {
    let cluster = ProcessCluster::start(3);
    let shell = cluster.shell();
    let file = write(cluster.directory(), "six.csv", SIX);
    let file = file.display();
    shell.execute(
        "CREATE TABLE t (k int, v text) DISTRIBUTED BY (k); CREATE TABLE u (k int, v text) DISTRIBUTED BY (k)",
    );

    let run = done(&shell, &format!("COPY t FROM '{file}' CSV LOG ERRORS SEGMENT REJECT LIMIT 10 ROWS"));
    let notice = "NOTICE:  found 4 data formatting errors (4 or more input rows), rejected related input data";
    assert!(run.stderr.contains(notice), "{run:?}");
    assert!(run.stderr.contains("gp_read_error_log('public.t')"), "{run:?}");
    assert_eq!(shell.rows("SELECT k, v FROM t ORDER BY k"), [["1", "one"], ["5", "five\nsix"]]);
    assert_eq!(shell.value("SELECT rows FROM gp_copy_history WHERE table_name = 't'"), "2");
    let log = "SELECT relname, filename, linenum, bytenum, colname, sqlstate, errmsg, rawdata \
               FROM gp_read_error_log('t') ORDER BY linenum";
    let (t, file_text) = ("t", file.to_string());
    let syntax = |value: &str| format!("invalid input syntax for type integer: \"{value}\"");
    let wanted = [
        ["2", "6", "k", "22P02", &syntax("x"), "x,two"],
        ["3", "12", "v", "22P04", "missing data for column \"v\": \"3\"", "3"],
        ["4", "14", "", "22P04", "extra data after last expected column", "4,four,extra"],
        ["7", "40", "k", "22P02", &syntax("y"), "y,seven"],
    ];
    let wanted: Vec<Vec<&str>> =
        wanted.iter().map(|row| [[t, file_text.as_str()].as_slice(), row.as_slice()].concat()).collect();
    assert_eq!(shell.rows(log), wanted);
    assert_eq!(
        shell.value("SELECT count(*) FROM gp_read_error_log('public.t') WHERE cmdtime > now() - interval '1 hour'"),
        "4"
    );
    // With a table, in a view, and of another table.
    let joined =
        "SELECT count(*) FROM gp_read_error_log('t') e JOIN generate_series(1, 3) s(line) ON s.line = e.linenum";
    assert_eq!(shell.value(joined), "2");
    shell.execute("CREATE VIEW bad AS SELECT linenum FROM gp_read_error_log('t')");
    assert_eq!(shell.value("SELECT sum(linenum) FROM bad"), "16");
    assert_eq!(shell.value("SELECT count(*) FROM gp_read_error_log('u')"), "0");

    // Without LOG ERRORS they are only counted; a second statement adds to the log.
    let run = done(&shell, &format!("COPY t FROM '{file}' CSV FORCE SEGMENT REJECT LIMIT 100 PERCENT"));
    assert!(run.stderr.contains("found 4 data") && !run.stderr.contains("gp_read_error_log"), "{run:?}");
    assert_eq!(shell.value("SELECT count(*) FROM gp_read_error_log('t')"), "4");
    shell.execute(&format!("COPY u FROM '{file}' (FORMAT csv, LOG_ERRORS, REJECT_LIMIT 5)"));
    shell.execute(&format!("COPY t FROM '{file}' (FORMAT csv, LOG_ERRORS, REJECT_LIMIT 5, FORCE)"));
    assert_eq!(shell.value("SELECT count(*) FROM gp_read_error_log('t')"), "8");

    // A statement without a limit ends at the first.
    let run = refused(&shell, &format!("COPY t FROM '{file}' (FORMAT csv, FORCE)"));
    assert!(run.stderr.contains("22P0") && run.stderr.contains("line "), "{run:?}");
    let headed = write(cluster.directory(), "headed.csv", "k,v\n1,one\n");
    let run = refused(&shell, &format!("COPY t FROM '{}' CSV", headed.display()));
    assert!(run.stderr.contains("22P02") && run.stderr.contains("HINT:  Is the first line a header?"), "{run:?}");

    assert_eq!(shell.value("SELECT gp_truncate_error_log('t')"), "t");
    assert_eq!(shell.value("SELECT count(*) FROM gp_read_error_log('t')"), "0");
    assert_eq!(shell.value("SELECT count(*) FROM gp_read_error_log('u')"), "4");
    assert_eq!(shell.value("SELECT gp_truncate_error_log('*')"), "t");
    assert_eq!(shell.value("SELECT count(*) FROM gp_read_error_log('u')"), "0");
}

#[test]
fn too_many_bad_rows_end_the_statement() {
    let cluster = ProcessCluster::start(3);
    let shell = cluster.shell();
    let file = write(cluster.directory(), "six.csv", SIX);
    let file = file.display();
    shell.execute("CREATE TABLE t (k int, v text) DISTRIBUTED BY (k)");
    // Of the log what was found until then stays, as in Greenplum.
    let run = refused(&shell, &format!("COPY t FROM '{file}' (FORMAT csv, LOG_ERRORS, REJECT_LIMIT 2)"));
    for part in ["segment reject limit reached, aborting operation", "22P04", "Last error was: missing data", "line 3"]
    {
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
    assert_eq!(shell.value("SELECT count(*) FROM t"), "0");
    assert_eq!(shell.value("SELECT count(*) FROM gp_copy_history"), "0");
    assert_eq!(shell.rows("SELECT linenum FROM gp_read_error_log('t') ORDER BY linenum"), [["2"], ["3"]]);
    // One more than there are is enough.
    shell.execute(&format!("COPY t FROM '{file}' (FORMAT csv, REJECT_LIMIT 5)"));
    assert_eq!(shell.value("SELECT count(*) FROM t"), "2");

    // A tenth of the rows, looked at from row 300 on.
    let tenth: String = (0..4000).map(|row| if row % 10 == 9 { "x,\n".into() } else { format!("{row},v\n") }).collect();
    let tenth = write(cluster.directory(), "tenth.csv", &tenth);
    let run = refused(&shell, &format!("COPY t FROM '{}' CSV SEGMENT REJECT LIMIT 5 PERCENT", tenth.display()));
    assert!(run.stderr.contains("segment reject limit reached"), "{run:?}");
    assert_eq!(shell.value("SELECT count(*) FROM t"), "2");
    let run = done(&shell, &format!("COPY t FROM '{}' CSV SEGMENT REJECT LIMIT 20 PERCENT", tenth.display()));
    assert!(run.stderr.contains("found 400 data formatting errors"), "{run:?}");
    assert_eq!(shell.value("SELECT count(*) FROM t"), "3602");

    // What the table's columns do not take is a bad row; what its CHECKs refuse is not.
    shell.execute("CREATE TABLE n (k int NOT NULL CHECK (k < 100), v varchar(3)) DISTRIBUTED BY (k)");
    let narrow = write(cluster.directory(), "narrow.csv", "1,abc\n,ab\n2,abcd\n3,abc   \n");
    shell.execute(&format!("COPY n FROM '{}' (FORMAT csv, LOG_ERRORS, REJECT_LIMIT 5)", narrow.display()));
    assert_eq!(shell.rows("SELECT k, length(v) FROM n ORDER BY k"), [["1", "3"], ["3", "3"]]);
    let rows = shell.rows("SELECT linenum, colname, sqlstate FROM gp_read_error_log('n') ORDER BY linenum");
    assert_eq!(rows, [["2", "k", "23502"], ["3", "v", "22001"]]);
    let large = write(cluster.directory(), "large.csv", "4,a\n100,b\n");
    let run = refused(&shell, &format!("COPY n FROM '{}' (FORMAT csv, LOG_ERRORS, REJECT_LIMIT 5)", large.display()));
    assert!(run.stderr.contains("23514"), "{run:?}");
    assert_eq!(shell.value("SELECT count(*) FROM n"), "2");

    // A quote that is never closed is none of them.
    let open = write(cluster.directory(), "open.csv", "5,a\n6,\"b\n7,c\n");
    let run = refused(&shell, &format!("COPY n FROM '{}' CSV SEGMENT REJECT LIMIT 5", open.display()));
    for part in ["22P04", "unterminated CSV quoted field", "line 2", "VALIDATE"] {
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
}

#[test]
fn logs_of_dropped_tables_go() {
    let cluster = ProcessCluster::start(1);
    let shell = cluster.shell();
    let file = write(cluster.directory(), "six.csv", SIX);
    for table in ["gone", "kept"] {
        shell.execute(&format!("CREATE TABLE {table} (k int, v text) DISTRIBUTED BY (k)"));
        shell.execute(&format!("COPY {table} FROM '{}' (FORMAT csv, LOG_ERRORS, REJECT_LIMIT 5)", file.display()));
    }
    let logs = cluster.directory().join("seg0-data/errlog");
    let count = || fs::read_dir(&logs).expect("there are logs").count();
    assert_eq!(count(), 2);
    shell.execute("DROP TABLE gone");
    wait_for("the end of a log", Duration::from_secs(90), || (count() == 1).then_some(()));
    assert_eq!(shell.value("SELECT count(*) FROM gp_read_error_log('kept')"), "4");
    let run = refused(&shell, "SELECT * FROM gp_read_error_log('gone')");
    assert!(run.stderr.contains("42P01"), "{run:?}");
}

/// What VALIDATE finds is the same however many segments look, and nothing comes of it.
#[test]
fn a_validation_finds_what_a_copy_would_refuse() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // Cut into pieces where there are several segments: 4 MiB, with line ends in quotes.
    let row = |row: usize| match row % 5000 {
        4999 => format!("bad{row},\"{}\"\n", "x".repeat(8)),
        2500 => format!("{row}\n"),
        _ => format!("{row},\"line\nend of {row}\"\n"),
    };
    let big: String = (0..150_000).map(row).collect();
    assert!(big.len() > 3 << 20);
    write(directory.path(), "a.csv", SIX);
    write(directory.path(), "b.csv", &big);
    let sql = format!("COPY t FROM '{}' (FORMAT csv, VALIDATE)", directory.path().display());
    let found: Vec<Vec<Vec<String>>> = [1, 3]
        .into_iter()
        .map(|segments| {
            let cluster = ProcessCluster::start(segments);
            let shell = cluster.shell();
            shell.execute("CREATE TABLE t (k int, v text) DISTRIBUTED BY (k)");
            let rows = shell.rows(&sql);
            assert_eq!(shell.value("SELECT count(*) FROM t"), "0");
            assert_eq!(shell.value("SELECT count(*) FROM gp_copy_history"), "0");
            assert_eq!(shell.value("SELECT count(*) FROM gp_read_error_log('t')"), "0");
            // Also in a transaction that may change nothing.
            let read_only = shell.run("csv", &["-c", &format!("BEGIN READ ONLY; {sql}; COMMIT")]);
            assert!(read_only.success, "{read_only:?}");
            // All but the bad ones are there afterwards, and another look finds the same.
            let load = format!("COPY t FROM '{}' (FORMAT csv, REJECT_LIMIT 1000)", directory.path().display());
            let run = done(&shell, &load);
            assert!(run.stderr.contains("found 64 data formatting errors"), "{run:?}");
            assert_eq!(shell.value("SELECT count(*) FROM t"), (150_000 - 60 + 2).to_string());
            assert_eq!(shell.rows(&sql), rows);
            rows
        })
        .collect();
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0].len(), 64);
    let file = |name: &str| directory.path().join(name).display().to_string();
    let syntax = "invalid input syntax for type integer: \"x\"";
    assert_eq!(found[0][0], [file("a.csv").as_str(), "2", "6", "k", "22P02", syntax, "x,two"]);
    // Rows have two lines, but for the bad ones.
    assert_eq!(found[0][4][..2], [file("b.csv"), "5001".into()]);
    assert_eq!(found[0][5][1], "9998");
}

fn bucket_cluster(server: &S3Server, segments: usize) -> ProcessCluster {
    let segment_environment = server.environment();
    ProcessCluster::start_with(Setup { segments, segment_environment, ..Setup::default() })
}

fn put(server: &S3Server, name: &str, text: &str) {
    let path = server.object(name);
    fs::create_dir_all(path.parent().expect("it is in the bucket")).expect("room");
    fs::write(path, text).expect("room");
}

/// A COPY that waits for a bucket is seen, and ends within a second of a cancel, whatever it waits for.
#[test]
fn a_copy_is_seen_and_can_be_given_up() {
    let server = S3Server::start();
    put(&server, "in/a.csv", "1,a\n2,b\nx,c\n");
    put(&server, "in/stuck.csv", "3,c\n");
    // Of several pieces: cutting it means reading it.
    let big: String = (0..400_000).map(|row| format!("{row},\"v\n{row}\"\n")).collect();
    put(&server, "big/stuck.csv", &big);
    let cluster = bucket_cluster(&server, 3);
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k int, v text) DISTRIBUTED BY (k)");
    let late = Answer::Late(Duration::from_secs(60));
    let progress = "SELECT command, phase, relname, sum(files_total), sum(files_done), sum(rows), sum(rejected), \
                    count(segment), count(DISTINCT pid), count(query_id) \
                    FROM gp_stat_progress_copy GROUP BY command, phase, relname";
    let listing = ["COPY FROM", "listing files", "t", "0", "0", "0", "0", "0", "1", "0"];
    let cutting = ["COPY FROM", "cutting files", "t", "1", "0", "0", "0", "0", "1", "0"];
    let loading = ["COPY FROM", "loading files", "t", "2", "1", "2", "1", "3", "1", "3"];
    let validating = ["COPY FROM", "validating files", "t", "2", "1", "2", "1", "3", "1", "3"];
    for (place, option, stuck, wanted) in [
        ("in", "REJECT_LIMIT 5", None, listing),
        ("big", "REJECT_LIMIT 5", Some(("GET", "stuck", late)), cutting),
        ("in", "REJECT_LIMIT 5", Some(("GET", "stuck", late)), loading),
        ("in", "VALIDATE", Some(("GET", "stuck", late)), validating),
    ] {
        match stuck {
            None => server.answer_always(&[late]),
            Some(_) => server.answer_matching(stuck),
        }
        let sql = format!("COPY t FROM 's3://{BUCKET}/{place}/' (FORMAT csv, {option})");
        let mut client = shell.spawn(wanted[1].split(' ').next().expect("a word"), cluster.directory(), &sql);
        wait_for(&format!("{wanted:?}"), Duration::from_secs(30), || {
            let rows = shell.rows(progress);
            (server.waiting() > 0 && rows == [wanted]).then_some(())
        });
        let begun = Instant::now();
        client.signal(Signal::SIGINT);
        wait_for("its end", Duration::from_secs(20), || (server.waiting() == 0).then_some(()));
        let ended = server.wait_ended().expect("it has ended").duration_since(begun);
        assert!(ended < Duration::from_secs(1), "{wanted:?} took {ended:?}");
        client.wait(Duration::from_secs(10));
        server.answer_always(&[]);
        server.answer_matching(None);
        wait_for("no COPY", Duration::from_secs(5), || shell.rows(progress).is_empty().then_some(()));
        assert_eq!(shell.value("SELECT count(*) FROM t"), "0");
    }
    shell.execute(&format!("COPY t FROM 's3://{BUCKET}/in/' (FORMAT csv, REJECT_LIMIT 5)"));
    assert_eq!(shell.value("SELECT count(*) FROM t"), "3");
}
