//! The certificate that clients are shown, which can be replaced while the master serves.

use super::end_point::end_point;
use damson_interconnect::{TlsError, certified_key};
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The PostgreSQL protocol's name (ALPN). Clients that begin with TLS must ask for it; of the others, those that ask for something must
/// ask for this.
const ALPN_POSTGRESQL: &[u8] = b"postgresql";

/// That of HTTP/2, over which Flight SQL goes.
const ALPN_HTTP2: &[u8] = b"h2";

/// What is to be spoken under TLS. A client that asks for protocols, none of which is this one, has come to the wrong port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Postgresql,
    FlightSql,
}

/// What a client's password exchange can be bound to: the hash of the certificate that it was shown (RFC 5929, `tls-server-end-point`).
/// None of a certificate whose signature has no hash of its own.
pub(crate) type EndPoint = Option<Arc<[u8]>>;

/// A certificate and its key, of two files in PEM. One a master, made by its process; connections take from it what is in force when they
/// begin.
pub struct ClientTls {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<Identity>>,
}

/// What a handshake needs.
struct Identity {
    certified: CertifiedKey,
    postgresql: Arc<ServerConfig>,
    flight_sql: Arc<ServerConfig>,
    end_point: EndPoint,
}

impl ClientTls {
    /// Reads both files.
    ///
    /// # Errors
    /// A missing or unusable file, a key that others can read or that is of another certificate.
    pub fn load(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let identity = Identity::of(certified_key(&certificate, &key)?)?;
        Ok(ClientTls { certificate, key, current: RwLock::new(Arc::new(identity)) })
    }

    /// Reads both files again; whether there is another certificate now, which connections have that begin from now on. Reads from disk.
    ///
    /// # Errors
    /// As [`ClientTls::load`]; the old certificate stays.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let certified = certified_key(&self.certificate, &self.key)?;
        if self.current.read().certified.cert == certified.cert {
            return Ok(false);
        }
        let identity = Arc::new(Identity::of(certified)?);
        *self.current.write() = identity;
        Ok(true)
    }

    /// The handshake of a client. It says nothing of its time: see to that.
    ///
    /// # Errors
    /// A client that does not want the certificate, or speaks something else; the connection's own.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        protocol: Protocol,
        stream: S,
    ) -> io::Result<(TlsStream<S>, EndPoint)> {
        let identity = Arc::clone(&self.current.read());
        let config = match protocol {
            Protocol::Postgresql => &identity.postgresql,
            Protocol::FlightSql => &identity.flight_sql,
        };
        let stream = TlsAcceptor::from(Arc::clone(config)).accept(stream).await?;
        Ok((stream, identity.end_point.clone()))
    }
}

/// Whether a client has said in its handshake that it will speak the PostgreSQL protocol.
pub(crate) fn has_chosen_postgresql<S>(stream: &TlsStream<S>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(ALPN_POSTGRESQL)
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Identity {
    fn of(certified: CertifiedKey) -> Result<Self, TlsError> {
        let end_point = certified.cert.first().and_then(|certificate| end_point(certificate)).map(Arc::from);
        let shown = SingleCertAndKey::from(certified.clone());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| TlsError::Setup(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown));
        // As PostgreSQL: connections are few and long. A certificate that was replaced is shown to nobody any more.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        let speaking = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        };
        let (postgresql, flight_sql) = (speaking(ALPN_POSTGRESQL), speaking(ALPN_HTTP2));
        Ok(Identity { certified, postgresql, flight_sql, end_point })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio_rustls::TlsConnector;

    /// A certificate for `localhost` in a directory's `certificate` and `key`.
    pub(crate) fn write(directory: &Path) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = directory.join("key");
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(directory.join("certificate"), made.cert.pem()).unwrap();
        made.cert.der().clone()
    }

    pub(crate) fn load(directory: &Path) -> Result<ClientTls, TlsError> {
        ClientTls::load(directory.join("certificate"), directory.join("key"))
    }

    /// A client that trusts one certificate, and asks for protocols.
    pub(crate) fn client(trusted: &CertificateDer<'static>, protocols: &[&[u8]]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    pub(crate) fn localhost() -> ServerName<'static> {
        ServerName::try_from("localhost").unwrap()
    }

    /// Whether a client that trusts a certificate can speak.
    async fn is_shown(tls: &ClientTls, trusted: &CertificateDer<'static>) -> bool {
        let (ours, theirs) = duplex(1 << 14);
        let serve = async {
            let Ok((mut stream, end_point)) = tls.accept(Protocol::Postgresql, ours).await else { return };
            // rcgen signs with ECDSA and SHA-256.
            assert_eq!(end_point.map(|hash| hash.len()), Some(32));
            stream.write_all(b"hello").await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let connect = async {
            let mut said = String::new();
            let mut stream = client(trusted, &[]).connect(localhost(), theirs).await.ok()?;
            stream.read_to_string(&mut said).await.unwrap();
            Some(said)
        };
        tokio::join!(serve, connect).1.as_deref() == Some("hello")
    }

    #[tokio::test]
    async fn a_certificate_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let first = write(directory);
        let tls = load(directory).unwrap();
        assert!(is_shown(&tls, &first).await);
        assert!(!tls.reload().unwrap(), "it is the same");
        let second = write(directory);
        assert!(is_shown(&tls, &first).await, "it was not read again");
        assert!(tls.reload().unwrap());
        assert!(is_shown(&tls, &second).await && !is_shown(&tls, &first).await);

        // Of another key, of none, and one that others can read: what was there stays.
        let certificate = fs::read(directory.join("certificate")).unwrap();
        write(directory);
        fs::write(directory.join("certificate"), &certificate).unwrap();
        assert!(matches!(tls.reload(), Err(TlsError::KeyMismatch { .. })));
        assert!(matches!(load(directory), Err(TlsError::KeyMismatch { .. })));
        fs::write(directory.join("certificate"), "").unwrap();
        assert!(matches!(tls.reload(), Err(TlsError::BadPem { .. })));
        fs::remove_file(directory.join("certificate")).unwrap();
        assert!(matches!(tls.reload(), Err(TlsError::Missing { .. })));
        write(directory);
        fs::set_permissions(directory.join("key"), fs::Permissions::from_mode(0o604)).unwrap();
        assert!(matches!(tls.reload(), Err(TlsError::ExposedKey { .. })));
        assert!(is_shown(&tls, &second).await);
    }
}
