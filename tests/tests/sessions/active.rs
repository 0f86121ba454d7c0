//! `max_active_statements`: who waits for a place, who does not, and what gives one back. All of it with a single one.

use crate::clients::connect as flight_sql;
use crate::retrieve_segments::{at_segment, fetch, ticket};
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption};
use damson_tests::processes::{ProcessCluster, Setup};
use datafusion::arrow::array::{Int32Array, RecordBatch};
use futures::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage};
use tonic::transport::Channel;

/// What takes longer hangs.
const WITHIN: Duration = Duration::from_secs(60);
/// Places whose clients take no rows are others' after this time.
const UNUSED_MAX: Duration = Duration::from_secs(10);

/// Keeps the segments at work until it is cancelled.
const LONG: &str = "SELECT count(*) FROM big, generate_series(1, 1000000) AS g(x) WHERE k * x % 7 = 8";
const ROWS: usize = 200_000;

/// One place; ann, bob and carl may read and write `t`, which has the rows 1 to 3, and read `big`, whose rows are more than what is under way to a
/// client.
async fn cluster() -> (ProcessCluster, Client) {
    let master_arguments = ["--max-active-statements", "1"].map(str::to_owned).into();
    let cluster = ProcessCluster::start_with(Setup { segments: 2, master_arguments, ..Setup::default() });
    let admin = connect(&cluster, "damson").await;
    let made = format!(
        "CREATE TABLE t (k int, v int) DISTRIBUTED BY (k); INSERT INTO t VALUES (1, 0), (2, 0), (3, 0); \
         CREATE TABLE big AS SELECT x AS k, 'some text that takes a hundred bytes or more, so that the rows of the table \
         are more than what is under way' || x AS w FROM generate_series(1, {ROWS}) AS g(x) DISTRIBUTED BY (k); \
         CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE carl LOGIN; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON t TO ann, bob, carl; GRANT SELECT ON big TO ann, bob, carl"
    );
    admin.batch_execute(&made).await.expect("tables and roles");
    (cluster, admin)
}

async fn connect(cluster: &ProcessCluster, user: &str) -> Client {
    connect_for_now(cluster, user).await.0
}

/// With the connection, whose abort is the client's death; else it ends with the client.
async fn connect_for_now(cluster: &ProcessCluster, user: &str) -> (Client, JoinHandle<Result<(), Error>>) {
    let mut config = Config::new();
    config.host("127.0.0.1").port(cluster.postgres_address().port()).user(user).dbname("damson");
    let (client, connection) = config.connect(NoTls).await.expect("the rules let it in");
    (client, tokio::spawn(connection))
}

/// The rows' values, with `|` between.
async fn rows(client: &Client, sql: &str) -> Result<Vec<String>, Error> {
    let given = tokio::time::timeout(WITHIN, client.simple_query(sql)).await;
    let given = given.unwrap_or_else(|_| panic!("{sql} does not end"))?;
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|i| row.get(i).unwrap_or("")).collect::<Vec<_>>().join("|"))
        }
        _ => None,
    };
    Ok(given.iter().filter_map(row).collect())
}

