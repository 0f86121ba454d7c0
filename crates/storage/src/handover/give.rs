//! The operator that sends row groups to their new segments.

use super::part::Assembly;
use super::share::{Shares, row_ranges};
use crate::StorageError;
use crate::deletes::encode;
use crate::footers::{FileIdentity, Footer};
use crate::limits::{HANDOVER_FOOTERS_AHEAD, HANDOVER_PIECE_BYTES, HANDOVER_READ_BYTES, HANDOVER_READS_AHEAD};
use crate::scan::{RowGroupChoice, TableFiles, scan_chosen};
use bytes::Bytes;
use damson_cluster::{
    ColumnStats, ContentId, DeleteVector, Departures, FileEntry, HandoverPart, SnapshotId, TakenFile, handover_schema,
    placement,
};
use datafusion::arrow::array::{ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array, RecordBatch, UInt8Array};
use datafusion::arrow::buffer::{Buffer, OffsetBuffer};
use datafusion::arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use futures::{FutureExt, StreamExt, stream};
use roaring::RoaringBitmap;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;
use xxhash_rust::xxh3::Xxh3;

/// What a segment gives of a table's files.
#[derive(Debug)]
pub(crate) struct Giving {
    pub content: ContentId,
    pub files: Arc<TableFiles>,
    pub schema: SchemaRef,
    /// Positions of the distribution key.
    pub key: Vec<usize>,
    pub departures: Arc<Departures>,
    /// Whether the others read the files where they are: in a bucket.
    pub in_place: bool,
    /// The table's files here.
    pub entries: Vec<FileEntry>,
}

/// Sends the row groups of a segment's files that another segment gets as they are, or nearly: rows of [`handover_schema`]. Of files in a bucket it sends who
/// may read which rows. After those of a file comes, to the segment itself, what is left of it. Made by [`crate::TableStore::give_row_groups`] and
/// [`crate::TableStore::share_files`].
///
/// # Distribution
/// Each row names the segment that it goes to.
///
/// # Ordering
/// What goes of one file to one segment comes in the file's order, then its delete vector, then its end.
///
/// # Memory
/// [`HANDOVER_READS_AHEAD`] reads of [`HANDOVER_READ_BYTES`] and two more, from the query's pool, unless the others read the files where they are. Of the file at
/// hand, up to two bytes a row where its rows are scattered; of it, and of [`HANDOVER_FOOTERS_AHEAD`] more in a bucket, the footer and the deleted rows.
///
/// # Cancellation
/// Dropping the stream ends it.
///
/// # Errors
/// As [`crate::TableStore::scan`].
#[derive(Debug)]
pub(crate) struct GiveExec {
    giving: Arc<Giving>,
    properties: Arc<PlanProperties>,
}

impl GiveExec {
    pub(crate) fn new(giving: Giving) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(handover_schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        GiveExec { giving: Arc::new(giving), properties: Arc::new(properties) }
    }
}

impl DisplayAs for GiveExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "GiveRowGroups: files={}", self.giving.entries.len())
    }
}

impl ExecutionPlan for GiveExec {
    fn name(&self) -> &'static str {
        "GiveRowGroups"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.len() {
            0 => Ok(self),
            count => internal_err!("row groups have no children, not {count}"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("{} has one partition, not {}", self.name(), partition + 1);
        }
        let reservation = MemoryConsumer::new("GiveRowGroups").register(context.memory_pool());
        if !self.giving.in_place {
            reservation.try_grow((HANDOVER_READS_AHEAD + 2) * HANDOVER_READ_BYTES as usize)?;
        }
        let mut stream = RecordBatchReceiverStream::builder(handover_schema(), HANDOVER_READS_AHEAD);
        let giver = Giver { giving: Arc::clone(&self.giving), context, output: stream.tx() };
        stream.spawn(async move {
            let _held = reservation;
            match giver.run().await {
                // Nobody wants the rest.
                Ok(()) | Err(Stopped::Dropped) => Ok(()),
                Err(Stopped::Failed(error)) => Err(error),
            }
        });
        Ok(stream.build())
    }
}

