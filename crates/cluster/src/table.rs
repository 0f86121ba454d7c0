//! A table and its files as the catalog describes them.

use crate::{ContentId, MapVersion, PlaceId, SnapshotId, TableId, TableLayout, TablespaceId, share_path, stored_at};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How a table's rows are spread over the segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Distribution {
    /// `DISTRIBUTED BY`: positions of the key's columns in [`TableDef::columns`], in the clause's order.
    Hashed(Vec<usize>),
    Randomly,
    Replicated,
}

/// `compresstype` and `compresslevel` of a table's Parquet files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    None,
    Snappy,
    Lz4,
    /// Level 1..=19.
    Zstd(i32),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnDef {
    pub name: String,
    /// The type as the user wrote it, normalised to PostgreSQL's name: `numeric(15,2)`, `character varying(25)`.
    pub sql_type: String,
    /// The Arrow type in memory and on disk.
    pub data_type: DataType,
    pub nullable: bool,
    /// DEFAULT's expression, as SQL text; an identity column's takes from its sequence.
    pub default: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// `GENERATED … AS IDENTITY`: when a statement's own value is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// With OVERRIDING SYSTEM VALUE alone, and from COPY.
    Always,
    /// Wherever there is one.
    ByDefault,
}

/// A table as of one catalog version; immutable, shared by pointer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableDef {
    pub id: TableId,
    pub schema: String,
    pub name: String,
    pub columns: Vec<ColumnDef>,
    pub distribution: Distribution,
    pub map_version: MapVersion,
    /// PRIMARY KEY and UNIQUE.
    #[serde(default)]
    pub keys: Vec<KeyDef>,
    #[serde(default)]
    pub checks: Vec<CheckDef>,
    pub compression: Compression,
    #[serde(default, skip_serializing_if = "TableLayout::is_default")]
    pub layout: TableLayout,
    /// Where its files are; None: on the segments' own disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tablespace: Option<TablespaceId>,
}

/// Columns that no two rows have equal. NULL is equal to nothing. They contain the distribution key, so that equal rows meet on
/// one segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDef {
    /// The constraint's name.
    pub name: String,
    /// Positions in [`TableDef::columns`], in the clause's order.
    pub columns: Vec<usize>,
    /// PRIMARY KEY; at most one of a table, and its columns are not nullable.
    pub primary: bool,
}

/// An expression that is false for no row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckDef {
    /// The constraint's name.
    pub name: String,
    /// Over the table's columns, as SQL text.
    pub expression: String,
}

impl TableDef {
    pub fn arrow_schema(&self) -> SchemaRef {
        let field = |c: &ColumnDef| Field::new(&c.name, c.data_type.clone(), c.nullable);
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    pub fn qualified_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    pub fn place(&self) -> PlaceId {
        PlaceId::of(self.tablespace)
    }

    pub fn primary_key(&self) -> Option<&KeyDef> {
        self.keys.iter().find(|key| key.primary)
    }
}

/// A column's smallest or largest value in a file, for pruning and estimates. Decimals are unscaled; dates count days,
/// times and timestamps the column's own unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StatValue {
    Bool(bool),
    Int(i64),
    Decimal(i128),
    Float(#[serde(with = "float_text")] f64),
    /// Cut to 64 bytes; a maximum that was cut is rounded up, so that it still bounds.
    Text(String),
}

/// Floats as text, because JSON has no infinity.
mod float_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Collected while a file is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnStats {
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nulls: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<StatValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<StatValue>,
    /// Sum of the values' lengths in bytes, for width estimates.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub value_bytes: u64,
    /// HyperLogLog registers (see [`crate::sketch`]); merging two files' sketches is a bytewise maximum. Empty: not
    /// collected.
    #[serde(default, with = "crate::sketch::text", skip_serializing_if = "Vec::is_empty")]
    pub distinct_sketch: Vec<u8>,
}

impl ColumnStats {
    /// Of a column of which nothing is said: one that has bounds or NULLs is another.
    pub const UNKNOWN: ColumnStats =
        ColumnStats { nulls: 0, min: None, max: None, value_bytes: 0, distinct_sketch: Vec::new() };

