//! Handshakes of nodes that do and do not belong together, and the files that certificates are kept in.

use super::node_tls::crypto_provider;
use super::*;
use rcgen::{CertificateParams, KeyPair};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes between the two ends of a connection in memory.
const PIPE_BYTES: usize = 1 << 16;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn authority(directory: &TempDir) -> ClusterAuthority {
    ClusterAuthority::open_or_create(directory.path()).expect("an authority")
}

fn node(authority: &ClusterAuthority) -> NodeTls {
    let directory = directory();
    authority.issue(directory.path(), &["seg1.example.org".into(), "10.0.0.7".into()]).expect("a certificate");
    NodeTls::load(directory.path()).expect("usable")
}

/// A node of an authority with a certificate of ours whose time is another, past all checks of its own.
fn node_out_of_time(authority: &ClusterAuthority, made: SystemTime, life: Duration) -> (TempDir, ClientConfig) {
    let directory = directory();
    authority.issue_for(directory.path(), &[], made, life).expect("a certificate");
    let config = unchecked_client(directory.path(), directory.path());
    (directory, config)
}

/// A client that trusts one directory's authority and shows another's certificate, without looking at it.
fn unchecked_client(trusted: &Path, own: &Path) -> ClientConfig {
    let chain = files::certificates(&own.join(CERTIFICATE_FILE)).expect("certificates");
    let key = files::key(&own.join(KEY_FILE)).expect("a key");
    builder(trusted).with_client_auth_cert(chain, key).expect("a good key")
}

fn builder(trusted: &Path) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    for certificate in files::certificates(&trusted.join(AUTHORITY_FILE)).expect("an authority") {
        roots.add(certificate).expect("an authority");
    }
    ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
}

/// Both ends' view of a connection that carries one byte each way.
async fn meet(server: &NodeTls, client: &NodeTls) -> (io::Result<()>, io::Result<()>) {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let connect = async { exchange(client.connect(near).await?).await };
    let accept = async { exchange(server.accept(far).await?).await };
    tokio::join!(accept, connect)
}

/// The same with a client that a node would not be.
async fn meet_stranger(server: &NodeTls, client: ClientConfig) -> (io::Result<()>, io::Result<()>) {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let connect = async {
        let stream = TlsConnector::from(Arc::new(client)).connect(server.server_name(), near).await;
        exchange(stream.map_err(HandshakeError::explain)?).await.map_err(HandshakeError::explain)
    };
    let accept = async { exchange(server.accept(far).await?).await };
    tokio::join!(accept, connect)
}

async fn exchange(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) -> io::Result<()> {
    stream.write_all(b"!").await?;
    stream.flush().await?;
    assert_eq!(stream.read_u8().await?, b'!');
    Ok(())
}

fn reason(result: io::Result<()>) -> HandshakeError {
    let error = result.expect_err("a refusal");
    HandshakeError::find(&error).unwrap_or_else(|| panic!("no reason in {error:?}"))
}

#[tokio::test]
async fn nodes_of_one_authority_trust_each_other() {
    let directory = directory();
    let authority = authority(&directory);
    let (server, client) = meet(&node(&authority), &node(&authority)).await;
    server.expect("the client is trusted");
    client.expect("the server is trusted");
}

#[tokio::test]
async fn no_certificate_is_refused() {
    let directory = directory();
    let server = node(&authority(&directory));
    let (server, client) = meet_stranger(&server, builder(directory.path()).with_no_client_auth()).await;
    assert_eq!(reason(server), HandshakeError::NoCertificate);
    assert_eq!(reason(client), HandshakeError::RefusedWithoutCertificate);
}

#[tokio::test]
async fn another_clusters_nodes_are_refused_by_either_end() {
    let (ours, theirs) = (directory(), directory());
    let (our_node, their_node) = (node(&authority(&ours)), node(&authority(&theirs)));
    let (server, client) = meet(&our_node, &their_node).await;
    assert_eq!(reason(client), HandshakeError::OtherAuthority);
    assert_eq!(reason(server), HandshakeError::RefusedAuthority);

    // One that does trust our authority, but has the other's certificate.
    let own = directory();
    authority(&theirs).issue(own.path(), &[]).unwrap();
    let (server, client) = meet_stranger(&our_node, unchecked_client(ours.path(), own.path())).await;
    assert_eq!(reason(server), HandshakeError::OtherAuthority);
    assert_eq!(reason(client), HandshakeError::RefusedAuthority);
}

