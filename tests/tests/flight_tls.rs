//! TLS of Flight SQL: who gets it, what rules make of it, what the shell says of servers that it cannot trust, and clients that are not ours.

use crate::clients::{ADBC_STEPS, JDBC_STEPS, adbc_python, connect, jdbc_driver, passed};
use crate::pg_tls::{Certificate, Scene};
use crate::roles::{ADMIN, WITHIN};
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use damson_tests::processes::{ProcessCluster, ShellRun, binary, free_ports, wait_for};
use datafusion::arrow::array::RecordBatch;
use futures::TryStreamExt;
use hyper_util::rt::TokioIo;
use nix::sys::signal::Signal;
use rustls::pki_types::ServerName;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

const TLS_ONLY: &str = "hostssl all all 127.0.0.1/32 scram-sha-256\n";
/// A handshake that does not come is waited for so long; so much later at most on a busy machine.
const TLS_HANDSHAKE: Duration = Duration::from_secs(15);
const LATE: Duration = Duration::from_secs(15);
/// Connections whose end may overtake the words that say why.
const TRIES: usize = 20;

/// `damson COMMAND --url … --user … ARGUMENTS`.
fn damson(command: &str, url: &str, user: &str, arguments: &[&str]) -> Command {
    let mut process = Command::new(binary());
    process.args([command, "--url", url, "--user", user]).args(arguments);
    process.env("DAMSON_PASSWORD", ADMIN).env_remove("DAMSON_TLS_CA").stdin(Stdio::null());
    process
}

fn run(mut command: Command) -> ShellRun {
    let output = command.output().expect("the command runs");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("UTF-8"));
    ShellRun { success: output.status.success(), stdout, stderr }
}

/// A statement of the administrator, with a certificate's file.
fn admin(url: &str, ca: &Path, sql: &str) -> ShellRun {
    let ca = ca.display().to_string();
    run(damson("sql", url, "damson", &["--format", "csv", "--tls-ca", &ca, "-c", sql]))
}

fn url(scheme: &str, cluster: &ProcessCluster) -> String {
    format!("{scheme}://{}", cluster.client_address())
}

#[track_caller]
fn refused(run: ShellRun, told: &str) {
    assert!(!run.success && run.stderr.contains(told), "{run:?}");
}

