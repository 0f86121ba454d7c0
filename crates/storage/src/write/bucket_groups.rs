//! Row groups that are open at once, one for each range of the segment's buckets: so rows that leave the segment together, when there are more
//! of them, lie together, and go as bytes.

use super::encoder::FileForm;
use crate::bucket_ranges::BucketRanges;
use crate::limits::{
    BLOOM_FILTER_BYTES, CHUNK_ROWS, DELTA_BUFFER_BYTES, DIVIDED_AT_ONCE_BYTES, DIVIDED_AT_ONCE_ROWS,
    OPEN_BUFFERS_BYTES_MAX, OPEN_CHUNKS_MAX, ROW_GROUP_BYTES_MAX, ROW_GROUP_ROWS_MAX,
};
use damson_cluster::BUCKETS;
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::compute::interleave;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use datafusion::parquet::errors::Result;
use datafusion::parquet::file::writer::SerializedFileWriter;

/// Where a segment's buckets, in their order, are cut, in twelfths; the more cuts, the better, as far as memory goes. A segment gives its highest
/// buckets to new ones. With two thirds left, two become three segments; with one half, two four, with 3/4 three four, and so on: what stays in
/// most of them is one range, what leaves in most of them are several.
const CUTS: [&[usize]; 3] = [&[3, 4, 6, 8, 9, 10, 11], &[4, 6, 8], &[6]];

/// Which of the row groups a bucket's rows go to.
#[derive(Debug, PartialEq, Eq)]
struct Division {
    /// By bucket.
    groups: Box<[u8]>,
    count: usize,
}

impl Division {
    /// Of the buckets that the segment owns, ascending. Others, whose rows do not come, go with those before them.
    fn of(owned: &[u16], cuts: &[usize]) -> Self {
        // Rounded down, as a segment that gives buckets keeps one more rather than one less: then those that leave lie behind the cut.
        let firsts: Vec<u16> = cuts.iter().filter_map(|cut| owned.get(owned.len() * cut / 12).copied()).collect();
        let group = |bucket: u16| firsts.iter().take_while(|&&first| first <= bucket).count() as u8;
        Division { groups: (0..BUCKETS as u16).map(group).collect(), count: cuts.len() + 1 }
    }

    fn one() -> Self {
        Division { groups: vec![0; BUCKETS].into(), count: 1 }
    }

    fn group(&self, bucket: u16) -> usize {
        usize::from(self.groups[usize::from(bucket)])
    }
}

/// The cuts for a file of so many columns, columns with DELTA_BINARY_PACKED and Bloom filters; None where so much is open with each row group that
/// there is no room for two.
pub(super) fn cuts(columns: usize, deltas: usize, filters: usize) -> Option<&'static [usize]> {
    let buffers = deltas * DELTA_BUFFER_BYTES + filters * BLOOM_FILTER_BYTES;
    let fits = |cuts: &&[usize]| {
        let groups = cuts.len() + 1;
        groups * buffers <= OPEN_BUFFERS_BYTES_MAX && groups * columns <= OPEN_CHUNKS_MAX
    };
    CUTS.into_iter().find(fits)
}

/// A file whose row groups are open at once. Its rows are in the order of their ranges; those of one bucket keep their order.
///
/// # Memory
/// The row groups together what one of another file takes, and one that is written; they end together. Beside them the rows that are divided
/// at once.
pub(super) struct BucketGroups {
    writer: SerializedFileWriter<Vec<u8>>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    division: Division,
    gathered: Gathered,
    open: Vec<Option<OpenGroup>>,
    /// Of the row groups that have ended.
    ended: BucketRanges,
}

struct OpenGroup {
    columns: Vec<ArrowColumnWriter>,
    rows: usize,
    buckets: (u16, u16),
}

/// Rows that are in no row group yet. Batches of a motion are short, and each row group gets a few of their rows: a column's encoder has its
/// costs for each piece, and finds its dictionary in the processor's cache only if that piece is long.
#[derive(Default)]
struct Gathered {
    batches: Vec<RecordBatch>,
    /// Of their rows.
    buckets: Vec<u16>,
    memory: RecordBatchMemoryCounter,
}

impl Gathered {
    fn add(&mut self, rows: RecordBatch, buckets: &[u16]) {
        self.memory.count_batch(&rows);
        self.batches.push(rows);
        self.buckets.extend_from_slice(buckets);
    }

    fn is_enough(&self) -> bool {
        self.buckets.len() >= DIVIDED_AT_ONCE_ROWS || self.memory.memory_usage() >= DIVIDED_AT_ONCE_BYTES
    }

    /// By group, its rows in their order: their batch, and their number in it.
    fn by_group(&self, division: &Division) -> Vec<Vec<(usize, usize)>> {
        let mut of_group = vec![vec![]; division.count];
        let mut buckets = self.buckets.iter();
        for (batch, rows) in self.batches.iter().enumerate() {
            for (row, &bucket) in buckets.by_ref().take(rows.num_rows()).enumerate() {
                of_group[division.group(bucket)].push((batch, row));
            }
        }
        of_group
    }

