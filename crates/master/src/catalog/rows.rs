//! Rows of the catalog's tables, which are the same in each database: all integers are signed, definitions are JSON.

use super::copied::CopiedFile;
use super::error::CatalogError;
use super::files::FileKey;
use super::store::{StoredDeletes, StoredFile, StoredTable};
use damson_cluster::{ContentId, CopyFile, DeleteVector, FileEntry, SnapshotId, TableId};
use serde::de::DeserializeOwned;

/// Of the tables, and of the JSON in them, that this build writes.
pub(super) const SCHEMA_VERSION: i64 = 8;

/// A row of `files`.
pub(super) struct FileRow {
    pub content: i32,
    pub path: String,
    pub table: i64,
    pub rows: i64,
    pub bytes: i64,
    pub checksum: i64,
    pub bucket_low: Option<i32>,
    pub bucket_high: Option<i32>,
    pub statistics: String,
    pub created: i64,
    pub dropped: Option<i64>,
}

impl FileRow {
    pub fn of(file: &FileEntry) -> Result<Self, CatalogError> {
        Ok(FileRow {
            content: file.content.0,
            path: file.path.clone(),
            table: int(file.table.0),
            rows: int(file.rows),
            bytes: int(file.bytes),
            // All 64 bits count.
            checksum: file.checksum.cast_signed(),
            bucket_low: file.buckets.map(|buckets| buckets.0.into()),
            bucket_high: file.buckets.map(|buckets| buckets.1.into()),
            statistics: to_json(&file.columns)?,
            created: int(file.created.0),
            dropped: None,
        })
    }

    pub fn stored(self) -> Result<StoredFile, CatalogError> {
        let buckets = self.bucket_low.zip(self.bucket_high);
        let entry = FileEntry {
            table: TableId(count(self.table)?),
            content: ContentId(self.content),
            path: self.path,
            rows: count(self.rows)?,
            bytes: count(self.bytes)?,
            checksum: self.checksum.cast_unsigned(),
            buckets: buckets.map(|(low, high)| Ok::<_, CatalogError>((bucket(low)?, bucket(high)?))).transpose()?,
            columns: from_json("a file's statistics", &self.statistics)?,
            deletes: None,
            created: SnapshotId(count(self.created)?),
        };
        Ok(StoredFile { entry, dropped: dropped(self.dropped)? })
    }
}

/// A row of `delete_vectors`.
pub(super) struct DeletesRow {
    pub content: i32,
    pub path: String,
    pub file_path: String,
    pub rows: i64,
    pub bytes: i64,
    pub checksum: i64,
    pub created: i64,
    pub dropped: Option<i64>,
}

impl DeletesRow {
    pub fn of(file: &FileKey, vector: &DeleteVector) -> Self {
        DeletesRow {
            content: file.content.0,
            path: vector.path.clone(),
            file_path: file.path.clone(),
            rows: int(vector.rows),
            bytes: int(vector.bytes),
            checksum: vector.checksum.cast_signed(),
            created: int(vector.created.0),
            dropped: None,
        }
    }

    pub fn stored(self) -> Result<StoredDeletes, CatalogError> {
        let vector = DeleteVector {
            path: self.path,
            rows: count(self.rows)?,
            bytes: count(self.bytes)?,
            checksum: self.checksum.cast_unsigned(),
            created: SnapshotId(count(self.created)?),
        };
        let file = FileKey { content: ContentId(self.content), path: self.file_path };
        Ok(StoredDeletes { file, vector, dropped: dropped(self.dropped)? })
    }
}

/// A row of `copied_files`. Nothing is NULL in it: two NULLs would not be one value, and one file two.
pub(super) struct CopiedRow {
    pub table: i64,
    pub url: String,
    /// Empty: none.
    pub etag: String,
    pub bytes: i64,
    /// -1: unknown.
    pub modified_us: i64,
    pub rows: i64,
    pub loaded_us: i64,
    pub snapshot: i64,
}

impl CopiedRow {
    pub fn of(copied: &CopiedFile) -> Self {
        let CopyFile { url, bytes, etag, modified_us, partition: _ } = &copied.file;
        CopiedRow {
            table: int(copied.table.0),
            url: url.clone(),
            etag: etag.clone().unwrap_or_default(),
            bytes: int(*bytes),
            modified_us: modified_us.unwrap_or(-1),
            rows: int(copied.rows),
            loaded_us: copied.loaded_us,
            snapshot: int(copied.snapshot.0),
        }
    }

    pub fn stored(self) -> Result<CopiedFile, CatalogError> {
        let file = CopyFile {
            url: self.url,
            bytes: count(self.bytes)?,
            etag: Some(self.etag).filter(|etag| !etag.is_empty()),
            modified_us: Some(self.modified_us).filter(|us| *us != -1),
            partition: vec![],
        };
        Ok(CopiedFile {
            table: TableId(count(self.table)?),
            file,
            rows: count(self.rows)?,
            loaded_us: self.loaded_us,
            snapshot: SnapshotId(count(self.snapshot)?),
        })
    }
}

/// A row of `tables`.
pub(super) fn stored_table(definition: &str, defined: i64) -> Result<StoredTable, CatalogError> {
    Ok(StoredTable { def: from_json("a table", definition)?, defined: SnapshotId(count(defined)?) })
}

/// The value of a row of `settings`.
pub(super) fn setting<T: std::str::FromStr>(key: &str, value: Option<&str>) -> Result<T, CatalogError> {
    let damaged = || CatalogError::Damaged(format!("no setting {key}"));
    value.ok_or_else(damaged)?.parse().map_err(|_| damaged())
}

/// Ids count from 1, rows and bytes are of one file.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).expect("ids, rows and bytes are below 2^63")
}

pub(super) fn count(value: i64) -> Result<u64, CatalogError> {
    u64::try_from(value).map_err(|_| CatalogError::Damaged(format!("a negative number, {value}, where none can be")))
}

fn bucket(value: i32) -> Result<u16, CatalogError> {
    u16::try_from(value).map_err(|_| CatalogError::Damaged(format!("{value} is no bucket")))
}

fn dropped(snapshot: Option<i64>) -> Result<Option<SnapshotId>, CatalogError> {
    Ok(snapshot.map(count).transpose()?.map(SnapshotId))
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, CatalogError> {
    serde_json::to_string(value).map_err(|error| CatalogError::Damaged(format!("cannot encode: {error}")))
}

pub(super) fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, CatalogError> {
    serde_json::from_str(text).map_err(|error| CatalogError::Damaged(format!("{what}: {error}")))
}
