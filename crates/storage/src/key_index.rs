//! Where a key may be: the hashes of the keys of each file, and before they are read, what the file says of itself.

use crate::StorageError;
use crate::footers::{FileIdentity, Footer};
use crate::scan::{Asked, Pruner, TableFiles, scan};
use damson_cluster::placement::hash_rows;
use damson_cluster::{FileEntry, TableId};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Date32Type, Int16Type, Int32Type, Int64Type, SchemaRef, TimeUnit};
use datafusion::arrow::datatypes::{Time64MicrosecondType, TimestampMicrosecondType};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::parquet::bloom_filter::Sbbf;
use futures::StreamExt;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::Arc;

/// The hashes of the keys of a file's rows, deleted ones too, in ascending order; rows with a NULL in the key have none.
pub(crate) type KeyHashes = Arc<[u64]>;

/// Files never change, and their names are never used again.
///
/// # Memory
/// Its capacity, beside what writers hold.
#[derive(Debug)]
pub(crate) struct KeyIndexes {
    /// By path and positions of the key's columns.
    loaded: Cache<(String, Vec<usize>), KeyHashes, ByBytes>,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<(String, Vec<usize>), KeyHashes> for ByBytes {
    fn weight(&self, key: &(String, Vec<usize>), hashes: &KeyHashes) -> u64 {
        (key.0.len() + size_of_val(&**hashes)) as u64 + 64
    }
}

impl KeyIndexes {
    pub(crate) fn new(capacity_bytes: u64) -> Self {
        KeyIndexes { loaded: Cache::with_weighter(1 << 10, capacity_bytes, ByBytes) }
    }

    pub(crate) fn loaded(&self, file: &FileEntry, key: &[usize]) -> Option<KeyHashes> {
        self.loaded.get(&(file.path.clone(), key.to_vec()))
    }

    /// Reads the key's columns of the file, unless it has done so before.
    ///
    /// # Errors
    /// As [`crate::TableStore::scan`].
    pub(crate) async fn get(
        &self,
        files: &Arc<TableFiles>,
        table: &SchemaRef,
        file: &FileEntry,
        key: &[usize],
        context: &Arc<TaskContext>,
    ) -> Result<KeyHashes> {
        let load = load(files, table, file, key, context);
        self.loaded.get_or_insert_async(&(file.path.clone(), key.to_vec()), load).await
    }
}

async fn load(
    files: &Arc<TableFiles>,
    table: &SchemaRef,
    file: &FileEntry,
    key: &[usize],
    context: &Arc<TaskContext>,
) -> Result<KeyHashes> {
    let whole = FileEntry { deletes: None, ..file.clone() };
    let mut batches = scan(Arc::clone(files), table, key, &[whole], false, 1)?.execute(0, Arc::clone(context))?;
    let rows = usize::try_from(file.rows).unwrap_or(usize::MAX);
    let reservation = MemoryConsumer::new("KeyIndex").register(context.memory_pool());
    // The list, and the copy that is shared.
    reservation.try_grow(rows.saturating_mul(2 * size_of::<u64>()))?;
    let mut all = Vec::with_capacity(rows);
    let mut hashes = vec![];
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        hash_keys(file.table, batch.columns(), &mut hashes)?;
        all.extend(hashes.iter().enumerate().filter(|(row, _)| is_whole(batch.columns(), *row)).map(|(_, hash)| *hash));
    }
    all.sort_unstable();
    Ok(all.into())
}

/// One hash a row.
///
/// # Errors
/// [`StorageError::WrongRows`] for a type that cannot be a key's.
pub(crate) fn hash_keys(table: TableId, key: &[ArrayRef], hashes: &mut Vec<u64>) -> Result<(), StorageError> {
    hash_rows(key, hashes).map_err(|error| StorageError::WrongRows { table, detail: error.to_string() })
}

/// Whether the row's key has no NULL: one with a NULL is equal to no other.
pub(crate) fn is_whole(key: &[ArrayRef], row: usize) -> bool {
    key.iter().all(|column| column.is_valid(row))
}

/// A few keys to look for.
pub(crate) struct Probes {
    /// Positions of the key's columns in the table.
    pub key: Vec<usize>,
    pub rows: Vec<RecordBatch>,
}

impl Probes {
    /// Whether the file's Bloom filters let any of them be in it. A file that was written without them may have all.
    ///
    /// # Errors
    /// Those of reading the file.
    pub(crate) async fn may_be_in(
        &self,
        files: &TableFiles,
        file: &FileEntry,
        footer: &Footer,
        pruner: &mut Pruner,
    ) -> Result<bool, StorageError> {
        let identity = FileIdentity::from(file);
        let row_groups = footer.metadata.metadata().row_groups();
        for (number, row_group) in row_groups.iter().enumerate() {
            if pruner.excludes(footer, number) {
                continue;
            }
            let mut filters = vec![];
            for (of_key, &position) in self.key.iter().enumerate() {
                // A column that was added after the file was written is not in it.
                let Some(column) = row_group.columns().get(position) else { continue };
                if let Some(filter) = files.cache.bloom_filters().get(&files.place, &identity, footer, column).await? {
                    filters.push((of_key, filter));
                }
            }
            let may_be = |batch: &RecordBatch, row: usize| {
                filters.iter().all(|(column, filter)| may_contain(filter, batch.column(*column), row))
            };
            if self.rows.iter().any(|batch| (0..batch.num_rows()).any(|row| may_be(batch, row))) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether the row group's Bloom filters let rows be in it that have one of the values in each column. A column without a filter may hold
/// any.
///
/// # Errors
/// Those of reading the file.
pub(crate) async fn may_hold(
    files: &TableFiles,
    file: &FileIdentity,
    footer: &Footer,
    row_group: usize,
    asked: &[Asked],
) -> Result<bool, StorageError> {
    let row_group = footer.metadata.metadata().row_group(row_group);
    for Asked { column, values } in asked {
        // A column that was added after the file was written is not in it.
        let Some(column) = row_group.columns().get(*column) else { continue };
        let filters = files.cache.bloom_filters();
        let Some(filter) = filters.get(&files.place, file, footer, column).await? else { continue };
        if !(0..values.len()).any(|value| may_contain(&filter, values, value)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the filter may have seen the row's value, as Parquet stores it.
fn may_contain(filter: &Sbbf, column: &ArrayRef, row: usize) -> bool {
    match column.data_type() {
        DataType::Int16 => filter.check(&i32::from(column.as_primitive::<Int16Type>().value(row))),
        DataType::Int32 => filter.check(&column.as_primitive::<Int32Type>().value(row)),
        DataType::Date32 => filter.check(&column.as_primitive::<Date32Type>().value(row)),
        DataType::Int64 => filter.check(&column.as_primitive::<Int64Type>().value(row)),
        DataType::Time64(TimeUnit::Microsecond) => {
            filter.check(&column.as_primitive::<Time64MicrosecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            filter.check(&column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Utf8View => filter.check(&column.as_string_view().value(row)),
        DataType::FixedSizeBinary(_) => filter.check(column.as_fixed_size_binary().value(row)),
        _ => true,
    }
}
