//! TLS to a server: whom the client trusts, and what it says of a server that it does not.

use super::failure::Failure;
use rustls::client::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, CertificateError, Error as TlsError, RootCertStore};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Whether to speak TLS, and whom to trust.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct TlsArgs {
    /// Speak TLS with the server, and check its certificate; addresses that begin with flight+tls:// say so, too.
    #[arg(long)]
    pub tls: bool,
    /// Certificates in PEM of those whose word is taken for the server, instead of the system's; asks for TLS.
    #[arg(long, value_name = "FILE", env = "DAMSON_TLS_CA")]
    pub tls_ca: Option<PathBuf>,
}

impl TlsArgs {
    pub(super) fn is_asked_for(&self) -> bool {
        self.tls || self.tls_ca.is_some()
    }
}

/// Whose certificates a client takes, for one protocol. A clone is the same.
#[derive(Clone)]
pub(super) struct Trust {
    config: Arc<ClientConfig>,
    /// Who is asked: a file, or the system.
    roots: Arc<str>,
}

/// A server that is not what it should be. Another try would find the same.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Distrust(String);

impl Trust {
    /// Reads the certificates; `protocol` is what is spoken under TLS, by its name (ALPN).
    ///
    /// # Errors
    /// A file that is none of certificates, a system that has none.
    pub(super) fn load(args: &TlsArgs, protocol: &[u8]) -> Result<Self, Failure> {
        let (roots, certificates) = match &args.tls_ca {
            Some(path) => (path.display().to_string(), of_file(path)?),
            None => ("the system".to_owned(), of_system()?),
        };
        let mut store = RootCertStore::empty();
        for certificate in certificates {
            let added = store.add(certificate);
            // Of a system's many, some may be of kinds that are not known here.
            if let (Err(error), true) = (added, args.tls_ca.is_some()) {
                return Err(Failure::Connection(format!("{roots} has a certificate that cannot be used: {error}")));
            }
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::Connection(format!("cannot speak TLS: {error}")))?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Trust { config: Arc::new(config), roots: roots.into() })
    }

    /// The handshake with the server at `host`.
    ///
    /// # Errors
    /// [`distrust`] finds what makes a further try useless; else the connection's own.
    pub(super) async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| io::Error::other(Distrust(format!("no certificate can be for \"{host}\""))))?;
        let connected = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await;
        connected.map_err(|error| self.explain(error, host))
    }

    fn explain(&self, error: io::Error, host: &str) -> io::Error {
        let Some(told) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else { return error };
        io::Error::other(Distrust(match told {
            TlsError::InvalidCertificate(wrong) => match wrong {
                // Of another authority of the same name it is the signature that is wrong.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    format!("the server's certificate is of nobody whom {} trusts", self.roots)
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    format!("the server's certificate is not for \"{host}\"")
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "the server's certificate has expired".to_owned()
                }
                other => format!("the server's certificate cannot be taken: {other}"),
            },
            TlsError::InvalidMessage(_) => "the server does not speak TLS".to_owned(),
            TlsError::AlertReceived(AlertDescription::NoApplicationProtocol) => {
                "the server speaks another protocol on this port".to_owned()
            }
            other => format!("no TLS with the server: {other}"),
        }))
    }
}

/// What is wrong with the server, if that is why a connection failed.
pub(super) fn distrust(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        // An I/O error's source is not what it was made of, but that one's source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(distrust) = inner.and_then(|inner| inner.downcast_ref::<Distrust>()) {
            return Some(distrust.to_string());
        }
        next = error.source();
    }
    None
}

fn of_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let unusable = |why: &dyn std::fmt::Display| Failure::Connection(format!("cannot use {}: {why}", path.display()));
    let read = CertificateDer::pem_file_iter(path).and_then(|found| found.collect::<Result<Vec<_>, _>>());
    match read {
        Ok(certificates) if certificates.is_empty() => Err(unusable(&"no certificate is in it")),
        Ok(certificates) => Ok(certificates),
        Err(PemError::Io(error)) => Err(unusable(&error)),
        Err(error) => Err(unusable(&error)),
    }
}

fn of_system() -> Result<Vec<CertificateDer<'static>>, Failure> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        return Err(Failure::Connection(format!(
            "the system trusts no certificates{why}: name one's file by --tls-ca"
        )));
    }
    Ok(found.certs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn told(path: &Path) -> String {
        let args = TlsArgs { tls_ca: Some(path.to_owned()), ..TlsArgs::default() };
        Trust::load(&args, b"h2").err().expect("it is none").to_string()
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        assert!(told(&path).contains("ca.pem: No such file"), "{}", told(&path));
        fs::write(&path, "nothing").unwrap();
        assert!(told(&path).ends_with("ca.pem: no certificate is in it"), "{}", told(&path));
        fs::write(&path, "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n").unwrap();
        assert!(told(&path).starts_with("cannot use"), "{}", told(&path));
        fs::write(&path, "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n").unwrap();
        assert!(told(&path).contains("has a certificate that cannot be used"), "{}", told(&path));
    }

    #[test]
    fn distrust_is_found_below_other_errors() {
        let made = io::Error::other(Distrust("it is not who it says".into()));
        let wrapped = tonic::Status::from_error(Box::new(made));
        assert_eq!(distrust(&wrapped).as_deref(), Some("it is not who it says"));
        let refused = tonic::Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionRefused)));
        assert_eq!(distrust(&refused), None);
    }
}
