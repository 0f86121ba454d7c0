//! The cluster's certificate authority.

use super::anchor::Anchor;
use super::files::{self, AUTHORITY_FILE, AUTHORITY_KEY_FILE, CERTIFICATE_FILE, KEY_FILE};
use super::{NodeTls, TlsError};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// As long as a cluster can be expected to run without a planned change of authority.
const AUTHORITY_LIFE: Duration = DAY.saturating_mul(3652);
/// Long enough that a node is restarted, and its certificate renewed, in the meantime.
const CERTIFICATE_LIFE: Duration = DAY.saturating_mul(730);
/// Certificates begin so long before they are made: the nodes' clocks differ.
const CLOCK_SKEW: Duration = DAY;
const _: () = assert!(CERTIFICATE_LIFE.as_secs() < AUTHORITY_LIFE.as_secs());

/// Bytes of a serial number: too many to meet another one by chance, few enough for the 20 that X.509 allows.
const SERIAL_BYTES: usize = 16;

/// Issues the certificates of one cluster's nodes: whoever holds its key decides who is a node. Made by the first start
/// of a master; used again by `damson certificate`.
pub struct ClusterAuthority {
    /// The authority's certificate, as it is in its file.
    pem: String,
    anchor: Anchor,
    issuer: Issuer<'static, KeyPair>,
}

impl ClusterAuthority {
    /// The authority of a directory, made there if there is none.
    ///
    /// # Errors
    /// As [`ClusterAuthority::open`], but for a directory without any authority.
    pub fn open_or_create(directory: &Path) -> Result<Self, TlsError> {
        let (certificate, key) = Self::paths(directory);
        if !certificate.exists() {
            files::make_directory(directory)?;
            let key_pair = if key.exists() { read_key(&key)? } else { create_key(&key)? };
            // The key is there first, so that an end between the two loses nothing: its certificate is made anew.
            let params = authority_params(&key_pair)?;
            files::write_certificate(&certificate, &params.self_signed(&key_pair)?.pem())?;
        }
        Self::open(directory)
    }

    /// The authority of a directory.
    ///
    /// # Errors
    /// A missing or unusable file, a key that others can read or that is of another certificate, an authority that was not
    /// made here.
    pub fn open(directory: &Path) -> Result<Self, TlsError> {
        let (certificate, key) = Self::paths(directory);
        let anchor = Anchor::read(&certificate)?;
        let key_pair = read_key(&key)?;
        if !anchor.has_key(&key_pair.subject_public_key_info()) {
            return Err(TlsError::KeyMismatch { certificate, key });
        }
        let params = authority_params(&key_pair)?;
        // What is signed names its issuer as these parameters do: it must be how the authority names itself.
        if !anchor.has_subject_of(params.self_signed(&key_pair)?.der()) {
            return Err(TlsError::ForeignAuthority { path: certificate, name: anchor.node_name().to_owned() });
        }
        let unreadable = |source| TlsError::Read { path: certificate.clone(), source };
        let pem = fs::read_to_string(&certificate).map_err(unreadable)?;
        Ok(ClusterAuthority { pem, anchor, issuer: Issuer::new(params, key_pair) })
    }

    /// Whether a directory has an authority that can issue.
    pub fn is_in(directory: &Path) -> bool {
        Self::paths(directory).1.exists()
    }

    /// The DNS name that every node's certificate of this cluster has, whatever its address.
    pub fn node_name(&self) -> &str {
        self.anchor.node_name()
    }

    /// Issues a certificate with a new key into a directory, beside the authority's own certificate: what
    /// [`NodeTls::load`] needs. The hosts are names or addresses for people and other tools; nodes do not look at them.
    ///
    /// # Errors
    /// A host that is none, a directory that cannot be written or that belongs to another cluster.
    pub fn issue(&self, directory: &Path, hosts: &[String]) -> Result<(), TlsError> {
        self.issue_for(directory, hosts, SystemTime::now(), CERTIFICATE_LIFE)
    }