    /// What a scan compares its filters with.
    pub fn bounds(&self) -> ColumnStats {
        let ColumnStats { nulls, min, max, .. } = self;
        ColumnStats { nulls: *nulls, min: min.clone(), max: max.clone(), ..ColumnStats::UNKNOWN }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// One immutable Parquet file of a table on one segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    pub table: TableId,
    pub content: ContentId,
    /// Relative to the content's data directory: `base/t12/0193….parquet`; in a bucket it may be another content's, see [`crate::share_path`].
    pub path: String,
    pub rows: u64,
    pub bytes: u64,
    /// XXH3-64 of the whole file.
    pub checksum: u64,
    /// Smallest and largest bucket of the rows in it; None where rows have no bucket (random, replicated).
    pub buckets: Option<(u16, u16)>,
    /// One per column of the table at the time of writing; columns added later are absent.
    pub columns: Vec<ColumnStats>,
    /// Rows of it that are deleted; None: none.
    pub deletes: Option<DeleteVector>,
    /// Set by the commit.
    pub created: SnapshotId,
}

impl FileEntry {
    /// Whose file a path names; None: it is the path of no table's file.
    pub fn table_of(path: &str) -> Option<TableId> {
        let (_, path) = stored_at(ContentId::MASTER, path);
        let (table, _) = path.strip_prefix("base/t")?.split_once('/')?;
        table.parse().ok().map(TableId)
    }

    /// The entry by which another content reads the file, where both see it: a bucket. Its delete vector is the same one until it gets its own.
    /// See [`crate::share_path`] for the tag.
    pub fn shared_with(&self, reader: ContentId, tag: &impl std::fmt::Display) -> FileEntry {
        let share = |path: &str| share_path(self.content, path, tag);
        let deletes = self.deletes.as_ref().map(|vector| DeleteVector { path: share(&vector.path), ..vector.clone() });
        FileEntry { content: reader, path: share(&self.path), deletes, created: SnapshotId(0), ..self.clone() }
    }

    /// Rows that are not deleted.
    pub fn live_rows(&self) -> u64 {
        self.rows.saturating_sub(self.deletes.as_ref().map_or(0, |deletes| deletes.rows))
    }
}

/// Which rows of a file are deleted: one immutable file beside it, which the next DELETE replaces. See
/// `docs/formats/delete-vector.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVector {
    /// Relative to the content's data directory: `base/t12/0193….deletes`; may be another content's as [`FileEntry::path`].
    pub path: String,
    /// Deleted rows, of all statements so far.
    pub rows: u64,
    pub bytes: u64,
    /// XXH3-64 of the whole file.
    pub checksum: u64,
    /// Set by the commit; 0 until then.
    pub created: SnapshotId,
}

impl DeleteVector {
    /// Whether it is a snapshot's, and not one of a transaction that may still roll back.
    pub fn is_committed(&self) -> bool {
        self.created != SnapshotId(0)
    }
}

/// System column of a scan for DELETE and UPDATE: which of its segment's files a row is in, as they were dispatched (Int32).
pub const FILE_COLUMN: &str = "damson_file";
/// The same: which row of the file it is, from 0 (Int64).
pub const ROW_COLUMN: &str = "damson_row";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_table() {
        assert_eq!(FileEntry::table_of("base/t12/0193.parquet"), Some(TableId(12)));
        assert_eq!(FileEntry::table_of("from/seg1/a/base/t12/0193.parquet"), Some(TableId(12)));
        for other in ["base/t12", "base/x12/a", "t12/a", "base/t/a", "base/t-1/a", ""] {
            assert_eq!(FileEntry::table_of(other), None, "{other}");
        }
    }

    #[test]
    fn statistics_survive_json() {
        for value in [
            StatValue::Float(f64::INFINITY),
            StatValue::Float(f64::NEG_INFINITY),
            StatValue::Float(-0.1),
            StatValue::Decimal(i128::MIN),
            StatValue::Int(i64::MAX),
            StatValue::Bool(false),
            StatValue::Text("a\"\0é".into()),
        ] {
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<StatValue>(&text).unwrap(), value, "{text}");
        }
    }
}
