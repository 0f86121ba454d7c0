//! PRIMARY KEY and UNIQUE on one segment: equal keys meet here, because a key contains the distribution key.
//!
//! While rows are written, the hashes of their keys are collected. At the end they are sorted: equal neighbours, and hashes that a
//! file of the table has too, are suspects. Nearly always there are none, and nothing but hashes was compared. Of the
//! suspects the keys themselves are read, and compared row by row.

use super::WriteSpec;
use super::constraints::row_text;
use crate::StorageError;
use crate::footers::FileIdentity;
use crate::key_index::{KeyHashes, Probes, hash_keys, is_whole};
use crate::limits::BLOOM_PROBES_MAX;
use crate::scan::{Pruner, TableFiles, scan};
use arrow::row::{OwnedRow, RowConverter, SortField};
use damson_cluster::{FileEntry, OnDuplicate, UniqueKey};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::functions_aggregate::min_max::{MaxAccumulator, MinAccumulator};
use datafusion::logical_expr::{Accumulator, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, Column, lit};
use datafusion::physical_expr::{PhysicalExpr, conjunction};
use futures::StreamExt;
use roaring::RoaringTreemap;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Bytes of one suspect, about: its hash and its places in the maps, without its key.
const SUSPECT_BYTES: usize = 128;

/// The keys of the rows that one writer writes.
pub(super) struct NewKeys<'a> {
    spec: &'a WriteSpec,
    keys: Vec<Collected>,
    /// New rows that take the place of old ones, counted from 0 in the order in which they are written.
    replacing: RoaringTreemap,
    rows: u64,
    reservation: MemoryReservation,
}

/// Of one key.
struct Collected {
    /// Of rows without a NULL in it.
    hashes: Vec<u64>,
    /// The first rows' values, as long as they are few.
    probes: Vec<RecordBatch>,
    ranges: Vec<Range>,
}

/// Smallest and largest value of a column.
struct Range {
    min: MinAccumulator,
    max: MaxAccumulator,
}

/// What is known of the rows besides the new ones.
pub(super) struct Existing<'a> {
    pub files: &'a Arc<TableFiles>,
    /// Whether the statement deletes the row: position in [`WriteSpec::files`], number in it.
    pub deleted: &'a (dyn Fn(usize, u32) -> bool + Sync),
    pub context: &'a Arc<TaskContext>,
}

/// New rows that are left out, counted from 0 in the order in which they were written.
pub(super) type Skipped = RoaringTreemap;

impl<'a> NewKeys<'a> {
    pub(super) fn new(spec: &'a WriteSpec, context: &TaskContext) -> Result<Self> {
        let range = |&column: &usize| {
            let data_type = spec.schema.field(column).data_type();
            Ok(Range { min: MinAccumulator::try_new(data_type)?, max: MaxAccumulator::try_new(data_type)? })
        };
        let collected = |key: &UniqueKey| {
            let ranges = key.columns.iter().map(range).collect::<Result<Vec<_>>>()?;
            Ok(Collected { hashes: vec![], probes: vec![], ranges })
        };
        let keys = spec.keys.iter().map(collected).collect::<Result<Vec<_>>>()?;
        let reservation = MemoryConsumer::new(format!("UniqueKeys[{}]", spec.name)).register(context.memory_pool());
        Ok(NewKeys { spec, keys, replacing: RoaringTreemap::new(), rows: 0, reservation })
    }

    /// Says of the rows that are added next which of them take the place of old ones.
    pub(super) fn replace(&mut self, replaces: &BooleanArray) {
        let at = |(row, replaces): (usize, Option<bool>)| (replaces == Some(true)).then_some(self.rows + row as u64);
        self.replacing.extend(replaces.iter().enumerate().filter_map(at).collect::<Vec<_>>());
    }

