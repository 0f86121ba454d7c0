//! The clients of buckets: one for each bucket and each way in, because a client keeps its connections.

use crate::StorageError;
use crate::backup::shown_url;
use crate::limits::{BACKUP_RETRY_FIRST, BACKUP_RETRY_LONGEST, OBJECT_CLIENTS_MAX};
use crate::places::BucketClient;
use damson_cluster::SourceAccess;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::multipart::MultipartStore;
use object_store::path::Path as ObjectPath;
use object_store::{BackoffConfig, ObjectStore, Result, RetryConfig};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// What a client tries by itself, for each request of many: a part that is refused once must not send its file again. What lasts longer
/// its caller waits for.
const REQUEST_RETRIES: usize = 3;
const REQUEST_RETRY_FOR: Duration = Duration::from_secs(20);

/// Whose bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Cloud {
    S3,
    Google,
    Azure,
}

impl Cloud {
    const ALL: [Cloud; 3] = [Cloud::S3, Cloud::Google, Cloud::Azure];

    /// Of a URL, in any case.
    pub fn by_scheme(scheme: &str) -> Option<Cloud> {
        Cloud::ALL.into_iter().find(|cloud| scheme.eq_ignore_ascii_case(cloud.scheme()))
    }

    fn scheme(self) -> &'static str {
        match self {
            Cloud::S3 => "s3",
            Cloud::Google => "gs",
            Cloud::Azure => "az",
        }
    }
}

/// A bucket or container.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Bucket {
    pub cloud: Cloud,
    pub name: String,
}

impl Bucket {
    pub fn url_of(&self, key: &str) -> String {
        format!("{self}/{key}")
    }
}

/// `s3://bucket`.
impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.cloud.scheme(), self.name)
    }
}

/// A bucket and a prefix of its names, or a name, by a URL that says no more than these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BucketUrl {
    pub bucket: Bucket,
    pub path: ObjectPath,
}

impl BucketUrl {
    /// # Errors
    /// 22023 for what names no bucket, or says more than bucket and prefix.
    pub fn parse(text: &str) -> Result<Self, StorageError> {
        let refuse = |message: &str| StorageError::Place {
            place: shown_url(text).into(),
            message: message.into(),
            sqlstate: "22023",
        };
        if text.chars().any(char::is_control) {
            return Err(refuse("the name of a place has no control characters"));
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let cloud = Cloud::by_scheme(scheme);
        let cloud = cloud.ok_or_else(|| refuse("the places that there are: file://, s3://, gs:// and az://"))?;
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if name.contains('@') || rest.contains(['?', '#']) {
            return Err(refuse(
                "it says more than bucket and prefix: credentials come from the environment of the nodes or a secret",
            ));
        }
        if name.is_empty() || name.contains(':') {
            return Err(refuse("it names no bucket; an endpoint is set in the environment of the nodes or a secret"));
        }
        let path = ObjectPath::parse(prefix.trim_end_matches('/')).map_err(|error| refuse(&error.to_string()))?;
        Ok(BucketUrl { bucket: Bucket { cloud, name: name.into() }, path })
    }

    /// The client of the bucket.
    ///
    /// # Errors
    /// As [`client`].
    pub fn open(&self, access: &SourceAccess) -> Result<Arc<dyn ObjectStore>, StorageError> {
        client(&self.bucket, access)
    }
}

/// `s3://bucket/prefix`, without a slash at its end.
impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BucketUrl { bucket, path } = self;
        if path.as_ref().is_empty() { bucket.fmt(f) } else { write!(f, "{bucket}/{path}") }
    }
}

type Clients = BTreeMap<(Bucket, SourceAccess), BucketClient>;

static CLIENTS: LazyLock<Mutex<Clients>> = LazyLock::new(Mutex::default);

/// The client of a bucket, made if there is none. Without options it is one of this process's environment, or its instance's role; with
/// options, of these alone.
///
/// # Errors
/// 22023 for options, or an environment, that a client cannot be made of.
pub(crate) fn client(bucket: &Bucket, access: &SourceAccess) -> Result<Arc<dyn ObjectStore>, StorageError> {
    bucket_client(bucket, access).map(|client| client.store)
}

