//! Sessions that say nothing for too long.

use crate::clients::connect as flight_sql;
use crate::pg_bytes::{error_of, message, opening, read_to};
use arrow_flight::sql::client::FlightSqlServiceClient;
use damson_tests::processes::{ProcessCluster, Setup, Shell, wait_for};
use futures::{SinkExt, TryStreamExt};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};
use tonic::transport::Channel;

const WITHIN: Duration = Duration::from_secs(30);
/// What the tests' sessions may be; long enough for a busy machine to send the next statement.
const IDLE: &str = "2s";
/// Longer than who is idle lives: idle sessions are looked for every second.
const LONG: Duration = Duration::from_millis(4_500);
/// As long.
const SLEEP: &str = "SELECT pg_sleep(4.5)";

/// A session of the PostgreSQL protocol, and how its connection ends.
async fn connect(cluster: &ProcessCluster) -> (Client, JoinHandle<Result<(), tokio_postgres::Error>>) {
    let mut config = Config::new();
    config.host("127.0.0.1").port(cluster.postgres_address().port()).user("damson").dbname("damson");
    let (client, connection) = config.connect(NoTls).await.expect("the rules let it in");
    (client, tokio::spawn(connection))
}

/// SQLSTATE and message with which the server has ended a connection.
async fn farewell(connection: JoinHandle<Result<(), tokio_postgres::Error>>) -> (String, String) {
    let ended = tokio::time::timeout(WITHIN, connection).await.expect("it ends").expect("no panic");
    let error = ended.expect_err("the server has ended it");
    let error = error.as_db_error().unwrap_or_else(|| panic!("the server says why, not {error:?}"));
    assert_eq!(error.severity(), "FATAL");
    (error.code().code().to_owned(), error.message().to_owned())
}

fn said(state: &str, which: &str) -> (String, String) {
    (state.to_owned(), format!("terminating connection due to {which} timeout"))
}