#[tokio::test]
async fn a_forged_authority_of_the_same_name_is_refused() {
    let (ours, own) = (directory(), directory());
    let our_authority = authority(&ours);
    let server = node(&our_authority);
    let key = KeyPair::generate().unwrap();
    // The forger's authority names itself as ours does, and its node has our nodes' name.
    let mut params = CertificateParams::default();
    let id = our_authority.node_name().split('.').nth(1).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, format!("Damson cluster authority {id}"));
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::Issuer::new(params, key);
    write_node(own.path(), &[our_authority.node_name()], |params, key| params.signed_by(key, &issuer).unwrap());
    let client = unchecked_client(ours.path(), own.path());
    let (server_end, client_end) = meet_stranger(&server, client).await;
    assert_eq!(reason(server_end), HandshakeError::OtherAuthority);
    assert_eq!(reason(client_end), HandshakeError::RefusedAuthority);
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let directory = directory();
    let authority = authority(&directory);
    let server = node(&authority);
    let (_files, client) = node_out_of_time(&authority, SystemTime::now() - 10 * DAY, 9 * DAY);
    let (server_end, client_end) = meet_stranger(&server, client).await;
    let HandshakeError::Expired { on } = reason(server_end) else { panic!("another reason") };
    assert_eq!(on.to_string(), day(SystemTime::now() - DAY));
    assert_eq!(reason(client_end), HandshakeError::RefusedExpired);
}

#[tokio::test]
async fn a_certificate_of_tomorrow_is_refused_and_one_of_a_fast_clock_is_not() {
    let directory = directory();
    let authority = authority(&directory);
    let server = node(&authority);
    let (_files, client) = node_out_of_time(&authority, SystemTime::now() + 3 * DAY, 9 * DAY);
    let (server_end, client_end) = meet_stranger(&server, client).await;
    let HandshakeError::NotYetValid { from } = reason(server_end) else { panic!("another reason") };
    assert_eq!(from.to_string(), day(SystemTime::now() + 2 * DAY));
    assert_eq!(reason(client_end), HandshakeError::RefusedExpired, "TLS has one alert for both");

    let (_files, client) = node_out_of_time(&authority, SystemTime::now() + DAY / 2, 9 * DAY);
    let (server_end, client_end) = meet_stranger(&server, client).await;
    server_end.and(client_end).expect("half a day is within what clocks may differ by");
}

#[tokio::test]
async fn a_self_signed_certificate_is_refused() {
    let (directory, own) = (directory(), directory());
    let authority = authority(&directory);
    let server = node(&authority);
    write_node(own.path(), &[authority.node_name()], |params, key| params.self_signed(key).unwrap());
    let (server_end, client_end) = meet_stranger(&server, unchecked_client(directory.path(), own.path())).await;
    assert_eq!(reason(server_end), HandshakeError::OtherAuthority);
    assert_eq!(reason(client_end), HandshakeError::RefusedAuthority);
}

#[tokio::test]
async fn what_the_authority_issued_for_other_purposes_is_no_node() {
    let (directory, own) = (directory(), directory());
    let authority = authority(&directory);
    let server = node(&authority);
    write_node(own.path(), &["www.example.org"], |params, key| authority.sign(params, key));
    let (server_end, client_end) = meet_stranger(&server, unchecked_client(directory.path(), own.path())).await;
    assert_eq!(reason(server_end), HandshakeError::WrongName { name: authority.node_name().to_owned() });
    assert_eq!(reason(client_end), HandshakeError::RefusedName);
}

#[tokio::test]
async fn plain_text_is_told_so() {
    let directory = directory();
    let server = node(&authority(&directory));
    let (mut near, far) = tokio::io::duplex(PIPE_BYTES);
    near.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let error = server.accept(far).await.map(|_| ()).expect_err("no TLS");
    assert_eq!(HandshakeError::find(&error), Some(HandshakeError::NotTls));
    assert!(error.to_string().contains("--interconnect-tls"), "{error}");
}

