//! Row groups that are open at once, one for each range of the segment's buckets: so rows that leave the segment together, when there are more
//! of them, lie together, and go as bytes.

use super::encoder::FileForm;
use crate::bucket_ranges::BucketRanges;
use crate::limits::{
    BLOOM_FILTER_BYTES, CHUNK_ROWS, DELTA_BUFFER_BYTES, OPEN_BUFFERS_BYTES_MAX, OPEN_CHUNKS_MAX, ROW_GROUP_BYTES_MAX,
    ROW_GROUP_ROWS_MAX,
};
use damson_cluster::BUCKETS;
use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take_arrays;
use datafusion::arrow::datatypes::SchemaRef;
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
/// The row groups together what one of another file takes, and one that is written; they end together.
pub(super) struct BucketGroups {
    writer: SerializedFileWriter<Vec<u8>>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    division: Division,
    open: Vec<Option<OpenGroup>>,
    /// Of the row groups that have ended.
    ended: BucketRanges,
}

struct OpenGroup {
    columns: Vec<ArrowColumnWriter>,
    rows: usize,
    buckets: (u16, u16),
}

impl BucketGroups {
    /// `writer` has written nothing.
    pub(super) fn begin(writer: ArrowWriter<Vec<u8>>, form: &FileForm, cuts: &[usize]) -> Result<Self> {
        let (writer, factory) = writer.into_serialized_writer()?;
        let division = Division::of(&form.owned, cuts);
        let ended = BucketRanges { key: form.key.clone(), ranges: vec![] };
        let open = (0..division.count).map(|_| None).collect();
        Ok(BucketGroups { writer, factory, schema: SchemaRef::clone(&form.schema), division, open, ended })
    }

    /// Rows as the file has them, and their buckets.
    pub(super) fn write(&mut self, rows: &RecordBatch, buckets: &[u16]) -> Result<()> {
        assert_eq!(rows.num_rows(), buckets.len(), "every row has a bucket");
        for first in (0..rows.num_rows()).step_by(CHUNK_ROWS) {
            let count = CHUNK_ROWS.min(rows.num_rows() - first);
            self.write_chunk(&rows.slice(first, count), &buckets[first..first + count])?;
            let longest = self.open.iter().flatten().map(|group| group.rows).max().unwrap_or(0);
            if longest + CHUNK_ROWS > ROW_GROUP_ROWS_MAX || self.in_progress_bytes() >= ROW_GROUP_BYTES_MAX {
                self.end_groups()?;
            }
        }
        Ok(())
    }

    fn write_chunk(&mut self, rows: &RecordBatch, buckets: &[u16]) -> Result<()> {
        let mut of_group = vec![vec![]; self.division.count];
        for (row, &bucket) in buckets.iter().enumerate() {
            of_group[usize::from(self.division.groups[usize::from(bucket)])].push(row as u32);
        }
        // One pass over each column, whatever the number of groups.
        let order = UInt32Array::from(of_group.concat());
        let columns =
            if self.division.count == 1 { rows.columns().to_vec() } else { take_arrays(rows.columns(), &order, None)? };
        let mut first = 0;
        for (group, members) in of_group.iter().enumerate().filter(|(_, members)| !members.is_empty()) {
            let columns: Vec<ArrayRef> = columns.iter().map(|column| column.slice(first, members.len())).collect();
            first += members.len();
            self.append(group, &columns, members.iter().map(|&row| buckets[row as usize]))?;
        }
        Ok(())
    }

    /// Rows of one group; there are some.
    fn append(&mut self, group: usize, columns: &[ArrayRef], buckets: impl Iterator<Item = u16>) -> Result<()> {
        let group = match &mut self.open[group] {
            Some(group) => group,
            slot => {
                // Only encryption asks for the row group's number.
                let columns = self.factory.create_column_writers(0)?;
                slot.insert(OpenGroup { columns, rows: 0, buckets: (u16::MAX, 0) })
            }
        };
        let mut writers = group.columns.iter_mut();
        for (field, column) in self.schema.fields().iter().zip(columns) {
            for leaf in compute_leaves(field, column)? {
                writers.next().expect("a writer for each leaf of a column").write(&leaf)?;
            }
        }
        group.rows += columns.first().map_or(0, |column| column.len());
        let (low, high) = group.buckets;
        group.buckets = buckets.fold((low, high), |(low, high), bucket| (low.min(bucket), high.max(bucket)));
        Ok(())
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
        self.end_groups()?;
        self.division = Division::one();
        self.open = vec![None];
        Ok(())
    }

    /// Whether row groups have ended, and none is open.
    pub(super) fn is_between_groups(&self) -> bool {
        !self.ended.ranges.is_empty() && self.open.iter().all(Option::is_none)
    }

    pub(super) fn take_block(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.inner_mut())
    }

    /// The rest of the file.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>> {
        self.end_groups()?;
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
        self.columns().map(ArrowColumnWriter::memory_size).sum()
    }

    fn columns(&self) -> impl Iterator<Item = &ArrowColumnWriter> {
        self.open.iter().flatten().flat_map(|group| &group.columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::{BucketMap, ContentId, MapVersion};

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
    fn there_are_as_many_as_there_is_room_for() {
        assert_eq!(cuts(16, 4, 0), Some(CUTS[0]));
        assert_eq!(cuts(16, 9, 0), Some(CUTS[1]));
        assert_eq!(cuts(16, 0, 8), Some(CUTS[1]));
        assert_eq!(cuts(16, 32, 0), Some(CUTS[2]));
        assert_eq!(cuts(16, 32, 1), None);
        assert_eq!((cuts(129, 0, 0), cuts(600, 0, 0)), (Some(CUTS[1]), None));
    }
}
