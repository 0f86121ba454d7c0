//! File calls off the query runtime.

use crate::StorageError;
use datafusion::common::runtime::SpawnedTask;
use std::io;
use std::path::Path;

/// Runs a blocking call on the runtime's blocking threads. A panic in it goes on in the caller; dropping the future gives
/// up waiting, but a call that has begun runs to its end.
pub(crate) async fn run<T: Send + 'static>(
    operation: &'static str,
    path: &Path,
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StorageError> {
    let result = match SpawnedTask::spawn_blocking(call).join_unwind().await {
        Ok(result) => result,
        Err(shut_down) => Err(io::Error::other(shut_down)),
    };
    result.map_err(StorageError::io(operation, path))
}

/// As [`run`], of a call that says itself what went wrong.
pub(crate) async fn try_run<T: Send + 'static>(
    operation: &'static str,
    path: &Path,
    call: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    match SpawnedTask::spawn_blocking(call).join_unwind().await {
        Ok(result) => result,
        Err(shut_down) => Err(StorageError::io(operation, path)(io::Error::other(shut_down))),
    }
}