    /// Adds the keys of a batch with the table's columns; `placed` are the hashes of its distribution key.
    pub(super) fn add(&mut self, rows: &RecordBatch, placed: &[u64]) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        let mut own = vec![];
        for (key, collected) in self.spec.keys.iter().zip(&mut self.keys) {
            let columns: Vec<ArrayRef> = key.columns.iter().map(|&c| Arc::clone(rows.column(c))).collect();
            let hashes = if key.columns == self.spec.distribution_key {
                placed
            } else {
                hash_keys(self.spec.table, &columns, &mut own)?;
                &own
            };
            if columns.iter().all(|column| column.null_count() == 0) {
                collected.hashes.extend_from_slice(hashes);
            } else {
                let whole = hashes.iter().enumerate().filter(|(row, _)| is_whole(&columns, *row));
                collected.hashes.extend(whole.map(|(_, hash)| *hash));
            }
            if collected.hashes.len() > BLOOM_PROBES_MAX {
                collected.probes.clear();
            } else {
                let rows = key_rows(self.spec, key, columns.clone())?;
                let whole = (0..rows.num_rows()).map(|row| Some(is_whole(&columns, row))).collect();
                let rows = filter_record_batch(&rows, &whole)?;
                collected.probes.extend((rows.num_rows() > 0).then_some(rows));
            }
            for (range, column) in collected.ranges.iter_mut().zip(&columns) {
                range.min.update_batch(std::slice::from_ref(column))?;
                range.max.update_batch(std::slice::from_ref(column))?;
            }
        }
        let bytes: usize = self.keys.iter().map(|key| size_of_val(&key.hashes[..])).sum();
        self.reservation.try_resize(bytes)
    }

    /// Compares the keys with each other and with those of the table's rows; `added` are the files of the new rows.
    ///
    /// # Errors
    /// [`StorageError::Duplicate`], [`StorageError::Repeated`]; those of scans; the memory pool's.
    pub(super) async fn check(mut self, added: &[FileEntry], existing: &Existing<'_>) -> Result<Skipped> {
        let mut suspects: Vec<HashSet<u64>> = vec![];
        // Positions in the spec's files that have a suspect.
        let mut suspected: HashSet<usize> = HashSet::new();
        let spec = self.spec;
        for (key, collected) in spec.keys.iter().zip(&mut self.keys) {
            collected.hashes.sort_unstable();
            let pairs = collected.hashes.windows(2).filter(|pair| pair[0] == pair[1]);
            let mut of_key: HashSet<u64> = pairs.map(|pair| pair[0]).collect();
            self.reservation.try_grow(of_key.len() * SUSPECT_BYTES)?;
            if collected.hashes.is_empty() {
                suspects.push(of_key);
                continue;
            }
            let mut lookup = Lookup::new(spec, key, collected)?;
            for (position, file) in spec.files.iter().enumerate() {
                let Some(hashes) = lookup.hashes_of(file, existing).await? else { continue };
                let before = of_key.len();
                let mut has_any = false;
                for_each_common(&collected.hashes, &hashes, |hash| {
                    has_any = true;
                    of_key.insert(hash);
                });
                if has_any {
                    suspected.insert(position);
                }
                self.reservation.try_grow((of_key.len() - before) * SUSPECT_BYTES)?;
            }
            suspects.push(of_key);
        }
        if suspects.iter().all(HashSet::is_empty) {
            return Ok(Skipped::new());
        }
        Comparison::new(spec, suspects, self.replacing, self.reservation)?.run(added, &suspected, existing).await
    }
}

/// What new keys are looked for with, in one file after the other.
struct Lookup<'a> {
    schema: &'a SchemaRef,
    /// Positions in the table.
    key: &'a [usize],
    /// None where the keys' bounds exclude nothing.
    pruner: Option<Pruner>,
    /// None where they are too many to be looked for one by one.
    probes: Option<Probes>,
}

impl<'a> Lookup<'a> {
    fn new(spec: &'a WriteSpec, key: &'a UniqueKey, collected: &mut Collected) -> Result<Self> {
        let predicate = collected.predicate(spec, key)?;
        let is_few = collected.hashes.len() <= BLOOM_PROBES_MAX;
        let rows = std::mem::take(&mut collected.probes);
        Ok(Lookup {
            schema: &spec.schema,
            key: &key.columns,
            pruner: predicate.map(|predicate| Pruner::new(predicate, Arc::clone(&spec.schema))),
            probes: is_few.then(|| Probes { key: key.columns.clone(), rows }),
        })
    }

    /// The hashes of the keys of a file; None if none of the new keys can be in it.
    async fn hashes_of(&mut self, file: &FileEntry, existing: &Existing<'_>) -> Result<Option<KeyHashes>> {
        let (files, index) = (existing.files, existing.files.cache.keys());
        if let Some(hashes) = index.loaded(file, self.key) {
            return Ok(Some(hashes));
        }
        if let Some(pruner) = &mut self.pruner {
            let footer = files.footers.get(&FileIdentity::from(file)).await?;
            let row_groups = footer.metadata.metadata().num_row_groups();
            if (0..row_groups).all(|row_group| pruner.excludes(&footer, row_group)) {
                return Ok(None);
            }
            if let Some(probes) = &self.probes
                && !probes.may_be_in(files, file, &footer, pruner).await?
            {
                return Ok(None);
            }
        }
        index.get(files, self.schema, file, self.key, existing.context).await.map(Some)
    }
}

