//! COPY TO directories and a bucket of a real S3 server that is busy, breaks connections and loses answers, and COPY FROM of what was
//! written.

use damson_tests::processes::{ProcessCluster, Setup, Shell, wait_for};
use damson_tests::s3_server::{Answer, BUCKET, S3Server};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const ROWS: u64 = 20_000;

fn cluster(server: &S3Server, segments: usize) -> ProcessCluster {
    let segment_environment = server.environment();
    ProcessCluster::start_with(Setup { segments, segment_environment, ..Setup::default() })
}

/// `t` of rows with all that text has to escape, and `u`, an empty table of the same columns.
fn fill(shell: &Shell) {
    let columns = "(k bigint, v text, d date, n numeric(12,2), p text)";
    for table in ["t", "u"] {
        shell.execute(&format!("CREATE TABLE {table} {columns} DISTRIBUTED BY (k)"));
    }
    shell.execute(&format!(
        "INSERT INTO t SELECT x, CASE WHEN x % 7 = 0 THEN NULL WHEN x % 11 = 0 THEN '' ELSE 'row \"' || CAST(x AS text) || '\", \\' END, \
         CAST('2026-01-' || lpad(CAST(x % 28 + 1 AS text), 2, '0') AS date), x / 8.0, \
         CASE WHEN x % 5 = 0 THEN NULL WHEN x % 5 = 1 THEN 'a/b=c' WHEN x % 5 = 2 THEN '' ELSE 'p' || CAST(x % 5 AS text) END \
         FROM generate_series(1, {ROWS}) AS g(x)"
    ));
}

/// Loads what was written into `u`, which must then have the same rows as `t`.
fn load_and_compare(shell: &Shell, from: &str, options: &str) {
    shell.execute("TRUNCATE u");
    shell.execute(&format!("COPY u FROM '{from}' ({options})"));
    assert_eq!(shell.value("SELECT count(*) FROM u"), ROWS.to_string(), "{from} {options}");
    let missing = "SELECT count(*) FROM (SELECT * FROM t EXCEPT SELECT * FROM u) AS x";
    assert_eq!(shell.value(missing), "0", "{from} {options}");
}

