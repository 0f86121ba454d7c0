//! Files of certificates and keys: read with clear errors, written durably and for their owner only.

use super::TlsError;
use super::node_tls::crypto_provider;
use rustls::sign::CertifiedKey;
use rustls::{Error as RustlsError, InconsistentKeys};
use rustls_pki_types::pem::{Error as PemError, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The authority's certificate; every node has it.
pub const AUTHORITY_FILE: &str = "ca.pem";
/// The authority's key; only where certificates are issued.
pub const AUTHORITY_KEY_FILE: &str = "ca.key";
/// A node's certificate.
pub const CERTIFICATE_FILE: &str = "node.pem";
/// A node's key.
pub const KEY_FILE: &str = "node.key";

const DIRECTORY_MODE: u32 = 0o700;
const CERTIFICATE_MODE: u32 = 0o644;
const KEY_MODE: u32 = 0o600;
/// A key may be read by its group, as secrets that a container is handed are; by nobody else, and changed by its owner only.
const KEY_MODE_FORBIDDEN: u32 = 0o027;

/// What a server shows: the certificates of a file, its own first, and the key of another.
///
/// # Errors
/// A missing or unusable file, a key that others can read or that is of another certificate.
pub fn certified_key(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(certificate)?;
    let private = crypto_provider().key_provider.load_private_key(self::key(key)?);
    let private = private.map_err(|error| bad_pem(key, &error.to_string()))?;
    let certified = CertifiedKey::new(chain, private);
    certified.keys_match().map_err(|error| match error {
        RustlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::KeyMismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        error => TlsError::Unusable { path: certificate.to_owned(), reason: error.to_string() },
    })?;
    Ok(certified)
}

/// The certificates of a file, its own first.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match parsed {
        Ok(certificates) if certificates.is_empty() => Err(bad_pem(path, "no certificate is in it")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(bad_pem(path, &error.to_string())),
    }
}

/// The private key of a file that only its owner can read.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = key_text(path)?;
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| match error {
        PemError::NoItemsFound => bad_pem(path, "no private key is in it"),
        error => bad_pem(path, &error.to_string()),
    })
}

/// The text of a file that only its owner can read.
pub(super) fn key_text(path: &Path) -> Result<String, TlsError> {
    let text = read(path)?;
    let metadata = fs::metadata(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & KEY_MODE_FORBIDDEN != 0 {
        return Err(TlsError::ExposedKey { path: path.to_owned(), mode });
    }
    Ok(text)
}

pub(super) fn bad_pem(path: &Path, reason: &str) -> TlsError {
    TlsError::BadPem { path: path.to_owned(), reason: reason.to_owned() }
}

fn read(path: &Path) -> Result<String, TlsError> {
    fs::read_to_string(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => TlsError::Missing { path: path.to_owned() },
        io::ErrorKind::InvalidData => bad_pem(path, "it is not text"),
        _ => TlsError::Read { path: path.to_owned(), source },
    })
}

/// Makes the directory, and those above it that are missing, for their owner only; one that is there stays as it is.
pub(super) fn make_directory(path: &Path) -> Result<(), TlsError> {
    let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path);
    made.map_err(|source| TlsError::Write { path: path.to_owned(), source })
}

pub(super) fn write_certificate(path: &Path, pem: &str) -> Result<(), TlsError> {
    write_durably(path, pem, CERTIFICATE_MODE).map_err(|source| TlsError::Write { path: path.to_owned(), source })
}

pub(super) fn write_key(path: &Path, pem: &str) -> Result<(), TlsError> {
    write_durably(path, pem, KEY_MODE).map_err(|source| TlsError::Write { path: path.to_owned(), source })
}

/// A file that is there whole, or not at all, and for no moment open to others.
fn write_durably(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut draft_name = path.file_name().unwrap_or_default().to_owned();
    draft_name.push(".tmp");
    let draft = path.with_file_name(draft_name);
    // A draft that a crash left behind may have been made with another mode.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => File::open(directory)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