    /// The certificate of a directory on the authority's own machine: issued if there is none, or one that cannot be used
    /// any more or not for much longer.
    ///
    /// # Errors
    /// As those of [`ClusterAuthority::issue`] and [`NodeTls::load`].
    pub fn issue_where_needed(&self, directory: &Path, hosts: &[String]) -> Result<NodeTls, TlsError> {
        match NodeTls::load(directory) {
            Ok(tls) if !tls.expires_soon() => return Ok(tls),
            // Two files cannot be replaced at once: an end between the two leaves them of different certificates.
            Ok(_) | Err(TlsError::Missing { .. } | TlsError::Expired { .. } | TlsError::KeyMismatch { .. }) => {}
            Err(error) => return Err(error),
        }
        self.issue(directory, hosts)?;
        NodeTls::load(directory)
    }

    pub(super) fn issue_for(
        &self,
        directory: &Path,
        hosts: &[String],
        now: SystemTime,
        life: Duration,
    ) -> Result<(), TlsError> {
        let authority = directory.join(AUTHORITY_FILE);
        if authority.exists() && !Anchor::read(&authority)?.is_same_as(&self.anchor) {
            return Err(TlsError::OtherCluster { path: authority });
        }
        let key_pair = KeyPair::generate()?;
        let params = node_params(self.node_name(), hosts, now, life)?;
        let certificate = params.signed_by(&key_pair, &self.issuer)?.pem();
        files::make_directory(directory)?;
        if !authority.exists() {
            files::write_certificate(&authority, &self.pem)?;
        }
        files::write_key(&directory.join(KEY_FILE), &key_pair.serialize_pem())?;
        files::write_certificate(&directory.join(CERTIFICATE_FILE), &certificate)
    }

    #[cfg(test)]
    pub(super) fn sign(&self, params: &CertificateParams, key: &KeyPair) -> rcgen::Certificate {
        params.signed_by(key, &self.issuer).expect("the authority's key signs")
    }

    fn paths(directory: &Path) -> (PathBuf, PathBuf) {
        (directory.join(AUTHORITY_FILE), directory.join(AUTHORITY_KEY_FILE))
    }
}

fn read_key(path: &Path) -> Result<KeyPair, TlsError> {
    KeyPair::from_pem(&files::key_text(path)?).map_err(|error| files::bad_pem(path, &error.to_string()))
}

fn create_key(path: &Path) -> Result<KeyPair, TlsError> {
    let key_pair = KeyPair::generate()?;
    files::write_key(path, &key_pair.serialize_pem())?;
    Ok(key_pair)
}

/// Of the same key, always with the same name; the name tells authorities apart, so that a certificate of another one is
/// refused as such and not as one with a broken signature.
fn authority_params(key: &KeyPair) -> Result<CertificateParams, TlsError> {
    let mut params = valid(SystemTime::now(), AUTHORITY_LIFE)?;
    let id = Anchor::id_of_key(&key.subject_public_key_info());
    params.distinguished_name = named(&format!("Damson cluster authority {id}"));
    // It signs nodes' certificates, not other authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn node_params(
    node_name: &str,
    hosts: &[String],
    now: SystemTime,
    life: Duration,
) -> Result<CertificateParams, TlsError> {
    let mut params = valid(now, life)?;
    let name = CertificateParams::new([node_name.to_owned()])?;
    params.subject_alt_names = name.subject_alt_names;
    for host in hosts {
        let bad = |reason: String| TlsError::BadHost { host: host.clone(), reason };
        if host.is_empty() || (host.contains([':', '/', ' ']) && host.parse::<IpAddr>().is_err()) {
            return Err(bad("it is neither a host's name nor an address".into()));
        }
        let named = CertificateParams::new([host.clone()]).map_err(|error| bad(error.to_string()))?;
        params.subject_alt_names.extend(named.subject_alt_names);
    }
    params.distinguished_name = named(hosts.first().map_or("Damson node", String::as_str));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// What all certificates have: a time of validity and a random serial number.
fn valid(now: SystemTime, life: Duration) -> Result<CertificateParams, TlsError> {
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.not_before = epoch + since_epoch.saturating_sub(CLOCK_SKEW);
    params.not_after = epoch + since_epoch + life;
    params.serial_number = Some(random_serial()?);
    Ok(params)
}

fn random_serial() -> Result<SerialNumber, TlsError> {
    let mut serial = vec![0; SERIAL_BYTES];
    SystemRandom::new().fill(&mut serial).map_err(|_| TlsError::NoRandomness)?;
    // A positive number whose first byte is not zero, as DER wants it.
    serial[0] = (serial[0] & 0x7f) | 0x40;
    Ok(serial.into())
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