fn until_nothing_is_locked(shell: &Shell) {
    wait_for("the end of its transaction", WITHIN, || {
        (shell.value("SELECT count(*) FROM pg_locks") == "0").then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_postgresql_that_says_nothing_is_disconnected() {
    let cluster = ProcessCluster::start(1);
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k int) DISTRIBUTED BY (k)");

    let (client, connection) = connect(&cluster).await;
    let pid: i32 = client.query_one("SELECT pg_backend_pid()::int", &[]).await.expect("a number").get(0);
    let is_there = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
    assert_eq!(shell.value(&is_there), "1");
    client.batch_execute(&format!("SET idle_session_timeout = '{IDLE}'")).await.expect("a setting");
    // Whoever works, or is waited for, is not idle; nor is it idle in a transaction, which has a time of its own.
    client.batch_execute(SLEEP).await.expect("it is not idle");
    client.batch_execute("BEGIN").await.expect("a block");
    tokio::time::sleep(LONG).await;
    client.batch_execute("COMMIT").await.expect("it is not idle");
    let sink = client.copy_in::<_, bytes::Bytes>("COPY t FROM STDIN").await.expect("it may be written");
    futures::pin_mut!(sink);
    tokio::time::sleep(LONG).await;
    sink.send(bytes::Bytes::from_static(b"1\n")).await.expect("it is read");
    assert_eq!(sink.as_mut().finish().await.expect("a row"), 1);
    assert_eq!(farewell(connection).await, said("57P05", "idle-session"));
    assert_eq!(shell.value(&is_there), "0");

    let (client, connection) = connect(&cluster).await;
    let set = format!("SET idle_in_transaction_session_timeout = '{IDLE}'");
    client.batch_execute(&set).await.expect("a setting");
    tokio::time::sleep(LONG).await;
    client.batch_execute("BEGIN; INSERT INTO t VALUES (2)").await.expect("it is in no transaction");
    assert_eq!(farewell(connection).await, said("25P03", "idle-in-transaction"));
    until_nothing_is_locked(&shell);
    assert_eq!(shell.value("SELECT sum(k) FROM t"), "1");
    assert!(client.batch_execute("COMMIT").await.is_err());

    // A transaction that has failed is one; so is one whose cursor has rows that nobody asks for.
    for begin in
        ["BEGIN; SELECT 1 / 0", "BEGIN; DECLARE c CURSOR FOR SELECT x FROM generate_series(1, 10000000) AS g(x)"]
    {
        let (client, connection) = connect(&cluster).await;
        client.batch_execute(&set).await.expect("a setting");
        let begun = client.batch_execute(begin).await;
        if begun.is_ok() {
            let fetched = client.simple_query("FETCH 1 FROM c").await.expect("a row");
            assert_eq!(fetched.iter().filter(|message| matches!(message, SimpleQueryMessage::Row(_))).count(), 1);
        }
        assert_eq!(farewell(connection).await, said("25P03", "idle-in-transaction"), "{begin}");
    }
}

/// Who sends rows finds out that the COPY has failed when more of them are under way; it is idle afterwards all the same.
#[tokio::test]
async fn rows_that_come_after_their_copy_has_failed_keep_no_session() {
    let cluster = ProcessCluster::start(1);
    cluster.shell().execute("CREATE TABLE u (k int) DISTRIBUTED BY (k)");
    let mut stream = TcpStream::connect(cluster.postgres_address()).await.expect("it listens");
    let set = format!("SET idle_session_timeout = '{IDLE}'\0");
    stream.write_all(&[opening(), message(b'Q', set.as_bytes())].concat()).await.expect("it is read");
    read_to(&mut stream, Some(b'Z')).await;
    read_to(&mut stream, Some(b'Z')).await;
    let copy = [
        message(b'Q', b"COPY u FROM STDIN\0"),
        message(b'd', b"no number\n"),
        message(b'd', b"2\n"),
        message(b'c', b""),
        message(b'f', b"enough\0"),
        message(b'H', b""),
    ];
    stream.write_all(&copy.concat()).await.expect("it is read");
    assert_eq!(error_of(&read_to(&mut stream, Some(b'Z')).await).as_deref(), Some("22P02"));
    let told = tokio::time::timeout(WITHIN, read_to(&mut stream, None)).await.expect("it is idle");
    assert_eq!(error_of(&told).as_deref(), Some("57P05"), "{told:?}");
}

type Flight = FlightSqlServiceClient<Channel>;

async fn execute(client: &mut Flight, sql: &str) -> Result<i64, String> {
    client.execute_update(sql.to_owned(), None).await.map_err(|error| error.to_string())
}

/// How many a query has.
async fn rows(client: &mut Flight, sql: &str) -> usize {
    let info = client.execute(sql.to_owned(), None).await.expect(sql);
    let ticket = info.endpoint[0].ticket.clone().expect("a ticket");
    let batches: Vec<_> = client.do_get(ticket).await.expect(sql).try_collect().await.expect(sql);
    batches.iter().map(|batch| batch.num_rows()).sum()
}

async fn is_told(client: &mut Flight, sql: &str, state: &str, message: &str) {
    let told = execute(client, sql).await.expect_err(sql);
    assert!(told.contains(state) && told.contains(message), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_flight_sql_that_says_nothing_is_told_by_its_next_call() {
    let options = ["--idle-in-transaction-session-timeout", IDLE];
    let master_arguments = options.map(str::to_owned).into();
    let cluster = ProcessCluster::start_with(Setup { segments: 1, master_arguments, ..Setup::default() });
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k int) DISTRIBUTED BY (k)");
    let show = "SHOW idle_in_transaction_session_timeout";
    assert_eq!(shell.value(show), IDLE);
    assert_eq!(shell.value("SHOW idle_session_timeout"), "0");
    let script = format!("SET idle_in_transaction_session_timeout = '3min'; {show}; RESET ALL; {show}");
    let changed = shell.run("csv", &["-c", &script]);
    assert!(changed.success && changed.stdout.contains("3min"), "{changed:?}");
    assert!(changed.stdout.trim_end().ends_with(IDLE), "{changed:?}");
    let refused = shell.run("csv", &["-c", "SET idle_session_timeout = 'soon'"]);
    assert!(!refused.success && refused.stderr.contains("invalid value for parameter"), "{refused:?}");

    let set = format!("SET idle_session_timeout = '{IDLE}'");
    let mut client = flight_sql(cluster.client_address()).await;
    client.handshake("somebody", "").await.expect("the rules let it in");
    execute(&mut client, "BEGIN").await.expect("a block");
    execute(&mut client, "INSERT INTO t VALUES (1)").await.expect("a row");
    until_nothing_is_locked(&shell);
    is_told(&mut client, "COMMIT", "25P03", "terminating connection due to idle-in-transaction timeout").await;
    is_told(&mut client, "INSERT INTO t VALUES (2)", "28000", "the session is not known").await;
    assert_eq!(shell.value("SELECT count(*) FROM t"), "0");

    let mut client = flight_sql(cluster.client_address()).await;
    client.handshake("somebody", "").await.expect("the rules let it in");
    execute(&mut client, &set).await.expect("a setting");
    // While something runs, it is not idle.
    assert_eq!(rows(&mut client, SLEEP).await, 1);
    assert_eq!(rows(&mut client, "SELECT k FROM t").await, 0);
    tokio::time::sleep(LONG).await;
    is_told(&mut client, "INSERT INTO t VALUES (4)", "57P05", "terminating connection due to idle-session timeout")
        .await;
    is_told(&mut client, "INSERT INTO t VALUES (5)", "28000", "the session is not known").await;

    // Without a login a session is its connection's, which gets another when it knows.
    let mut anonymous = flight_sql(cluster.client_address()).await;
    execute(&mut anonymous, &set).await.expect("a setting");
    tokio::time::sleep(LONG).await;
    is_told(&mut anonymous, "INSERT INTO t VALUES (6)", "57P05", "idle-session timeout").await;
    execute(&mut anonymous, "INSERT INTO t VALUES (7)").await.expect("a new session");
    // So it is told of an administrator's command.
    let pid = shell.value("SELECT pid FROM pg_stat_activity WHERE query LIKE 'INSERT INTO t VALUES (7)%'");
    assert_eq!(shell.value(&format!("SELECT pg_terminate_backend({pid})")), "t");
    is_told(&mut anonymous, "INSERT INTO t VALUES (8)", "57P01", "administrator command").await;
    execute(&mut anonymous, "INSERT INTO t VALUES (9)").await.expect("a new session");
    assert_eq!(shell.rows("SELECT k FROM t ORDER BY k"), [["7"], ["9"]]);
}