#[tokio::test]
async fn protocols_are_told_apart() {
    let directory = directory();
    let authority = authority(&directory);
    let (server, client) = (node(&authority), node(&authority));
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let connector = TlsConnector::from(client.client_config(ALPN_QUIC));
    let (accepted, connected) = tokio::join!(server.accept(far), connector.connect(client.server_name(), near));
    assert!(accepted.is_err());
    let refusal = HandshakeError::find(&connected.expect_err("no protocol in common")).expect("a reason");
    assert!(refusal.to_string().contains("NoApplicationProtocol"), "{refusal}");
}

#[tokio::test]
async fn quic_refuses_for_the_same_reasons() {
    let (ours, theirs, own) = (directory(), directory(), directory());
    let (server, other) = (node(&authority(&ours)), authority(&theirs));
    let good = node(&authority(&ours)).client_config(ALPN_QUIC);
    let (accepted, connected) = meet_by_quic(&server, ClientConfig::clone(&good)).await;
    assert_eq!((accepted, connected), (None, None));

    other.issue(own.path(), &[]).unwrap();
    let mut stranger = unchecked_client(ours.path(), own.path());
    stranger.alpn_protocols = vec![ALPN_QUIC.to_vec()];
    let (accepted, connected) = meet_by_quic(&server, stranger).await;
    assert_eq!(accepted, Some(HandshakeError::OtherAuthority));
    assert_eq!(connected, Some(HandshakeError::RefusedAuthority));

    let mut nobody = builder(ours.path()).with_no_client_auth();
    nobody.alpn_protocols = vec![ALPN_QUIC.to_vec()];
    let (accepted, connected) = meet_by_quic(&server, nobody).await;
    assert_eq!(accepted, Some(HandshakeError::NoCertificate));
    assert_eq!(connected, Some(HandshakeError::RefusedWithoutCertificate));
}

/// Why the server and the client did not trust the other end of a QUIC connection, if they did not.
async fn meet_by_quic(server: &NodeTls, client: ClientConfig) -> (Option<HandshakeError>, Option<HandshakeError>) {
    use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let crypto = QuicServerConfig::try_from(server.server_config(ALPN_QUIC)).expect("TLS 1.3");
    let listening = quinn::Endpoint::server(quinn::ServerConfig::with_crypto(Arc::new(crypto)), any).expect("a port");
    let calling = quinn::Endpoint::client(any).expect("a port");
    let crypto = QuicClientConfig::try_from(client).expect("TLS 1.3");
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let name = server.server_name().to_str().into_owned();
    let peer = listening.local_addr().expect("bound");
    let why = |error: quinn::ConnectionError| HandshakeError::find_in_quic(&error).expect("a reason of TLS");
    let accept = async {
        let connection = listening.accept().await.expect("open").await.map_err(why)?;
        connection.open_uni().await.map_err(why)?.write_all(b"!").await.expect("an open stream");
        Ok::<_, HandshakeError>(connection)
    };
    let connect = async {
        let connection = calling.connect_with(config, peer, &name).expect("an address").await.map_err(why)?;
        // A refusal comes after the client's own part of the handshake; a stream, after both parts.
        connection.accept_uni().await.map_err(why)?;
        Ok::<_, HandshakeError>(connection)
    };
    let (accepted, connected) = tokio::join!(accept, connect);
    (accepted.err(), connected.err())
}

#[test]
fn an_authority_is_made_once() {
    let directory = directory();
    let place = directory.path().join("a/tls");
    assert!(matches!(ClusterAuthority::open(&place), Err(TlsError::Missing { .. })));
    let first = ClusterAuthority::open_or_create(&place).unwrap();
    let files = || [AUTHORITY_FILE, AUTHORITY_KEY_FILE].map(|file| fs::read(place.join(file)).unwrap());
    let before = files();
    let again = ClusterAuthority::open_or_create(&place).unwrap();
    assert_eq!((first.node_name(), files()), (again.node_name(), before));
    assert_ne!(first.node_name(), authority(&self::directory()).node_name());
}

