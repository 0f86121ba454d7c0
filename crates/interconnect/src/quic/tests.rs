//! What only this driver has: certificates, streams that break, datagrams that stop, many streams on one connection.

use super::message;
use crate::limits::PEER_TIMEOUT_MS;
use crate::tls::{ALPN_QUIC, ClusterAuthority, NodeTls};
use crate::wire::Opening;
use crate::{Driver, InterconnectError, Node, NodeConfig, RouteError, RouteReceiver, RouteSender, Sent};
use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use damson_cluster::{ContentId, Endpoint, MotionId, QueryId, RouteKey};
use futures::StreamExt;
use quinn::VarInt;
use quinn::crypto::rustls::QuicClientConfig;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

const BUILD: &str = "test-1";

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what).await.expect("it takes too long")
}

async fn eventually(what: impl Fn() -> bool) {
    soon(async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn certificate() -> Arc<NodeTls> {
    let directory = tempfile::tempdir().unwrap();
    let authority = ClusterAuthority::open_or_create(directory.path()).unwrap();
    Arc::new(authority.issue_where_needed(directory.path(), &[]).unwrap())
}

fn tls() -> Arc<NodeTls> {
    static TLS: OnceLock<Arc<NodeTls>> = OnceLock::new();
    Arc::clone(TLS.get_or_init(certificate))
}

/// A listener whose port is free for UDP too.
async fn listener() -> TcpListener {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if UdpSocket::bind(listener.local_addr().unwrap()).await.is_ok() {
            return listener;
        }
    }
}

fn config(listener: &TcpListener) -> NodeConfig {
    let mut config = NodeConfig::new(Endpoint(listener.local_addr().unwrap().to_string()), BUILD, Handle::current());
    config.driver = Driver::Quic;
    config.tls = Some(tls());
    config.quic_endpoints = 1;
    config
}

async fn node_with(change: impl FnOnce(&mut NodeConfig)) -> (Arc<Node>, CancellationToken) {
    let listener = listener().await;
    let mut config = config(&listener);
    change(&mut config);
    let (node, stop) = (Node::new(config), CancellationToken::new());
    let serving = Arc::clone(&node).serve(listener, stop.clone());
    tokio::spawn(async move { serving.await.unwrap() });
    (node, stop)
}

async fn node() -> Arc<Node> {
    node_with(|_| {}).await.0
}

fn route(motion: u32) -> RouteKey {
    RouteKey { query: QueryId(1), motion: MotionId(motion), sender: ContentId(0), receiver: ContentId(1) }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false)]))
}

fn batch(rows: i64) -> RecordBatch {
    RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from_iter_values(0..rows))]).unwrap()
}

/// Of every query here.
const SECRET: crate::QuerySecret = crate::QuerySecret::from_bytes([42; 16]);

fn begin(node: &Node, routes: usize) {
    node.open_query(QueryId(1), routes, SECRET);
}

/// The first words of a route that is written by hand.
fn opening(motion: u32) -> Opening {
    Opening::new(BUILD, route(motion), SECRET.ticket(&route(motion)))
}

fn open(from: &Arc<Node>, to: &Arc<Node>, routes: u32) -> Vec<(RouteSender, RouteReceiver)> {
    begin(from, 0);
    begin(to, routes as usize);
    let ends = |motion| {
        let receiver = to.receiver(route(motion), schema());
        (from.sender(route(motion), &to.endpoint(), schema()), receiver)
    };
    (0..routes).map(ends).collect()
}

async fn send_on(sender: &mut RouteSender) -> RouteError {
    soon(async {
        loop {
            match sender.send(batch(10_000)).await {
                Ok(Sent::Accepted) => {}
                Ok(Sent::Stopped) => panic!("it was stopped"),
                Err(error) => return error,
            }
        }
    })
    .await
}

fn reason_of_loss(error: &RouteError) -> &str {
    let RouteError::PeerLost { reason, .. } = error else { panic!("{error:?}") };
    reason
}

/// A node that stops says so; one whose process has gone does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_goes_is_noticed_by_both_ends() {
    for is_told in [true, false] {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (far, stop) = tokio::task::block_in_place(|| runtime.block_on(node_with(|_| {})));
        let near = node().await;
        let mut ends = open(&far, &near, 1);
        let mut back = near.sender(route(7), &far.endpoint(), schema());
        let _unread = far.receiver(route(7), schema());
        let (sender, receiver) = &mut ends[0];
        soon(sender.send(batch(1))).await.unwrap();
        soon(receiver.next()).await.unwrap().unwrap();
        soon(back.send(batch(1))).await.unwrap();
        eventually(|| far.stats().buffered_bytes > 0 && near.stats().connections == 2).await;

        let start = Instant::now();
        let runtime = if is_told {
            stop.cancel();
            Some(runtime)
        } else {
            runtime.shutdown_background();
            None
        };
        let error = send_on(&mut back).await;
        let expected = if is_told { "stopping" } else { "silent" };
        assert!(reason_of_loss(&error).contains(expected), "{error}");
        if !is_told {
            // Of a node that stops serving, only its readers are lost.
            let error = soon(receiver.next()).await.unwrap().unwrap_err();
            assert_eq!(reason_of_loss(&error), "the peer is silent");
            assert!(error.to_string().starts_with("q1 m0 seg0->seg1: "), "{error}");
            eventually(|| near.stats().connections == 0).await;
        }
        // Four seconds, and what a busy machine adds.
        assert!(start.elapsed() < Duration::from_secs(8), "it took {:?}", start.elapsed());
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }
}

