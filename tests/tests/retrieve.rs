//! Parallel retrieve from the master: a query's rows in a stream for each segment.

use crate::clients::connect;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{Action, CancelFlightInfoRequest, FlightInfo, Ticket};
use damson_tests::processes::{ProcessCluster, Setup, Shell, wait_for};
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int32Type;
use futures::{StreamExt, TryStreamExt, future};
use prost::Message;
use std::time::Duration;
use tonic::transport::Channel;

type Client = FlightSqlServiceClient<Channel>;

const SEGMENTS: usize = 3;
const ROWS: i32 = 300_000;
const WITHIN: Duration = Duration::from_secs(30);

fn cluster() -> ProcessCluster {
    // Nobody can come to them.
    let segment_arguments = vec!["--flight-port".into(), "0".into()];
    let cluster = ProcessCluster::start_with(Setup { segments: SEGMENTS, segment_arguments, ..Setup::default() });
    cluster.shell().execute(&format!(
        "CREATE TABLE t (k int, w text) DISTRIBUTED BY (k);
         INSERT INTO t SELECT value, 'w' || value FROM generate_series(0, {}) AS s (value)",
        ROWS - 1
    ));
    cluster
}

async fn parallel(cluster: &ProcessCluster, user: &str) -> Client {
    let mut client = connect(cluster.client_address()).await;
    client.handshake(user, "").await.expect("a session");
    client.execute_update("SET parallel_retrieve = on".into(), None).await.expect("the setting");
    client
}

pub(crate) fn tickets(info: &FlightInfo) -> Vec<Ticket> {
    info.endpoint.iter().map(|endpoint| endpoint.ticket.clone().expect("a ticket")).collect()
}

pub(crate) async fn read(client: &Client, ticket: Ticket) -> Result<Vec<RecordBatch>, FlightError> {
    client.clone().do_get(ticket).await?.try_collect().await
}

pub(crate) fn keys<'a>(batches: impl IntoIterator<Item = &'a RecordBatch>) -> Vec<i32> {
    let of = |batch: &RecordBatch| batch.column(0).as_primitive::<Int32Type>().values().to_vec();
    let mut keys: Vec<i32> = batches.into_iter().flat_map(of).collect();
    keys.sort_unstable();
    keys
}