/// Why sending ends early.
pub(super) enum Stopped {
    Dropped,
    Failed(DataFusionError),
}

impl From<StorageError> for Stopped {
    fn from(error: StorageError) -> Self {
        Stopped::Failed(error.into())
    }
}

impl From<DataFusionError> for Stopped {
    fn from(error: DataFusionError) -> Self {
        Stopped::Failed(error)
    }
}

pub(super) struct Giver {
    pub giving: Arc<Giving>,
    context: Arc<TaskContext>,
    output: Sender<Result<RecordBatch>>,
}

/// One of the segment's files.
struct Source<'a> {
    /// Position among the segment's.
    number: usize,
    entry: &'a FileEntry,
    identity: FileIdentity,
    footer: Arc<Footer>,
    /// By row group.
    rows: Vec<Range<u32>>,
    /// Rows that nobody gets: those that are deleted, and those of the row groups that go which do not go along.
    without: RoaringBitmap,
}

impl Giver {
    async fn run(&self) -> Result<(), Stopped> {
        let Giving { files, entries, in_place, .. } = &*self.giving;
        // A bucket answers after tens of milliseconds.
        let ahead = if files.place.is_remote() { HANDOVER_FOOTERS_AHEAD } else { 1 };
        let looked_at = (0..entries.len()).map(|number| self.look_at(number).boxed());
        let mut looked_at = stream::iter(looked_at).buffered(ahead);
        while let Some(found) = looked_at.next().await {
            let (number, footer, deleted) = found?;
            match in_place {
                true => self.share(number, &entries[number], &footer, deleted).await?,
                false => self.give(number, &entries[number], footer, deleted).await?,
            }
        }
        Ok(())
    }

    /// Of a file by its number: its footer, and the rows that are deleted.
    async fn look_at(&self, number: usize) -> Result<(usize, Arc<Footer>, RoaringBitmap), StorageError> {
        let entry = &self.giving.entries[number];
        let footer = self.giving.files.footers.get(&FileIdentity::from(entry)).await?;
        Ok((number, footer, self.deleted(entry).await?))
    }

    async fn give(
        &self,
        number: usize,
        entry: &FileEntry,
        footer: Arc<Footer>,
        deleted: RoaringBitmap,
    ) -> Result<(), Stopped> {
        let Giving { key, departures, .. } = &*self.giving;
        let identity = FileIdentity::from(entry);
        let shares = Shares::of(&footer, entry, key, departures, &deleted);
        let rows = row_ranges(&footer);
        let without = match shares.divided.is_empty() {
            true => deleted.clone(),
            false => &deleted | self.staying(entry, &rows, &shares).await?,
        };
        let source = Source { number, entry, identity, footer, rows, without };
        let mut gone = RoaringBitmap::new();
        for (taker, row_groups) in &shares.takers {
            self.send_file(&source, *taker, row_groups).await?;
            for &index in row_groups {
                gone.insert_range(source.rows[index].clone());
            }
        }
        gone -= &source.without;
        if gone.is_empty() {
            return Ok(());
        }
        let left = deleted | gone;
        let vector = if left.len() == entry.rows { Bytes::new() } else { encode(&left) };
        self.send(self.giving.content, number, HandoverPart::Left, 0, vector).await
    }

    async fn deleted(&self, entry: &FileEntry) -> Result<RoaringBitmap, StorageError> {
        Ok(match &entry.deletes {
            Some(vector) => RoaringBitmap::clone(&*self.giving.files.deletes.get(entry.table, vector).await?),
            None => RoaringBitmap::new(),
        })
    }

