//! Clients that are not ours: two JDBC drivers, node-postgres, ADBC from Python, and what drivers do that the shell does not.

use arrow_flight::Action;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use damson_tests::processes::ProcessCluster;
use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tonic::transport::{Channel, Endpoint};

pub(crate) const JDBC_STEPS: [&str; 8] =
    ["connect", "metadata", "batch", "parameters", "rows", "parallel", "cancel", "close"];
pub(crate) const ADBC_STEPS: [&str; 7] = ["connect", "metadata", "batch", "parameters", "rows", "parallel", "ingest"];
const PG_JDBC_STEPS: [&str; 24] = [
    "connect",
    "metadata",
    "types",
    "types simple",
    "types binary",
    "nulls",
    "arrays",
    "prepared",
    "altered",
    "batch",
    "batch rewritten",
    "fetch size",
    "many rows",
    "transactions",
    "savepoints",
    "autosave",
    "errors",
    "warnings",
    "several statements",
    "keys",
    "copy",
    "cancel",
    "timeout",
    "settings",
];

/// The jar of a JDBC driver, as `scripts/jdbc-driver` calls it; None, loudly, where there is no Java.
///
/// # Panics
/// Where there is none, and `DAMSON_REQUIRE_CLIENTS` is 1.
pub(crate) fn jdbc_driver(name: &str) -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/jdbc-driver");
    let output = Command::new(script).arg(name).output().expect("scripts/jdbc-driver runs");
    let jar = String::from_utf8(output.stdout).expect("a path");
    if !jar.trim().is_empty() {
        return Some(jar.trim().into());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(std::env::var("DAMSON_REQUIRE_CLIENTS").as_deref() != Ok("1"), "no JDBC driver: {said}");
    eprintln!("\nNO JDBC DRIVER HERE: its test is SKIPPED: {said}\n");
    None
}

#[test]
fn jdbc_does_what_its_users_do() {
    let Some(jar) = jdbc_driver("flight-sql") else { return };
    let cluster = ProcessCluster::start(2);
    cluster.shell().execute("CREATE TABLE t (k int PRIMARY KEY, w text) DISTRIBUTED BY (k)");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/java/FlightJdbc.java");
    let output = Command::new("java")
        // The driver's memory is outside Java's.
        .arg("--add-opens=java.base/java.nio=ALL-UNNAMED")
        .arg("-cp")
        .arg(jar)
        .arg(program)
        .arg(cluster.client_address().port().to_string())
        .output()
        .expect("Java runs");
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{failed}");
    let passed: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("passed ")).collect();
    assert_eq!(passed, JDBC_STEPS, "{failed}");
}

/// What a client's program said, once it has ended well.
pub(crate) fn passed(mut program: Command) -> Vec<String> {
    let output = program.output().expect("the program runs");
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{failed}");
    said.lines().filter_map(|line| line.strip_prefix("passed ")).map(str::to_owned).collect()
}

#[test]
fn the_jdbc_driver_of_postgresql_does_what_its_users_do() {
    let Some(jar) = jdbc_driver("postgresql") else { return };
    let cluster = ProcessCluster::start(2);
    let mut program = Command::new("java");
    program.arg("-cp").arg(jar);
    program.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/java/PgJdbc.java"));
    program.arg(cluster.postgres_address().port().to_string());
    assert_eq!(passed(program), PG_JDBC_STEPS);
}

/// node-postgres' program with its packages; None, loudly, where there is no Node.js.
///
/// # Panics
/// Where there is none, and `DAMSON_REQUIRE_CLIENTS` is 1.
fn node_postgres() -> Option<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(tests.join("../scripts/node-client")).arg(tests.join("clients/node")).output();
    let output = output.expect("scripts/node-client runs");
    let directory = String::from_utf8(output.stdout).expect("a path");
    if !directory.trim().is_empty() {
        return Some(Path::new(directory.trim()).join("pg.mjs"));
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(std::env::var("DAMSON_REQUIRE_CLIENTS").as_deref() != Ok("1"), "no node-postgres: {said}");
    eprintln!("\nNO NODE-POSTGRES HERE: its test is SKIPPED: {said}\n");
    None
}

#[test]
fn node_postgres_does_what_its_users_do() {
    let Some(program) = node_postgres() else { return };
    let cluster = ProcessCluster::start(2);
    let mut node = Command::new("node");
    node.arg(program).arg(cluster.postgres_address().port().to_string());
    let steps =
        ["connect", "parameters", "types", "cursor", "transactions", "errors", "cancel", "timeout", "copy", "pool"];
    assert_eq!(passed(node), steps);
}

