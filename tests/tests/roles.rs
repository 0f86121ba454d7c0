//! Who is let in, over Flight SQL: passwords, rules, guesses. What roles may do is in `slt/postgres/roles.slt`.

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandGetTableTypes, ProstMessageExt};
use arrow_flight::{FlightDescriptor, HandshakeRequest};
use damson_tests::postgres::PostgresServer;
use damson_tests::processes::{ProcessCluster, Setup, Shell, ShellRun, wait_for};
use futures::stream;
use nix::sys::signal::Signal;
use prost::Message;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

pub(crate) const ADMIN: &str = "open sesame";
pub(crate) const WITHIN: Duration = Duration::from_secs(30);

/// The file with the administrator's password, and the options that name it.
pub(crate) fn admin_password() -> (TempDir, Vec<String>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("password");
    fs::write(&path, format!("{ADMIN}\n")).expect("room");
    let options = vec!["--admin-password-file".into(), path.display().to_string()];
    (directory, options)
}

pub(crate) fn with_passwords() -> (TempDir, ProcessCluster) {
    let (directory, master_arguments) = admin_password();
    (directory, ProcessCluster::start_with(Setup { segments: 1, master_arguments, ..Setup::default() }))
}

/// A statement of a user.
fn run_as(shell: &Shell, user: &str, password: &str, sql: &str) -> ShellRun {
    let mut command = shell.command("csv", &["--user", user, "-c", sql]);
    let output = command.env("DAMSON_PASSWORD", password).output().expect("the shell runs");
    ShellRun {
        success: output.status.success(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn admin(shell: &Shell, sql: &str) -> String {
    let run = run_as(shell, "damson", ADMIN, sql);
    assert!(run.success, "{sql}: {}", run.stderr);
    run.stdout
}

/// What a user is told who is not let in, or may not do it.
fn refused(shell: &Shell, user: &str, password: &str, sql: &str) -> String {
    let run = run_as(shell, user, password, sql);
    assert!(!run.success, "{user}: {sql}: {}", run.stdout);
    run.stderr
}

/// Whether a file below the directory has the text.
fn is_in_a_file(directory: &Path, text: &str) -> bool {
    fs::read_dir(directory).expect("a directory").any(|entry| {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => is_in_a_file(&path, text),
            // Sockets and files that go away meanwhile have no text.
            false => fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes())),
        }
    })
}