/// HTTP/2 under TLS to a server whose certificate is trusted.
async fn encrypted(certificate: &Certificate, address: SocketAddr) -> FlightSqlServiceClient<Channel> {
    let connector = certificate.http2_client();
    let connect = service_fn(move |_| {
        let connector = connector.clone();
        async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            let name = ServerName::from(address.ip());
            Ok::<_, io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let channel = endpoint.connect_with_connector(connect).await.expect("a connection");
    FlightSqlServiceClient::new_from_inner(FlightServiceClient::new(channel))
}

async fn rows(client: &mut FlightSqlServiceClient<Channel>, sql: &str) -> Result<usize, FlightError> {
    let info = client.execute(sql.to_owned(), None).await?;
    let ticket = info.endpoint[0].ticket.clone().expect("a ticket");
    let batches: Vec<RecordBatch> = client.do_get(ticket).await?.try_collect().await?;
    Ok(batches.iter().map(RecordBatch::num_rows).sum())
}

#[test]
fn the_shell_and_the_tools_go_over_tls() {
    let scene = Scene::start(TLS_ONLY);
    let (ca, cluster) = (&scene.certificate.path, &scene.cluster);
    for scheme in ["flight+tls", "grpc+tls", "https", "flight"] {
        let run = admin(&url(scheme, cluster), ca, "SELECT current_user");
        assert_eq!(run.stdout, "current_user\ndamson\n", "{scheme}: {run:?}");
    }
    // By the name that the certificate has, too; from the environment; more than any buffer on the way has.
    let named = format!("flight+tls://localhost:{}", cluster.client_address().port());
    let mut command = damson("sql", &named, "damson", &["--format", "csv"]);
    command.args(["-c", "SELECT repeat('x', 1000) AS x FROM generate_series(1, 20000)"]).env("DAMSON_TLS_CA", ca);
    let run_of_many = run(command);
    assert!(run_of_many.stdout.len() > 20_000_000, "{}", run_of_many.stderr);

    // Of several masters one answers; \c is another session under the same conditions.
    let nobody = free_ports(1)[0];
    let several = format!("flight+tls://127.0.0.1:{nobody},{}", cluster.client_address());
    let again = admin(&several, ca, "\\c\nSELECT 1 AS one");
    assert!(again.success && again.stdout.ends_with("one\n1\n"), "{again:?}");

    // Where an address leaves it open, so is one to another server.
    for to in [cluster.client_address().to_string(), url("flight", cluster), url("grpc", cluster)] {
        let moved = admin(&url("flight+tls", cluster), ca, &format!("\\c {to}\n\\conninfo\nSELECT 1 AS one"));
        assert!(moved.success && moved.stdout.ends_with("one\n1\n"), "{to}: {moved:?}");
        assert!(moved.stderr.contains("+tls://"), "{to}: {moved:?}");
    }

    let ca = ca.display().to_string();
    let check = run(damson("check", &url("flight", cluster), "damson", &["--tls-ca", &ca]));
    assert!(check.success && check.stdout.starts_with("Nothing is wrong"), "{check:?}");
    let status = run(damson("expand", &url("flight+tls", cluster), "damson", &["--tls-ca", &ca, "--status"]));
    // Nobody else than the cluster knows that.
    refused(status, "ERROR:  no expansion is set up\n");
}

#[test]
fn a_server_that_cannot_be_trusted_is_not_spoken_to() {
    let scene = Scene::start(TLS_ONLY);
    let (elsewhere, to) = (tempfile::tempdir().expect("a temporary directory"), url("flight+tls", &scene.cluster));
    let other = Certificate::make(elsewhere.path());
    let told = format!("the server's certificate is of nobody whom {} trusts", other.path.display());
    refused(admin(&to, &other.path, "SELECT 1"), &told);
    let of_system = damson("sql", &to, "damson", &["-c", "SELECT 1"]);
    let told = run(of_system);
    // A system may trust nobody at all.
    let words = ["the server's certificate is of nobody whom the system trusts", "the system trusts no certificates"];
    assert!(!told.success && words.iter().any(|words| told.stderr.contains(words)), "{told:?}");
    refused(admin(&to, Path::new("/nowhere/ca.pem"), "SELECT 1"), "cannot use /nowhere/ca.pem: No such file");
    refused(
        run(damson("sql", &url("grpc+tcp", &scene.cluster), "damson", &["--tls", "-c", "SELECT 1"])),
        "is an address without TLS, and --tls asks for it",
    );
    refused(
        admin(&url("http", &scene.cluster), &scene.certificate.path, "SELECT 1"),
        "is an address without TLS, and --tls-ca (or DAMSON_TLS_CA) asks for it",
    );
}

#[test]
fn a_certificate_of_another_name_is_refused() {
    let scene = Scene::start_as(&["warehouse.example.org"], 1, TLS_ONLY);
    let run = admin(&url("flight+tls", &scene.cluster), &scene.certificate.path, "SELECT 1");
    refused(run, "the server's certificate is not for \"127.0.0.1\"");
}

#[test]
fn a_master_without_a_certificate_speaks_no_tls() {
    let (directory, cluster) = crate::roles::with_passwords();
    let certificate = Certificate::make(directory.path());
    let mut told = vec![];
    while !told.last().is_some_and(|run: &ShellRun| run.stderr.contains("the server does not speak TLS")) {
        assert!(told.len() < TRIES, "{told:?}");
        told.push(admin(&url("flight+tls", &cluster), &certificate.path, "SELECT 1"));
        assert!(told.iter().all(|run| !run.success), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_see_who_is_encrypted() {
    let scene = Scene::start(
        "hostssl    all  damson,carl  127.0.0.1/32  scram-sha-256\n\
         hostnossl  all  bob          127.0.0.1/32  trust\n",
    );
    let (ca, cluster) = (&scene.certificate.path, &scene.cluster);
    let (tls, clear) = (url("flight+tls", cluster), url("flight", cluster));
    let made = admin(&tls, ca, "CREATE ROLE bob LOGIN; CREATE ROLE carl LOGIN PASSWORD 'right'");
    assert!(made.success, "{made:?}");
    let of = |user: &str, encryption: &str| {
        format!(
            "no pg_hba.conf entry for host \"127.0.0.1\", user \"{user}\", database \"damson\", {encryption} (SQLSTATE 28000)"
        )
    };
    refused(run(damson("sql", &clear, "damson", &["-c", "SELECT 1"])), &of("damson", "no encryption"));
    let bob = run(damson("sql", &clear, "bob", &["--format", "csv", "-c", "SELECT current_user"]));
    assert_eq!(bob.stdout, "current_user\nbob\n", "{bob:?}");
    let ca = ca.display().to_string();
    refused(run(damson("sql", &tls, "bob", &["--tls-ca", &ca, "-c", "SELECT 1"])), &of("bob", "SSL encryption"));

    // Basic, as drivers do it; and a session that began under TLS is nobody's without.
    let address = cluster.client_address();
    let mut carl = encrypted(&scene.certificate, address).await;
    let wrong = carl.handshake("carl", "wrong").await.expect_err("it is wrong").to_string();
    assert!(wrong.contains("password authentication failed"), "{wrong}");
    carl.handshake("carl", "right").await.expect("it is right");
    assert_eq!(rows(&mut carl, "SELECT 1").await.expect("a row"), 1);
    let mut stolen = connect(address).await;
    stolen.set_token(carl.token().expect("the session's").clone());
    let told = rows(&mut stolen, "SELECT 1").await.expect_err("it is not his").to_string();
    assert!(told.contains("the session began over TLS, and this call came without"), "{told}");
    assert_eq!(rows(&mut carl, "SELECT 1").await.expect("a row"), 1);
}

/// Connections go on with the certificate that they began with, and new ones see the new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_while_it_serves() {
    let mut scene = Scene::start(TLS_ONLY);
    let to = url("flight+tls", &scene.cluster);
    let mut client = encrypted(&scene.certificate, scene.cluster.client_address()).await;
    client.handshake("damson", ADMIN).await.expect("the right password");
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let old = elsewhere.path().join("old.pem");
    std::fs::copy(&scene.certificate.path, &old).expect("room");
    let new = Certificate::make(scene.directory.path());
    scene.cluster.master().signal(Signal::SIGHUP);
    wait_for("the new certificate", WITHIN, || admin(&to, &new.path, "SELECT 1").success.then_some(()));
    refused(admin(&to, &old, "SELECT 1"), "the server's certificate is of nobody whom");
    assert_eq!(rows(&mut client, "SELECT * FROM generate_series(1, 10)").await.expect("rows"), 10);
}

/// Reads until the other side closes the connection, or breaks it; that it does neither within the socket's timeout is a failure.
fn until_closed(stream: &mut TcpStream) {
    let mut answer = [0; 4096];
    loop {
        match stream.read(&mut answer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the connection is still open")
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[test]
fn garbage_is_shown_out_and_others_do_not_notice() {
    let mut scene = Scene::start(TLS_ONLY);
    let address = scene.cluster.client_address();
    let connect = || {
        let stream = TcpStream::connect(address).expect("the port is open");
        stream.set_read_timeout(Some(TLS_HANDSHAKE + LATE)).expect("a socket");
        stream
    };
    let began = Instant::now();
    let mut silent = [connect(), connect(), connect()];
    // One that begins a handshake, and says no more.
    silent[1].write_all(b"\x16").expect("it is taken");
    silent[2].write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").expect("it is taken");
    for garbage in [
        b"\x16\x03\x01\xff\xff".repeat(4_000),
        b"\x16".repeat(100_000),
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f".to_vec(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"\xff".repeat(100_000),
    ] {
        let mut stream = connect();
        // It may have had enough before it has read all.
        let _ = stream.write_all(&garbage);
        until_closed(&mut stream);
        assert!(admin(&url("flight+tls", &scene.cluster), &scene.certificate.path, "SELECT 1").success);
    }
    for stream in &mut silent {
        until_closed(stream);
    }
    assert!(began.elapsed() < TLS_HANDSHAKE + 2 * LATE, "{:?}", began.elapsed());
    assert_eq!(scene.cluster.master().try_wait(), None, "the master ended");
    let log = scene.cluster.master().stderr();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn the_jdbc_driver_checks_the_certificate() {
    let Some(jar) = jdbc_driver("flight-sql") else { return };
    let scene = Scene::start_as(&["127.0.0.1"], 2, TLS_ONLY);
    let to = url("flight+tls", &scene.cluster);
    let made = admin(&to, &scene.certificate.path, "CREATE TABLE t (k int PRIMARY KEY, w text) DISTRIBUTED BY (k)");
    assert!(made.success, "{made:?}");
    let java = |certificate: &Certificate| {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/java/FlightJdbc.java");
        let mut java = Command::new("java");
        // The driver's memory is outside Java's.
        java.arg("--add-opens=java.base/java.nio=ALL-UNNAMED").arg("-cp").arg(&jar).arg(program);
        java.arg(scene.cluster.client_address().port().to_string()).arg(format!(
            "useEncryption=true&tlsRootCerts={}&user=damson&password={}",
            certificate.path.display(),
            ADMIN.replace(' ', "%20")
        ));
        java
    };
    assert_eq!(passed(java(&scene.certificate)), JDBC_STEPS);
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let output = java(&Certificate::make(elsewhere.path())).output().expect("Java runs");
    assert!(!output.status.success() && output.stdout.is_empty());
}

#[test]
fn adbc_checks_the_certificate() {
    let Some(python) = adbc_python() else { return };
    let scene = Scene::start_as(&["127.0.0.1"], 2, TLS_ONLY);
    let to = url("flight+tls", &scene.cluster);
    let made = admin(&to, &scene.certificate.path, "CREATE TABLE a (k int PRIMARY KEY, w text) DISTRIBUTED BY (k)");
    assert!(made.success, "{made:?}");
    let adbc = |certificate: &Certificate| {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python/flight_adbc.py");
        let mut adbc = Command::new(&python);
        adbc.arg(program).arg(scene.cluster.client_address().port().to_string()).arg(&certificate.path);
        adbc.env("DAMSON_USER", "damson").env("DAMSON_PASSWORD", ADMIN);
        adbc
    };
    assert_eq!(passed(adbc(&scene.certificate)), ADBC_STEPS);
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let output = adbc(&Certificate::make(elsewhere.path())).output().expect("Python runs");
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && failed.contains("certificate"), "{failed}");
}