/// A Python with ADBC's driver; None, loudly, where there is none.
///
/// # Panics
/// Where there is none, and `DAMSON_REQUIRE_CLIENTS` is 1.
pub(crate) fn adbc_python() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/duckdb-python");
    let output = Command::new(script).args(["pyarrow", "adbc_driver_flightsql"]).output();
    let output = output.expect("scripts/duckdb-python runs");
    let python = String::from_utf8(output.stdout).expect("a path");
    if !python.trim().is_empty() {
        return Some(python.trim().into());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(std::env::var("DAMSON_REQUIRE_CLIENTS").as_deref() != Ok("1"), "no ADBC driver: {said}");
    eprintln!("\nNO ADBC DRIVER HERE: its test is SKIPPED: {said}\n");
    None
}

#[test]
fn adbc_does_what_its_users_do() {
    let Some(python) = adbc_python() else { return };
    let cluster = ProcessCluster::start(2);
    cluster.shell().execute("CREATE TABLE a (k int PRIMARY KEY, w text) DISTRIBUTED BY (k)");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python/flight_adbc.py");
    let port = cluster.client_address().port().to_string();
    let output = Command::new(python).arg(program).arg(port).output().expect("Python runs");
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{failed}");
    let passed: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("passed ")).collect();
    assert_eq!(passed, ADBC_STEPS, "{failed}");
}

pub(crate) async fn connect(address: SocketAddr) -> FlightSqlServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let channel = endpoint.connect().await.expect("a connection");
    FlightSqlServiceClient::new_from_inner(FlightServiceClient::new(channel))
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_bound_to_an_insert_are_one_statement() {
    const ROWS: i32 = 1_000;
    let cluster = ProcessCluster::start(2);
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k int PRIMARY KEY, w text) DISTRIBUTED BY (k)");
    let snapshot = || -> i64 { shell.value("SHOW transaction_snapshot").parse().expect("a number") };

    let mut client = connect(cluster.client_address()).await;
    client.handshake("somebody", "").await.unwrap();
    let mut insert = client.prepare("INSERT INTO t (w, k) VALUES ($2, $1)".into(), None).await.unwrap();
    let rows = |keys: Vec<i32>| {
        let words = keys.iter().map(|k| (k % 7 != 0).then(|| format!("w{k}"))).collect::<StringArray>();
        let columns = [("1", Arc::new(Int32Array::from(keys)) as ArrayRef), ("2", Arc::new(words) as ArrayRef)];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    let before = snapshot();
    insert.set_parameters(rows((0..ROWS).collect())).unwrap();
    assert_eq!(insert.execute_update().await.unwrap(), i64::from(ROWS));
    let commits = snapshot() - before;
    assert!((1..10).contains(&commits), "{commits} commits");
    assert_eq!(shell.value("SELECT count(*) FROM t WHERE w = 'w' || k::text"), "857");
    assert_eq!(shell.value("SELECT count(*) FROM t WHERE w IS NULL"), "143");

    // All of them or none: the last key is there already.
    let again = (ROWS..ROWS + 10).chain([5]).collect();
    insert.set_parameters(rows(again)).unwrap();
    let error = insert.execute_update().await.unwrap_err().to_string();
    assert!(error.contains("duplicate key"), "{error}");
    assert_eq!(shell.value("SELECT count(*) FROM t"), ROWS.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn session_options_are_settings() {
    let cluster = ProcessCluster::start(1);
    let endpoint = Endpoint::from_shared(format!("http://{}", cluster.client_address())).expect("an address");
    let mut client = FlightServiceClient::new(endpoint.connect().await.expect("a connection"));
    let mut act = async |name: &str, body: Vec<u8>| -> Vec<u8> {
        let action = Action { r#type: name.into(), body: body.into() };
        let mut results = client.do_action(action).await.unwrap().into_inner();
        results.message().await.unwrap().expect("a result").body.to_vec()
    };
    // `application_name` is the text "of a test"; and an option that there is not.
    let option = |name: &str, value: &str| {
        let value = [&[0x0a, value.len() as u8][..], value.as_bytes()].concat();
        let entry = [&[0x0a, name.len() as u8][..], name.as_bytes(), &[0x12, value.len() as u8], &value].concat();
        [&[0x0a, entry.len() as u8][..], &entry].concat()
    };
    let request = [option("application_name", "of a test"), option("nothing", "x")].concat();
    let refused = act("SetSessionOptions", request).await;
    // One error, INVALID_NAME, of "nothing".
    assert_eq!(refused, [&[0x0a, 13, 0x0a, 7][..], b"nothing", &[0x12, 2, 0x08, 1]].concat());
    let options = act("GetSessionOptions", vec![]).await;
    let has = |wanted: Vec<u8>| options.windows(wanted.len()).any(|part| part == wanted);
    assert!(has(option("application_name", "of a test")), "{options:?}");
    assert!(has(option("catalog", "damson")) && has(option("schema", "public")), "{options:?}");
}