#[test]
fn passwords_are_asked_for() {
    let (directory, mut cluster) = with_passwords();
    let shell = cluster.shell();
    assert_eq!(admin(&shell, "SELECT current_user"), "current_user\ndamson\n");
    for (user, password) in [("damson", "wrong"), ("damson", ""), ("nobody", ADMIN)] {
        let told = refused(&shell, user, password, "SELECT 1");
        assert!(told.contains(&format!("password authentication failed for user \"{user}\"")), "{told}");
    }
    let mut without = shell.command("csv", &["--user", "damson", "-c", "SELECT 1"]);
    let output = without.env_remove("DAMSON_PASSWORD").output().expect("the shell runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("no password supplied (SQLSTATE 28P01)") && told.contains("DAMSON_PASSWORD"), "{told}");
    admin(&shell, "CREATE TABLE t AS SELECT 1 AS a; CREATE ROLE ann LOGIN PASSWORD 'first word'");
    let told = refused(&shell, "ann", "first word", "SELECT * FROM t");
    assert!(told.contains("permission denied for table t"), "{told}");
    admin(&shell, "GRANT SELECT ON t TO ann");
    assert_eq!(run_as(&shell, "ann", "first word", "SELECT * FROM t").stdout, "a\n1\n");
    // Everybody may change their own password, and nobody else's.
    assert!(run_as(&shell, "ann", "first word", "ALTER ROLE ann PASSWORD 'second word'").success);
    let told = refused(&shell, "ann", "second word", "ALTER ROLE damson PASSWORD 'x'");
    assert!(told.contains("must be superuser"), "{told}");
    assert!(refused(&shell, "ann", "first word", "SELECT 1").contains("password authentication failed"));

    // They outlive the master, and the administrator's file is not looked at again.
    fs::write(directory.path().join("password"), "another\n").expect("room");
    let path = directory.path().join("password").display().to_string();
    cluster.restart_master(&["--admin-password-file", &path]);
    let shell = cluster.shell();
    wait_for("the master's segment", WITHIN, || {
        run_as(&shell, "damson", ADMIN, "SELECT * FROM t").success.then_some(())
    });
    assert!(refused(&shell, "damson", "another", "SELECT 1").contains("password authentication failed"));
    assert_eq!(
        run_as(&shell, "ann", "second word", "SELECT current_user, session_user").stdout.lines().nth(1),
        Some("ann,ann")
    );
    for word in ["first word", "second word", ADMIN] {
        assert!(!is_in_a_file(cluster.directory(), word), "{word} is in a file of the cluster");
    }

    admin(&shell, "ALTER ROLE ann VALID UNTIL '2020-01-01'");
    assert!(refused(&shell, "ann", "second word", "SELECT 1").contains("password authentication failed"));
    admin(&shell, "ALTER ROLE ann VALID UNTIL 'infinity' NOLOGIN");
    let told = refused(&shell, "ann", "second word", "SELECT 1");
    assert!(told.contains("role \"ann\" is not permitted to log in"), "{told}");
}

#[test]
fn a_master_without_a_password_lets_nobody_in() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let rules = directory.path().join("hba.conf");
    fs::write(&rules, "host all all all scram-sha-256\n").expect("room");
    let master_arguments = vec!["--hba-file".to_owned(), rules.display().to_string()];
    let cluster = ProcessCluster::start_with(Setup { segments: 1, master_arguments, ..Setup::default() });
    let shell = cluster.shell();
    for password in ["", "damson"] {
        assert!(refused(&shell, "damson", password, "SELECT 1").contains("password authentication failed"));
    }
}

#[test]
fn rules_are_read_again_at_sighup() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let rules = directory.path().join("hba.conf");
    let write = |text: &str| fs::write(&rules, text).expect("room");
    write("host all all 127.0.0.1/32 trust\n");
    let master_arguments = vec!["--hba-file".to_owned(), rules.display().to_string()];
    let mut cluster = ProcessCluster::start_with(Setup { segments: 1, master_arguments, ..Setup::default() });
    let shell = cluster.shell();
    assert!(run_as(&shell, "damson", "", "SELECT 1").success);
    let told = refused(&shell, "nobody", "", "SELECT 1");
    assert!(told.contains("role \"nobody\" does not exist"), "{told}");

    write("host all all 127.0.0.1/32 reject\n");
    cluster.master().signal(Signal::SIGHUP);
    wait_for("the new rules", WITHIN, || {
        let run = run_as(&shell, "damson", "", "SELECT 1");
        run.stderr.contains("pg_hba.conf rejects connection for host \"127.0.0.1\", user \"damson\"").then_some(())
    });
    // Rules that are none change nothing, and the log says which line.
    write("host all all\n");
    cluster.master().signal(Signal::SIGHUP);
    wait_for("what is wrong with them", WITHIN, || {
        cluster.master().stderr().contains("line 1: the address is missing").then_some(())
    });
    assert!(refused(&shell, "damson", "", "SELECT 1").contains("pg_hba.conf rejects"));
    write("host all damson all trust\n");
    cluster.master().signal(Signal::SIGHUP);
    wait_for("the rules of before", WITHIN, || run_as(&shell, "damson", "", "SELECT 1").success.then_some(()));
    let told = refused(&shell, "nobody", "", "SELECT 1");
    assert!(told.contains("no pg_hba.conf entry for host \"127.0.0.1\""), "{told}");
}

async fn channel(cluster: &ProcessCluster) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", cluster.client_address())).expect("an address");
    endpoint.connect().await.expect("a connection")
}

fn state_of(status: &Status) -> String {
    let state = status.metadata().get("sqlstate").expect("every refusal has one");
    state.to_str().expect("text").to_owned()
}

