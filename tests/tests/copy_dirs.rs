//! Local files that statements may reach: `--copy-dirs`, links that lead out of them, and nodes' own directories.

use damson_tests::processes::{ProcessCluster, Setup, Shell};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// SQLSTATE and message of a statement that fails.
fn failure(shell: &Shell, sql: &str) -> String {
    let run = shell.run("csv", &["-c", sql]);
    assert!(!run.success, "{sql} fails: {run:?}");
    run.stderr
}

fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn statements_reach_the_directories_that_are_named() {
    let root = tempfile::tempdir().expect("room");
    let root = root.path().canonicalize().expect("it is there");
    let (open, shut, other) = (root.join("open"), root.join("shut"), root.join("o'ther;--"));
    for directory in [&open, &shut, &other, &root.join("open-too")] {
        fs::create_dir(directory).expect("room");
    }
    for directory in ["open", "shut", "open-too", "o'ther;--"] {
        fs::write(root.join(directory).join("a.csv"), "1\n2\n").expect("room");
    }
    symlink(&shut, open.join("away")).expect("a link");
    symlink(shut.join("a.csv"), open.join("away.csv")).expect("a link");
    symlink(open.join("a.csv"), open.join("here.csv")).expect("a link");
    symlink(&shut, open.join("k=1")).expect("a link");
    let segment_arguments = vec!["--copy-dirs".into(), format!("{},{}", open.display(), other.display())];
    let cluster = ProcessCluster::start_with(Setup { segments: 2, segment_arguments, ..Setup::default() });
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k int) DISTRIBUTED BY (k)");
    let (at, quoted) = (root.display().to_string(), other.display().to_string().replace('\'', "''"));

    for place in ["open/a.csv", "open/here.csv", "open/a*.csv", "open/../open/a.csv"] {
        shell.execute("TRUNCATE t");
        shell.execute(&format!("COPY t FROM '{at}/{place}' (FORMAT csv, FORCE, PATTERN '(a|here).csv$')"));
        assert_eq!(shell.value("SELECT count(*) FROM t"), "2", "{place}");
    }
    shell.execute(&format!("COPY t FROM '{quoted}/a.csv' CSV"));
    shell.execute(&format!("COPY t TO '{at}/open/new/deep' CSV"));
    shell.execute(&format!("BACKUP TO '{at}/open/backups'"));

    for place in [
        "shut/a.csv",
        "shut/nothing.csv",
        "shut/*.csv",
        "*/a.csv",
        "open-too/a.csv",
        "open/away.csv",
        "open/away/a.csv",
        "open/away/*.csv",
        "open/away*/*.csv",
        "open/../shut/a.csv",
        "open/new/../../shut/*",
    ] {
        for sql in [
            format!("COPY t FROM '{at}/{place}' CSV"),
            format!("COPY t FROM 'file://{at}/{place}' (FORMAT csv, VALIDATE)"),
            format!("SELECT * FROM '{at}/{place}'"),
            format!("COPY t FROM ('{at}/open/a.csv', '{at}/{place}') (FORMAT csv, FORCE)"),
        ] {
            let error = failure(&shell, &sql);
            assert!(error.contains("42501") && error.contains("--copy-dirs"), "{sql}: {error}");
        }
    }
    for wildcard in ["open/*/../../shut/a.csv", "open/n*/../../shut/*"] {
        let error = failure(&shell, &format!("SELECT * FROM '{at}/{wildcard}'"));
        assert!(error.contains("22023"), "{wildcard}: {error}");
    }
    // A directory is read with what is below it, and fails where that is elsewhere.
    assert!(failure(&shell, &format!("COPY t FROM '{at}/open' CSV")).contains("42501"));

    let before = names(&shut);
    shell.execute(&format!("CREATE EXTERNAL TABLE e (k int) LOCATION ('{at}/open/away/a.csv') FORMAT 'CSV'"));
    shell.execute(&format!("CREATE WRITABLE EXTERNAL TABLE w (k int) LOCATION ('{at}/shut') FORMAT 'CSV'"));
    for sql in [
        "SELECT * FROM e".to_owned(),
        "INSERT INTO w SELECT * FROM t".to_owned(),
        format!("COPY t TO '{at}/shut' CSV"),
        format!("COPY t TO '{at}/shut/new' CSV"),
        format!("COPY t TO '{at}/shut/x.csv' (SINGLE_FILE)"),
        format!("COPY t TO '{at}/open/away' CSV"),
        format!("COPY t TO '{at}/open/away/new' CSV"),
        format!("COPY t TO '{at}/open/nothing/../../shut/new' CSV"),
        format!("COPY (SELECT k, k AS v FROM t) TO '{at}/open' (FORMAT csv, PARTITION BY (k))"),
        format!("BACKUP TO '{at}/shut/backups'"),
        format!("BACKUP TO '{at}/open/away/backups'"),
        format!("SHOW BACKUPS IN '{at}/shut'"),
    ] {
        let error = failure(&shell, &sql);
        assert!(error.contains("42501"), "{sql}: {error}");
    }
    assert_eq!(names(&shut), before, "nothing was written");
    // A single file takes the place of a link, and is not written through it.
    shell.execute(&format!("COPY (SELECT 7) TO '{at}/open/away.csv' (SINGLE_FILE)"));
    assert_eq!(fs::read_to_string(shut.join("a.csv")).expect("it is there"), "1\n2\n");
    assert_eq!(fs::read_to_string(open.join("away.csv")).expect("it is there"), "7\n");
}

#[test]
fn none_is_none() {
    let root = tempfile::tempdir().expect("room");
    fs::write(root.path().join("a.csv"), "1\n").expect("room");
    let segment_arguments = vec!["--copy-dirs".into(), "none".into()];
    let cluster = ProcessCluster::start_with(Setup { segments: 1, segment_arguments, ..Setup::default() });
    let (shell, at) = (cluster.shell(), root.path().display());
    for sql in [
        format!("SELECT * FROM '{at}/a.csv'"),
        format!("COPY (SELECT 1) TO '{at}/out' CSV"),
        format!("BACKUP TO '{at}/backups'"),
    ] {
        assert!(failure(&shell, &sql).contains("42501"), "{sql}");
    }
    assert_eq!(names(root.path()), ["a.csv"]);
}

/// Also where all other files are within reach.
#[test]
fn a_nodes_own_files_are_nobodys_to_copy() {
    let cluster = ProcessCluster::start(2);
    let (shell, at) = (cluster.shell(), cluster.directory().display().to_string());
    fs::write(cluster.directory().join("a.csv"), "1\n").expect("room");
    shell.execute("CREATE TABLE t (k int) DISTRIBUTED BY (k)");
    shell.execute("INSERT INTO t VALUES (1), (2)");
    shell.execute("CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'hush', REGION 'us-east-1')");
    shell.execute(&format!("COPY t FROM '{at}/a.csv' CSV"));
    symlink(cluster.directory().join("master"), cluster.directory().join("link")).expect("a link");
    for place in
        ["master/secrets.key", "master/catalog.db", "master/*", "link/secrets.key", "l*/*", "seg0-data/**/*.parquet"]
    {
        let error = failure(&shell, &format!("SELECT * FROM read_files('{at}/{place}', format => 'text')"));
        assert!(error.contains("42501"), "{place}: {error}");
    }
    for place in ["master", "link/out", "seg1-data/base"] {
        let error = failure(&shell, &format!("COPY t TO '{at}/{place}' CSV"));
        assert!(error.contains("42501") || error.contains("22023"), "{place}: {error}");
    }
}