pub(crate) fn sqlstate(error: &FlightError) -> String {
    match error {
        FlightError::Tonic(status) => {
            status.metadata().get("sqlstate").expect("a state").to_str().expect("text").to_owned()
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn running(shell: &Shell) -> String {
    shell.value("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%FROM t%' AND query NOT LIKE '%activity%'")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_query_has_a_stream_for_each_segment() {
    let cluster = cluster();
    let shell = cluster.shell();
    let mut client = parallel(&cluster, "somebody").await;
    let all: Vec<i32> = (0..ROWS).collect();

    let info = client.execute("SELECT k, w FROM t".into(), None).await.unwrap();
    let streams = tickets(&info);
    assert_eq!(streams.len(), SEGMENTS);
    assert!(!info.ordered && info.endpoint.iter().all(|endpoint| endpoint.location.is_empty()));
    assert_eq!(running(&shell), "0", "nothing runs before it is asked for");
    let shares = future::try_join_all(streams.iter().map(|ticket| read(&client, ticket.clone()))).await.unwrap();
    assert_eq!(keys(shares.iter().flatten()), all);
    for ticket in &streams {
        assert_eq!(sqlstate(&read(&client, ticket.clone()).await.unwrap_err()), "26000", "a ticket is good once");
    }

    // Read in turn, and not to the last: the first has them all.
    let info = client.execute("SELECT k FROM t WHERE k >= 0".into(), None).await.unwrap();
    let streams = tickets(&info);
    assert_eq!(keys(&read(&client, streams[1].clone()).await.unwrap()), all);
    assert!(keys(&read(&client, streams[0].clone()).await.unwrap()).is_empty());

    // A prepared statement, with the parameters that it has when it is asked for.
    let mut prepared = client.prepare("SELECT k FROM t WHERE k <> $1".into(), None).await.unwrap();
    let parameter = datafusion::arrow::array::Int32Array::from(vec![7]);
    let parameter = RecordBatch::try_from_iter([("1", std::sync::Arc::new(parameter) as _)]).unwrap();
    for _ in 0..2 {
        prepared.set_parameters(parameter.clone()).unwrap();
        let streams = tickets(&prepared.execute().await.unwrap());
        assert_eq!(streams.len(), SEGMENTS);
        let shares = future::try_join_all(streams.into_iter().map(|ticket| read(&client, ticket))).await.unwrap();
        assert_eq!(keys(shares.iter().flatten()), all.iter().copied().filter(|k| *k != 7).collect::<Vec<_>>());
    }

    for single in [
        "SELECT k FROM t ORDER BY k",
        "SELECT count(*) FROM t",
        "SELECT k FROM t LIMIT 10",
        "SELECT 1",
        "SELECT relname FROM pg_class",
        "INSERT INTO t VALUES (-1, 'x')",
    ] {
        assert_eq!(client.execute(single.into(), None).await.unwrap().endpoint.len(), 1, "{single}");
    }
    client.execute_update("SET parallel_retrieve = off".into(), None).await.unwrap();
    assert_eq!(client.execute("SELECT k, w FROM t".into(), None).await.unwrap().endpoint.len(), 1);
    let refused = client.execute_update("SET parallel_retrieve = maybe".into(), None).await;
    assert!(refused.unwrap_err().to_string().contains("parallel_retrieve"));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_together() {
    let cluster = cluster();
    let shell = cluster.shell();
    let mut client = parallel(&cluster, "somebody").await;
    let other = parallel(&cluster, "another").await;
    let same = parallel(&cluster, "somebody").await;
    // 90 billion rows.
    let endless = "SELECT a.k, b.w FROM t a, t b";
    let ended = || wait_for("the query's end", WITHIN, || (running(&shell) == "0").then_some(()));

    // A ticket is nobody else's, and remains its owner's.
    let streams = tickets(&client.execute("SELECT k FROM t".into(), None).await.unwrap());
    assert_eq!(sqlstate(&read(&other, streams[0].clone()).await.unwrap_err()), "26000");
    assert_eq!(keys(&read(&client, streams[0].clone()).await.unwrap()).len(), ROWS as usize);

    // Another session of its owner's reads it too, once, and what it reads is that session's no more than before.
    let streams = tickets(&client.execute("SELECT k FROM t".into(), None).await.unwrap());
    let shares = future::try_join(read(&client, streams[0].clone()), read(&same, streams[1].clone())).await.unwrap();
    assert_eq!(keys(shares.0.iter().chain(&shares.1)), (0..ROWS).collect::<Vec<_>>());
    for reader in [&client, &same] {
        assert_eq!(sqlstate(&read(reader, streams[1].clone()).await.unwrap_err()), "26000");
    }

    // One that is closed ends the others.
    let streams = tickets(&client.execute(endless.into(), None).await.unwrap());
    let mut first = client.do_get(streams[0].clone()).await.unwrap();
    let mut second = client.do_get(streams[1].clone()).await.unwrap();
    assert!(first.next().await.unwrap().is_ok() && second.next().await.unwrap().is_ok());
    drop(first);
    let error = loop {
        match tokio::time::timeout(WITHIN, second.next()).await.expect("it ends").expect("an error first") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(sqlstate(&error), "57014");
    let late = read(&client, streams[2].clone()).await.unwrap_err();
    assert_eq!(sqlstate(&late), "57014");
    ended();

    // In whichever session it was read; and so does the end of the one that asked for it.
    for closes_owner in [false, true] {
        let mut owner = parallel(&cluster, "somebody").await;
        let streams = tickets(&owner.execute(endless.into(), None).await.unwrap());
        let mut first = owner.do_get(streams[0].clone()).await.unwrap();
        let mut second = same.clone().do_get(streams[1].clone()).await.unwrap();
        assert!(first.next().await.unwrap().is_ok() && second.next().await.unwrap().is_ok());
        let mut left = if closes_owner {
            let token = owner.token().expect("a session").clone();
            let mut request = tonic::Request::new(Action { r#type: "CloseSession".into(), body: Default::default() });
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
            owner.inner_mut().do_action(request).await.unwrap().into_inner().message().await.unwrap();
            second
        } else {
            drop(second);
            first
        };
        let error = loop {
            match tokio::time::timeout(WITHIN, left.next()).await.expect("it ends").expect("an error first") {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(sqlstate(&error), "57014");
        ended();
    }

    // So does a cancel of the flight.
    let info = client.execute(endless.into(), None).await.unwrap();
    let mut first = client.do_get(tickets(&info)[0].clone()).await.unwrap();
    assert!(first.next().await.unwrap().is_ok());
    let body = CancelFlightInfoRequest::new(info.clone()).encode_to_vec();
    let action = Action { r#type: "CancelFlightInfo".into(), body: body.into() };
    let token = client.token().expect("a session").clone();
    let mut request = tonic::Request::new(action);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    client.inner_mut().do_action(request).await.unwrap().into_inner().message().await.unwrap().expect("an answer");
    let error = loop {
        match tokio::time::timeout(WITHIN, first.next()).await.expect("it ends").expect("an error first") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(sqlstate(&error), "57014");
    assert_eq!(sqlstate(&read(&client, tickets(&info)[1].clone()).await.unwrap_err()), "26000");
    ended();

    // An error of the query is every stream's.
    let failing = "SELECT k, 1 / (k - 250000) FROM t";
    let streams = tickets(&client.execute(failing.into(), None).await.unwrap());
    assert_eq!(streams.len(), SEGMENTS);
    let read = future::join_all(streams.into_iter().map(|ticket| read(&client, ticket))).await;
    for share in read {
        assert_eq!(sqlstate(&share.unwrap_err()), "22012");
    }
    ended();
}
