//! TLS of the PostgreSQL protocol: who gets it, what goes through it, and certificates that are replaced (row 35).

use crate::psql::there_is;
use crate::roles::{ADMIN, WITHIN, admin_password};
use damson_tests::processes::{ProcessCluster, Setup, wait_for};
use futures::{SinkExt, TryStreamExt};
use nix::sys::signal::Signal;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{ChannelBinding as Binding, SslMode, SslNegotiation};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};
use tokio_rustls::TlsConnector;

/// The files of a certificate for this host, which is its own authority, and what trusts it.
pub(crate) struct Certificate {
    pub(crate) path: PathBuf,
    key: PathBuf,
    trusted: CertificateDer<'static>,
}

impl Certificate {
    /// Another one in the same place, or the first.
    pub(crate) fn make(directory: &Path) -> Self {
        Self::make_for(&["localhost", "127.0.0.1"], directory)
    }

    /// Of other names.
    pub(crate) fn make_for(hosts: &[&str], directory: &Path) -> Self {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(hosts).expect("a certificate");
        let (path, key) = (directory.join("clients.pem"), directory.join("clients.key"));
        // For a moment they do not belong together.
        fs::write(&key, made.signing_key.serialize_pem()).expect("room");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("its owner");
        fs::write(&path, made.cert.pem()).expect("room");
        Certificate { path, key, trusted: made.cert.der().clone() }
    }

    /// The master's options that name it.
    pub(crate) fn options(&self) -> Vec<String> {
        let [path, key] = [&self.path, &self.key].map(|path| path.display().to_string());
        vec!["--client-tls-cert".into(), path, "--client-tls-key".into(), key]
    }

    /// A client that trusts nothing else.
    pub(crate) fn client(&self) -> Tls {
        self.client_of(&TLS13)
    }

    /// A client that speaks HTTP/2.
    pub(crate) fn http2_client(&self) -> TlsConnector {
        let mut config = ClientConfig::clone(&self.client().config);
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsConnector::from(Arc::new(config))
    }

    fn client_of(&self, version: &'static SupportedProtocolVersion) -> Tls {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusted.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]);
        let mut config = config.expect("a version of ring's").with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Tls { config: Arc::new(config), is_other: false }
    }
}

/// What tokio-postgres makes TLS with.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    /// Says that it has seen another certificate, as one does who talks to somebody in between.
    is_other: bool,
}

/// One handshake of it.
pub(crate) struct Handshake {
    tls: Tls,
    name: ServerName<'static>,
}

pub(crate) struct Encrypted<S> {
    stream: tokio_rustls::client::TlsStream<S>,
    is_other: bool,
}