/// Row 36: they are throttled and logged, and others go on.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_wrong_passwords() {
    const GUESSES: usize = 10_000;
    let (_directory, mut cluster) = with_passwords();
    let mut inside = FlightSqlServiceClient::new_from_inner(FlightServiceClient::new(channel(&cluster).await));
    inside.handshake("damson", ADMIN).await.expect("the right one");
    let before = cluster.master().rss_bytes();
    let mut guesser = FlightServiceClient::new(channel(&cluster).await);
    let mut states = vec![];
    let began = Instant::now();
    for i in 0..GUESSES {
        let mut request = Request::new(stream::iter([HandshakeRequest::default()]));
        // "damson:wrong", or of a user who is none.
        let credentials = if i % 2 == 0 { "Basic ZGFtc29uOndyb25n" } else { "Basic bm9ib2R5Ondyb25n" };
        request.metadata_mut().insert("authorization", credentials.parse().expect("text"));
        states.push(state_of(&guesser.handshake(request).await.expect_err("it is wrong")));
    }
    let checked = states.iter().filter(|state| *state == "28P01").count();
    // Who waits long enough is looked at again.
    let checked_max = 100 + began.elapsed().as_secs() as usize;
    assert!((10..checked_max).contains(&checked), "{checked} were looked at, {checked_max} at most");
    assert!(states.iter().all(|state| state == "28P01" || state == "53300"));
    assert!(states[GUESSES - 100..].iter().filter(|state| *state == "53300").count() > 90);
    let logged = cluster.master().stderr().lines().filter(|l| l.contains("password authentication failed")).count();
    assert_eq!(logged, checked, "each is logged that was looked at");
    let grown = cluster.master().rss_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    // From there not even the right one is taken for a while; who is in stays in. The end of a wait is no good time to see that.
    const WAIT_MIN: u64 = 15;
    wait_for("a long wait", Duration::from_secs(120), || {
        let run = run_as(&cluster.shell(), "damson", "wrong", "SELECT 1");
        let (_, hint) = run.stderr.split_once("Try again in ")?;
        let seconds = hint.split(' ').next().and_then(|text| text.parse::<u64>().ok());
        seconds.filter(|seconds| *seconds >= WAIT_MIN)
    });
    let run = run_as(&cluster.shell(), "damson", ADMIN, "SELECT 1");
    assert!(!run.success && run.stderr.contains("too many failed attempts"), "{}", run.stderr);
    inside.execute("SELECT 1".into(), None).await.expect("its session goes on");
}

/// Clients that do not log in show user and password with every call.
#[tokio::test(flavor = "multi_thread")]
async fn basic_on_every_call() {
    let (_directory, cluster) = with_passwords();
    admin(&cluster.shell(), "CREATE ROLE ann LOGIN PASSWORD 'right'");
    let mut client = FlightServiceClient::new(channel(&cluster).await);
    let mut call = async |authorization: Option<&str>| {
        let mut request = Request::new(FlightDescriptor::new_cmd(CommandGetTableTypes {}.as_any().encode_to_vec()));
        if let Some(value) = authorization {
            request.metadata_mut().insert("authorization", value.parse().expect("text"));
        }
        client.get_flight_info(request).await.map(|_| ()).map_err(|status| state_of(&status))
    };
    let (right, wrong) = ("Basic YW5uOnJpZ2h0", "Basic YW5uOndyb25n");
    assert_eq!(call(None).await, Err("28000".into()));
    assert_eq!(call(Some("Bearer 0123456789abcdef")).await, Err("28000".into()));
    assert_eq!(call(Some(wrong)).await, Err("28P01".into()));
    for _ in 0..3 {
        assert_eq!(call(Some(right)).await, Ok(()));
        // On the same connection, after the right one.
        assert_eq!(call(Some(wrong)).await, Err("28P01".into()));
    }
    assert_eq!(call(Some(right)).await, Ok(()));
}

