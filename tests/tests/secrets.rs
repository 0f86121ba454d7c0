//! Secrets: COPY reaches a bucket of a real S3 server with them, and they are told nowhere.

use damson_tests::postgres::PostgresServer;
use damson_tests::processes::{ProcessCluster, Setup, Shell, free_ports, wait_for};
use damson_tests::s3_server::{BUCKET, KEY, S3Server, SECRET};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const WITHIN: Duration = Duration::from_secs(60);

/// What a wrong secret says.
const WRONG: &str = "wr0ng-s3cr3t";

fn put(server: &S3Server, name: &str, text: &str) {
    let path = server.object(name);
    fs::create_dir_all(path.parent().expect("it is in the bucket")).expect("room");
    fs::write(path, text).expect("room");
}

fn create(server: &S3Server, name: &str, secret: &str, scope: &str) -> String {
    let endpoint = server.endpoint();
    format!(
        "CREATE SECRET {name} (TYPE s3, KEY_ID '{KEY}', SECRET '{secret}', REGION 'us-east-1', ENDPOINT '{endpoint}', \
         SCOPE 's3://{scope}')"
    )
}

/// What the shell says of a statement that must fail.
fn failure(shell: &Shell, sql: &str) -> String {
    let run = shell.run("csv", &["-c", sql]);
    assert!(!run.success, "{sql}: {run:?}");
    for secret in [SECRET, WRONG] {
        assert!(!run.stderr.contains(secret) && !run.stdout.contains(secret), "{sql}: {run:?}");
    }
    run.stderr
}

