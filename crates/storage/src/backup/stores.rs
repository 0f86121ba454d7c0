//! The clients of buckets.

use super::url::Cloud;
use crate::limits::{BACKUP_RETRY_FIRST, BACKUP_RETRY_LONGEST};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, ObjectStore, Result, RetryConfig};
use std::sync::Arc;
use std::time::Duration;

/// What the client of a bucket tries by itself, each request of many: a part that is refused once must not send its file again. What
/// lasts longer, [`Patience`](super::retry::Patience) waits for.
const REQUEST_RETRIES: usize = 3;
const REQUEST_RETRY_FOR: Duration = Duration::from_secs(20);

/// A client, with the credentials and the endpoint of this process's environment.
///
/// # Errors
/// An environment that names no account, or a wrong endpoint.
pub(super) fn bucket_store(cloud: Cloud, bucket: &str) -> Result<Arc<dyn ObjectStore>> {
    let backoff = BackoffConfig {
        init_backoff: BACKUP_RETRY_FIRST,
        max_backoff: BACKUP_RETRY_LONGEST,
        ..BackoffConfig::default()
    };
    let retry = RetryConfig { backoff, max_retries: REQUEST_RETRIES, retry_timeout: REQUEST_RETRY_FOR };
    Ok(match cloud {
        Cloud::S3 => Arc::new(AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry).build()?),
        Cloud::Google => {
            Arc::new(GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retry).build()?)
        }
        Cloud::Azure => {
            Arc::new(MicrosoftAzureBuilder::from_env().with_container_name(bucket).with_retry(retry).build()?)
        }
    })
}
