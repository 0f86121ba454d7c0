//! The master's calls about tables' error logs.

use crate::segment::{Segment, answer, internal, storage_error};
use bytes::Bytes;
use damson_cluster::{BadRow, TableId};
use damson_interconnect::{ControlError, ControlStream, InterconnectError};
use futures::{StreamExt, stream};
use std::iter;
use std::vec;

/// Bytes after which a message of an answer ends: a list of a log's rows takes 64 MiB.
const ANSWER_PART_BYTES: usize = 512 << 10;

impl Segment {
    /// # Memory
    /// One table's log, see [`damson_storage::limits::ERROR_LOG_BYTES_MAX`], and a message.
    ///
    /// # Errors
    /// A log that cannot be read.
    pub(crate) async fn read_error_log(&self, body: &[u8]) -> Result<ControlStream, ControlError> {
        let table: TableId = serde_json::from_slice(body).map_err(|e| internal(&e))?;
        let rows = self.store.error_log(table).read().await.map_err(storage_error)?;
        let mut rows = rows.into_iter();
        let parts = iter::from_fn(move || next_part(&mut rows).transpose());
        Ok(stream::iter(parts.map(|part| part.map_err(InterconnectError::internal))).boxed())
    }

    /// # Errors
    /// A log that cannot be removed.
    pub(crate) async fn truncate_error_log(&self, body: &[u8]) -> Result<ControlStream, ControlError> {
        let tables: Option<Vec<TableId>> = serde_json::from_slice(body).map_err(|e| internal(&e))?;
        let tables = match tables {
            Some(tables) => tables,
            None => self.store.error_logs().await.map_err(storage_error)?,
        };
        for table in tables {
            self.store.error_log(table).truncate().await.map_err(storage_error)?;
        }
        answer(&())
    }

    /// # Errors
    /// A data directory that cannot be read.
    pub(crate) async fn list_error_logs(&self) -> Result<ControlStream, ControlError> {
        answer(&self.store.error_logs().await.map_err(storage_error)?)
    }

    /// # Errors
    /// A log that cannot be removed.
    pub(crate) async fn drop_error_logs(&self, body: &[u8]) -> Result<ControlStream, ControlError> {
        let tables: Vec<TableId> = serde_json::from_slice(body).map_err(|e| internal(&e))?;
        for table in tables {
            self.store.error_log(table).remove().await.map_err(storage_error)?;
        }
        answer(&())
    }
}

/// The next rows as a JSON list; None at the end.
fn next_part(rows: &mut vec::IntoIter<BadRow>) -> serde_json::Result<Option<Bytes>> {
    let mut part: Vec<u8> = vec![];
    while part.len() < ANSWER_PART_BYTES
        && let Some(row) = rows.next()
    {
        part.push(if part.is_empty() { b'[' } else { b',' });
        serde_json::to_writer(&mut part, &row)?;
    }
    if part.is_empty() {
        return Ok(None);
    }
    part.push(b']');
    Ok(Some(part.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_lists_of_all_rows() {
        let row = |line: u64| BadRow {
            time_us: 1,
            file: "/f".into(),
            line,
            byte_offset: None,
            column: None,
            sqlstate: "22P04".into(),
            message: "m".into(),
            raw: Some("x".repeat(4096)),
        };
        let mut rows = (0..1000).map(row).collect::<Vec<_>>().into_iter();
        let parts: Vec<Bytes> = iter::from_fn(|| next_part(&mut rows).unwrap()).collect();
        assert!(parts.len() > 5 && parts.iter().all(|part| part.len() < ANSWER_PART_BYTES + 8192));
        let read = parts.iter().flat_map(|part| serde_json::from_slice::<Vec<BadRow>>(part).unwrap());
        assert!(read.eq((0..1000).map(row)));
        assert!(next_part(&mut vec![].into_iter()).unwrap().is_none());
    }
}
