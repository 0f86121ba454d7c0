//! Which certificate a master or a segment runs with.

use damson_cluster::Endpoint;
use damson_interconnect::{AUTHORITY_FILE, ClusterAuthority, NodeTls, TlsError};
use serde::Deserialize;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// Where a data directory keeps the node's certificate, unless told otherwise.
const DIRECTORY: &str = "tls";

/// `--interconnect-tls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum InterconnectTls {
    /// Nodes of different hosts show each other certificates, and encrypt.
    #[default]
    On,
    /// Plain text: for networks where nobody else is.
    Off,
}

/// A process without a usable certificate.
#[derive(Debug, Error)]
pub enum NodeCertificateError {
    #[error(transparent)]
    Master(#[from] TlsError),
    #[error("{error}\n{next}")]
    Segment { error: TlsError, next: NextStep },
    #[error("the master at {master} is on another host, and {} is no certificate of its cluster\n{next}", next.directory.display())]
    Needed { master: Endpoint, next: NextStep },
}

/// How a segment comes by a certificate.
#[derive(Debug, Error)]
#[error(
    "HINT:  On the master's host, run
           damson certificate --authority DATA/tls --out node-tls --host {host}
       where DATA is the master's data directory. Copy the folder node-tls to {directory} on this host, then start again."
)]
pub struct NextStep {
    directory: PathBuf,
    host: String,
}

/// The master's own certificate, from the cluster's authority, which is made when there is none; None without TLS.
///
/// # Errors
/// Files that cannot be used or written.
pub(crate) fn of_master(
    tls: InterconnectTls,
    directory: Option<PathBuf>,
    data_dir: &Path,
    advertised: &Endpoint,
) -> Result<Option<Arc<NodeTls>>, NodeCertificateError> {
    if tls == InterconnectTls::Off {
        return Ok(None);
    }
    let directory = directory.unwrap_or_else(|| data_dir.join(DIRECTORY));
    // A certificate that other tools issued stands beside an authority whose key is elsewhere.
    let is_given = directory.join(AUTHORITY_FILE).exists() && !ClusterAuthority::is_in(&directory);
    let tls = if is_given {
        NodeTls::load(&directory)?
    } else {
        let host = host_of(advertised).to_owned();
        ClusterAuthority::open_or_create(&directory)?.issue_where_needed(&directory, &[host])?
    };
    Ok(Some(warned(tls)))
}

/// The segment's certificate; None without TLS, and on the master's host, where a segment can do without.
///
/// # Errors
/// Files that cannot be used, or none though the master is on another host.
pub(crate) fn of_segment(
    tls: InterconnectTls,
    directory: Option<PathBuf>,
    data_dir: &Path,
    advertised: &Endpoint,
    masters: &[Endpoint],
) -> Result<Option<Arc<NodeTls>>, NodeCertificateError> {
    if tls == InterconnectTls::Off {
        return Ok(None);
    }
    let is_demanded = directory.is_some();
    let directory = directory.unwrap_or_else(|| data_dir.join(DIRECTORY));
    let next = NextStep { directory: directory.clone(), host: host_of(advertised).to_owned() };
    if is_demanded || directory.exists() {
        let tls = NodeTls::load(&directory).map_err(|error| NodeCertificateError::Segment { error, next })?;
        return Ok(Some(warned(tls)));
    }
    if let Some(master) = masters.iter().find(|master| !is_on_this_host(master)) {
        return Err(NodeCertificateError::Needed { master: master.clone(), next });
    }
    Ok(None)
}

fn warned(tls: NodeTls) -> Arc<NodeTls> {
    if tls.expires_soon() {
        tracing::warn!(expires = %tls.expires(), "this node's certificate ends soon; damson certificate issues another");
    }
    Arc::new(tls)
}

