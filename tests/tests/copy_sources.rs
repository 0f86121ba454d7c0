//! COPY FROM a bucket of a real S3 server, which is busy, slow and breaks connections in between: row 17 of the faults that the project
//! answers for.

use damson_tests::processes::{ProcessCluster, Setup, wait_for};
use damson_tests::s3_server::{Answer, BUCKET, S3Server};
use nix::sys::signal::Signal;
use std::fs;
use std::time::{Duration, Instant};

fn cluster(server: &S3Server, segments: usize) -> ProcessCluster {
    let segment_environment = server.environment();
    ProcessCluster::start_with(Setup { segments, segment_environment, ..Setup::default() })
}

/// Makes an object.
fn put(server: &S3Server, name: &str, bytes: &[u8]) {
    let path = server.object(name);
    fs::create_dir_all(path.parent().expect("it is in the bucket")).expect("room");
    fs::write(path, bytes).expect("room");
}

fn csv(rows: std::ops::Range<u64>) -> Vec<u8> {
    rows.map(|row| format!("{row},\"row\n{row}\"\n")).collect::<String>().into_bytes()
}

#[test]
fn files_of_a_bucket_are_loaded_whatever_it_does() {
    let server = S3Server::start();
    // Of several requests, cut in quoted line ends, and small ones.
    put(&server, "in/y=2025/big.csv", &csv(0..600_000));
    put(&server, "in/y=2026/a.csv", &csv(600_000..600_010));
    put(&server, "in/y=2026/b.csv", &csv(600_010..600_020));
    put(&server, "in/_SUCCESS", b"");
    put(&server, "other/x.csv", b"no,csv,of,two\n");
    let cluster = cluster(&server, 3);
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k bigint, v text, y int) DISTRIBUTED BY (k)");
    let (good, busy, cut) = (Answer::Good, Answer::Busy, Answer::Cut);
    let late = Answer::Late(Duration::from_millis(200));
    server.answer_always(&[good, good, late, busy, good, good, cut, good]);
    shell.execute(&format!("COPY t FROM 's3://{BUCKET}/in/' (FORMAT csv)"));
    let faults = server.faults();
    for answer in [busy, cut] {
        assert!(faults.iter().any(|(_, found)| *found == answer), "{answer:?} came: {faults:?}");
    }
    server.answer_always(&[]);
    let sums = "SELECT count(*), sum(k), count(DISTINCT v), min(length(v)) FROM t";
    assert_eq!(shell.rows(sums), [["600020", "180011700190", "600020", "5"]]);
    assert_eq!(shell.rows("SELECT y, count(*) FROM t GROUP BY y ORDER BY y"), [["2025", "600000"], ["2026", "20"]]);
    // All segments have read.
    assert_eq!(shell.value("SELECT count(DISTINCT gp_segment_id) FROM t"), "3");

    // A pattern, and what is not there.
    shell.execute("TRUNCATE t");
    shell.execute(&format!("COPY t (k, v, y) FROM 's3://{BUCKET}/in/y=2026/{{a,b}}.csv' (PATTERN 'b[.]csv$')"));
    assert_eq!(shell.value("SELECT min(k) FROM t"), "600010");
    for (place, code) in [
        (format!("s3://{BUCKET}/nothing/"), "58P01"),
        (format!("s3://{BUCKET}/in/y=2026/c.csv"), "58P01"),
        ("s3://no-such-bucket/x".into(), "58P01"),
        (format!("s3://key:hush@{BUCKET}/x"), "22023"),
        (format!("s3://{BUCKET}/other/x.csv"), "22P04"),
    ] {
        let run = shell.run("csv", &["-c", &format!("COPY t (k, v) FROM '{place}' (FORMAT csv)")]);
        assert!(!run.success && run.stderr.contains(code) && !run.stderr.contains("hush"), "{place}: {run:?}");
    }
    assert_eq!(shell.value("SELECT count(*) FROM t"), "10");
}

/// A listing that hangs is ended by a cancel at once.
#[test]
fn a_slow_bucket_can_be_given_up() {
    let server = S3Server::start();
    put(&server, "in/a.csv", &csv(0..10));
    let cluster = cluster(&server, 1);
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k bigint, v text) DISTRIBUTED BY (k)");
    server.answer_always(&[Answer::Late(Duration::from_secs(60))]);
    let sql = format!("COPY t FROM 's3://{BUCKET}/in/' (FORMAT csv)");
    let mut client = shell.spawn("copy", cluster.directory(), &sql);
    wait_for("a listing", Duration::from_secs(20), || (server.waiting() > 0).then_some(()));
    let begun = Instant::now();
    client.signal(Signal::SIGINT);
    client.wait(Duration::from_secs(10));
    wait_for("its end", Duration::from_secs(10), || (server.waiting() == 0).then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
    server.answer_always(&[]);
    assert_eq!(shell.value("SELECT count(*) FROM t"), "0");
    shell.execute(&sql);
    assert_eq!(shell.value("SELECT count(*) FROM t"), "10");
}