/// Files below a directory that have a text in them.
fn files_with(directory: &Path, text: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files_with(&path, text, found);
        } else if path.is_file() {
            // Removed meanwhile.
            let Ok(bytes) = fs::read(&path) else { continue };
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_told_soon() {
    let cluster = ProcessCluster::start(1);
    let shell = cluster.shell();
    let port = free_ports(1)[0];
    shell.execute(&format!(
        "CREATE SECRET away (TYPE s3, KEY_ID '{KEY}', SECRET '{SECRET}', REGION 'us-east-1', \
         ENDPOINT 'http://127.0.0.1:{port}', SCOPE 's3://{BUCKET}')"
    ));
    let began = Instant::now();
    let told = failure(&shell, &format!("SELECT * FROM 's3://{BUCKET}/in/*.csv'"));
    assert!(told.contains("its server cannot be reached: Connection refused"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn copy_reads_a_bucket_with_a_secret_that_is_told_nowhere() {
    let server = S3Server::start();
    put(&server, "in/a.csv", "1,a\n2,b\n");
    put(&server, "in/b.csv", "3,c\n");
    put(&server, "elsewhere/a.csv", "4,d\n");
    // The nodes' environment says other things, none of which may get among the secret's.
    let segment_environment = [
        ("AWS_ENDPOINT", "http://127.0.0.1:9"),
        ("AWS_ACCESS_KEY_ID", "AKIDOTHER"),
        ("AWS_SECRET_ACCESS_KEY", "other"),
        ("AWS_SESSION_TOKEN", "other"),
        ("AWS_REGION", "eu-nowhere-1"),
        ("RUST_LOG", "info"),
    ];
    let segment_environment = segment_environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mut cluster = ProcessCluster::start_with(Setup { segments: 2, segment_environment, ..Setup::default() });
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k int, v text) DISTRIBUTED BY (k)");
    shell.execute(&create(&server, "s", SECRET, &format!("{BUCKET}/in")));
    shell.execute(&create(&server, "wrong", WRONG, "no-such-bucket"));

    shell.execute(&format!("COPY t FROM 's3://{BUCKET}/in/a.csv' (FORMAT csv, SECRET s)"));
    // By its scope; and by its name outside of that.
    shell.execute(&format!("COPY t FROM 's3://{BUCKET}/in/' (FORMAT csv)"));
    shell.execute(&format!("COPY t FROM 's3://{BUCKET}/elsewhere/a.csv' (FORMAT csv, SECRET s)"));
    shell.execute(&format!("COPY t TO 's3://{BUCKET}/out' (FORMAT csv, SECRET s)"));
    assert_eq!(shell.rows("SELECT count(*), sum(k) FROM t"), [["4", "10"]]);

    let told = failure(&shell, &format!("COPY t FROM 's3://{BUCKET}/in/' (FORMAT csv, FORCE, SECRET wrong)"));
    assert!(told.contains("42501") && told.contains("SignatureDoesNotMatch"), "{told}");
    let told = failure(&shell, &format!("COPY t FROM 's3://{BUCKET}/in/a.csv' (FORMAT csv, SECRET none)"));
    assert!(told.contains("42704"), "{told}");
    let told = failure(&shell, &create(&server, "s", SECRET, BUCKET));
    assert!(told.contains("42710"), "{told}");
    let told = failure(&shell, &format!("CREATE SECRET x (TYPE s3, KEY_ID 'a, SECRET '{SECRET}')"));
    assert!(told.contains("42601"), "{told}");
    let told = failure(&shell, &format!("EXPLAIN {}", create(&server, "x", SECRET, BUCKET)));
    assert!(told.contains("42601") || told.contains("0A000"), "{told}");

    // The key outlives the master.
    cluster.restart_master(&[]);
    let shell = cluster.shell();
    let again = format!("COPY t FROM 's3://{BUCKET}/in/a.csv' (FORMAT csv, FORCE, SECRET s)");
    wait_for("segments", WITHIN, || shell.run("csv", &["-c", &again]).success.then_some(()));
    assert_eq!(
        shell.value("SELECT options FROM gp_secrets WHERE name = 's'"),
        "access_key_id, allow_http, endpoint, region, secret_access_key"
    );

    // In no file of any node: catalog, logs, backup.
    let backup = cluster.directory().join("backup");
    shell.execute(&format!("BACKUP TO '{}'", backup.display()));
    for secret in [SECRET, WRONG, KEY] {
        let mut found = vec![];
        files_with(cluster.directory(), secret, &mut found);
        assert!(found.is_empty(), "{secret}: {found:?}");
    }
    // What was dropped is of no use.
    shell.execute("DROP SECRET s");
    let told = failure(&shell, &format!("COPY t FROM 's3://{BUCKET}/in/a.csv' (FORMAT csv, FORCE, SECRET s)"));
    assert!(told.contains("42704"), "{told}");
}

/// A secret, and the answer of the master that takes over to a COPY with it.
fn after_takeover(server: &S3Server, master_arguments: Vec<String>) -> Option<damson_tests::processes::ShellRun> {
    let postgres = PostgresServer::start()?;
    let catalog = Some(postgres.url().to_owned());
    let mut cluster = ProcessCluster::start_with(Setup { segments: 1, catalog, master_arguments, ..Setup::default() });
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k int, v text) DISTRIBUTED BY (k)");
    shell.execute(&create(server, "s", SECRET, BUCKET));
    cluster.fail_over();
    let shell = cluster.shell();
    let up = "SELECT count(*) FROM gp_segment_configuration WHERE status <> 'u'";
    wait_for("the other master", WITHIN, || {
        let run = shell.run("csv", &["-c", up]);
        (run.success && run.stdout.lines().nth(1) == Some("0")).then_some(())
    });
    Some(shell.run("csv", &["-c", &format!("COPY t FROM 's3://{BUCKET}/in/a.csv' (FORMAT csv)")]))
}

#[test]
fn a_standby_reads_secrets_with_a_copy_of_the_key() {
    let server = S3Server::start();
    put(&server, "in/a.csv", "1,a\n");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let key = directory.path().join("secrets.key").display().to_string();
    let Some(run) = after_takeover(&server, vec!["--secret-key-file".into(), key]) else { return };
    assert!(run.success, "{run:?}");
}

#[test]
fn a_standby_without_the_key_says_so() {
    let server = S3Server::start();
    put(&server, "in/a.csv", "1,a\n");
    let Some(run) = after_takeover(&server, vec![]) else { return };
    assert!(!run.success && run.stderr.contains("55000"), "{run:?}");
    assert!(run.stderr.contains("does not have its key") && run.stderr.contains("--secret-key-file"), "{run:?}");
    assert!(!run.stderr.contains(SECRET), "{run:?}");
}