    /// Of the row groups that are divided, the rows that do not go along with the others.
    async fn staying(&self, entry: &FileEntry, rows: &[Range<u32>], shares: &Shares) -> Result<RoaringBitmap, Stopped> {
        let mut staying = RoaringBitmap::new();
        let stay = |row: u32, taker: Option<ContentId>| {
            let row_group = rows.partition_point(|rows| rows.end <= row);
            if taker != shares.divided.get(&row_group).copied() {
                staying.insert(row);
            }
        };
        self.each_row(entry, shares.divided.keys().copied().collect(), stay).await?;
        Ok(staying)
    }

    /// The rows of some row groups that are not deleted, in their order, each with the segment that it leaves for. The key's columns are read.
    pub(super) async fn each_row(
        &self,
        entry: &FileEntry,
        row_groups: BTreeSet<usize>,
        mut take: impl FnMut(u32, Option<ContentId>),
    ) -> Result<(), Stopped> {
        let Giving { files, schema, key, departures, .. } = &*self.giving;
        let choice = RowGroupChoice(Arc::new(move |_: &Footer, index: usize| row_groups.contains(&index)));
        let entries = std::slice::from_ref(entry);
        let scan = scan_chosen(Arc::clone(files), schema, key, entries, true, 1, Some(choice))?;
        let mut batches = scan.execute(0, Arc::clone(&self.context))?;
        let mut hashes = vec![];
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            placement::hash_rows(&batch.columns()[..key.len()], &mut hashes)
                .map_err(|error| StorageError::WrongRows { table: entry.table, detail: error.to_string() })?;
            let numbers = batch.column(key.len() + 1).as_primitive::<Int64Type>();
            for (&hash, &number) in hashes.iter().zip(numbers.values()) {
                take(number as u32, departures.taker(placement::bucket_of(hash)));
            }
        }
        Ok(())
    }

    /// Row groups of a file, as a file of their own.
    async fn send_file(&self, source: &Source<'_>, taker: ContentId, row_groups: &[usize]) -> Result<(), Stopped> {
        let Source { entry, identity, footer, .. } = source;
        let vector = source.renumbered(row_groups);
        let rows: u64 = row_groups.iter().map(|&index| source.rows[index].len() as u64).sum();
        if vector.len() == rows {
            return Ok(());
        }
        let is_whole = row_groups.len() == source.rows.len();
        let assembly = match is_whole {
            true => Assembly::whole(entry.bytes),
            false => {
                Assembly::part(footer, row_groups).map_err(|error| identity.parquet_error("its footer: ", error))?
            }
        };
        let mut sent = Sent { to: taker, number: source.number, offset: 0, hasher: Xxh3::new() };
        self.send_bytes(&mut sent, Bytes::from_static(assembly.head)).await?;
        for range in assembly.ranges {
            for start in range.clone().step_by(HANDOVER_READ_BYTES as usize) {
                let range = start..range.end.min(start + HANDOVER_READ_BYTES);
                let bytes = self.giving.files.place.read_range(&footer.location, entry.bytes, range).await;
                self.send_bytes(&mut sent, bytes.map_err(|error| identity.store_error(error))?).await?;
            }
        }
        self.send_bytes(&mut sent, assembly.tail.into()).await?;
        let checksum = sent.hasher.digest();
        if is_whole && checksum != entry.checksum {
            let detail = format!("its checksum is {checksum:016x}, not {:016x}", entry.checksum);
            return Err(identity.corrupt(detail).into());
        }
        let mut deletes = None;
        if !vector.is_empty() {
            let bytes = encode(&vector);
            let checksum = xxhash_rust::xxh3::xxh3_64(&bytes);
            let (rows, length) = (vector.len(), bytes.len() as u64);
            deletes = Some(DeleteVector { path: String::new(), rows, bytes: length, checksum, created: SnapshotId(0) });
            self.send(taker, source.number, HandoverPart::Vector, 0, bytes).await?;
        }
        let new = FileEntry {
            table: entry.table,
            content: taker,
            path: String::new(),
            rows,
            bytes: sent.offset,
            checksum,
            buckets: source.buckets(row_groups),
            columns: source.nulls(row_groups)?,
            deletes,
            created: SnapshotId(0),
        };
        let taken = TakenFile { from: self.giving.content, path: entry.path.clone(), entry: new };
        let end = serde_json::to_vec(&taken).map_err(|error| DataFusionError::External(Box::new(error)))?;
        self.send(taker, source.number, HandoverPart::End, 0, end.into()).await
    }

    async fn send_bytes(&self, sent: &mut Sent, bytes: Bytes) -> Result<(), Stopped> {
        sent.hasher.update(&bytes);
        let offset = sent.offset;
        sent.offset += bytes.len() as u64;
        self.send(sent.to, sent.number, HandoverPart::Bytes, offset, bytes).await
    }

    /// One batch: bytes of a file in several rows, anything else in one.
    pub(super) async fn send(
        &self,
        to: ContentId,
        number: usize,
        part: HandoverPart,
        offset: u64,
        bytes: Bytes,
    ) -> Result<(), Stopped> {
        if part == HandoverPart::Bytes && bytes.is_empty() {
            return Ok(());
        }
        let piece = if part == HandoverPart::Bytes { HANDOVER_PIECE_BYTES } else { bytes.len().max(1) };
        let rows = bytes.len().div_ceil(piece).max(1);
        let lengths = (0..rows).map(|row| piece.min(bytes.len() - row * piece));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![to.0; rows])),
            Arc::new(Int32Array::from(vec![self.giving.content.0; rows])),
            Arc::new(Int32Array::from(vec![number as i32; rows])),
            Arc::new(UInt8Array::from(vec![part as u8; rows])),
            Arc::new(Int64Array::from_iter_values((0..rows).map(|row| (offset + (row * piece) as u64) as i64))),
            Arc::new(BinaryArray::new(offsets, Buffer::from(bytes), None)),
        ];
        let batch = RecordBatch::try_new(handover_schema(), columns).map_err(DataFusionError::from)?;
        self.output.send(Ok(batch)).await.map_err(|_| Stopped::Dropped)
    }
}

