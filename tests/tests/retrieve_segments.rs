//! Parallel retrieve from the segments: each gives a client its own rows, and nobody else's client any.

use crate::clients::connect;
use crate::retrieve::{keys, read, running, sqlstate, tickets};
use crate::roles::{ADMIN, admin_password};
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{Action, CancelFlightInfoRequest, FlightEndpoint, FlightInfo, Ticket};
use damson_tests::processes::{ProcessCluster, Setup, wait_for};
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int32Type;
use futures::{StreamExt, TryStreamExt, future};
use prost::Message;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tonic::transport::Channel;

type Client = FlightSqlServiceClient<Channel>;

const SEGMENTS: usize = 3;
const ROWS: i32 = 150_000;
/// More than the buffers between a segment and its client have.
const WIDE: &str = "SELECT k, gp_segment_id, repeat(w, 200) AS wide FROM t";
const WITHIN: Duration = Duration::from_secs(30);

fn filled(cluster: ProcessCluster) -> ProcessCluster {
    cluster.shell().execute(&format!(
        "CREATE TABLE t (k int, w text) DISTRIBUTED BY (k);
         CREATE TABLE small (k int, w text) DISTRIBUTED BY (w);
         INSERT INTO t SELECT value, 'w' || value FROM generate_series(0, {}) AS s (value);
         INSERT INTO small SELECT k, w FROM t WHERE k < 100",
        ROWS - 1
    ));
    cluster
}

fn cluster() -> ProcessCluster {
    filled(ProcessCluster::start(SEGMENTS))
}

async fn parallel(cluster: &ProcessCluster, user: &str) -> Client {
    let mut client = connect(cluster.client_address()).await;
    client.handshake(user, "").await.expect("a session");
    client.execute_update("SET parallel_retrieve = on".into(), None).await.expect("the setting");
    client
}

fn segment_of(endpoint: &FlightEndpoint) -> std::net::SocketAddr {
    let uri = &endpoint.location.first().expect("a location").uri;
    uri.strip_prefix("grpc+tcp://").expect("a segment").parse().expect("an address")
}

pub(crate) fn ticket(endpoint: &FlightEndpoint) -> Ticket {
    endpoint.ticket.clone().expect("a ticket")
}

/// As the client's session, where the endpoint says.
pub(crate) async fn at_segment(client: &Client, endpoint: &FlightEndpoint) -> Client {
    let mut there = connect(segment_of(endpoint)).await;
    there.set_token(client.token().expect("a session").clone());
    there
}

pub(crate) async fn fetch(client: &Client, endpoint: &FlightEndpoint) -> Result<Vec<RecordBatch>, FlightError> {
    read(&at_segment(client, endpoint).await, ticket(endpoint)).await
}

async fn info(client: &mut Client, sql: &str) -> FlightInfo {
    let info = client.execute(sql.into(), None).await.expect("a plan");
    assert_eq!(info.endpoint.len(), SEGMENTS, "{sql}");
    info
}