impl Collected {
    /// What rows with one of the keys pass: each column between its smallest and largest new value. None where that says nothing.
    fn predicate(&mut self, spec: &WriteSpec, key: &UniqueKey) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let mut bounds = vec![];
        for (&position, range) in key.columns.iter().zip(&mut self.ranges) {
            let field = spec.schema.field(position);
            // NaN is not among a file's bounds.
            if matches!(field.data_type(), DataType::Float32 | DataType::Float64) {
                continue;
            }
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), position));
            for (value, operator) in [(range.min.evaluate()?, Operator::GtEq), (range.max.evaluate()?, Operator::LtEq)]
            {
                if !value.is_null() {
                    bounds.push(compare(Arc::clone(&column), operator, value));
                }
            }
        }
        Ok((!bounds.is_empty()).then(|| conjunction(bounds)))
    }
}

fn compare(column: Arc<dyn PhysicalExpr>, operator: Operator, value: ScalarValue) -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(column, operator, lit(value)))
}

/// A batch of a key's columns alone.
fn key_rows(spec: &WriteSpec, key: &UniqueKey, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    let field = |&position: &usize| spec.schema.field(position).clone().with_nullable(true);
    let schema = Schema::new(key.columns.iter().map(field).collect::<Vec<_>>());
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

/// What two ascending lists have in common; the shorter is looked up in the longer where that is quicker.
fn for_each_common(some: &[u64], others: &[u64], mut common: impl FnMut(u64)) {
    let (short, long) = if some.len() <= others.len() { (some, others) } else { (others, some) };
    if short.len().saturating_mul(16) < long.len() {
        short.iter().filter(|hash| long.binary_search(hash).is_ok()).for_each(|&hash| common(hash));
        return;
    }
    let mut rest = long.iter().peekable();
    for &hash in short {
        while rest.next_if(|&&other| other < hash).is_some() {}
        if rest.peek() == Some(&&hash) {
            common(hash);
        }
    }
}

/// Suspects, compared by their values.
struct Comparison<'a> {
    spec: &'a WriteSpec,
    /// By key.
    suspects: Vec<HashSet<u64>>,
    converters: Vec<RowConverter>,
    /// See [`NewKeys::replacing`].
    replacing: RoaringTreemap,
    /// By key: the keys that are taken, and whether by a new row that takes no old one's place.
    taken: Vec<HashMap<OwnedRow, bool>>,
    skipped: Skipped,
    reservation: MemoryReservation,
}

impl<'a> Comparison<'a> {
    fn new(
        spec: &'a WriteSpec,
        suspects: Vec<HashSet<u64>>,
        replacing: RoaringTreemap,
        reservation: MemoryReservation,
    ) -> Result<Self> {
        let converter = |key: &UniqueKey| {
            let field = |&column: &usize| SortField::new(spec.schema.field(column).data_type().clone());
            Ok(RowConverter::new(key.columns.iter().map(field).collect())?)
        };
        let converters = spec.keys.iter().map(converter).collect::<Result<Vec<_>>>()?;
        let taken = spec.keys.iter().map(|_| HashMap::new()).collect();
        Ok(Comparison { spec, suspects, converters, replacing, taken, skipped: Skipped::new(), reservation })
    }

    async fn run(
        mut self,
        added: &[FileEntry],
        suspected: &HashSet<usize>,
        existing: &Existing<'_>,
    ) -> Result<Skipped> {
        let mut chosen: Vec<usize> = suspected.iter().copied().collect();
        chosen.sort_unstable();
        let old: Vec<FileEntry> = chosen.iter().map(|&position| self.spec.files[position].clone()).collect();
        self.read(&old, existing, |file| chosen[file], true).await?;
        self.read(added, existing, |file| file, false).await?;
        Ok(self.skipped)
    }