/// The host of `host:port`, as it stands in a certificate.
fn host_of(endpoint: &Endpoint) -> &str {
    let host = endpoint.0.rsplit_once(':').map_or(endpoint.0.as_str(), |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Whether an address is this machine's: one that a socket can be bound to. A name that cannot be resolved is not.
fn is_on_this_host(endpoint: &Endpoint) -> bool {
    let Ok(addresses) = std::net::ToSocketAddrs::to_socket_addrs(&endpoint.0) else { return false };
    let mut addresses = addresses.peekable();
    addresses.peek().is_some() && addresses.all(|address| UdpSocket::bind((address.ip(), 0)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// An address of nobody's machine: reserved for documentation.
    const ELSEWHERE: &str = "192.0.2.1:50060";

    fn endpoint(text: &str) -> Endpoint {
        Endpoint(text.into())
    }

    fn segment(
        data: &Path,
        directory: Option<&Path>,
        master: &str,
    ) -> Result<Option<Arc<NodeTls>>, NodeCertificateError> {
        let directory = directory.map(Path::to_owned);
        of_segment(InterconnectTls::On, directory, data, &endpoint("seg7.example.org:50061"), &[endpoint(master)])
    }

    #[test]
    fn a_master_makes_its_authority_once() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let start = || of_master(InterconnectTls::On, None, data.path(), &endpoint("[::1]:50060")).expect("usable");
        let (first, again) = (start().expect("a certificate"), start().expect("a certificate"));
        assert_eq!(first.server_name(), again.server_name());
        let text = |file: &str| fs::read_to_string(data.path().join("tls").join(file)).expect("a file");
        assert!(text("ca.pem").contains("CERTIFICATE") && text("node.key").contains("PRIVATE KEY"));
        let off = of_master(InterconnectTls::Off, None, data.path(), &endpoint("[::1]:50060")).expect("nothing to do");
        assert!(off.is_none());
    }

    #[test]
    fn a_master_takes_what_it_is_given() {
        let (data, given) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let made = tempfile::tempdir().expect("a directory");
        let authority = ClusterAuthority::open_or_create(made.path()).expect("an authority");
        authority.issue(given.path(), &[]).expect("a certificate");
        let directory = || Some(given.path().to_owned());
        let tls = of_master(InterconnectTls::On, directory(), data.path(), &endpoint("m:1")).expect("usable");
        assert_eq!(tls.expect("a certificate").server_name().to_str(), authority.node_name());
        assert!(!data.path().join("tls").exists() && !given.path().join("ca.key").exists());
        fs::remove_file(given.path().join("node.pem")).expect("there");
        let refusal = of_master(InterconnectTls::On, directory(), data.path(), &endpoint("m:1")).unwrap_err();
        assert!(refusal.to_string().ends_with("node.pem is missing"), "{refusal}");
    }

    #[test]
    fn a_segment_on_the_masters_host_needs_no_certificate() {
        let data = tempfile::tempdir().expect("a temporary directory");
        for master in ["127.0.0.1:50060", "[::1]:50060", "localhost:50060"] {
            assert!(is_on_this_host(&endpoint(master)), "{master}");
        }
        assert!(segment(data.path(), None, "127.0.0.1:50060").expect("nothing to do").is_none());
    }

    #[test]
    fn a_segment_elsewhere_is_told_what_to_do() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let refusal = segment(data.path(), None, ELSEWHERE).unwrap_err().to_string();
        let place = data.path().join("tls");
        for part in [
            "the master at 192.0.2.1:50060 is on another host",
            "damson certificate --authority DATA/tls --out node-tls --host seg7.example.org",
            &format!("Copy the folder node-tls to {} on this host", place.display()),
        ] {
            assert!(refusal.contains(part), "{part}: {refusal}");
        }
        assert!(segment(data.path(), None, "no.such.host.invalid:1").is_err());

        let authority = tempfile::tempdir().expect("a temporary directory");
        let authority = ClusterAuthority::open_or_create(authority.path()).expect("an authority");
        authority.issue(&place, &[]).expect("a certificate");
        assert!(segment(data.path(), None, ELSEWHERE).expect("usable").is_some());
    }

    #[test]
    fn a_directory_that_was_asked_for_must_hold_a_certificate() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let absent = data.path().join("absent");
        let refusal = segment(data.path(), Some(&absent), "127.0.0.1:50060").unwrap_err().to_string();
        assert!(refusal.contains("ca.pem is missing") && refusal.contains("damson certificate"), "{refusal}");
        let off = of_segment(InterconnectTls::Off, Some(absent), data.path(), &endpoint("s:1"), &[endpoint(ELSEWHERE)]);
        assert!(off.expect("nothing to do").is_none());
    }

    #[test]
    fn hosts_are_taken_from_endpoints() {
        for (text, host) in [("seg1:50060", "seg1"), ("[::1]:1", "::1"), ("10.0.0.1:1", "10.0.0.1"), ("seg1", "seg1")] {
            assert_eq!(host_of(&endpoint(text)), host);
        }
    }
}
