//! Delete vectors: which rows of a table file are deleted. The file's format: `docs/formats/delete-vector.md`.

use crate::StorageError;
use crate::limits::DELETES_CACHE_BYTES;
use crate::places::Place;
use bytes::Bytes;
use damson_cluster::{DeleteVector, TableId};
use object_store::path::Path;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use roaring::RoaringBitmap;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// The first bytes of a delete vector's file: what it is, and the version of what follows.
const MAGIC: &[u8; 8] = b"DMSNDEL1";

/// Numbers of deleted rows, from 0 in the order of the file. Row numbers have 32 bits, see
/// [`FILE_ROWS_MAX`](crate::limits::FILE_ROWS_MAX).
pub(crate) type DeletedRows = Arc<RoaringBitmap>;

/// The delete vectors of one content's files, by path. They never change, and their names are never used again.
///
/// # Memory
/// [`DELETES_CACHE_BYTES`], beside what scans and writers hold.
#[derive(Debug)]
pub(crate) struct DeleteVectors {
    place: Place,
    /// Of every place.
    loaded: Arc<Cache<String, DeletedRows, ByBytes>>,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<String, DeletedRows> for ByBytes {
    fn weight(&self, path: &String, rows: &DeletedRows) -> u64 {
        (path.len() + rows.serialized_size()) as u64
    }
}

impl DeleteVectors {
    pub(crate) fn new(place: Place) -> Self {
        DeleteVectors { place, loaded: Arc::new(Cache::with_weighter(1 << 10, DELETES_CACHE_BYTES, ByBytes)) }
    }

    /// Of files at another place, in the same memory: a path is of one place.
    pub(crate) fn at(&self, place: Place) -> Self {
        DeleteVectors { place, loaded: Arc::clone(&self.loaded) }
    }

    /// Verified against the catalog's length and checksum when it is read; calls at the same time for one wait for the first.
    ///
    /// # Errors
    /// [`StorageError::Missing`], [`StorageError::Corrupt`], [`StorageError::Io`]; nothing is remembered of a failure.
    pub(crate) async fn get(&self, table: TableId, vector: &DeleteVector) -> Result<DeletedRows, StorageError> {
        self.loaded.get_or_insert_async(&vector.path, self.load(table, vector)).await
    }

    /// The deleted rows, if they are here.
    pub(crate) fn loaded(&self, vector: &DeleteVector) -> Option<DeletedRows> {
        self.loaded.get(&vector.path)
    }

    pub(crate) fn forget(&self, path: &str) {
        self.loaded.remove(path);
    }

    /// As [`DeleteVectors::get`], from the disk, whatever was read before.
    pub(crate) async fn verify(&self, table: TableId, vector: &DeleteVector) -> Result<DeletedRows, StorageError> {
        self.load(table, vector).await
    }

    async fn load(&self, table: TableId, vector: &DeleteVector) -> Result<DeletedRows, StorageError> {
        let corrupt = |detail: String| StorageError::Corrupt { table, path: vector.path.clone(), detail };
        let location = Path::parse(&vector.path).map_err(|error| corrupt(error.to_string()))?;
        let bytes = self.place.read_whole(&location, vector.bytes).await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => StorageError::Missing { table, path: vector.path.clone() },
            object_store::Error::Precondition { source, .. } => corrupt(source.to_string()),
            other => crate::error::store_error("read", &vector.path, other),
        })?;
        decode(&bytes, vector).map(Arc::new).map_err(corrupt)
    }
}

/// The file of these rows.
pub(crate) fn encode(rows: &RoaringBitmap) -> Bytes {
    let mut bytes = Vec::with_capacity(MAGIC.len() + rows.serialized_size());
    bytes.extend_from_slice(MAGIC);
    rows.serialize_into(&mut bytes).expect("a vector takes what is written to it");
    bytes.into()
}

fn decode(bytes: &[u8], vector: &DeleteVector) -> Result<RoaringBitmap, String> {
    if bytes.len() as u64 != vector.bytes {
        return Err(format!("it has {} bytes, not {}", bytes.len(), vector.bytes));
    }
    let checksum = xxh3_64(bytes);
    if checksum != vector.checksum {
        return Err(format!("its checksum is {checksum:016x}, not {:016x}", vector.checksum));
    }
    let rows = rows_of(bytes)?;
    if rows.len() != vector.rows {
        return Err(format!("it has {} rows, not {}", rows.len(), vector.rows));
    }
    Ok(rows)
}

/// The rows that a file of [`encode`] has.
///
/// # Errors
/// What is no such file.
pub(crate) fn rows_of(bytes: &[u8]) -> Result<RoaringBitmap, String> {
    let rows = bytes.strip_prefix(MAGIC).ok_or("it is no delete vector")?;
    RoaringBitmap::deserialize_from(rows).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::SnapshotId;

    fn vector(bytes: &[u8], rows: u64) -> DeleteVector {
        let (path, created) = ("base/t1/x.deletes".into(), SnapshotId(0));
        DeleteVector { path, rows, bytes: bytes.len() as u64, checksum: xxh3_64(bytes), created }
    }

    #[test]
    fn what_is_written_is_read() {
        for rows in [RoaringBitmap::from_iter([0, 7, u32::MAX]), (0..100_000).collect(), RoaringBitmap::new()] {
            let bytes = encode(&rows);
            assert_eq!(decode(&bytes, &vector(&bytes, rows.len())).unwrap(), rows);
        }
    }

    #[test]
    fn damage_is_noticed() {
        let rows: RoaringBitmap = (0..5000).step_by(3).collect();
        let bytes = encode(&rows).to_vec();
        let right = vector(&bytes, rows.len());
        for position in (0..bytes.len()).step_by(17) {
            let mut damaged = bytes.clone();
            damaged[position] ^= 4;
            assert!(decode(&damaged, &right).unwrap_err().contains("checksum"), "byte {position}");
        }
        assert!(decode(&bytes[1..], &right).is_err());
        assert!(decode(&bytes, &DeleteVector { rows: 1, ..right }).is_err());
        // What another program wrote, checksum and all.
        let other = b"DMSNDEL2".to_vec();
        assert!(decode(&other, &vector(&other, 0)).is_err());
        let cut = &bytes[..20];
        assert!(decode(cut, &vector(cut, rows.len())).is_err());
    }
}