impl Tls {
    pub(crate) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.config))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Tls {
    type Stream = Encrypted<S>;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Self::TlsConnect> {
        let name = ServerName::try_from(domain.to_owned()).map_err(io::Error::other)?;
        Ok(Handshake { tls: self.clone(), name })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Handshake {
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let Handshake { tls, name } = self;
        Box::pin(async move {
            let stream = tls.connector().connect(name, stream).await?;
            Ok(Encrypted { stream, is_other: tls.is_other })
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let seen = self.stream.get_ref().1.peer_certificates().expect("the server has shown one");
        let mut hash = ring::digest::digest(&ring::digest::SHA256, &seen[0]).as_ref().to_vec();
        hash[0] ^= u8::from(self.is_other);
        ChannelBinding::tls_server_end_point(hash)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A master with rules, a password of its administrator and a certificate for clients.
pub(crate) struct Scene {
    pub(crate) directory: TempDir,
    pub(crate) cluster: ProcessCluster,
    pub(crate) certificate: Certificate,
}

impl Scene {
    pub(crate) fn start(rules: &str) -> Self {
        Self::start_as(&["localhost", "127.0.0.1"], 1, rules)
    }

    /// With a certificate of these names, and so many segments.
    pub(crate) fn start_as(hosts: &[&str], segments: usize, rules: &str) -> Self {
        let (directory, mut master_arguments) = admin_password();
        let path = directory.path().join("hba.conf");
        fs::write(&path, rules).expect("room");
        master_arguments.extend(["--hba-file".to_owned(), path.display().to_string()]);
        let certificate = Certificate::make_for(hosts, directory.path());
        master_arguments.extend(certificate.options());
        let segment_arguments = certificate.options();
        let setup = Setup { segments, master_arguments, segment_arguments, ..Setup::default() };
        let cluster = ProcessCluster::start_with(setup);
        Scene { directory, cluster, certificate }
    }

    /// Over TLS, and only if it is bound to it.
    fn config(&self, user: &str, password: &str) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.cluster.postgres_address().port()).dbname("damson");
        config.user(user).password(password).ssl_mode(SslMode::Require).channel_binding(Binding::Prefer);
        config
    }

    async fn admin(&self) -> Client {
        connect(self.config("damson", ADMIN), self.certificate.client()).await.expect("the right password")
    }
}

async fn connect(config: Config, tls: Tls) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(tls).await?;
    // Ends with the client.
    tokio::spawn(connection);
    Ok(client)
}

async fn value(client: &Client, sql: &str) -> String {
    let messages = client.simple_query(sql).await.expect(sql);
    let mut rows = messages.iter().filter_map(|m| if let SimpleQueryMessage::Row(row) = m { Some(row) } else { None });
    rows.next().and_then(|row| row.get(0)).expect("a value").to_owned()
}

fn told(error: &tokio_postgres::Error) -> (&str, &str) {
    let error = error.as_db_error().unwrap_or_else(|| panic!("the server says so, not {error:?}"));
    (error.code().code(), error.message())
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_see_who_is_encrypted() {
    let scene = Scene::start(
        "hostssl    all  damson,ann  127.0.0.1/32  scram-sha-256\n\
         hostnossl  all  bob         127.0.0.1/32  trust\n\
         hostssl    all  carl        127.0.0.1/32  password\n",
    );
    let admin = scene.admin().await;
    let made = "CREATE ROLE ann LOGIN PASSWORD 'right'; CREATE ROLE bob LOGIN; CREATE ROLE carl LOGIN PASSWORD 'right'";
    admin.batch_execute(made).await.expect("roles");
    let tls = scene.certificate.client();
    for binding in [Binding::Require, Binding::Prefer, Binding::Disable] {
        let mut config = scene.config("ann", "right");
        config.channel_binding(binding);
        let ann = connect(config, tls.clone()).await.unwrap_or_else(|error| panic!("{binding:?}: {error}"));
        assert_eq!(value(&ann, "SELECT current_user").await, "ann");
    }
    let refused = async |config: Config, tls: Tls| connect(config, tls).await.expect_err("it is refused");
    assert_eq!(told(&refused(scene.config("ann", "wrong"), tls.clone()).await).0, "28P01");
    let carl = connect(scene.config("carl", "right"), tls.clone()).await.expect("a password goes over TLS");
    assert_eq!(value(&carl, "SELECT current_user").await, "carl");

    // Who stands in between can show a certificate that the client takes, and cannot pass the proof on.
    let between = refused(scene.config("ann", "right"), Tls { is_other: true, ..tls.clone() }).await;
    assert_eq!(told(&between), ("28000", "SCRAM channel binding check failed"));

    let plain = scene.config("ann", "right").ssl_mode(SslMode::Disable).connect(NoTls).await.err().expect("no TLS");
    let of = |user: &str, encryption: &str| {
        format!("no pg_hba.conf entry for host \"127.0.0.1\", user \"{user}\", database \"damson\", {encryption}")
    };
    assert_eq!(told(&plain), ("28000", of("ann", "no encryption").as_str()));
    assert_eq!(told(&refused(scene.config("bob", ""), tls).await), ("28000", of("bob", "SSL encryption").as_str()));
    let (bob, connection) =
        scene.config("bob", "").ssl_mode(SslMode::Disable).connect(NoTls).await.expect("it is trusted without");
    tokio::spawn(connection);
    assert_eq!(value(&bob, "SELECT current_user").await, "bob");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_goes_through_it() {
    let scene = Scene::start("hostssl all damson 127.0.0.1/32 scram-sha-256\n");
    for (version, negotiation) in
        [(&TLS13, SslNegotiation::Postgres), (&TLS13, SslNegotiation::Direct), (&TLS12, SslNegotiation::Postgres)]
    {
        let tls = scene.certificate.client_of(version);
        let mut config = scene.config("damson", ADMIN);
        config.ssl_negotiation(negotiation).channel_binding(Binding::Require);
        let client = connect(config, tls.clone()).await.unwrap_or_else(|error| panic!("{negotiation:?}: {error}"));
        // More than any buffer on the way has, in both directions.
        let rows = client.query("SELECT repeat('x', 1000) FROM generate_series(1, 20000)", &[]).await.expect("rows");
        assert!(rows.len() == 20_000 && rows.iter().all(|row| row.get::<_, &str>(0).len() == 1_000));
        client.batch_execute("CREATE TABLE t (a int, b text) DISTRIBUTED BY (a)").await.expect("a table");
        let sink = client.copy_in("COPY t FROM STDIN").await.expect("it may be written");
        futures::pin_mut!(sink);
        for a in 0..2_000 {
            sink.send(bytes::Bytes::from(format!("{a}\t{}\n", "y".repeat(1_000)))).await.expect("it is taken");
        }
        assert_eq!(sink.finish().await.expect("it is there"), 2_000);
        let copied: Vec<bytes::Bytes> =
            client.copy_out("COPY t TO STDOUT").await.expect("it may be read").try_collect().await.expect("rows");
        assert_eq!(copied.concat().iter().filter(|byte| **byte == b'\n').count(), 2_000);
        client.batch_execute("DROP TABLE t").await.expect("it is there");

        // A request to cancel comes over TLS, too.
        let cancel = client.cancel_token();
        let again_and_again = async {
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                cancel.cancel_query(tls.clone()).await.expect("a request");
            }
        };
        let ended = tokio::select! {
            ended = tokio::time::timeout(WITHIN, client.simple_query("SELECT pg_sleep(3600)")) => ended,
            () = again_and_again => unreachable!("it goes on"),
        };
        assert_eq!(told(&ended.expect("it ends").expect_err("it was cancelled")).0, "57014");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_begins_with_tls_says_for_what() {
    let scene = Scene::start("hostssl all damson 127.0.0.1/32 scram-sha-256\n");
    let mut tls = scene.certificate.client();
    for (protocols, told_to) in [(vec![], "ALPN"), (vec![b"h2".to_vec()], "kind: Tls")] {
        let mut config = ClientConfig::clone(&tls.config);
        config.alpn_protocols = protocols;
        tls.config = Arc::new(config);
        let mut config = scene.config("damson", ADMIN);
        let config = config.ssl_negotiation(SslNegotiation::Direct).clone();
        // A reset overtakes the words at times: what the client had sent meanwhile was not read.
        let mut refusals = vec![];
        while !refusals.last().is_some_and(|refused: &String| refused.contains(told_to)) {
            assert!(refusals.len() < 20, "{refusals:?}");
            let refused = connect(config.clone(), tls.clone()).await.expect_err("it is refused");
            refusals.push(format!("{refused:?}"));
        }
    }
}

/// Connections go on with the certificate that they began with, and new ones see the new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_while_it_serves() {
    let mut scene = Scene::start("hostssl all damson 127.0.0.1/32 scram-sha-256\n");
    let (old, config) = (scene.certificate.client(), scene.config("damson", ADMIN));
    let client = scene.admin().await;
    let running = tokio::spawn(async move {
        let ended = client.simple_query("SELECT pg_sleep(15)").await.map(|_| ());
        (client, ended)
    });
    // By itself, in the time that docs/security.md tells.
    let new = Certificate::make(scene.directory.path());
    let connected = async {
        while connect(config.clone(), new.client()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(WITHIN, connected).await.expect("the new certificate");
    let refused = format!("{:?}", connect(config.clone(), old).await.expect_err("it trusts another"));
    assert!(refused.contains("InvalidCertificate"), "{refused}");
    let (client, ended) = running.await.expect("no panic");
    ended.expect("nobody has ended it");
    assert_eq!(value(&client, "SELECT 1").await, "1");

    // Another one's key; then none at all. The log says why, and what was shown before is shown still.
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    fs::copy(Certificate::make(elsewhere.path()).path, &new.path).expect("room");
    for wrong in ["does not belong to the certificate", "clients.pem is not the PEM file that it should be"] {
        scene.cluster.master().signal(Signal::SIGHUP);
        wait_for("what is wrong", WITHIN, || {
            let log = scene.cluster.master().stderr();
            log.lines().any(|line| line.contains("the old one stays in force") && line.contains(wrong)).then_some(())
        });
        connect(config.clone(), new.client()).await.expect("the old one stays");
        fs::write(&new.path, "nothing").expect("room");
    }

    // At once when it is asked for.
    let newer = Certificate::make(scene.directory.path());
    scene.cluster.master().signal(Signal::SIGHUP);
    let connected = async {
        while connect(config.clone(), newer.client()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), connected).await.expect("the newest certificate");
    assert_eq!(value(&client, "SELECT 1").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_checks_the_certificate_and_binds_to_it() {
    if !there_is("psql") {
        return;
    }
    let scene = Scene::start("hostssl all damson 127.0.0.1/32 scram-sha-256\n");
    let port = scene.cluster.postgres_address().port();
    let psql = |mode: &str, root: &Path| {
        let (root, to) = (root.display(), format!("host=127.0.0.1 port={port} user=damson dbname=damson"));
        let mut command = Command::new("psql");
        command.args(["-XAt", "-d", &format!("{to} sslmode={mode} sslrootcert={root} channel_binding=require")]);
        let output = command.args(["-c", "SELECT current_user"]).env("PGPASSWORD", ADMIN).output().expect("psql runs");
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("UTF-8"));
        (out, err)
    };
    assert_eq!(psql("verify-ca", &scene.certificate.path), ("damson\n".into(), String::new()));
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let (out, err) = psql("verify-ca", &Certificate::make(elsewhere.path()).path);
    assert!(out.is_empty() && err.contains("certificate verify failed"), "{out}{err}");
}