/// The same client, that can also upload in parts.
///
/// # Errors
/// As [`client`].
pub(crate) fn bucket_client(bucket: &Bucket, access: &SourceAccess) -> Result<BucketClient, StorageError> {
    let key = (bucket.clone(), access.clone());
    let mut clients = CLIENTS.lock();
    if let Some(client) = clients.get(&key) {
        return Ok(client.clone());
    }
    let made = make(bucket, access).map_err(|error| StorageError::Place {
        place: bucket.to_string(),
        message: match access.options.is_empty() {
            true => format!("the environment of this node does not say how to reach it: {error}"),
            // What a parser says of a value repeats it.
            false => "no client can be made of the secret's options".into(),
        },
        sqlstate: "22023",
    })?;
    // Which of them goes does not matter: it is made again.
    if clients.len() >= OBJECT_CLIENTS_MAX {
        clients.pop_first();
    }
    clients.insert(key, made.clone());
    Ok(made)
}

fn make(bucket: &Bucket, access: &SourceAccess) -> Result<BucketClient> {
    let backoff = BackoffConfig {
        init_backoff: BACKUP_RETRY_FIRST,
        max_backoff: BACKUP_RETRY_LONGEST,
        ..BackoffConfig::default()
    };
    let retry = RetryConfig { backoff, max_retries: REQUEST_RETRIES, retry_timeout: REQUEST_RETRY_FOR };
    let name = &bucket.name;
    let of_environment = access.options.is_empty();
    Ok(match bucket.cloud {
        Cloud::S3 => {
            let begun = if of_environment { AmazonS3Builder::from_env() } else { AmazonS3Builder::new() };
            let options = options::<AmazonS3ConfigKey>(access)?;
            let options = options.into_iter().map(|(key, value)| match key {
                AmazonS3ConfigKey::Endpoint if is_virtual_hosted(access) => (key, hosted(&value, name)),
                _ => (key, value),
            });
            let builder = options.fold(begun, |builder, (key, value)| builder.with_config(key, value));
            of(builder.with_bucket_name(name).with_retry(retry).build()?)
        }
        Cloud::Google => {
            let begun =
                if of_environment { GoogleCloudStorageBuilder::from_env() } else { GoogleCloudStorageBuilder::new() };
            let options = options::<GoogleConfigKey>(access)?.into_iter();
            let builder = options.fold(begun, |builder, (key, value)| builder.with_config(key, value));
            of(builder.with_bucket_name(name).with_retry(retry).build()?)
        }
        Cloud::Azure => {
            let begun = if of_environment { MicrosoftAzureBuilder::from_env() } else { MicrosoftAzureBuilder::new() };
            let options = options::<AzureConfigKey>(access)?.into_iter();
            let builder = options.fold(begun, |builder, (key, value)| builder.with_config(key, value));
            of(builder.with_container_name(name).with_retry(retry).build()?)
        }
    })
}

fn of<C: ObjectStore + MultipartStore>(client: C) -> BucketClient {
    let client = Arc::new(client);
    BucketClient { store: Arc::clone(&client) as Arc<dyn ObjectStore>, parts: client }
}