async fn ok(client: &Client, sql: &str) -> Vec<String> {
    rows(client, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// A statement that goes on while others are sent.
fn start(client: Arc<Client>, sql: &'static str) -> JoinHandle<Result<Vec<String>, Error>> {
    tokio::spawn(async move { rows(&client, sql).await })
}

async fn ended(running: JoinHandle<Result<Vec<String>, Error>>) -> Result<Vec<String>, Error> {
    running.await.expect("no panic")
}

fn sqlstate(error: &Error) -> &str {
    error.code().map_or("", |code| code.code())
}

/// Waits until so many statements wait for a place.
async fn until_queued(admin: &Client, count: usize) {
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE wait_event_type = 'ResourceQueue' AND wait_event = 'max_active_statements' AND state = 'active'";
    until(admin, sql, &count.to_string()).await;
}

/// Waits until segments work on [`LONG`].
async fn until_long_runs(admin: &Client) {
    until(admin, "SELECT count(*) > 0 FROM pg_catalog.gp_running_slices WHERE slice > 0", "t").await;
}

async fn until(admin: &Client, sql: &str, wanted: &str) {
    let began = Instant::now();
    loop {
        let given = ok(admin, sql).await;
        if given == [wanted] {
            return;
        }
        assert!(began.elapsed() < WITHIN, "{sql}: {given:?}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_wait_in_turn_and_can_stop_waiting() {
    let (cluster, admin) = cluster().await;
    let long = Arc::new(connect(&cluster, "ann").await);
    let pid = ok(&long, "SELECT pg_backend_pid()").await.remove(0);
    let running = start(Arc::clone(&long), LONG);
    until_long_runs(&admin).await;

    // What segments have no part in does not wait, nor does a superuser.
    let bob = Arc::new(connect(&cluster, "bob").await);
    for sql in [
        "SHOW max_active_statements",
        "SELECT 1",
        "SELECT count(*) FROM pg_class",
        "SELECT count(*) FROM generate_series(1, 10)",
        "EXPLAIN SELECT * FROM t",
        "SELECT pg_sleep(0)",
        "BEGIN; SET LOCAL lock_timeout = '1s'; LOCK TABLE t IN ACCESS SHARE MODE; COMMIT",
        "CREATE TABLE mine (k int) DISTRIBUTED BY (k); DROP TABLE mine",
    ] {
        ok(&bob, sql).await;
    }
    assert_eq!(ok(&bob, "SHOW max_active_statements").await, ["1"]);
    assert_eq!(sqlstate(&rows(&bob, "SET max_active_statements = 2").await.unwrap_err()), "22023");
    assert_eq!(ok(&admin, "SELECT count(*) FROM t").await, ["3"]);

    // The rest waits: in which way it was sent makes no difference.
    let first = start(Arc::clone(&bob), "UPDATE t SET v = v + 1 WHERE k = 1");
    until_queued(&admin, 1).await;
    let second = Arc::new(connect(&cluster, "carl").await);
    let second = start(second, "SELECT v FROM t WHERE k = 1");
    until_queued(&admin, 2).await;
    let mut flight = flight_sql(cluster.client_address()).await;
    flight.handshake("carl", "").await.expect("the rules let it in");
    let third = tokio::spawn(async move { count(&mut flight, "SELECT * FROM t").await });
    until_queued(&admin, 3).await;

    // Who is tired of it.
    let (impatient, connection) = connect_for_now(&cluster, "carl").await;
    ok(&impatient, "SET statement_timeout = '300ms'").await;
    let error = rows(&impatient, "SELECT count(*) FROM t").await.unwrap_err();
    assert_eq!(sqlstate(&error), "57014");
    assert!(error.as_db_error().expect("the server says so").message().contains("statement timeout"), "{error}");
    ok(&impatient, "RESET statement_timeout").await;
    let (cancel, impatient) = (impatient.cancel_token(), Arc::new(impatient));
    let waiting = start(Arc::clone(&impatient), "SELECT count(*) FROM t");
    until_queued(&admin, 4).await;
    cancel.cancel_query(NoTls).await.expect("a request");
    assert_eq!(sqlstate(&ended(waiting).await.unwrap_err()), "57014");
    // It is gone altogether.
    let waiting = start(impatient, "SELECT count(*) FROM t");
    until_queued(&admin, 4).await;
    connection.abort();
    assert!(ended(waiting).await.is_err());
    until_queued(&admin, 3).await;

    assert_eq!(ok(&admin, &format!("SELECT pg_cancel_backend({pid})")).await, ["t"]);
    assert_eq!(sqlstate(&ended(running).await.unwrap_err()), "57014");
    ended(first).await.expect("its turn");
    assert_eq!(ended(second).await.expect("its turn").len(), 1);
    assert_eq!(third.await.expect("no panic"), 3);
    until_queued(&admin, 0).await;
    assert_eq!(ok(&bob, "SELECT sum(v), count(*) FROM t").await, ["1|3"]);
}

/// Who has a place waits for no lock, whoever holds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_and_a_lock_are_no_deadlock() {
    let (cluster, admin) = cluster().await;
    let ann = connect(&cluster, "ann").await;
    ok(&ann, "BEGIN; UPDATE t SET v = 1 WHERE k = 1").await;
    // It needs the lock and a place.
    let bob = start(Arc::new(connect(&cluster, "bob").await), "UPDATE t SET v = 10 WHERE k = 1");
    until(&admin, "SELECT count(*) FROM pg_locks WHERE NOT granted", "1").await;
    // Both have what they need, one after the other: the place is free while bob waits for the lock.
    let carl = connect(&cluster, "carl").await;
    assert_eq!(ok(&carl, "SELECT count(*) FROM t").await, ["3"]);
    ok(&ann, "UPDATE t SET v = 2 WHERE k = 2").await;
    // A statement that works meanwhile is waited for, with the lock held.
    let long = Arc::new(carl);
    let (cancel, running) = (long.cancel_token(), start(Arc::clone(&long), LONG));
    until_long_runs(&admin).await;
    let ann = Arc::new(ann);
    let waiting = start(Arc::clone(&ann), "UPDATE t SET v = 3 WHERE k = 3");
    until_queued(&admin, 1).await;
    cancel.cancel_query(NoTls).await.expect("a request");
    assert_eq!(sqlstate(&ended(running).await.unwrap_err()), "57014");
    ended(waiting).await.expect("its turn");
    ok(&ann, "COMMIT").await;
    ended(bob).await.expect("the lock, and its turn");
    assert_eq!(ok(&ann, "SELECT v FROM t ORDER BY k").await, ["10", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn places_come_back_whatever_ends_a_statement() {
    let (cluster, admin) = cluster().await;
    let bob = connect(&cluster, "bob").await;
    let ann = connect(&cluster, "ann").await;
    for (sql, state) in [
        ("SELECT 1 / (k - k) FROM t", "22012"),
        ("INSERT INTO t SELECT k, 1 / (k - k) FROM t", "22012"),
        ("SELECT nothing FROM t", "42703"),
        ("EXPLAIN ANALYZE SELECT 1 / (k - k) FROM t", "22012"),
    ] {
        assert_eq!(sqlstate(&rows(&ann, sql).await.unwrap_err()), state, "{sql}");
        assert_eq!(ok(&bob, "SELECT count(*) FROM t").await, ["3"]);
    }
    for sql in
        ["INSERT INTO t VALUES (4, 0)", "UPDATE t SET v = 4 RETURNING k", "EXPLAIN ANALYZE DELETE FROM t WHERE k = 4"]
    {
        ok(&ann, sql).await;
    }
    assert_eq!(ok(&bob, "SELECT count(*), sum(v) FROM t").await, ["3|12"]);
    // One whose client is gone, and one that an administrator has ended.
    let (ann, connection) = connect_for_now(&cluster, "ann").await;
    let running = start(Arc::new(ann), LONG);
    until_long_runs(&admin).await;
    connection.abort();
    assert!(ended(running).await.is_err());
    assert_eq!(ok(&bob, "SELECT count(*) FROM t").await, ["3"]);
    let ann = connect(&cluster, "ann").await;
    let pid = ok(&ann, "SELECT pg_backend_pid()").await.remove(0);
    let running = start(Arc::new(ann), LONG);
    until_long_runs(&admin).await;
    ok(&admin, &format!("SELECT pg_terminate_backend({pid})")).await;
    assert!(ended(running).await.is_err());
    assert_eq!(ok(&bob, "SELECT count(*) FROM t").await, ["3"]);
    until(&admin, "SELECT count(*) FROM pg_catalog.gp_running_slices WHERE slice > 0", "0").await;
}

type Flight = FlightSqlServiceClient<Channel>;

async fn count(client: &mut Flight, sql: &str) -> usize {
    let info = client.execute(sql.to_owned(), None).await.expect(sql);
    let ticket = info.endpoint[0].ticket.clone().expect("a ticket");
    let batches: Vec<RecordBatch> = client.do_get(ticket).await.expect(sql).try_collect().await.expect(sql);
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// What a client does not read, or does not send, keeps others waiting for some seconds; the client's own statements, not at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_no_rows_lends_its_place() {
    let (cluster, admin) = cluster().await;
    let (ann, bob) = (connect(&cluster, "ann").await, connect(&cluster, "bob").await);
    ok(&ann, "BEGIN; DECLARE c CURSOR FOR SELECT * FROM big").await;
    assert_eq!(ok(&ann, "FETCH 3 FROM c").await.len(), 3);
    let began = Instant::now();
    ok(&ann, "UPDATE t SET v = 1 WHERE k = 1").await;
    assert!(began.elapsed() < UNUSED_MAX, "it waited for its own cursor: {:?}", began.elapsed());
    assert_eq!(ok(&ann, "FETCH 3 FROM c").await.len(), 3);
    ok(&ann, "COMMIT; BEGIN; DECLARE c CURSOR FOR SELECT * FROM big").await;
    assert_eq!(ok(&ann, "FETCH 3 FROM c").await.len(), 3);
    assert_eq!(ok(&bob, "SELECT count(*) FROM t").await, ["3"]);
    assert_eq!(ok(&ann, "FETCH ALL FROM c").await.len(), ROWS - 3, "the rows go on");
    ok(&ann, "COMMIT").await;

    let mut flight = flight_sql(cluster.client_address()).await;
    flight.handshake("ann", "").await.expect("the rules let it in");
    let info = flight.execute("SELECT * FROM big".into(), None).await.expect("a query");
    let mut unread = flight.do_get(info.endpoint[0].ticket.clone().expect("a ticket")).await.expect("rows");
    let mut taken = unread.next().await.expect("a batch").expect("rows").num_rows();
    assert_eq!(ok(&bob, "SELECT count(*) FROM t").await, ["3"]);
    while let Some(batch) = unread.next().await {
        taken += batch.expect("rows").num_rows();
    }
    assert_eq!(taken, ROWS);

    // Nor does one that takes none from a segment, and has not even asked for the other's.
    flight.execute_update("SET parallel_retrieve = on".into(), None).await.expect("the setting");
    let info = flight.execute("SELECT * FROM big".into(), None).await.expect("a query");
    let [first, second] = &info.endpoint[..] else { panic!("{info:?}") };
    let mut unread = at_segment(&flight, first).await.do_get(ticket(first)).await.expect("rows");
    let mut taken = unread.next().await.expect("a batch").expect("rows").num_rows();
    assert_eq!(ok(&bob, "SELECT count(*) FROM t").await, ["3"]);
    while let Some(batch) = unread.next().await {
        taken += batch.expect("rows").num_rows();
    }
    taken += fetch(&flight, second).await.expect("rows").iter().map(RecordBatch::num_rows).sum::<usize>();
    assert_eq!(taken, ROWS);
    flight.execute_update("SET parallel_retrieve = off".into(), None).await.expect("the setting");

    let (go_on, wait) = oneshot::channel::<()>();
    let batch = |k: i32| {
        let column = |value| Arc::new(Int32Array::from(vec![value])) as _;
        Ok(RecordBatch::try_from_iter([("k", column(k)), ("v", column(0))]).expect("two columns"))
    };
    let rows_sent = stream::iter([batch(4)]).chain(stream::once(async move {
        wait.await.expect("the test goes on");
        batch(5)
    }));
    let options = TableDefinitionOptions {
        if_not_exist: TableNotExistOption::Fail as i32,
        if_exists: TableExistsOption::Append as i32,
    };
    let command = CommandStatementIngest {
        table_definition_options: Some(options),
        table: "t".into(),
        schema: None,
        catalog: None,
        temporary: false,
        transaction_id: None,
        options: [].into(),
    };
    let ingest = tokio::spawn(async move { flight.execute_ingest(command, rows_sent).await });
    let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'INGEST INTO %' AND state = 'active' AND wait_event IS NULL";
    until(&admin, running, "1").await;
    until_long_runs(&admin).await;
    assert_eq!(ok(&bob, "SELECT count(*) FROM t").await, ["3"]);
    go_on.send(()).expect("it waits");
    assert_eq!(ingest.await.expect("no panic").expect("two rows"), 2);
    assert_eq!(ok(&bob, "SELECT count(*) FROM t").await, ["5"]);
}