/// Passes one connection's datagrams on until it is told to stop.
async fn proxy(to: SocketAddr, freeze: CancellationToken) -> Endpoint {
    let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint(front.local_addr().unwrap().to_string());
    tokio::spawn(async move {
        let (mut forth, mut fro) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        let mut client = None;
        loop {
            tokio::select! {
                received = front.recv_from(&mut forth) => {
                    let (bytes, from) = received.unwrap();
                    client = Some(from);
                    back.send_to(&forth[..bytes], to).await.unwrap();
                }
                received = back.recv_from(&mut fro) => {
                    let bytes = received.unwrap().0;
                    if let Some(client) = client {
                        front.send_to(&fro[..bytes], client).await.unwrap();
                    }
                }
                () = freeze.cancelled() => break,
            }
        }
        // The sockets stay, so that nothing is refused.
        std::future::pending::<()>().await;
        drop((front, back));
    });
    endpoint
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_peer_is_noticed_by_both_ends() {
    // With the default timeouts: a busy machine can stall for much shorter ones.
    let (from, to) = (node().await, node().await);
    let freeze = CancellationToken::new();
    let through = proxy(to.endpoint().0.parse().unwrap(), freeze.clone()).await;
    begin(&from, 0);
    begin(&to, 1);
    let mut receiver = to.receiver(route(0), schema());
    let mut sender = from.sender(route(0), &through, schema());
    soon(sender.send(batch(10))).await.unwrap();
    soon(receiver.next()).await.unwrap().unwrap();
    // Heartbeats keep a connection that has nothing to say for longer than the peer's time.
    tokio::time::sleep(Duration::from_millis(2 * PEER_TIMEOUT_MS)).await;
    soon(sender.send(batch(10))).await.unwrap();
    soon(receiver.next()).await.unwrap().unwrap();

    freeze.cancel();
    let start = Instant::now();
    assert_eq!(reason_of_loss(&soon(receiver.next()).await.unwrap().unwrap_err()), "the peer is silent");
    assert_eq!(reason_of_loss(&send_on(&mut sender).await), "the peer is silent");
    assert!(start.elapsed() < Duration::from_secs(8), "it took {:?}", start.elapsed());
    eventually(|| from.stats().connections + to.stats().connections == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_routes_are_open_at_once_on_one_connection() {
    let (from, to) = (node().await, node().await);
    // More than a connection begins with.
    let mut ends = open(&from, &to, 6000);
    for (sender, _) in &mut ends {
        soon(sender.send(batch(1))).await.unwrap();
    }
    eventually(|| to.stats().buffered_bytes >= 6000 * 8).await;
    assert_eq!((from.stats().connections, to.stats().connections), (1, 1));
    for (sender, receiver) in ends {
        soon(sender.finish()).await.unwrap();
        assert_eq!(soon(receiver.collect::<Vec<_>>()).await, [Ok(batch(1))]);
    }
    eventually(|| from.stats().open_routes + to.stats().open_routes == 0).await;
}

/// A peer whose streams are written by hand.
async fn by_hand(to: &Arc<Node>) -> (quinn::Endpoint, quinn::Connection) {
    let crypto = QuicClientConfig::try_from(tls().client_config(ALPN_QUIC)).unwrap();
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let address = to.endpoint().0.parse().unwrap();
    let connecting = endpoint.connect_with(config, address, &tls().server_name().to_str()).unwrap();
    (endpoint, soon(connecting).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_is_an_error_with_its_route() {
    let to = node().await;
    begin(&to, 2);
    let (_endpoint, connection) = by_hand(&to).await;
    let first_words = |motion| message::encode(&opening(motion).encode());

    let mut receiver = to.receiver(route(1), schema());
    let (mut stream, mut answers) = connection.open_bi().await.unwrap();
    stream.write_all(&first_words(1)).await.unwrap();
    stream.write_all(&[0, 0, 0]).await.unwrap();
    // Its credit.
    soon(message::read(&mut answers, 100)).await.unwrap().unwrap();
    stream.reset(VarInt::from_u32(77)).unwrap();
    let error = soon(receiver.next()).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "q1 m1 seg0->seg1: connection lost: the peer reset the stream, code 77");

    let mut receiver = to.receiver(route(2), schema());
    let (mut stream, _answers) = connection.open_bi().await.unwrap();
    stream.write_all(&first_words(2)).await.unwrap();
    stream.write_all(&[0, 0, 0]).await.unwrap();
    stream.finish().unwrap();
    let error = soon(receiver.next()).await.unwrap().unwrap_err();
    assert!(error.to_string().ends_with("the stream ended within a message"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_no_route_is_refused_and_others_go_on() {
    let to = node().await;
    begin(&to, 1);
    let (_endpoint, connection) = by_hand(&to).await;
    let long = u32::MAX.to_be_bytes();
    let garbage = message::encode(b"{\"route\":1}");
    for bytes in [&long[..], &garbage] {
        let (mut stream, mut answers) = connection.open_bi().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let refusal = soon(answers.read_to_end(100)).await.unwrap_err();
        assert_eq!(refusal, quinn::ReadToEndError::Read(quinn::ReadError::Reset(super::code::MALFORMED)));
    }
    let mut old = opening(0);
    old.version -= 1;
    let (mut stream, mut answers) = connection.open_bi().await.unwrap();
    stream.write_all(&message::encode(&old.encode())).await.unwrap();
    stream.finish().unwrap();
    let refusal = soon(answers.read_to_end(1000)).await.unwrap();
    assert!(String::from_utf8_lossy(&refusal).contains("frames of version"), "{refusal:?}");

    let from = node().await;
    begin(&from, 0);
    let receiver = to.receiver(route(0), schema());
    let sender = from.sender(route(0), &to.endpoint(), schema());
    soon(sender.finish()).await.unwrap();
    assert_eq!(soon(receiver.collect::<Vec<_>>()).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_authority_is_refused() {
    let to = node().await;
    let (from, _) = node_with(|config| config.tls = Some(certificate())).await;
    let (mut sender, _receiver) = open(&from, &to, 1).remove(0);
    let error = send_on(&mut sender).await;
    assert!(reason_of_loss(&error).starts_with("unknown authority"), "{error}");
    assert_eq!((from.stats().connections, to.stats().connections), (0, 0));
}

/// Certificates that the server refuses: the client's own check finds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_certificate_has_no_stream() {
    let to = node().await;
    let roots = rustls::RootCertStore::empty();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_QUIC.to_vec()];
    config.dangerous().set_certificate_verifier(Arc::new(TrustAll(provider)));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()));
    let address = to.endpoint().0.parse().unwrap();
    let connecting = endpoint.connect_with(config, address, &tls().server_name().to_str()).unwrap();
    let ended = match soon(connecting).await {
        Ok(connection) => soon(connection.closed()).await,
        Err(error) => error,
    };
    assert!(super::describe::describe(&ended).contains("no certificate was shown"), "{ended}");
    assert_eq!(to.stats().connections, 0);
}

/// A client that does not care whom it speaks to.
#[derive(Debug)]
struct TrustAll(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &[rustls_pki_types::CertificateDer<'_>],
        _: &rustls_pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

async fn refusal_to_serve(change: impl FnOnce(&mut NodeConfig)) -> (Arc<Node>, String) {
    let listener = listener().await;
    let mut config = config(&listener);
    change(&mut config);
    let node = Node::new(config);
    let error = soon(Arc::clone(&node).serve(listener, CancellationToken::new())).await.unwrap_err();
    assert!(matches!(error, InterconnectError::Serve { .. }), "{error:?}");
    (node, error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_certificate_says_so_at_once() {
    let (from, error) = refusal_to_serve(|config| config.tls = None).await;
    assert!(error.contains("driver is quic") && error.contains("--tls-dir"), "{error}");
    let to = node().await;
    let (mut sender, _receiver) = open(&from, &to, 1).remove(0);
    let error = send_on(&mut sender).await;
    assert!(reason_of_loss(&error).contains("--tls-dir"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_udp_port_that_is_taken_is_named() {
    let mut other = None;
    let (_, error) = refusal_to_serve(|config| {
        other = Some(std::net::UdpSocket::bind(&config.endpoint.0).unwrap());
    })
    .await;
    assert!(error.contains("UDP address 127.0.0.1:") && error.contains("in use"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_the_in_process_driver_has_no_peers() {
    let (from, error) = refusal_to_serve(|config| config.driver = Driver::Inproc).await;
    assert!(error.contains("driver is inproc"), "{error}");
    let to = node().await;
    let (mut sender, _receiver) = open(&from, &to, 1).remove(0);
    let error = send_on(&mut sender).await;
    assert!(reason_of_loss(&error).contains("driver is inproc"), "{error}");
    let error = soon(from.call(&to.endpoint(), ContentId(1), "echo", Bytes::new())).await.err().unwrap();
    assert!(error.to_string().contains("driver is inproc"), "{error}");

    // Its own contents it has.
    from.open_query(QueryId(2), 1, SECRET);
    let own = RouteKey { query: QueryId(2), ..route(1) };
    let receiver = from.receiver(own, schema());
    let mut sender = from.sender(own, &from.endpoint(), schema());
    soon(sender.send(batch(3))).await.unwrap();
    soon(sender.finish()).await.unwrap();
    assert_eq!(soon(receiver.collect::<Vec<_>>()).await, [Ok(batch(3))]);
}
