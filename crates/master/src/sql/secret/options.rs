//! Options of a secret: DuckDB's words, and `object_store`'s own.

use super::{Written, twice};
use crate::error::{SqlError, SqlResult, SqlState};
use damson_cluster::{SecretType, SourceAccess};
use std::collections::BTreeMap;

/// Options whose values are true or false.
const SWITCHES: &[&str] = &[
    "allow_http",
    "allow_invalid_certificates",
    "disable_tagging",
    "http1_only",
    "http2_only",
    "imdsv1_fallback",
    "request_payer",
    "s3_express",
    "skip_signature",
    "sse_bucket_key_enabled",
    "unsigned_payload",
    "use_emulator",
    "use_fabric_endpoint",
    "virtual_hosted_style_request",
];

/// What a secret's clients are made with, as far as it was read.
pub(super) struct Access {
    kind: SecretType,
    options: BTreeMap<String, String>,
    /// USE_SSL.
    tls: Option<bool>,
}

impl Access {
    pub fn new(kind: SecretType) -> Self {
        Access { kind, options: BTreeMap::new(), tls: None }
    }

    /// # Errors
    /// 22023 for an option that clients of this type do not have, or a value that it cannot have; 42601 for one that is there already.
    pub fn add(&mut self, written: Written) -> SqlResult<()> {
        let name = written.option.text.to_ascii_lowercase();
        match (self.kind, name.as_str()) {
            (SecretType::S3, "use_ssl") => {
                if self.tls.replace(switch(&written)?).is_some() {
                    return Err(twice(&written));
                }
                Ok(())
            }
            (SecretType::S3, "url_style") => {
                let hosted = match written.value.to_ascii_lowercase().as_str() {
                    "vhost" => "true",
                    "path" => "false",
                    _ => return Err(invalid(&written, "it is vhost or path")),
                };
                self.put(&written, "virtual_hosted_style_request", hosted.to_owned())
            }
            (SecretType::S3, "kms_key_id") => {
                self.put(&written, "server_side_encryption", "aws:kms".to_owned())?;
                self.put(&written, "sse_kms_key_id", written.value.clone())
            }
            (SecretType::Azure, "connection_string") => self.connection_string(&written),
            (SecretType::Gcs, "key_id" | "secret") => {
                let message = "a secret of type gcs has no HMAC keys";
                let hint = "Give it SERVICE_ACCOUNT_KEY; or make a secret of type s3 with ENDPOINT 'storage.googleapis.com', and \
                            name the files s3://.";
                Err(SqlError::new(SqlState::INVALID_PARAMETER, message).with_hint(hint).at(written.option.position))
            }
            _ => {
                let Some(option) = self.option(&name) else {
                    // Its name is not repeated: where quotes are wrong, it is a part of a value.
                    let message = format!("a secret of type {} has no such option", self.kind);
                    let error = SqlError::new(SqlState::INVALID_PARAMETER, message).with_hint(known_hint(self.kind));
                    return Err(error.at(written.option.position));
                };
                let value = match SWITCHES.contains(&option) {
                    true => switch(&written)?.to_string(),
                    false => written.value.clone(),
                };
                self.put(&written, option, value)
            }
        }
    }

