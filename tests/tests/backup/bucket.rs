//! Backups in a bucket of a real S3 server that is busy, slow, breaks connections and loses answers: row 17 of the faults that the project
//! answers for.

use damson_tests::processes::{Node, ProcessCluster, Setup, Shell, wait_for};
use damson_tests::s3_server::{Answer, BUCKET, S3Server};
use nix::sys::signal::Signal;
use std::fs;
use std::time::{Duration, Instant};

fn cluster(server: &S3Server, segments: usize) -> ProcessCluster {
    let segment_environment = server.environment();
    ProcessCluster::start_with(Setup { segments, segment_environment, ..Setup::default() })
}

/// Files of one part, and of several.
fn fill(shell: &Shell) {
    shell.execute("CREATE TABLE small (k int PRIMARY KEY, t text) DISTRIBUTED BY (k)");
    shell.execute("INSERT INTO small SELECT x, 'row ' || CAST(x AS text) FROM generate_series(1, 1000) AS g(x)");
    shell.execute("DELETE FROM small WHERE k % 10 = 0");
    shell.execute("CREATE TABLE large (k int, h text) WITH (compresstype=none) DISTRIBUTED BY (k)");
    shell.execute(
        "INSERT INTO large SELECT x, md5(CAST(x AS text)) || md5(CAST(-x AS text)) FROM generate_series(1, 600000) AS g(x)",
    );
    shell.execute("CREATE VIEW v AS SELECT count(*) AS c FROM large");
}

/// Of every row.
fn sums(shell: &Shell) -> Vec<Vec<String>> {
    let mut all = shell.rows("SELECT count(*), sum(k), max(t), count(DISTINCT t) FROM small");
    all.extend(shell.rows("SELECT count(*), sum(CAST(k AS bigint)), min(h), max(h), count(DISTINCT h) FROM large"));
    all.extend(shell.rows("SELECT c FROM v"));
    all
}

#[test]
fn a_bucket_that_fails_has_a_whole_backup_in_the_end() {
    let server = S3Server::start();
    let source = cluster(&server, 2);
    let shell = source.shell();
    fill(&shell);
    let expected = sums(&shell);
    let url = format!("s3://{BUCKET}/of/cluster");
    // A file of several parts on each segment.
    let largest: u64 =
        shell.value("SELECT max(bytes) FROM gp_files WHERE table_name = 'large'").parse().expect("bytes");
    assert!(largest > 16 << 20, "a file of {largest} bytes has one part");

    let (busy, lost, cut) = (Answer::Busy, Answer::Lost, Answer::Cut);
    let late = Answer::Late(Duration::from_millis(300));
    for (method, answer) in [("PUT", lost), ("PUT", busy), ("POST", lost), ("PUT", cut), ("GET", busy), ("POST", busy)]
    {
        server.answer_next(method, answer);
    }
    let good = Answer::Good;
    server.answer_always(&[good, good, late, good, busy, good, good, lost, good, good, cut, good, good]);
    let run = source.run("backup", &["--to", &url]);
    assert!(run.success, "{run:?}");
    assert!(run.stdout.contains("2 tables"), "{run:?}");
    let faults = server.faults();
    for answer in [busy, lost, cut] {
        assert!(faults.iter().any(|(_, found)| *found == answer), "{answer:?} came: {faults:?}");
    }

    // In the midst of the same, it is restored into a cluster of another size.
    let target = cluster(&server, 3);
    let run = target.run("restore", &["--from", &url]);
    assert!(run.success, "{run:?}");
    server.answer_always(&[]);
    assert_eq!(sums(&target.shell()), expected);
    let checked = target.check();
    assert!(checked.success && checked.stdout.contains("Nothing is wrong"), "{checked:?}");

    // What is there is not sent again.
    shell.execute("INSERT INTO small VALUES (1000001, 'new')");
    let run = source.run("backup", &["--to", &url]);
    assert!(run.success && run.stdout.contains("Copied: 1 file,"), "{run:?}");
    let run = source.run("backup", &["--list", "--to", &url]);
    assert!(run.success && run.stdout.contains("(2 rows)"), "{run:?}");
}

