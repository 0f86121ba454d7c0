//! Flight SQL's own transactions, from a client that is not ours.

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::EndTransaction;
use arrow_flight::sql::client::FlightSqlServiceClient;
use bytes::Bytes;
use damson_tests::processes::ProcessCluster;
use std::net::SocketAddr;
use tonic::transport::{Channel, Endpoint};

type Client = FlightSqlServiceClient<Channel>;

async fn connect(address: SocketAddr) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let channel = endpoint.connect().await.expect("a connection");
    FlightSqlServiceClient::new_from_inner(FlightServiceClient::new(channel))
}

async fn update(client: &mut Client, sql: &str, transaction: Option<&Bytes>) -> Result<i64, String> {
    client.execute_update(sql.to_owned(), transaction.cloned()).await.map_err(|e| e.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_belong_to_the_transaction_that_they_name() {
    let cluster = ProcessCluster::start(1);
    let shell = cluster.shell();
    shell.execute("CREATE TABLE t (k int) DISTRIBUTED BY (k)");
    let count = || shell.value("SELECT count(*) FROM t");

    let mut client = connect(cluster.client_address()).await;
    client.handshake("somebody", "").await.unwrap();
    let first = client.begin_transaction().await.unwrap();
    assert!(client.begin_transaction().await.unwrap_err().to_string().contains("already"));
    assert_eq!(update(&mut client, "INSERT INTO t VALUES (1), (2)", Some(&first)).await, Ok(2));
    assert_eq!(count(), "0");
    client.end_transaction(first.clone(), EndTransaction::Rollback).await.unwrap();
    // It has ended: nothing that names it is done by itself.
    let late = update(&mut client, "INSERT INTO t VALUES (3)", Some(&first)).await.unwrap_err();
    assert!(late.contains("25P01") || late.contains("not known"), "{late}");
    assert!(client.end_transaction(first, EndTransaction::Commit).await.is_err());
    assert_eq!(count(), "0");

    let second = client.begin_transaction().await.unwrap();
    update(&mut client, "INSERT INTO t VALUES (4)", Some(&second)).await.unwrap();
    let mut prepared = client.prepare("INSERT INTO t VALUES (5)".into(), Some(second.clone())).await.unwrap();
    assert_eq!(prepared.execute_update().await.unwrap(), 1);
    client.end_transaction(second, EndTransaction::Commit).await.unwrap();
    assert_eq!(count(), "2");
    assert!(prepared.execute_update().await.is_err(), "its transaction has ended");

    // One that failed is not committed, and says so.
    let third = client.begin_transaction().await.unwrap();
    update(&mut client, "INSERT INTO t VALUES (6)", Some(&third)).await.unwrap();
    update(&mut client, "INSERT INTO nothing VALUES (6)", Some(&third)).await.unwrap_err();
    let error = client.end_transaction(third, EndTransaction::Commit).await.unwrap_err().to_string();
    assert!(error.contains("rolled back"), "{error}");
    assert_eq!(count(), "2");

    // A client without a login has no session but its connection: it must say what it means.
    let mut anonymous = connect(cluster.client_address()).await;
    let error = update(&mut anonymous, "BEGIN", None).await.unwrap_err();
    assert!(error.contains("session"), "{error}");
    let transaction = anonymous.begin_transaction().await.unwrap();
    update(&mut anonymous, "INSERT INTO t VALUES (7)", None).await.unwrap_err();
    update(&mut anonymous, "INSERT INTO t VALUES (8)", Some(&transaction)).await.unwrap();
    anonymous.end_transaction(transaction, EndTransaction::Commit).await.unwrap();
    update(&mut anonymous, "INSERT INTO t VALUES (9)", None).await.unwrap();
    assert_eq!(shell.value("SELECT sum(k) FROM t"), (4 + 5 + 8 + 9).to_string());
}