    /// An option by DuckDB's word for it, or by one of `object_store`'s.
    fn option(&self, name: &str) -> Option<&'static str> {
        let short = match self.kind {
            SecretType::S3 => name.strip_prefix("aws_").unwrap_or(name),
            SecretType::Gcs => name.strip_prefix("google_").unwrap_or(name),
            SecretType::Azure => {
                let name = name.strip_prefix("azure_").unwrap_or(name);
                name.strip_prefix("storage_").unwrap_or(name)
            }
        };
        let known = match (self.kind, short) {
            (SecretType::S3, "key_id") => "access_key_id",
            (SecretType::S3, "secret") => "secret_access_key",
            (SecretType::S3, "token") => "session_token",
            (SecretType::S3, "default_region") => "region",
            (SecretType::S3, "endpoint_url") => "endpoint",
            (SecretType::S3, "requester_pays") => "request_payer",
            (SecretType::Gcs, "service_account_path") => "service_account",
            (SecretType::Azure, "account_key" | "master_key") => "access_key",
            (SecretType::Azure, "sas_key") => "sas_token",
            (SecretType::Azure, "token") => "bearer_token",
            (SecretType::Azure, "authority_id") => "tenant_id",
            (SecretType::Azure, "identity_endpoint") => "msi_endpoint",
            (_, short) => short,
        };
        self.kind.options().find(|option| *option == known)
    }

    fn put(&mut self, written: &Written, option: &str, value: String) -> SqlResult<()> {
        match self.options.insert(option.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(twice(written)),
        }
    }

    /// `AccountName=…;AccountKey=…`.
    fn connection_string(&mut self, written: &Written) -> SqlResult<()> {
        let hint = "it is Name=value;Name=value, of AccountName, AccountKey, SharedAccessSignature and BlobEndpoint";
        for part in written.value.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| invalid(written, hint))?;
            let option = match name {
                "AccountName" => "account_name",
                "AccountKey" => "access_key",
                "SharedAccessSignature" => "sas_token",
                "BlobEndpoint" => "endpoint",
                "DefaultEndpointsProtocol" if value == "https" => continue,
                "EndpointSuffix" if value == "core.windows.net" => continue,
                _ => return Err(invalid(written, hint)),
            };
            self.put(written, option, value.to_owned())?;
        }
        Ok(())
    }

    /// # Errors
    /// 22023 for a key without its other half, and for options that contradict each other.
    pub fn finish(mut self) -> SqlResult<SourceAccess> {
        let refuse = |message: &str| Err(SqlError::new(SqlState::INVALID_PARAMETER, message));
        let has = |options: &BTreeMap<String, String>, option: &str| options.contains_key(option);
        if self.options.is_empty() {
            return refuse("the secret says nothing");
        }
        if self.kind == SecretType::S3 && has(&self.options, "access_key_id") != has(&self.options, "secret_access_key")
        {
            return refuse("KEY_ID and SECRET belong together");
        }
        if let Some(endpoint) = self.options.get_mut("endpoint") {
            let scheme = endpoint.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
            let is_plain = match (scheme.as_deref(), self.tls) {
                (None, tls) => {
                    let is_plain = tls == Some(false);
                    *endpoint = format!("{}://{endpoint}", if is_plain { "http" } else { "https" });
                    is_plain
                }
                (Some("http"), Some(true)) | (Some("https"), Some(false)) => {
                    return refuse("USE_SSL is not what the ENDPOINT says");
                }
                (Some("http"), _) => true,
                (Some("https"), _) => false,
                (Some(_), _) => return refuse("the ENDPOINT is no http:// or https:// address"),
            };
            if is_plain {
                self.options.entry("allow_http".into()).or_insert_with(|| "true".into());
            }
        } else if self.tls == Some(false) {
            return refuse("USE_SSL false needs an ENDPOINT");
        }
        Ok(SourceAccess { options: self.options })
    }
}

/// The options that there are, by DuckDB's words.
fn known_hint(kind: SecretType) -> String {
    let words = match kind {
        SecretType::S3 => {
            "KEY_ID, SECRET, SESSION_TOKEN, REGION, ENDPOINT, URL_STYLE, USE_SSL, REQUESTER_PAYS, KMS_KEY_ID, SCOPE"
        }
        SecretType::Gcs => "SERVICE_ACCOUNT_KEY, SERVICE_ACCOUNT, SCOPE",
        SecretType::Azure => {
            "CONNECTION_STRING, ACCOUNT_NAME, ACCOUNT_KEY, SAS_TOKEN, TENANT_ID, CLIENT_ID, CLIENT_SECRET, SCOPE"
        }
    };
    format!("It has {words}, and those of the crate object_store by their names there.")
}

fn switch(written: &Written) -> SqlResult<bool> {
    match written.value.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(invalid(written, "it is true or false")),
    }
}

/// The value is not repeated.
fn invalid(written: &Written, what: &str) -> SqlError {
    let message = format!("invalid value for option \"{}\": {what}", written.option.text);
    SqlError::new(SqlState::INVALID_PARAMETER, message).at(written.position)
}