/// Files below a directory, by their paths from there.
fn files(directory: &Path) -> BTreeSet<String> {
    fn below(root: &Path, directory: &Path, found: &mut BTreeSet<String>) {
        // It may be removed meanwhile.
        let Ok(entries) = fs::read_dir(directory) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => below(root, &path, found),
                false => {
                    let name = path.strip_prefix(root).expect("it is below").display().to_string();
                    found.insert(name);
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    below(directory, directory, &mut found);
    found
}

/// What the server keeps of uploads that have neither ended nor been taken back.
fn uploads(server: &S3Server) -> Vec<String> {
    let names =
        fs::read_dir(server.directory()).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(".upload")).collect()
}

#[test]
fn what_is_written_to_directories_is_loaded_again() {
    let cluster = ProcessCluster::start(3);
    let shell = cluster.shell();
    fill(&shell);
    let out = cluster.directory().join("out");
    for (number, (write, read, extension)) in [
        ("FORMAT csv, HEADER, COMPRESSION gzip", "FORMAT csv, HEADER", ".csv.gz"),
        ("FORMAT csv, DELIMITER '|', NULL '-'", "FORMAT csv, DELIMITER '|', NULL '-'", ".csv"),
        ("FORMAT text, COMPRESSION lz4", "FORMAT text", ".txt.lz4"),
        ("FORMAT json, COMPRESSION zstd", "FORMAT json", ".json.zst"),
        ("FORMAT json, COMPRESSION snappy", "FORMAT json", ".json.sz"),
        ("FORMAT parquet", "FORMAT parquet", ".parquet"),
        ("FORMAT parquet, COMPRESSION lz4, MAX_FILE_SIZE '20kB'", "FORMAT parquet", ".parquet"),
    ]
    .into_iter()
    .enumerate()
    {
        let to = out.join(format!("deep/{number}"));
        let run = shell.run("table", &["-c", &format!("COPY t TO '{}' ({write})", to.display())]);
        assert!(run.success && format!("{}{}", run.stdout, run.stderr).contains("COPY 20000"), "{write}: {run:?}");
        let found = files(&to);
        assert!(found.iter().all(|name| name.ends_with(extension)), "{write}: {found:?}");
        let segments: BTreeSet<&str> = found.iter().filter_map(|name| name.split('-').next()).collect();
        assert_eq!(segments, BTreeSet::from(["seg0", "seg1", "seg2"]), "{write}: all segments write");
        assert_eq!(write.contains("MAX_FILE_SIZE"), found.len() > 6, "{write}: {found:?}");
        load_and_compare(&shell, &to.display().to_string(), read);
    }
    // Of several statements each has its own files.
    let to = out.join("twice");
    for _ in 0..2 {
        shell.execute(&format!("COPY (SELECT 1 AS k FROM t) TO '{}' CSV", to.display()));
    }
    assert_eq!(files(&to).len(), 6);
    let lines: usize =
        files(&to).iter().map(|name| fs::read_to_string(to.join(name)).expect("text").lines().count()).sum();
    assert_eq!(lines as u64, 2 * ROWS);
}

#[test]
fn partitions_and_manifests() {
    let cluster = ProcessCluster::start(2);
    let shell = cluster.shell();
    fill(&shell);
    for format in ["csv", "parquet"] {
        let to = cluster.directory().join("parted").join(format);
        let sql = format!("COPY t TO '{}' (FORMAT {format}, PARTITION BY (p, d), MANIFEST)", to.display());
        shell.execute(&sql);
        let found = files(&to);
        for directory in ["p=a%2Fb%3Dc/d=2026-01-02/", "p=__HIVE_DEFAULT_PARTITION__/d=2026-01-01/", "p=/d="] {
            assert!(found.iter().any(|name| name.starts_with(directory)), "{directory}: {found:?}");
        }
        let text = fs::read_to_string(to.join("manifest.json")).expect("a manifest");
        let manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(manifest["rows"], ROWS);
        assert_eq!(manifest["partition_by"], serde_json::json!(["p", "d"]));
        assert_eq!(manifest["columns"][3], serde_json::json!({"name": "n", "type": "numeric(12,2)"}));
        let listed = manifest["files"].as_array().expect("files");
        assert_eq!(listed.len(), found.len() - 1);
        for file in listed {
            let url = file["url"].as_str().expect("a path");
            assert_eq!(file["bytes"], fs::metadata(url).expect("it is there").len());
        }
        load_and_compare(&shell, &to.display().to_string(), &format!("FORMAT {format}"));
        // A manifest is not replaced, and nothing is written beside it.
        let run = shell.run("csv", &["-c", &sql]);
        assert!(!run.success && run.stderr.contains("58P02"), "{run:?}");
        assert_eq!(files(&to), found);
    }
    for (options, code) in
        [("PARTITION BY (x)", "42703"), ("PARTITION BY (p, d, k, v, n)", "22023"), ("SINGLE_FILE, MANIFEST", "22023")]
    {
        let sql = format!("COPY t TO '{}/no' ({options})", cluster.directory().display());
        let run = shell.run("csv", &["-c", &sql]);
        assert!(!run.success && run.stderr.contains(code), "{options}: {run:?}");
    }
    assert!(!cluster.directory().join("no").exists());
}

#[test]
fn a_single_file_has_all_rows_in_their_order() {
    let cluster = ProcessCluster::start(3);
    let shell = cluster.shell();
    fill(&shell);
    let file = cluster.directory().join("made/x.csv");
    for limit in [ROWS, 3] {
        let query = format!("SELECT k FROM t ORDER BY k DESC LIMIT {limit}");
        shell.execute(&format!("COPY ({query}) TO '{}' (SINGLE_FILE)", file.display()));
        let wanted: String = (ROWS - limit + 1..=ROWS).rev().map(|k| format!("{k}\n")).collect();
        assert!(fs::read_to_string(&file).expect("a file") == wanted, "{limit}");
        assert_eq!(files(file.parent().expect("a directory")).len(), 1);
    }
    let file = cluster.directory().join("made/all.json.gz");
    shell.execute(&format!("COPY t TO '{}' (SINGLE_FILE)", file.display()));
    assert_eq!(fs::read(&file).expect("a file")[..2], [0x1f, 0x8b], "its name says how it is compressed");
    load_and_compare(&shell, &file.display().to_string(), "FORMAT json");
    shell.execute(&format!("COPY t TO '{}' (SINGLE_FILE)", cluster.directory().join("made/t.parquet").display()));
    load_and_compare(&shell, &cluster.directory().join("made/t.parquet").display().to_string(), "FORMAT parquet");
}

/// Nothing of it is left on any segment, whichever failed.
#[test]
fn a_statement_that_fails_leaves_nothing() {
    let cluster = ProcessCluster::start(3);
    let shell = cluster.shell();
    fill(&shell);
    let root = cluster.directory().join("out");
    for options in ["FORMAT csv, MAX_FILE_SIZE 1000", "FORMAT parquet, PARTITION BY (p), MANIFEST"] {
        // One row of one segment, after the others have long written theirs.
        let query = format!("SELECT k, p, 1 / (k - {}) AS x FROM t", ROWS - 1);
        let sql = format!("COPY ({query}) TO '{}/a/b' ({options})", root.display());
        let run = shell.run("csv", &["-c", &sql]);
        assert!(!run.success && run.stderr.contains("22012"), "{options}: {run:?}");
        wait_for("an empty place", Duration::from_secs(40), || (!root.exists()).then_some(()));
    }
    // What was there stays.
    fs::create_dir_all(root.join("a")).expect("room");
    fs::write(root.join("a/mine.csv"), "1\n").expect("room");
    let sql = format!("COPY (SELECT 1 / (k - 7) AS x FROM t) TO '{}/a' (FORMAT csv)", root.display());
    assert!(!shell.run("csv", &["-c", &sql]).success);
    wait_for("the end", Duration::from_secs(40), || (files(&root).len() == 1).then_some(()));
    assert_eq!(files(&root), BTreeSet::from(["a/mine.csv".into()]));
}

#[test]
fn a_segment_that_is_killed_leaves_nothing_of_the_others() {
    let mut cluster = ProcessCluster::start(2);
    let shell = cluster.shell();
    fill(&shell);
    let root = cluster.directory().join("out");
    // Enough to be in the midst of it.
    let query = "SELECT a.k, a.v, b.v AS w FROM t AS a, t AS b";
    let sql = format!("COPY ({query}) TO '{}' (FORMAT csv, MAX_FILE_SIZE '1MB')", root.display());
    let mut client = shell.spawn("copy", cluster.directory(), &sql);
    let written = || root.exists() && files(&root).iter().any(|name| name.starts_with("seg0"));
    wait_for("files", Duration::from_secs(60), || written().then_some(()));
    cluster.kill_segment(1);
    assert!(!client.wait(Duration::from_secs(60)).success());
    let of_seg0 = || files(&root).iter().any(|name| name.contains("seg0"));
    wait_for("their end", Duration::from_secs(40), || (!root.exists() || !of_seg0()).then_some(()));
    cluster.restart_segment(1);
}

#[test]
fn a_cancel_removes_the_files() {
    let cluster = ProcessCluster::start(2);
    let shell = cluster.shell();
    fill(&shell);
    let root = cluster.directory().join("out");
    let query = "SELECT a.k, a.v, b.v AS w, b.p FROM t AS a, t AS b";
    let sql = format!("COPY ({query}) TO '{}' (FORMAT csv, PARTITION BY (p), MAX_FILE_SIZE '1MB')", root.display());
    let mut client = shell.spawn("copy", cluster.directory(), &sql);
    wait_for("files", Duration::from_secs(60), || (root.exists() && files(&root).len() > 10).then_some(()));
    let begun = Instant::now();
    client.signal(Signal::SIGINT);
    client.wait(Duration::from_secs(30));
    wait_for("their end", Duration::from_secs(30), || (!root.exists()).then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(30), "it took {:?}", begun.elapsed());
}

#[test]
fn a_bucket_that_fails_has_whole_files_in_the_end() {
    let server = S3Server::start();
    let cluster = cluster(&server, 2);
    let shell = cluster.shell();
    fill(&shell);
    let (good, busy, lost, cut) = (Answer::Good, Answer::Busy, Answer::Lost, Answer::Cut);
    server.answer_always(&[good, good, busy, good, lost, good, good, cut]);
    for (place, write, read) in [
        ("csv", "FORMAT csv, COMPRESSION gzip, MAX_FILE_SIZE '20kB'", "FORMAT csv"),
        ("json", "FORMAT json", "FORMAT json"),
        ("text", "FORMAT text", "FORMAT text"),
        ("parted", "FORMAT parquet, PARTITION BY (p), MANIFEST", "FORMAT parquet"),
        ("one.parquet", "SINGLE_FILE", "FORMAT parquet"),
    ] {
        let place = format!("s3://{BUCKET}/out/{place}");
        shell.execute(&format!("COPY t TO '{place}' ({write})"));
        // The server here takes a prefix of names for one of them.
        let from = if place.ends_with(".parquet") { place } else { format!("{place}/") };
        load_and_compare(&shell, &from, read);
    }
    let faults = server.faults();
    for answer in [busy, lost, cut] {
        assert!(faults.iter().any(|(_, found)| *found == answer), "{answer:?} came: {faults:?}");
    }
    let manifest = fs::read_to_string(server.object("out/parted/manifest.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(manifest["rows"], ROWS);
    let parted = files(&server.object("out/parted"));
    assert_eq!(manifest["files"].as_array().expect("files").len(), parted.len() - 1, "{parted:?}");

    // Files of several parts; of one of them the bucket does not tell that it is whole.
    server.answer_always(&[]);
    let query = "SELECT a.k, md5(a.v || CAST(b.k AS text)) AS h, b.k AS l FROM t AS a, t AS b WHERE b.k <= 40";
    let rows = (ROWS * 40).to_string();
    shell.execute("CREATE TABLE h (k bigint, h text, l bigint) DISTRIBUTED BY (k)");
    for (place, options) in [("large", ""), ("large.csv", ", SINGLE_FILE")] {
        let mut faults = vec![("PUT", busy), ("PUT", lost), ("PUT", cut)];
        if !options.is_empty() {
            // An upload begins, and ends.
            faults.extend([("POST", good), ("POST", lost)]);
        }
        faults.into_iter().for_each(|(method, answer)| server.answer_next(method, answer));
        shell.execute(&format!("COPY ({query}) TO 's3://{BUCKET}/{place}' (FORMAT csv{options})"));
        let object = server.object(place);
        let bytes = |name: String| fs::metadata(object.join(name)).expect("it is there").len();
        let longest = files(&object).into_iter().map(bytes).max();
        let longest = longest.unwrap_or_else(|| fs::metadata(&object).expect("it is there").len());
        assert!(longest > 9 << 20, "it has several parts");
        shell.execute("TRUNCATE h");
        let slash = if options.is_empty() { "/" } else { "" };
        shell.execute(&format!("COPY h FROM 's3://{BUCKET}/{place}{slash}' (FORMAT csv)"));
        assert_eq!(shell.value("SELECT count(*) FROM h"), rows);
        assert_eq!(shell.value(&format!("SELECT count(*) FROM (({query}) EXCEPT SELECT * FROM h) AS x")), "0");
    }

    // A file is replaced, also where the answer is lost.
    for (limit, answer) in [(ROWS, lost), (10, lost), (20, busy)] {
        server.answer_next("PUT", answer);
        let sql = format!("COPY (SELECT k FROM t ORDER BY k LIMIT {limit}) TO 's3://{BUCKET}/one.csv' (SINGLE_FILE)");
        shell.execute(&sql);
        let found = fs::read_to_string(server.object("one.csv")).expect("an object");
        assert_eq!(found.lines().count() as u64, limit);
    }
    assert!(uploads(&server).is_empty(), "{:?}", uploads(&server));
}

#[test]
fn a_bucket_keeps_nothing_of_what_fails() {
    let server = S3Server::start();
    let cluster = cluster(&server, 2);
    let shell = cluster.shell();
    fill(&shell);
    // Parts are under way when a row fails.
    let query = format!(
        "SELECT a.k, md5(a.v || CAST(b.k AS text)) AS h, 1 / (a.k - {ROWS} + b.k - 60) AS x FROM t AS a, t AS b WHERE b.k <= 60"
    );
    let place = format!("s3://{BUCKET}/fails");
    for options in ["FORMAT csv", "FORMAT csv, MAX_FILE_SIZE '1MB', MANIFEST"] {
        let run = shell.run("csv", &["-c", &format!("COPY ({query}) TO '{place}' ({options})")]);
        assert!(!run.success && run.stderr.contains("22012"), "{options}: {run:?}");
        let object = server.object("fails");
        let is_empty = || !object.exists() || files(&object).is_empty();
        wait_for("its end", Duration::from_secs(20), || (is_empty() && uploads(&server).is_empty()).then_some(()));
    }
    // Told at once, and without the key.
    let run = shell.run("csv", &["-c", &format!("COPY t TO 's3://key:hush@{BUCKET}/x' (FORMAT csv)")]);
    assert!(!run.success && run.stderr.contains("22023") && !run.stderr.contains("hush"), "{run:?}");

    // A bucket that hangs is given up at once.
    server.answer_always(&[Answer::Late(Duration::from_secs(60))]);
    let mut client = shell.spawn("copy", cluster.directory(), &format!("COPY t TO 's3://{BUCKET}/hangs' (FORMAT csv)"));
    wait_for("a request of each segment", Duration::from_secs(20), || (server.waiting() > 1).then_some(()));
    // All rows are written, and no file is whole.
    let progress = "SELECT command, phase, relname, count(segment), sum(files_total), sum(files_done), sum(rows) \
                    FROM gp_stat_progress_copy GROUP BY command, phase, relname";
    let writing = ["COPY TO", "writing files", "t", "2", "2", "0", "20000"];
    wait_for("its progress", Duration::from_secs(20), || (shell.rows(progress) == [writing]).then_some(()));
    server.answer_always(&[]);
    let begun = Instant::now();
    client.signal(Signal::SIGINT);
    client.wait(Duration::from_secs(20));
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    let object = server.object("hangs");
    let is_empty = || !object.exists() || files(&object).is_empty();
    wait_for("its end", Duration::from_secs(20), || is_empty().then_some(()));
}