#[test]
fn a_standby_knows_the_roles() {
    let Some(postgres) = PostgresServer::start() else { return };
    let (_directory, master_arguments) = admin_password();
    let catalog = Some(postgres.url().to_owned());
    let setup = Setup { segments: 1, catalog, master_arguments, ..Setup::default() };
    let mut cluster = ProcessCluster::start_with(setup);
    admin(
        &cluster.shell(),
        "CREATE TABLE t AS SELECT 7 AS a; CREATE ROLE ann LOGIN PASSWORD 'right'; GRANT SELECT ON t TO ann",
    );
    cluster.fail_over();
    let shell = cluster.shell();
    wait_for("the other master", WITHIN, || {
        let run = run_as(&shell, "ann", "right", "SELECT a FROM t");
        run.success.then(|| assert_eq!(run.stdout, "a\n7\n"))
    });
    assert!(refused(&shell, "ann", "wrong", "SELECT 1").contains("password authentication failed"));
    assert!(refused(&shell, "ann", "right", "DELETE FROM t").contains("permission denied for table t"));
}

/// Takes minutes.
const LONG: &str = "SELECT count(*) FROM generate_series(1, 200000) AS a(x), generate_series(1, 200000) AS b(y) WHERE x * 3 = y * 7 + 1 OR x * y = 7";

/// The number of the session that runs [`LONG`], once it does.
fn long_running(shell: &Shell) -> String {
    let sql =
        "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%200000%' AND pid <> pg_backend_pid()";
    wait_for("the long query", WITHIN, || shell.rows(sql).first().map(|row| row[0].clone()))
}

#[test]
fn an_administrator_sees_and_ends_sessions() {
    let cluster = ProcessCluster::start(1);
    let shell = cluster.shell();
    shell.execute("CREATE ROLE ann LOGIN; CREATE TABLE t (a int) DISTRIBUTED BY (a)");
    let mut query = shell.spawn("query", cluster.directory(), LONG);
    let pid = long_running(&shell);
    // Others see that there is a session, not what it does.
    let seen =
        run_as(&shell, "ann", "", &format!("SELECT usename, state, query FROM pg_stat_activity WHERE pid = {pid}"));
    assert_eq!(seen.stdout, "usename,state,query\ndamson,,<insufficient privilege>\n");
    let told = refused(&shell, "ann", "", &format!("SELECT pg_cancel_backend({pid})"));
    assert!(told.contains("must be a superuser"), "{told}");
    assert_eq!(shell.value("SELECT pg_cancel_backend(0)"), "f");
    assert_eq!(shell.value(&format!("SELECT pg_cancel_backend({pid})")), "t");
    assert!(!query.wait(WITHIN).success());
    assert!(query.stderr().contains("canceling statement"), "{}", query.stderr());

    let script = format!("BEGIN; INSERT INTO t VALUES (1); {LONG}; COMMIT");
    let mut transaction = shell.spawn("transaction", cluster.directory(), &script);
    let pid = long_running(&shell);
    assert_ne!(shell.value("SELECT count(*) FROM pg_locks"), "0");
    assert_eq!(shell.value(&format!("SELECT pg_terminate_backend({pid})")), "t");
    assert!(!transaction.wait(WITHIN).success());
    wait_for("the end of its transaction", WITHIN, || {
        (shell.value("SELECT count(*) FROM pg_locks") == "0").then_some(())
    });
    assert_eq!(shell.value("SELECT count(*) FROM t"), "0");
    assert_eq!(shell.value(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}")), "0");
}

#[test]
fn a_role_has_no_more_sessions_than_its_limit() {
    let cluster = ProcessCluster::start(1);
    let shell = cluster.shell();
    shell.execute("CREATE ROLE ann LOGIN CONNECTION LIMIT 1");
    let mut first = shell.command("csv", &["--user", "ann", "-c", LONG]).spawn().expect("the shell runs");
    long_running(&shell);
    let told = refused(&shell, "ann", "", "SELECT 1");
    assert!(told.contains("too many connections for role \"ann\""), "{told}");
    first.kill().expect("it runs");
    first.wait().expect("it was killed");
}
