//! The certificate that clients are shown, of a master and of segments.

use crate::config_file::{ConfigError, required};
use damson_interconnect::TlsError;
use damson_master::client_tls::ClientTls;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;

/// Why there is none.
#[derive(Debug, Error)]
pub enum ClientCertificateError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot show clients a certificate: {0}")]
    Tls(#[from] TlsError),
}

/// The certificate of `--client-tls-cert`, with its key; None if there is to be none.
pub(crate) fn load(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<Arc<ClientTls>>, ClientCertificateError> {
    if certificate.is_none() && key.is_none() {
        return Ok(None);
    }
    let (certificate, key) = (required(certificate, "client-tls-cert")?, required(key, "client-tls-key")?);
    Ok(Some(Arc::new(ClientTls::load(certificate, key)?)))
}

/// Reads it again when it changes, and at every SIGHUP.
pub(crate) async fn keep(tls: Arc<ClientTls>, mut hangup: Signal, stop: CancellationToken) {
    tls.keep(&mut hangup, stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_for_clients_needs_its_key() {
        let refused = |certificate: Option<PathBuf>, key: Option<PathBuf>| {
            load(certificate, key).expect_err("a half").to_string()
        };
        let path = || Some(PathBuf::from("/nowhere"));
        assert!(load(None, None).expect("none is wanted").is_none());
        assert!(refused(path(), None).contains("--client-tls-key is missing"));
        assert!(refused(None, path()).contains("--client-tls-cert is missing"));
        assert_eq!(refused(path(), path()), "cannot show clients a certificate: /nowhere is missing");
    }
}