    /// One column's values at `rows`.
    fn column(&self, position: usize, rows: &[(usize, usize)]) -> std::result::Result<ArrayRef, ArrowError> {
        let columns: Vec<&dyn Array> = self.batches.iter().map(|batch| batch.column(position).as_ref()).collect();
        interleave(&columns, rows)
    }
}

impl BucketGroups {
    /// `writer` has written nothing.
    pub(super) fn begin(writer: ArrowWriter<Vec<u8>>, form: &FileForm, cuts: &[usize]) -> Result<Self> {
        let (writer, factory) = writer.into_serialized_writer()?;
        let division = Division::of(&form.owned, cuts);
        let ended = BucketRanges { key: form.key.clone(), ranges: vec![] };
        let open = (0..division.count).map(|_| None).collect();
        let (schema, gathered) = (SchemaRef::clone(&form.schema), Gathered::default());
        Ok(BucketGroups { writer, factory, schema, division, gathered, open, ended })
    }

    /// Rows as the file has them, and their buckets.
    pub(super) fn write(&mut self, rows: &RecordBatch, buckets: &[u16]) -> Result<()> {
        assert_eq!(rows.num_rows(), buckets.len(), "every row has a bucket");
        for first in (0..rows.num_rows()).step_by(CHUNK_ROWS) {
            let count = CHUNK_ROWS.min(rows.num_rows() - first);
            self.gathered.add(rows.slice(first, count), &buckets[first..first + count]);
            if self.division.count == 1 || self.gathered.is_enough() {
                self.divide()?;
            }
        }
        Ok(())
    }

    /// Writes the rows that were gathered to their row groups.
    fn divide(&mut self) -> Result<()> {
        let gathered = std::mem::take(&mut self.gathered);
        let of_group = gathered.by_group(&self.division);
        self.count_rows(&gathered.buckets)?;
        // One pass over each column, whatever the number of groups: what it gathers is still at hand when it is encoded.
        let order = of_group.concat();
        let mut first_leaf = 0;
        for position in 0..self.schema.fields().len() {
            let column = match &gathered.batches[..] {
                [rows] if self.division.count == 1 => ArrayRef::clone(rows.column(position)),
                _ => gathered.column(position, &order)?,
            };
            first_leaf += self.append(position, first_leaf, &column, of_group.iter().map(Vec::len))?;
        }
        let longest = self.open.iter().flatten().map(|group| group.rows).max().unwrap_or(0);
        // What comes next may be one row less than enough, and a chunk.
        if longest + DIVIDED_AT_ONCE_ROWS + CHUNK_ROWS > ROW_GROUP_ROWS_MAX
            || self.in_progress_bytes() >= ROW_GROUP_BYTES_MAX
        {
            self.end_groups()?;
        }
        Ok(())
    }

    /// Opens the row groups of rows that have these buckets, and counts the rows.
    fn count_rows(&mut self, buckets: &[u16]) -> Result<()> {
        for &bucket in buckets {
            let group = match &mut self.open[self.division.group(bucket)] {
                Some(group) => group,
                slot => {
                    // Only encryption asks for the row group's number.
                    let columns = self.factory.create_column_writers(0)?;
                    slot.insert(OpenGroup { columns, rows: 0, buckets: (u16::MAX, 0) })
                }
            };
            group.rows += 1;
            group.buckets = (group.buckets.0.min(bucket), group.buckets.1.max(bucket));
        }
        Ok(())
    }

    /// Writes a column, whose first leaf is `first_leaf`, and of which the first rows are the first group's, and so on; how many leaves it has.
    fn append(
        &mut self,
        position: usize,
        first_leaf: usize,
        column: &ArrayRef,
        rows: impl Iterator<Item = usize>,
    ) -> Result<usize> {
        let (mut first, mut leaves_found) = (0, 0);
        for (group, rows) in self.open.iter_mut().zip(rows) {
            let Some(group) = group.as_mut().filter(|_| rows > 0) else { continue };
            let leaves = compute_leaves(self.schema.field(position), &column.slice(first, rows))?;
            first += rows;
            leaves_found = leaves.len();
            for (writer, leaf) in group.columns[first_leaf..].iter_mut().zip(&leaves) {
                writer.write(leaf)?;
            }
        }
        Ok(leaves_found)
    }

    /// Ends all row groups.
    fn end_groups(&mut self) -> Result<()> {
        for group in self.open.iter_mut().filter_map(Option::take) {
            let mut row_group = self.writer.next_row_group()?;
            for column in group.columns {
                column.close()?.append_to_row_group(&mut row_group)?;
            }
            row_group.close()?;
            self.ended.ranges.push(group.buckets);
        }
        Ok(())
    }

