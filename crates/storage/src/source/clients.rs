//! The clients of buckets: one for each and for each way in, because a client keeps its connections.

use super::url::{RemotePlace, Scheme};
use crate::StorageError;
use crate::limits::{BACKUP_RETRY_FIRST, BACKUP_RETRY_LONGEST, SOURCE_CLIENTS_MAX};
use damson_cluster::SourceAccess;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ObjectStore, Result, RetryConfig};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// What a client tries by itself, for each request; what lasts longer its caller waits for.
const REQUEST_RETRIES: usize = 3;
const REQUEST_RETRY_FOR: Duration = Duration::from_secs(20);

type Clients = BTreeMap<(RemotePlace, SourceAccess), Arc<dyn ObjectStore>>;

static CLIENTS: LazyLock<Mutex<Clients>> = LazyLock::new(Mutex::default);

/// The client of a place, made if there is none.
///
/// # Errors
/// 22023 for options, or an environment, that a client cannot be made of.
pub(super) fn client(place: &RemotePlace, access: &SourceAccess) -> Result<Arc<dyn ObjectStore>, StorageError> {
    let key = (place.clone(), access.clone());
    let mut clients = CLIENTS.lock();
    if let Some(client) = clients.get(&key) {
        return Ok(Arc::clone(client));
    }
    let made = make(place, access).map_err(|error| StorageError::Place {
        place: place.url_of(""),
        message: format!("it cannot be reached with these credentials: {error}"),
        sqlstate: "22023",
    })?;
    // Which of them goes does not matter: it is made again.
    if clients.len() >= SOURCE_CLIENTS_MAX {
        clients.pop_first();
    }
    clients.insert(key, Arc::clone(&made));
    Ok(made)
}

fn make(place: &RemotePlace, access: &SourceAccess) -> Result<Arc<dyn ObjectStore>> {
    let backoff = BackoffConfig {
        init_backoff: BACKUP_RETRY_FIRST,
        max_backoff: BACKUP_RETRY_LONGEST,
        ..BackoffConfig::default()
    };
    let retry = RetryConfig { backoff, max_retries: REQUEST_RETRIES, retry_timeout: REQUEST_RETRY_FOR };
    let name = &place.authority;
    Ok(match place.scheme {
        Scheme::S3 => {
            let with = |builder: AmazonS3Builder, (key, value)| builder.with_config(key, value);
            let builder = options::<AmazonS3ConfigKey>(access)?.into_iter().fold(AmazonS3Builder::from_env(), with);
            Arc::new(builder.with_bucket_name(name).with_retry(retry).build()?)
        }
        Scheme::Google => {
            let with = |builder: GoogleCloudStorageBuilder, (key, value)| builder.with_config(key, value);
            let begun = GoogleCloudStorageBuilder::from_env();
            let builder = options::<GoogleConfigKey>(access)?.into_iter().fold(begun, with);
            Arc::new(builder.with_bucket_name(name).with_retry(retry).build()?)
        }
        Scheme::Azure => {
            let with = |builder: MicrosoftAzureBuilder, (key, value)| builder.with_config(key, value);
            let begun = MicrosoftAzureBuilder::from_env();
            let builder = options::<AzureConfigKey>(access)?.into_iter().fold(begun, with);
            Arc::new(builder.with_container_name(name).with_retry(retry).build()?)
        }
    })
}

/// # Errors
/// A key that the client does not have.
fn options<K: FromStr<Err = object_store::Error>>(access: &SourceAccess) -> Result<Vec<(K, String)>> {
    access.options.iter().map(|(key, value)| Ok((key.parse::<K>()?, value.clone()))).collect()
}