/// A file on its way.
struct Sent {
    to: ContentId,
    number: usize,
    offset: u64,
    hasher: Xxh3,
}

impl Source<'_> {
    /// The rows of some row groups that nobody gets, by their numbers in a file of these alone.
    fn renumbered(&self, row_groups: &[usize]) -> RoaringBitmap {
        let (mut rows, mut first) = (RoaringBitmap::new(), 0);
        for &index in row_groups {
            let old = &self.rows[index];
            let mut of_group = RoaringBitmap::new();
            of_group.insert_range(old.clone());
            of_group &= &self.without;
            rows.extend(of_group.iter().map(|row| row - old.start + first));
            first += old.end - old.start;
        }
        rows
    }

    /// Of the rows in some row groups.
    fn buckets(&self, row_groups: &[usize]) -> Option<(u16, u16)> {
        let Some(ranges) = self.footer.buckets.as_ref().filter(|_| row_groups.len() < self.rows.len()) else {
            return self.entry.buckets;
        };
        let ranges = row_groups.iter().map(|&index| ranges.ranges[index]);
        ranges.reduce(|(low, high), (other_low, other_high)| (low.min(other_low), high.max(other_high)))
    }

    /// Of each column the number of NULLs, and nothing else.
    fn nulls(&self, row_groups: &[usize]) -> Result<Vec<ColumnStats>, StorageError> {
        let metadata = self.footer.metadata.metadata();
        let columns = metadata.file_metadata().schema_descr().num_columns();
        let nulls = |column: usize| {
            let of_chunk = |&index: &usize| metadata.row_group(index).column(column).statistics()?.null_count_opt();
            let sum = row_groups.iter().map(of_chunk).sum::<Option<u64>>();
            let nulls =
                sum.ok_or_else(|| self.identity.corrupt("a column chunk does not tell how many NULLs it has"))?;
            Ok(ColumnStats { nulls, ..ColumnStats::UNKNOWN })
        };
        (0..columns).map(nulls).collect()
    }
}
