//! How the places of a statement are reached.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Options of the clients of object stores: those of a secret, and of it alone; none means the process's environment, or its instance's
/// role. Keys are [`SecretType::options`]. Values are never shown.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceAccess {
    pub options: BTreeMap<String, String>,
}

impl fmt::Debug for SourceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.options.keys()).finish()
    }
}

/// Whose object store a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretType {
    S3,
    Gcs,
    Azure,
}

impl SecretType {
    pub const ALL: [SecretType; 3] = [SecretType::S3, SecretType::Gcs, SecretType::Azure];

    /// As `TYPE` names it.
    pub fn name(self) -> &'static str {
        match self {
            SecretType::S3 => "s3",
            SecretType::Gcs => "gcs",
            SecretType::Azure => "azure",
        }
    }

    /// Of the URLs that it is for.
    pub fn scheme(self) -> &'static str {
        match self {
            SecretType::S3 => "s3",
            SecretType::Gcs => "gs",
            SecretType::Azure => "az",
        }
    }

    /// Of a URL; None where it is no object store's.
    pub fn of_url(url: &str) -> Option<Self> {
        let (scheme, _) = url.split_once("://")?;
        SecretType::ALL.into_iter().find(|kind| scheme.eq_ignore_ascii_case(kind.scheme()))
    }

    /// Names of the options of its clients, as `object_store` has them, without a cloud's prefix.
    pub fn options(self) -> impl Iterator<Item = &'static str> {
        let own: &[&str] = match self {
            SecretType::S3 => S3_OPTIONS,
            SecretType::Gcs => GCS_OPTIONS,
            SecretType::Azure => AZURE_OPTIONS,
        };
        own.iter().chain(CLIENT_OPTIONS).copied()
    }
}

impl fmt::Display for SecretType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SecretType {
    type Err = ();

    /// Its name, or its URLs' scheme.
    fn from_str(text: &str) -> Result<Self, ()> {
        SecretType::ALL.into_iter().find(|kind| kind.name() == text || kind.scheme() == text).ok_or(())
    }
}

const S3_OPTIONS: &[&str] = &[
    "access_key_id",
    "secret_access_key",
    "session_token",
    "region",
    "endpoint",
    "virtual_hosted_style_request",
    "skip_signature",
    "request_payer",
    "unsigned_payload",
    "checksum_algorithm",
    "disable_tagging",
    "s3_express",
    "role_arn",
    "role_session_name",
    "web_identity_token_file",
    "endpoint_url_sts",
    "imdsv1_fallback",
    "metadata_endpoint",
    "container_credentials_relative_uri",
    "container_credentials_full_uri",
    "container_authorization_token_file",
    "copy_if_not_exists",
    "conditional_put",
    "server_side_encryption",
    "sse_kms_key_id",
    "sse_bucket_key_enabled",
    "sse_customer_key_base64",
];

const GCS_OPTIONS: &[&str] =
    &["service_account", "service_account_key", "application_credentials", "base_url", "skip_signature"];

const AZURE_OPTIONS: &[&str] = &[
    "account_name",
    "access_key",
    "sas_token",
    "bearer_token",
    "client_id",
    "client_secret",
    "tenant_id",
    "authority_host",
    "endpoint",
    "use_emulator",
    "use_fabric_endpoint",
    "msi_endpoint",
    "object_id",
    "msi_resource_id",
    "federated_token_file",
    "skip_signature",
    "disable_tagging",
];

/// Of every client.
const CLIENT_OPTIONS: &[&str] = &[
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "timeout",
    "http1_only",
    "http2_only",
    "pool_idle_timeout",
    "pool_max_idle_per_host",
    "proxy_url",
    "proxy_ca_certificate",
    "proxy_excludes",
    "user_agent",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_shown() {
        let options = BTreeMap::from([("secret_access_key".to_owned(), "hush".to_owned())]);
        assert_eq!(format!("{:?}", SourceAccess { options }), r#"{"secret_access_key"}"#);
    }

    #[test]
    fn types_have_names_and_urls() {
        for kind in SecretType::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(kind.scheme().parse(), Ok(kind));
            assert_eq!(SecretType::of_url(&format!("{}://bucket/key", kind.scheme())), Some(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        assert_eq!("ftp".parse::<SecretType>(), Err(()));
        assert_eq!(SecretType::of_url("S3://b"), Some(SecretType::S3));
        assert_eq!(SecretType::of_url("/a/b"), None);
        assert_eq!(SecretType::of_url("file:///a"), None);
    }
}