    /// Reads the keys of files' rows, in their order.
    async fn read(
        &mut self,
        entries: &[FileEntry],
        existing: &Existing<'_>,
        position: impl Fn(usize) -> usize,
        is_old: bool,
    ) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut columns: Vec<usize> = self.spec.keys.iter().flat_map(|key| key.columns.iter().copied()).collect();
        columns.sort_unstable();
        columns.dedup();
        let first_rows: Vec<u64> = entries
            .iter()
            .scan(0, |rows, file| {
                *rows += file.rows;
                Some(*rows - file.rows)
            })
            .collect();
        let scan = scan(Arc::clone(existing.files), &self.spec.schema, &columns, entries, true, 1)?;
        let mut batches = scan.execute(0, Arc::clone(existing.context))?;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let files = batch.column(columns.len()).as_primitive::<Int32Type>();
            let numbers = batch.column(columns.len() + 1).as_primitive::<Int64Type>();
            let keys = self.keys_of(&batch, &columns)?;
            for row in 0..batch.num_rows() {
                if keys.iter().all(|keys| keys[row].is_none()) {
                    continue;
                }
                let (file, number) = (files.value(row) as usize, numbers.value(row));
                let of_row = keys.iter().enumerate().filter_map(|(key, rows)| rows[row].as_ref().map(|row| (key, row)));
                if is_old {
                    if !(existing.deleted)(position(file), number as u32) {
                        for (key, value) in of_row {
                            self.reservation.try_grow(value.row().as_ref().len())?;
                            self.taken[key].insert(value.clone(), false);
                        }
                    }
                } else {
                    let at = first_rows[file] + number as u64;
                    self.take(of_row.map(|(key, row)| (key, row.clone())).collect(), at, &batch, &columns, row)?;
                }
            }
        }
        Ok(())
    }

    /// By key, the rows' keys as values to compare; None where they are not suspect.
    fn keys_of(&mut self, batch: &RecordBatch, columns: &[usize]) -> Result<Vec<Vec<Option<OwnedRow>>>> {
        let mut hashes = vec![];
        let mut all = vec![];
        for (index, key) in self.spec.keys.iter().enumerate() {
            let at = |column: &usize| columns.iter().position(|other| other == column).unwrap_or(0);
            let values: Vec<ArrayRef> = key.columns.iter().map(|c| Arc::clone(batch.column(at(c)))).collect();
            hash_keys(self.spec.table, &values, &mut hashes)?;
            let suspects = &self.suspects[index];
            let mut is_suspect = (0..batch.num_rows()).map(|r| suspects.contains(&hashes[r]) && is_whole(&values, r));
            let is_suspect: Vec<bool> = is_suspect.by_ref().collect();
            if !is_suspect.contains(&true) {
                all.push(vec![None; batch.num_rows()]);
                continue;
            }
            let values: Vec<ArrayRef> = values.iter().map(one_zero).collect();
            let rows = self.converters[index].convert_columns(&values)?;
            let row = |(r, &is): (usize, &bool)| is.then(|| rows.row(r).owned());
            all.push(is_suspect.iter().enumerate().map(row).collect());
        }
        Ok(all)
    }

    /// Takes a new row's keys, or says that one of them is taken.
    fn take(
        &mut self,
        keys: Vec<(usize, OwnedRow)>,
        at: u64,
        batch: &RecordBatch,
        columns: &[usize],
        row: usize,
    ) -> Result<()> {
        let is_inserted = !self.replacing.contains(at);
        // A row that is left out breaks nothing.
        let skips = |key: &usize| self.spec.keys[*key].on_duplicate == OnDuplicate::Skip;
        if keys.iter().any(|(key, value)| skips(key) && self.taken[*key].contains_key(value)) {
            self.skipped.insert(at);
            return Ok(());
        }
        for (key, value) in &keys {
            let Some(&by_inserted) = self.taken[*key].get(value) else { continue };
            let unique = &self.spec.keys[*key];
            match unique.on_duplicate {
                OnDuplicate::Repeat if by_inserted && is_inserted => {
                    return Err(StorageError::Repeated { command: "ON CONFLICT DO UPDATE" }.into());
                }
                _ => {
                    let names = unique.columns.iter().map(|&c| self.spec.schema.field(c).name().as_str());
                    let at = |column: &usize| columns.iter().position(|other| other == column).unwrap_or(0);
                    let values: Vec<ArrayRef> =
                        unique.columns.iter().map(|c| Arc::clone(batch.column(at(c)))).collect();
                    let (constraint, values) = (unique.constraint.clone(), row_text(&values, row));
                    let columns = names.collect::<Vec<_>>().join(", ");
                    return Err(StorageError::Duplicate { constraint, columns, values }.into());
                }
            }
        }
        for (key, value) in keys {
            self.reservation.try_grow(value.row().as_ref().len())?;
            self.taken[key].insert(value, is_inserted);
        }
        Ok(())
    }
}

/// Floats with one zero and one NaN, as they are equal in SQL; any other column is handed back.
fn one_zero(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => {
            let one = |value: f32| if value.is_nan() { f32::NAN } else { value + 0.0 };
            Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(one))
        }
        DataType::Float64 => {
            let one = |value: f64| if value.is_nan() { f64::NAN } else { value + 0.0 };
            Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(one))
        }
        _ => Arc::clone(column),
    }
}

/// The batch without the rows that are left out; `first` is the number of its first row.
pub(super) fn without_skipped(batch: &RecordBatch, first: u64, skipped: &Skipped) -> Result<RecordBatch> {
    let rows = batch.num_rows() as u64;
    let stays = (first..first + rows).map(|row| Some(!skipped.contains(row))).collect();
    Ok(filter_record_batch(batch, &stays)?)
}
