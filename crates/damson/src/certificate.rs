//! `damson certificate`: makes a node of the cluster out of a folder.

use damson_interconnect::{CERTIFICATE_FILE, ClusterAuthority, NodeTls, TlsError};
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use thiserror::Error;

/// Issues a certificate for a node on another host, or another one for a node whose certificate ends.
#[derive(Clone, Debug, clap::Args)]
pub struct CertificateArgs {
    /// Directory of the cluster's authority: the master's data directory and /tls.
    #[arg(long, value_name = "DIR")]
    authority: PathBuf,
    /// Directory to write the node's certificate, its key and the authority's certificate to.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Name or address of the node's host, for people and other tools: nodes do not look at it. Can be repeated.
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
}

/// Why no certificate was issued.
#[derive(Debug, Error)]
pub enum CertificateError {
    #[error("{0}: a master makes the authority, in its data directory's tls, when it first starts")]
    NoAuthority(TlsError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

/// Issues the certificate, and says what to do with it.
///
/// # Errors
/// No authority, or a directory that cannot be written or is another cluster's.
pub fn run(args: &CertificateArgs) -> Result<(), CertificateError> {
    let authority = ClusterAuthority::open(&args.authority).map_err(|error| match error {
        TlsError::Missing { .. } => CertificateError::NoAuthority(error),
        error => error.into(),
    })?;
    authority.issue(&args.out, &args.host)?;
    let issued = Issued { args, node_name: authority.node_name(), tls: NodeTls::load(&args.out)? };
    io::stdout().write_all(issued.to_string().as_bytes())?;
    Ok(())
}

/// What the command says.
struct Issued<'a> {
    args: &'a CertificateArgs,
    node_name: &'a str,
    tls: NodeTls,
}

impl fmt::Display for Issued<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.args.out.display();
        let host = self.args.host.first().map_or("HOST", String::as_str);
        writeln!(f, "issued {folder}/{CERTIFICATE_FILE} for {}, valid until {}", self.node_name, self.tls.expires())?;
        writeln!(f, "Next:")?;
        writeln!(f, "  1. Copy the folder to the node's host, for example with")?;
        writeln!(f, "         scp -rp {folder} {host}:DATA/tls")?;
        writeln!(f, "     where DATA is the segment's data directory. It holds a key: nobody else may read it.")?;
        writeln!(f, "  2. Start the segment there, or start it again:")?;
        writeln!(f, "         damson segment --data DATA --content ID --master MASTER:PORT \\")?;
        writeln!(f, "             --listen 0.0.0.0:PORT --advertise {host}:PORT")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_issued_is_a_node_of_the_cluster() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (authority, out) = (directory.path().join("master/tls"), directory.path().join("seg1"));
        let args = CertificateArgs { authority: authority.clone(), out: out.clone(), host: vec!["seg1".into()] };
        let refusal = run(&args).unwrap_err().to_string();
        assert!(refusal.contains("ca.pem is missing") && refusal.contains("a master makes"), "{refusal}");

        let name = ClusterAuthority::open_or_create(&authority).expect("an authority").node_name().to_owned();
        run(&args).expect("a certificate");
        let tls = NodeTls::load(&out).expect("usable");
        assert_eq!(tls.server_name().to_str(), name);
        let said = Issued { args: &args, node_name: &name, tls }.to_string();
        assert!(said.contains(&name) && said.contains(&format!("scp -rp {} seg1:DATA/tls", out.display())), "{said}");
        assert!(!out.join("ca.key").exists(), "the authority's key stays where it is");
    }
}
