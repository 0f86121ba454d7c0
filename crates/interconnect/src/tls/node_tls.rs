//! A node's certificate, ready for use.

use super::anchor::Anchor;
use super::files::{self, AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE};
use super::peer_check::PeerCheck;
use super::{Day, TlsError};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, Error, RootCertStore, ServerConfig};
use rustls_pki_types::{ServerName, UnixTime};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Protocol of a Flight connection: HTTP/2.
pub const ALPN_FLIGHT: &[u8] = b"h2";
/// Protocol of a QUIC connection: routes as raw streams, version 1.
pub const ALPN_QUIC: &[u8] = b"damson-route/1";

/// A certificate is renewed, or its end is warned of, so long before.
const RENEWAL: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// One node's certificate and the only authority that it trusts, as configurations of TLS 1.3 in which both ends show a
/// certificate. Loaded when a process starts; the drivers make connections with it.
pub struct NodeTls {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
    server_name: ServerName<'static>,
    expires: UnixTime,
}

impl NodeTls {
    /// Reads `ca.pem`, `node.pem` and `node.key` of a directory.
    ///
    /// # Errors
    /// A missing or unusable file, a key that others can read or that is of another certificate, a certificate of another
    /// authority, of another kind, or out of its time.
    pub fn load(directory: &Path) -> Result<Self, TlsError> {
        let (certificate_path, key_path) = (directory.join(CERTIFICATE_FILE), directory.join(KEY_FILE));
        let authority_path = directory.join(AUTHORITY_FILE);
        let anchor = Anchor::read(&authority_path)?;
        let certified = files::certified_key(&certificate_path, &key_path)?;
        let provider = crypto_provider();
        let unusable = |error: Error| TlsError::Unusable { path: certificate_path.clone(), reason: error.to_string() };

        let roots = anchor.roots();
        let server_name = anchor.server_name();
        let expires = check_own(&certified, &roots, &provider, &server_name).map_err(|error| match error {
            Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
                TlsError::Expired { path: certificate_path.clone(), on: not_after.into() }
            }
            Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => {
                TlsError::NotYetValid { path: certificate_path.clone(), from: not_before.into() }
            }
            Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                TlsError::OtherAuthority { certificate: certificate_path.clone(), authority: authority_path.clone() }
            }
            Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. }) => {
                TlsError::WrongName { path: certificate_path.clone(), name: anchor.node_name().to_owned() }
            }
            error => unusable(error),
        })?;
        let identity = Arc::new(SingleCertAndKey::from(certified));
        Ok(NodeTls {
            server: Arc::new(server_config(&provider, &roots, &server_name, &identity)?),
            client: Arc::new(client_config(&provider, &roots, &identity)?),
            server_name,
            expires,
        })
    }

    /// For accepting connections of a protocol ([`ALPN_FLIGHT`], [`ALPN_QUIC`]).
    pub fn server_config(&self, alpn: &[u8]) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.server);
        config.alpn_protocols = vec![alpn.to_vec()];
        Arc::new(config)
    }

    /// For making connections of a protocol ([`ALPN_FLIGHT`], [`ALPN_QUIC`]), to peers by the name of
    /// [`NodeTls::server_name`].
    pub fn client_config(&self, alpn: &[u8]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.client);
        config.alpn_protocols = vec![alpn.to_vec()];
        Arc::new(config)
    }

    /// The name that every node of the cluster answers to, whatever its address.
    pub fn server_name(&self) -> ServerName<'static> {
        self.server_name.clone()
    }

    /// The day after which peers refuse this node.
    pub fn expires(&self) -> Day {
        self.expires.into()
    }

    /// Whether it is time for another certificate.
    pub fn expires_soon(&self) -> bool {
        self.expires.as_secs() < UnixTime::now().as_secs().saturating_add(RENEWAL.as_secs())
    }
}

impl fmt::Debug for NodeTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// ring's, whatever other provider a dependency may have set up. AES-128 first: it is as safe here as AES-256, and faster.
pub(super) fn crypto_provider() -> Arc<CryptoProvider> {
    let cipher_suites = vec![
        provider::cipher_suite::TLS13_AES_128_GCM_SHA256,
        provider::cipher_suite::TLS13_AES_256_GCM_SHA384,
        provider::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(CryptoProvider { cipher_suites, ..provider::default_provider() })
}

/// Checks a certificate as peers will, and gives its end.
fn check_own(
    own: &CertifiedKey,
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    name: &ServerName<'static>,
) -> Result<UnixTime, Error> {
    let server_check = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    let client_check = peer_check(roots, provider, name).map_err(|error| Error::General(error.to_string()))?;
    let (certificate, others) = own.cert.split_first().ok_or(Error::NoCertificatesPresented)?;
    let now = UnixTime::now();
    server_check.verify_server_cert(certificate, others, name, &[], now)?;
    rustls::server::danger::ClientCertVerifier::verify_client_cert(&client_check, certificate, others, now)?;
    // Its last second is only told by the refusal of a later one.
    let never = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    match server_check.verify_server_cert(certificate, others, name, &[], never) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => Ok(not_after),
        Err(error) => Err(error),
        Ok(_) => Ok(never),
    }
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    name: &ServerName<'static>,
    identity: &Arc<SingleCertAndKey>,
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(setup)?
        .with_client_cert_verifier(Arc::new(peer_check(roots, provider, name)?))
        .with_cert_resolver(Arc::clone(identity) as _);
    // Every connection shows and checks certificates: nothing is resumed, and no data comes before the handshake's end,
    // where it could be replayed. Connections are few and long.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

fn client_config(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    identity: &Arc<SingleCertAndKey>,
) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(setup)?
        .with_root_certificates(Arc::clone(roots))
        .with_client_cert_resolver(Arc::clone(identity) as _);
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn peer_check(
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    name: &ServerName<'static>,
) -> Result<PeerCheck, TlsError> {
    let chain = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider));
    Ok(PeerCheck::new(chain.build().map_err(setup)?, name.clone()))
}

fn setup(error: impl fmt::Display) -> TlsError {
    TlsError::Setup(error.to_string())
}