/// What a store said, without its answer's body: some repeat what they were asked with, session tokens too. Of the body its code is told,
/// such as `SignatureDoesNotMatch`.
pub(crate) fn told(error: &object_store::Error) -> String {
    let text = error.to_string();
    if lacks_credentials(error) {
        return NO_CREDENTIALS.into();
    }
    if is_redirected(error) {
        return "its server sends on who asks for it: it is in another region than it is asked in, or has another endpoint".into();
    }
    let Some(body) = text.find("<?xml").into_iter().chain(text.find("<Error")).min() else {
        return match io_cause(error) {
            Some(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => {
                format!("its server cannot be reached: {cause}")
            }
            // The client tells of what it did, and not always of why it failed.
            Some(cause) if !text.contains(&cause.to_string()) => format!("{text}: {cause}"),
            _ => text,
        };
    };
    let code = text[body..].split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let before = text[..body].trim_end().trim_end_matches(':');
    let Some((code, _)) = code else { return before.to_owned() };
    match MEANINGS.iter().find(|(known, _)| *known == code) {
        Some((_, meaning)) => format!("{meaning} ({code})"),
        None => format!("{before}: {code}"),
    }
}

/// Codes of S3 that a user can do something about.
const MEANINGS: [(&str, &str); 10] = [
    ("AccessDenied", "access is denied there"),
    ("AllAccessDisabled", "access is denied: the bucket has been closed"),
    ("AuthorizationHeaderMalformed", "the bucket is in another region than it is asked in, or the key is none"),
    ("ExpiredToken", "the session token has expired"),
    ("InvalidAccessKeyId", "its server does not know the key"),
    ("InvalidToken", "its server does not accept the session token"),
    ("NoSuchBucket", "there is no such bucket"),
    ("NoSuchKey", "there is no such object"),
    ("RequestTimeTooSkewed", "the clocks of this machine and of its server differ by too much"),
    ("SignatureDoesNotMatch", "the secret is not that of the key"),
];

const NO_CREDENTIALS: &str = "there are no credentials for it: the nodes' environment has none, no secret was given, and their machine has no role";

/// Parts of the URLs by which clients ask a cloud's machine for its role, when they have nothing else.
const ROLES: [&str; 5] = [
    "/latest/api/token",
    "/latest/meta-data/iam/",
    "://169.254.170.2",
    "/computeMetadata/v1/",
    "/metadata/identity/oauth2/token",
];

/// Whether what was refused is not the bucket, but the machine's role, which is asked for last.
pub(crate) fn lacks_credentials(error: &object_store::Error) -> bool {
    // Clients tell it in their text alone.
    let text = error.to_string();
    ROLES.iter().any(|part| text.contains(part))
}

/// Whether the bucket is elsewhere: S3 says so with a redirect that names no place.
pub(crate) fn is_redirected(error: &object_store::Error) -> bool {
    error.to_string().contains("redirect without LOCATION")
}

/// Whether nobody listens where the bucket should be.
pub(crate) fn is_refused(error: &object_store::Error) -> bool {
    io_cause(error).is_some_and(|cause| cause.kind() == io::ErrorKind::ConnectionRefused)
}

/// The innermost error of the system.
fn io_cause(error: &object_store::Error) -> Option<&io::Error> {
    let (mut next, mut found): (Option<&(dyn Error + 'static)>, _) = (Some(error), None);
    while let Some(error) = next {
        found = error.downcast_ref().or(found);
        next = error.source();
    }
    found
}

/// # Errors
/// A key that the client does not have.
fn options<K: FromStr<Err = object_store::Error>>(access: &SourceAccess) -> Result<Vec<(K, String)>> {
    access.options.iter().map(|(key, value)| Ok((key.parse::<K>()?, value.clone()))).collect()
}

fn is_virtual_hosted(access: &SourceAccess) -> bool {
    access.options.get("virtual_hosted_style_request").is_some_and(|value| value == "true")
}

/// The endpoint of a bucket whose name is the first of its host's: the client takes it as it is.
fn hosted(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) if !host.starts_with(&format!("{bucket}.")) => format!("{scheme}://{bucket}.{host}"),
        _ => endpoint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::is_transient;
    use damson_cluster::SecretType;

    fn access(options: &[(&str, &str)]) -> SourceAccess {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        SourceAccess { options: options.iter().map(own).collect() }
    }

    fn bucket(cloud: Cloud, name: &str) -> Bucket {
        Bucket { cloud, name: name.into() }
    }

    #[test]
    fn a_client_is_made_once_for_each_way_in() {
        let bucket = bucket(Cloud::S3, "once");
        let one = access(&[("access_key_id", "a"), ("secret_access_key", "b")]);
        let other = access(&[("access_key_id", "a"), ("secret_access_key", "c")]);
        let made = client(&bucket, &one).unwrap();
        assert!(Arc::ptr_eq(&made, &client(&bucket, &one).unwrap()));
        assert!(!Arc::ptr_eq(&made, &client(&bucket, &other).unwrap()));
    }

    #[test]
    fn options_stand_for_themselves() {
        // A key without its secret: an environment that had one would complete it.
        let half = access(&[("access_key_id", "hush")]);
        let error = client(&bucket(Cloud::S3, "half"), &half).unwrap_err();
        assert_eq!(error.sqlstate(), "22023");
        assert!(!error.to_string().contains("hush"), "{error}");
        let region = access(&[("region", "eu-central-1")]);
        assert!(make(&bucket(Cloud::S3, "b"), &region).unwrap().store.to_string().contains('b'));
        assert!(make(&bucket(Cloud::Azure, "c"), &access(&[("sas_token", "t")])).is_err(), "it names no account");
        for (cloud, key) in [(Cloud::S3, "account_name"), (Cloud::Google, "region"), (Cloud::Azure, "region")] {
            assert!(make(&bucket(cloud, "b"), &access(&[(key, "x")])).is_err(), "{cloud:?} has no {key}");
        }
    }

    #[test]
    fn clients_have_the_options_of_secrets() {
        for option in SecretType::S3.options() {
            assert!(option.parse::<AmazonS3ConfigKey>().is_ok(), "{option}");
        }
        for option in SecretType::Gcs.options() {
            assert!(option.parse::<GoogleConfigKey>().is_ok(), "{option}");
        }
        for option in SecretType::Azure.options() {
            assert!(option.parse::<AzureConfigKey>().is_ok(), "{option}");
        }
    }

    #[test]
    fn bodies_of_answers_are_not_told() {
        let error = |text: &str| object_store::Error::Generic { store: "S3", source: text.to_owned().into() };
        for body in [
            "<?xml version=\"1.0\"?><Error><Code>InvalidRange</Code><Token-0>hush</Token-0></Error>",
            "<Error><Code>InvalidRange</Code><Message>hush</Message></Error>",
        ] {
            let told = told(&error(&format!("Server returned non-2xx status code: 400 Bad Request: {body}")));
            assert!(told.ends_with("400 Bad Request: InvalidRange"), "{told}");
        }
        let refused = "Error performing GET http://s/b in 3ms - Server returned non-2xx status code: 403 Forbidden: ";
        let known = told(&error(&format!("{refused}<Error><Code>NoSuchBucket</Code></Error>")));
        assert_eq!(known, "there is no such bucket (NoSuchBucket)");
        let told_without_code = told(&error("403 Forbidden: <Error>hush</Error>"));
        assert!(told_without_code.ends_with("403 Forbidden"), "{told_without_code}");
        assert!(told(&error("connection refused")).ends_with("connection refused"));
    }

    #[test]
    fn a_server_that_is_not_there_and_credentials_that_are_not() {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "Connection refused");
        let error = object_store::Error::Generic { store: "S3", source: Box::new(refused) };
        assert!(is_refused(&error) && !lacks_credentials(&error));
        assert_eq!(told(&error), "its server cannot be reached: Connection refused");
        let text = "Error performing PUT http://169.254.169.254/latest/api/token in 1ms - Server returned non-2xx status code: 403";
        let error = object_store::Error::Generic { store: "S3", source: text.into() };
        assert!(lacks_credentials(&error) && !is_refused(&error));
        assert!(told(&error).starts_with("there are no credentials for it") && !told(&error).contains("169.254"));
    }

    /// What the real client makes of it.
    #[tokio::test]
    async fn the_client_says_that_a_connection_was_refused() {
        let options = [
            ("access_key_id", "a"),
            ("secret_access_key", "b"),
            ("allow_http", "true"),
            // Nobody listens there.
            ("endpoint", "http://127.0.0.1:1"),
        ];
        let client = client(&bucket(Cloud::S3, "nobody"), &access(&options)).unwrap();
        let error = client.list_with_delimiter(None).await.unwrap_err();
        assert!(is_refused(&error), "{error:?}");
        assert!(told(&error).starts_with("its server cannot be reached: Connection refused"), "{}", told(&error));
    }

    /// As the client tells it.
    #[test]
    fn a_bucket_that_is_elsewhere_is_not_asked_again() {
        let text = "Error performing GET https://s/b in 9ms, after 0 retries - Received redirect without LOCATION, this normally indicates an \
                    incorrectly configured region";
        let error = object_store::Error::Generic { store: "S3", source: text.into() };
        assert!(is_redirected(&error) && !is_transient(&error), "{error:?}");
        assert!(told(&error).contains("another region"), "{}", told(&error));
    }

    #[test]
    fn a_bucket_is_the_first_name_of_its_host() {
        assert_eq!(hosted("https://s3.example.org:9000", "b"), "https://b.s3.example.org:9000");
        assert_eq!(hosted("https://b.s3.example.org", "b"), "https://b.s3.example.org");
    }

    #[test]
    fn urls_have_one_name() {
        for (text, name) in [("S3://b", "s3://b"), ("gs://b/", "gs://b"), ("az://c/a/b/", "az://c/a/b")] {
            assert_eq!(BucketUrl::parse(text).unwrap().to_string(), name, "{text}");
        }
        for text in ["b/a", "/b", "http://b", "s3://u:p@b/a", "s3://b?sig=1", "s3://b:1/a", "s3://", "s3://b/../a"] {
            assert_eq!(BucketUrl::parse(text).unwrap_err().sqlstate(), "22023", "{text}");
        }
    }
}