#[test]
fn an_authority_survives_an_end_between_its_files() {
    let directory = directory();
    let name = authority(&directory).node_name().to_owned();
    let tls = node(&authority(&directory));
    fs::remove_file(directory.path().join(AUTHORITY_FILE)).unwrap();
    assert_eq!(authority(&directory).node_name(), name);
    assert_eq!(tls.server_name(), node(&authority(&directory)).server_name());
    // Without its key there is no way back, and no other authority may take its place.
    fs::remove_file(directory.path().join(AUTHORITY_KEY_FILE)).unwrap();
    assert!(matches!(ClusterAuthority::open_or_create(directory.path()), Err(TlsError::Missing { .. })));
}

#[test]
fn keys_are_for_their_owner_only() {
    let directory = directory();
    let place = directory.path().join("tls");
    let authority = ClusterAuthority::open_or_create(&place).unwrap();
    authority.issue(&place, &[]).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place), 0o700);
    for key in [AUTHORITY_KEY_FILE, KEY_FILE] {
        assert_eq!(mode(&place.join(key)), 0o600, "{key}");
        fs::set_permissions(place.join(key), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let refusal = ClusterAuthority::open(&place).err().expect("an open key").to_string();
    assert!(refusal.contains("mode 644") && refusal.contains("chmod 600"), "{refusal}");
    assert!(matches!(NodeTls::load(&place), Err(TlsError::ExposedKey { mode: 0o644, .. })));
    // What a container is given as a secret.
    fs::set_permissions(place.join(KEY_FILE), fs::Permissions::from_mode(0o640)).unwrap();
    NodeTls::load(&place).expect("the group may read");
}

#[test]
fn serial_numbers_differ() {
    let directory = directory();
    let authority = authority(&directory);
    let serials: std::collections::HashSet<Vec<u8>> = (0..3)
        .map(|_| {
            let own = self::directory();
            authority.issue(own.path(), &[]).unwrap();
            let certificate = files::certificates(&own.path().join(CERTIFICATE_FILE)).unwrap().remove(0);
            // Certificate, its signed part, the version's 5 bytes, then the serial number: tag, length, bytes.
            let place = certificate.windows(7).position(|w| w == [0xa0, 3, 2, 1, 2, 2, 16]).expect("a serial number");
            certificate[place + 7..place + 23].to_vec()
        })
        .collect();
    assert_eq!(serials.len(), 3);
}

#[test]
fn unusable_files_are_named() {
    let directory = directory();
    let authority = authority(&directory);
    let fresh = || {
        let own = self::directory();
        authority.issue(own.path(), &[]).unwrap();
        own
    };
    let refusal = |own: &TempDir| NodeTls::load(own.path()).expect_err("unusable").to_string();

    for file in [AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE] {
        let own = fresh();
        fs::remove_file(own.path().join(file)).unwrap();
        let text = refusal(&own);
        assert!(text.contains(file) && text.ends_with("is missing"), "{text}");

        let own = fresh();
        fs::write(own.path().join(file), "-----BEGIN NONSENSE-----\n").unwrap();
        let text = refusal(&own);
        assert!(text.contains(file) && text.contains("PEM"), "{text}");
    }

    let (own, other) = (fresh(), fresh());
    fs::copy(other.path().join(KEY_FILE), own.path().join(KEY_FILE)).unwrap();
    let text = refusal(&own);
    assert!(text.contains("does not belong"), "{text}");

    let (own, theirs) = (fresh(), self::directory());
    self::authority(&theirs);
    fs::copy(theirs.path().join(AUTHORITY_FILE), own.path().join(AUTHORITY_FILE)).unwrap();
    assert!(matches!(NodeTls::load(own.path()), Err(TlsError::OtherAuthority { .. })));

    let own = self::directory();
    authority.issue_for(own.path(), &[], SystemTime::now() - 10 * DAY, 9 * DAY).unwrap();
    let text = refusal(&own);
    assert!(text.ends_with(&format!("expired on {}", day(SystemTime::now() - DAY))), "{text}");
    authority.issue_for(own.path(), &[], SystemTime::now() + 3 * DAY, 9 * DAY).unwrap();
    assert!(matches!(NodeTls::load(own.path()), Err(TlsError::NotYetValid { .. })));

    let own = self::directory();
    fs::copy(directory.path().join(AUTHORITY_FILE), own.path().join(AUTHORITY_FILE)).unwrap();
    write_node(own.path(), &["www.example.org"], |params, key| authority.sign(params, key));
    assert!(matches!(NodeTls::load(own.path()), Err(TlsError::WrongName { .. })));
}

#[test]
fn certificates_are_renewed_in_time() {
    let directory = directory();
    let authority = authority(&directory);
    let place = directory.path();
    let serial = || fs::read(place.join(CERTIFICATE_FILE)).unwrap();
    let first = authority.issue_where_needed(place, &[]).unwrap();
    assert!(!first.expires_soon());
    assert_eq!(first.expires().to_string(), day(SystemTime::now() + 730 * DAY));
    let before = serial();
    authority.issue_where_needed(place, &[]).unwrap();
    assert_eq!(serial(), before, "a good one stays");

    for life in [30 * DAY, Duration::ZERO] {
        authority.issue_for(place, &[], SystemTime::now() - Duration::from_secs(1), life).unwrap();
        assert!(!authority.issue_where_needed(place, &[]).unwrap().expires_soon());
    }
    let other = self::directory();
    authority.issue(other.path(), &[]).unwrap();
    fs::copy(other.path().join(KEY_FILE), place.join(KEY_FILE)).unwrap();
    authority.issue_where_needed(place, &[]).expect("a pair that does not match is replaced");
}

#[test]
fn certificates_do_not_go_where_another_cluster_is() {
    let (ours, theirs) = (directory(), directory());
    authority(&theirs);
    let before = fs::read(theirs.path().join(AUTHORITY_FILE)).unwrap();
    assert!(matches!(authority(&ours).issue(theirs.path(), &[]), Err(TlsError::OtherCluster { .. })));
    assert_eq!(fs::read(theirs.path().join(AUTHORITY_FILE)).unwrap(), before);
    assert!(!theirs.path().join(KEY_FILE).exists());
}

#[test]
fn an_authority_of_other_tools_is_not_issued_with() {
    let directory = directory();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    files::write_key(&directory.path().join(AUTHORITY_KEY_FILE), &key.serialize_pem()).unwrap();
    files::write_certificate(&directory.path().join(AUTHORITY_FILE), &params.self_signed(&key).unwrap().pem()).unwrap();
    let refusal = ClusterAuthority::open_or_create(directory.path()).err().expect("not ours").to_string();
    assert!(refusal.contains("DNS name node."), "{refusal}");
    // Its own tool can make what nodes need.
    let name = refusal.rsplit(' ').next().unwrap().to_owned();
    let issuer = rcgen::Issuer::new(params, key);
    write_node(directory.path(), &[&name], |params, key| params.signed_by(key, &issuer).unwrap());
    NodeTls::load(directory.path()).expect("a node of that authority");
}

#[test]
fn hosts_must_be_hosts() {
    let (directory, own) = (directory(), directory());
    let authority = authority(&directory);
    for bad in ["", "a b", "seg1:50060", "https://seg1"] {
        let refusal = authority.issue(own.path(), &[bad.into()]).unwrap_err();
        assert!(matches!(&refusal, TlsError::BadHost { host, .. } if host == bad), "{refusal}");
    }
    authority.issue(own.path(), &["::1".into(), "seg-1.example.org".into()]).unwrap();
}

/// A key, and a certificate for some names that is signed as the caller says.
fn write_node(directory: &Path, names: &[&str], sign: impl FnOnce(&CertificateParams, &KeyPair) -> rcgen::Certificate) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
    params.extended_key_usages =
        vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    files::write_key(&directory.join(KEY_FILE), &key.serialize_pem()).unwrap();
    files::write_certificate(&directory.join(CERTIFICATE_FILE), &sign(&params, &key).pem()).unwrap();
}

fn day(time: SystemTime) -> String {
    Day::from(rustls_pki_types::UnixTime::since_unix_epoch(
        time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970"),
    ))
    .to_string()
}