#[test]
fn a_damaged_object_is_named() {
    let server = S3Server::start();
    let source = cluster(&server, 1);
    let shell = source.shell();
    shell.execute("CREATE TABLE t (k int) DISTRIBUTED BY (k)");
    shell.execute("INSERT INTO t SELECT x FROM generate_series(1, 1000) AS g(x)");
    let url = format!("s3://{BUCKET}/p");
    assert!(source.run("backup", &["--to", &url]).success);
    let path = shell.value("SELECT path FROM gp_files WHERE table_name = 't'");
    let object = server.object(&format!("p/files/0/{path}"));
    let mut bytes = fs::read(&object).expect("an object");
    bytes[20] ^= 1;
    fs::write(&object, bytes).expect("room");
    let target = cluster(&server, 1);
    let run = target.run("restore", &["--from", &url]);
    assert!(!run.success && run.stderr.contains("XX001"), "{run:?}");
    assert!(run.stderr.contains(&format!("{url}/files/0/{path}")), "it is named: {run:?}");
    assert_eq!(target.shell().value("SELECT count(*) FROM gp_files"), "0");
}

#[test]
fn a_wrong_key_is_told_at_once() {
    let server = S3Server::start();
    let mut segment_environment = server.environment();
    for (name, value) in &mut segment_environment {
        if name == "AWS_SECRET_ACCESS_KEY" {
            *value = "hush-hush".into();
        }
    }
    let source = ProcessCluster::start_with(Setup { segments: 1, segment_environment, ..Setup::default() });
    let began = Instant::now();
    let run = source.run("backup", &["--to", &format!("s3://{BUCKET}/p")]);
    assert!(!run.success && run.stderr.contains("42501"), "{run:?}");
    assert!(!run.stderr.contains("hush"), "a secret is not told: {run:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "it was asked again for {:?}", began.elapsed());
}

#[test]
fn ctrl_c_ends_the_copying_of_a_backup_at_once() {
    let server = S3Server::start();
    let source = cluster(&server, 2);
    let shell = source.shell();
    shell.execute("CREATE TABLE t (k int) DISTRIBUTED BY (k)");
    shell.execute("INSERT INTO t SELECT x FROM generate_series(1, 1000) AS g(x)");
    server.answer_matching(Some(("PUT", "/files/", Answer::Late(Duration::from_secs(20)))));
    let url = format!("s3://{BUCKET}/p");
    let mut client = Node::spawn("backup", source.directory(), source.command("backup", &["--to", &url]));
    let under_way = "SELECT count(*) FROM gp_stat_progress_backup WHERE command = 'BACKUP' AND phase = 'copying files'";
    wait_for("copying", Duration::from_secs(30), || (server.waiting() > 0).then_some(()));
    assert_eq!(shell.value(under_way), "1");
    let began = Instant::now();
    client.signal(Signal::SIGINT);
    let status = client.wait(Duration::from_secs(10));
    assert!(!status.success(), "a cancelled statement is an error");
    wait_for("the end of copying", Duration::from_secs(10), || (server.waiting() == 0).then_some(()));
    let ended = server.wait_ended().expect("a segment has waited");
    assert!(ended - began < Duration::from_secs(1), "the segments went on for {:?}", ended - began);
    wait_for("its end", Duration::from_secs(10), || (shell.value(under_way) == "0").then_some(()));
    let list = source.run("backup", &["--list", "--to", &url]);
    assert!(list.success && list.stdout.contains("(0 rows)"), "{list:?}");
    server.answer_matching(None);
    let run = source.run("backup", &["--to", &url]);
    assert!(run.success, "{run:?}");
}