    /// Ends all row groups, so that no memory is held; the rest of the file has one at a time.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.end_all()?;
        self.division = Division::one();
        self.open = vec![None];
        Ok(())
    }

    /// Ends all row groups, those of the rows that were gathered last as well.
    fn end_all(&mut self) -> Result<()> {
        if !self.gathered.batches.is_empty() {
            self.divide()?;
        }
        self.end_groups()
    }

    /// Whether row groups have ended, and none is open.
    pub(super) fn is_between_groups(&self) -> bool {
        let is_open = !self.gathered.batches.is_empty() || self.open.iter().any(Option::is_some);
        !self.ended.ranges.is_empty() && !is_open
    }

    pub(super) fn take_block(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.inner_mut())
    }

    /// The rest of the file.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>> {
        self.end_all()?;
        self.writer.append_key_value_metadata(self.ended.key_value());
        self.writer.finish()?;
        Ok(self.take_block())
    }

    /// Bytes of the file so far, those inside guessed.
    pub(super) fn file_bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.in_progress_bytes()) as u64
    }

    fn in_progress_bytes(&self) -> usize {
        self.columns().map(ArrowColumnWriter::get_estimated_total_bytes).sum()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.gathered.memory.memory_usage() + self.columns().map(ArrowColumnWriter::memory_size).sum::<usize>()
    }

    fn columns(&self) -> impl Iterator<Item = &ArrowColumnWriter> {
        self.open.iter().flatten().flat_map(|group| &group.columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::{BucketMap, ContentId, MapVersion};
    use datafusion::arrow::array::{AsArray, Int64Array};
    use datafusion::arrow::datatypes::Int64Type;
    use std::sync::Arc;

    #[test]
    fn what_leaves_lies_behind_a_cut() {
        for (segments, twelfths) in [(2, 8), (2, 6), (3, 9), (4, 8), (5, 10)] {
            let map = BucketMap::uniform(MapVersion(1), segments);
            for content in 0..segments as i32 {
                let owned = map.owned_by(ContentId(content));
                let division = Division::of(&owned, CUTS[0]);
                assert_eq!(division.count, 8);
                let groups: Vec<u8> = owned.iter().map(|&bucket| division.groups[usize::from(bucket)]).collect();
                assert!(groups.is_sorted() && groups[0] == 0 && groups[groups.len() - 1] == 7);
                let first = owned.len() * twelfths / 12;
                assert!(groups[first - 1] < groups[first], "{segments} {content}");
            }
        }
    }

    #[test]
    fn few_buckets_make_few_groups() {
        let division = Division::of(&[7, 9], CUTS[0]);
        assert_eq!((division.groups[7], division.groups[9]), (2, 7));
        assert_eq!(Division::of(&[], CUTS[0]).groups, Division::one().groups);
    }

    #[test]
    fn rows_of_several_batches_are_divided_at_once() {
        let rows = |values: &[i64]| {
            let values = Int64Array::from_iter_values(values.iter().copied());
            RecordBatch::try_from_iter([("v", Arc::new(values) as ArrayRef)]).unwrap()
        };
        let division = Division::of(&[7, 9], CUTS[2]);
        let mut gathered = Gathered::default();
        gathered.add(rows(&[1, 2, 3]), &[9, 7, 9]);
        gathered.add(rows(&[]), &[]);
        gathered.add(rows(&[4, 5, 6]), &[7, 7, 9]);
        let of_group = gathered.by_group(&division);
        assert_eq!(of_group, [vec![(0, 1), (2, 0), (2, 1)], vec![(0, 0), (0, 2), (2, 2)]]);
        let column = gathered.column(0, &of_group.concat()).unwrap();
        assert_eq!(column.as_primitive::<Int64Type>().values()[..], [2, 4, 5, 1, 3, 6]);
    }

    #[test]
    fn long_rows_are_enough_before_many_are() {
        let rows = |count: usize| {
            let values = Int64Array::from_iter_values(0..count as i64);
            RecordBatch::try_from_iter([("v", Arc::new(values) as ArrayRef)]).unwrap()
        };
        let mut gathered = Gathered::default();
        gathered.add(rows(DIVIDED_AT_ONCE_ROWS - 1), &[0; DIVIDED_AT_ONCE_ROWS - 1]);
        assert!(!gathered.is_enough());
        gathered.add(rows(1), &[0]);
        assert!(gathered.is_enough());
        // A slice holds all of its batch.
        let mut gathered = Gathered::default();
        gathered.add(rows(DIVIDED_AT_ONCE_BYTES / 8).slice(0, 1), &[0]);
        assert!(gathered.is_enough());
    }

    #[test]
    fn there_are_as_many_as_there_is_room_for() {
        assert_eq!(cuts(16, 4, 0), Some(CUTS[0]));
        assert_eq!(cuts(16, 9, 0), Some(CUTS[1]));
        assert_eq!(cuts(16, 0, 8), Some(CUTS[1]));
        assert_eq!(cuts(16, 32, 0), Some(CUTS[2]));
        assert_eq!(cuts(16, 32, 1), None);
        assert_eq!((cuts(129, 0, 0), cuts(600, 0, 0)), (Some(CUTS[1]), None));
    }
}