/// The error that ends a stream.
async fn end(mut stream: impl futures::Stream<Item = Result<RecordBatch, FlightError>> + Unpin) -> FlightError {
    loop {
        match tokio::time::timeout(WITHIN, stream.next()).await.expect("it ends").expect("an error first") {
            Ok(_) => {}
            Err(error) => break error,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_segment_gives_its_own_rows() {
    let cluster = cluster();
    let shell = cluster.shell();
    let mut client = parallel(&cluster, "somebody").await;
    let all: Vec<i32> = (0..ROWS).collect();

    let wide = info(&mut client, WIDE).await;
    assert!(wide.endpoint.iter().all(|endpoint| endpoint.location[1].uri == "arrow-flight-reuse-connection://?"));
    let places: BTreeSet<_> = wide.endpoint.iter().map(segment_of).collect();
    assert_eq!(places.len(), SEGMENTS, "{places:?}");
    assert_eq!(running(&shell), "0", "nothing runs before it is asked for");
    // One after the other, the last one first: none waits for another.
    let mut rows = vec![];
    let mut owners = BTreeSet::new();
    for endpoint in wide.endpoint.iter().rev() {
        let share = fetch(&client, endpoint).await.unwrap();
        let of = |batch: &RecordBatch| batch.column(1).as_primitive::<Int32Type>().values().to_vec();
        let segments: BTreeSet<i32> = share.iter().flat_map(of).collect();
        assert_eq!(segments.len(), 1, "a stream has one segment's rows");
        owners.extend(segments);
        rows.extend(share);
    }
    assert_eq!((owners.len(), keys(&rows)), (SEGMENTS, all.clone()));
    wait_for("the query's end", WITHIN, || (running(&shell) == "0").then_some(()));
    for endpoint in &wide.endpoint {
        assert_eq!(sqlstate(&fetch(&client, endpoint).await.unwrap_err()), "26000", "a ticket is good once");
    }

    // At once; with a join whose small side is broadcast, and an aggregate of redistributed rows.
    for (sql, wanted) in [
        (WIDE, all.clone()),
        ("SELECT t.k, small.w FROM t JOIN small ON t.k % 100 = small.k", all.clone()),
        ("SELECT k, count(*) FROM (SELECT k / 2 AS k FROM t) AS h GROUP BY k", (0..ROWS / 2).collect()),
    ] {
        let info = info(&mut client, sql).await;
        let shares = info.endpoint.iter().map(|endpoint| fetch(&client, endpoint));
        let shares = future::try_join_all(shares).await.unwrap();
        assert_eq!(keys(shares.iter().flatten()), wanted, "{sql}");
    }

    // With parameters, in a transaction that sees its own rows.
    client.execute_update("BEGIN".into(), None).await.unwrap();
    client.execute_update("DELETE FROM t WHERE k < 10".into(), None).await.unwrap();
    let mut prepared = client.prepare("SELECT k FROM t WHERE k <> $1".into(), None).await.unwrap();
    let parameter = datafusion::arrow::array::Int32Array::from(vec![17]);
    prepared.set_parameters(RecordBatch::try_from_iter([("1", std::sync::Arc::new(parameter) as _)]).unwrap()).unwrap();
    let info = prepared.execute().await.unwrap();
    let shares = future::try_join_all(info.endpoint.iter().map(|endpoint| fetch(&client, endpoint))).await.unwrap();
    assert_eq!(keys(shares.iter().flatten()), (10..ROWS).filter(|k| *k != 17).collect::<Vec<_>>());
    client.execute_update("ROLLBACK".into(), None).await.unwrap();

    // What the master has to work on, or what would wait for others, comes from the master.
    for sql in [
        "SELECT DISTINCT ON (w) k FROM t ORDER BY w, k",
        "SELECT a.k FROM t a JOIN t b ON a.w = b.w",
        "SELECT k FROM t WHERE k >= (SELECT min(k) FROM t)",
        "SELECT k FROM t UNION ALL SELECT count(*)::int FROM t GROUP BY w",
    ] {
        let info = client.execute(sql.into(), None).await.unwrap();
        assert!(info.endpoint.iter().all(|endpoint| endpoint.location.is_empty()), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_gives_them_to_who_cannot_reach_segments() {
    let cluster = cluster();
    let mut client = parallel(&cluster, "somebody").await;
    let all: Vec<i32> = (0..ROWS).collect();
    let wide = info(&mut client, WIDE).await;
    let shares = tickets(&wide).into_iter().map(|ticket| read(&client, ticket));
    assert_eq!(keys(future::try_join_all(shares).await.unwrap().iter().flatten()), all);
    // Not the one here and the other there.
    for first_at_segment in [true, false] {
        let wide = info(&mut client, WIDE).await;
        let there = at_segment(&client, &wide.endpoint[0]).await;
        let (first, second) = if first_at_segment { (&there, &client) } else { (&client, &there) };
        let endpoints = if first_at_segment { [0, 1] } else { [1, 0] };
        let mut rows = first.clone().do_get(ticket(&wide.endpoint[endpoints[0]])).await.unwrap();
        assert!(rows.next().await.unwrap().is_ok());
        let refused = read(second, ticket(&wide.endpoint[endpoints[1]])).await.unwrap_err();
        assert_eq!(sqlstate(&refused), "55000", "{refused}");
    }
    // Where segments let nobody in, there is no other place.
    let closed = vec!["--flight-port".into(), "0".into()];
    let closed = Setup { segments: SEGMENTS, segment_arguments: closed, ..Setup::default() };
    let closed = filled(ProcessCluster::start_with(closed));
    let mut client = parallel(&closed, "somebody").await;
    let wide = info(&mut client, WIDE).await;
    assert!(wide.endpoint.iter().all(|endpoint| endpoint.location.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_gives_nobody_anothers_rows() {
    let cluster = cluster();
    let mut client = parallel(&cluster, "somebody").await;
    let other = parallel(&cluster, "another").await;
    let wide = info(&mut client, WIDE).await;
    let first = &wide.endpoint[0];

    // Another user, nobody, a token of nobody's: the ticket remains good.
    assert_eq!(sqlstate(&fetch(&other, first).await.unwrap_err()), "26000");
    let nobody = connect(segment_of(first)).await;
    assert_eq!(sqlstate(&read(&nobody, ticket(first)).await.unwrap_err()), "26000");
    let mut forged = nobody.clone();
    forged.set_token("0123456789abcdef0123456789abcdef".into());
    assert_eq!(sqlstate(&read(&forged, ticket(first)).await.unwrap_err()), "28000");
    // Tickets that are none, and what only the master answers.
    let session = at_segment(&client, first).await;
    for garbage in [vec![], vec![0xff; 40], b"damson".to_vec()] {
        assert_eq!(sqlstate(&read(&session, Ticket::new(garbage)).await.unwrap_err()), "08P01");
    }
    let refused = session.clone().execute("SELECT 1".into(), None).await.unwrap_err();
    assert!(refused.to_string().contains("a segment gives rows"), "{refused}");
    let action = tonic::Request::new(Action { r#type: "CloseSession".into(), body: Default::default() });
    let closed = session.clone().inner_mut().do_action(action).await.unwrap().into_inner().message().await.unwrap();
    assert!(closed.is_some(), "there is none, as wanted");
    let action = tonic::Request::new(Action { r#type: "CancelFlightInfo".into(), body: Default::default() });
    assert!(session.clone().inner_mut().do_action(action).await.is_err());

    // A token makes no token: it would not end.
    let mut request = tonic::Request::new(futures::stream::empty());
    let header = format!("Bearer {}", session.token().expect("a token"));
    request.metadata_mut().insert("authorization", header.parse().expect("a header"));
    let refused = session.clone().inner_mut().handshake(request).await.unwrap_err();
    assert_eq!(refused.metadata().get("sqlstate").expect("a state"), "08P01");

    // Who logs in at the segment reads its own user's.
    for (user, is_let_in) in [("another", false), ("somebody", true)] {
        let mut there = connect(segment_of(first)).await;
        there.handshake(user, "").await.expect("a token");
        match read(&there, ticket(first)).await {
            Ok(rows) => assert!(is_let_in && !rows.is_empty()),
            Err(error) => assert!(!is_let_in && sqlstate(&error) == "26000", "{error}"),
        }
    }
    // At a wrong segment it is lost.
    let wrong = read(&at_segment(&client, first).await, ticket(&wide.endpoint[1])).await.unwrap_err();
    assert_eq!(sqlstate(&wrong), "55000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_at_segments_too() {
    let (_directory, master_arguments) = admin_password();
    let cluster = ProcessCluster::start_with(Setup { segments: 2, master_arguments, ..Setup::default() });
    let mut client = connect(cluster.client_address()).await;
    client.handshake("damson", ADMIN).await.expect("a session");
    for sql in [
        "CREATE TABLE t (k int, w text) DISTRIBUTED BY (k)",
        "INSERT INTO t SELECT value, 'w' || value FROM generate_series(0, 149999) AS s (value)",
        "SET parallel_retrieve = on",
    ] {
        client.execute_update(sql.into(), None).await.expect(sql);
    }
    let info = client.execute("SELECT k FROM t".into(), None).await.unwrap();
    let mut there = connect(segment_of(&info.endpoint[0])).await;
    let nobody = read(&there, ticket(&info.endpoint[0])).await.unwrap_err();
    assert_eq!(&sqlstate(&nobody)[..2], "28", "{nobody}");
    assert!(there.handshake("damson", "wrong").await.is_err());
    there.handshake("damson", ADMIN).await.expect("a token");
    assert!(!read(&there, ticket(&info.endpoint[0])).await.unwrap().is_empty());
    assert!(!fetch(&client, &info.endpoint[1]).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_segments_end_together() {
    let mut cluster = cluster();
    let shell = cluster.shell();
    let mut client = parallel(&cluster, "somebody").await;
    let ended = || wait_for("the query's end", WITHIN, || (running(&shell) == "0").then_some(()));

    // One that is closed ends the others, and those that come later.
    let endless = "SELECT a.k, b.w FROM t a, t b";
    let wide = info(&mut client, endless).await;
    let mut first = at_segment(&client, &wide.endpoint[0]).await.do_get(ticket(&wide.endpoint[0])).await.unwrap();
    let mut second = at_segment(&client, &wide.endpoint[1]).await.do_get(ticket(&wide.endpoint[1])).await.unwrap();
    assert!(first.next().await.unwrap().is_ok() && second.next().await.unwrap().is_ok());
    assert_eq!(running(&shell), "1");
    drop(first);
    assert_eq!(sqlstate(&end(second).await), "57014");
    assert_eq!(sqlstate(&fetch(&client, &wide.endpoint[2]).await.unwrap_err()), "57014");
    ended();

    // So does a cancel of the flight, the statement's timeout, and the end of its session.
    let flight = info(&mut client, endless).await;
    let mut first = at_segment(&client, &flight.endpoint[0]).await.do_get(ticket(&flight.endpoint[0])).await.unwrap();
    assert!(first.next().await.unwrap().is_ok());
    let body = CancelFlightInfoRequest::new(flight.clone()).encode_to_vec();
    let action = Action { r#type: "CancelFlightInfo".into(), body: body.into() };
    let mut request = tonic::Request::new(action);
    let token = format!("Bearer {}", client.token().expect("a session"));
    request.metadata_mut().insert("authorization", token.parse().expect("a header"));
    client.inner_mut().do_action(request).await.unwrap().into_inner().message().await.unwrap().expect("an answer");
    assert_eq!(sqlstate(&end(first).await), "57014");
    ended();
    client.execute_update("SET statement_timeout = '1s'".into(), None).await.unwrap();
    let flight = info(&mut client, endless).await;
    let first = at_segment(&client, &flight.endpoint[0]).await.do_get(ticket(&flight.endpoint[0])).await.unwrap();
    let error = end(first).await;
    assert!(sqlstate(&error) == "57014" && error.to_string().contains("timeout"), "{error}");
    client.execute_update("SET statement_timeout = 0".into(), None).await.unwrap();
    ended();
    let flight = info(&mut client, endless).await;
    let mut first = at_segment(&client, &flight.endpoint[0]).await.do_get(ticket(&flight.endpoint[0])).await.unwrap();
    assert!(first.next().await.unwrap().is_ok());
    let pid = shell.value("SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT a.k, b.w%' AND state = 'active'");
    assert_eq!(shell.value(&format!("SELECT pg_terminate_backend({pid})")), "t");
    let state = sqlstate(&end(first).await);
    assert!(["57P01", "57014"].contains(&state.as_str()), "{state}");
    ended();

    // An error on one segment is every stream's.
    let mut client = parallel(&cluster, "somebody").await;
    let failing = info(&mut client, "SELECT k, 1 / (k - 140000), repeat(w, 200) FROM t").await;
    for share in future::join_all(failing.endpoint.iter().map(|endpoint| fetch(&client, endpoint))).await {
        assert_eq!(sqlstate(&share.unwrap_err()), "22012");
    }
    ended();

    // A segment that is killed ends the others' in time, and so does the master.
    for dies in [Some(2), None] {
        let flight = info(&mut client, endless).await;
        let mut streams = vec![];
        for endpoint in &flight.endpoint {
            let mut stream = at_segment(&client, endpoint).await.do_get(ticket(endpoint)).await.unwrap();
            assert!(stream.next().await.unwrap().is_ok());
            streams.push(stream);
        }
        let killed = Instant::now();
        match dies {
            // Which of the streams was its does not matter: all of them end.
            Some(content) => cluster.kill_segment(content),
            None => cluster.master().kill(),
        }
        let ends = tokio::time::timeout(WITHIN, future::join_all(streams.into_iter().map(end))).await.expect("an end");
        assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
        let states = ends.iter().map(|error| match error {
            FlightError::Tonic(status) => {
                status.metadata().get("sqlstate").map(|state| state.to_str().unwrap().to_owned())
            }
            _ => None,
        });
        let told: Vec<String> = states.flatten().collect();
        assert!(told.len() >= SEGMENTS - 1 && told.iter().all(|state| state == "08006"), "{ends:?}");
        if let Some(content) = dies {
            cluster.restart_segment(content);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_of_segments_that_have_no_rows_any_more_are_refused() {
    let cluster = filled(ProcessCluster::start(2));
    let mut client = parallel(&cluster, "somebody").await;
    let info = client.execute("SELECT k FROM t".into(), None).await.unwrap();
    assert_eq!(info.endpoint.len(), 2);
    let shell = cluster.shell();
    shell.execute("ALTER SYSTEM SET bucket_map = '0*16384'; ALTER TABLE t EXPAND TABLE");
    let error = fetch(&client, &info.endpoint[0]).await.unwrap_err();
    assert_eq!(sqlstate(&error), "40001", "{error}");
    // Asked for again, they are where they are now.
    let info = client.execute("SELECT k FROM t".into(), None).await.unwrap();
    let shares = future::try_join_all(info.endpoint.iter().map(|endpoint| fetch(&client, endpoint))).await.unwrap();
    assert_eq!(keys(shares.iter().flatten()), (0..ROWS).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_log_in_retrieves_its_own_with_its_tickets() {
    let cluster = filled(ProcessCluster::start(2));
    let mut client = connect(cluster.client_address()).await;
    client.execute_update("SET parallel_retrieve = on".into(), None).await.expect("the setting");
    let info = client.execute("SELECT k FROM t".into(), None).await.unwrap();
    let shares = info.endpoint.iter().map(async |endpoint| {
        let there = connect(segment_of(endpoint)).await;
        there.clone().do_get(ticket(endpoint)).await?.try_collect::<Vec<RecordBatch>>().await
    });
    let shares = future::try_join_all(shares).await.unwrap();
    assert_eq!(keys(shares.iter().flatten()), (0..ROWS).collect::<Vec<_>>());
}

/// A LIMIT that has enough of one input of a union executes the other one's motion or not, as it happens: nobody opens its route then, whose sender
/// waited for a reader for as long as its query, which waited for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_ends_whose_limit_has_enough_before_it_has_asked_all() {
    let cluster = ProcessCluster::start(SEGMENTS);
    let shell = cluster.shell();
    shell.execute(
        "CREATE TABLE a (k int, g int, w text) DISTRIBUTED BY (k);
         CREATE TABLE b (k int, g int, w text) DISTRIBUTED BY (g);
         CREATE TABLE rp (k int, g int, w text) DISTRIBUTED REPLICATED;
         INSERT INTO a SELECT x, x % 1000, 'w' || x FROM generate_series(0, 129999) AS s(x);
         INSERT INTO b SELECT x, x % 5000, 'w' || x * 2 FROM generate_series(0, 103999) AS s(x);
         INSERT INTO rp SELECT x, x % 10, 'r' || x FROM generate_series(0, 103999) AS s(x)",
    );
    let mut client = parallel(&cluster, "somebody").await;
    let limited = "SELECT b.k, q.k AS j FROM b CROSS JOIN \
                   (SELECT * FROM (SELECT k, w FROM rp UNION ALL SELECT k, w FROM a) u LIMIT 1) q";
    for _ in 0..8 {
        // Threads that were busy a moment ago are too quick.
        tokio::time::sleep(Duration::from_millis(700)).await;
        let info = info(&mut client, limited).await;
        for endpoint in &info.endpoint {
            fetch(&client, endpoint).await.unwrap();
        }
        let left = "SELECT count(*) FROM pg_catalog.gp_running_slices WHERE slice > 0";
        wait_for("the end of every slice", WITHIN, || (shell.value(left) == "0").then_some(()));
    }
}
