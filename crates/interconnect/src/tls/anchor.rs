//! An authority as nodes see it.

use super::TlsError;
use super::files;
use ring::digest::{SHA256, digest};
use rustls::server::ParsedCertificate;
use rustls::{Error, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

/// Bytes of an authority's id: enough to tell authorities apart; the chain of signatures is what is trusted.
const ID_BYTES: usize = 8;

/// Whom a node trusts: one authority, and the name of its nodes, which follows from its key.
pub(super) struct Anchor {
    roots: Arc<RootCertStore>,
    public_key: Vec<u8>,
    node_name: String,
    server_name: ServerName<'static>,
}

impl Anchor {
    pub(super) fn read(path: &Path) -> Result<Self, TlsError> {
        let certificates = files::certificates(path)?;
        let [certificate] = certificates.as_slice() else {
            return Err(files::bad_pem(path, "several certificates are in it; a cluster has one authority"));
        };
        Self::new(certificate).map_err(|error| files::bad_pem(path, &error.to_string()))
    }

    fn new(certificate: &CertificateDer<'_>) -> Result<Self, Error> {
        let public_key = ParsedCertificate::try_from(certificate)?.subject_public_key_info().to_vec();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone().into_owned())?;
        let node_name = format!("node.{}.damson.internal", Self::id_of_key(&public_key));
        let server_name = ServerName::try_from(node_name.clone()).map_err(|e| Error::General(e.to_string()))?;
        Ok(Anchor { roots: Arc::new(roots), public_key, node_name, server_name })
    }

    /// The id of the authority with a public key, given as SubjectPublicKeyInfo.
    pub(super) fn id_of_key(public_key: &[u8]) -> String {
        digest(&SHA256, public_key).as_ref()[..ID_BYTES].iter().fold(String::new(), |mut id, byte| {
            write!(id, "{byte:02x}").expect("a string has room");
            id
        })
    }

    pub(super) fn node_name(&self) -> &str {
        &self.node_name
    }

    pub(super) fn has_key(&self, public_key: &[u8]) -> bool {
        self.public_key == public_key
    }

    pub(super) fn is_same_as(&self, other: &Anchor) -> bool {
        self.roots.roots == other.roots.roots
    }

    /// Whether it has the name of another certificate.
    pub(super) fn has_subject_of(&self, certificate: &CertificateDer<'_>) -> bool {
        Self::new(certificate).is_ok_and(|other| self.subject() == other.subject())
    }

    pub(super) fn server_name(&self) -> ServerName<'static> {
        self.server_name.clone()
    }

    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.roots)
    }
    fn subject(&self) -> Option<&[u8]> {
        self.roots.roots.first().map(|anchor| anchor.subject.as_ref())
    }
}
