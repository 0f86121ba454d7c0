//! The files of one writer: which is open, which is to end, what they hold together.

use super::CopyWrite;
use super::exports::Export;
use super::part::{Part, PartName};
use super::partition::group;
use super::place::Place;
use crate::StorageError;
use crate::limits::{
    COPY_TO_FINISHING_MAX, COPY_TO_OPEN_BYTES_MAX, COPY_TO_OPEN_MAX, COPY_TO_PART_BYTES, COPY_TO_PARTS_MAX,
    COPY_TO_PIECE_BYTES,
};
use damson_cluster::{CopiedPart, CopyTarget};
use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::{Count, Time};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Rows of a piece at least: arrays that share buffers seem larger than they are.
const PIECE_ROWS_MIN: usize = 64;

/// Writes batches to one file after the other, in each directory.
///
/// # Memory
/// [`COPY_TO_OPEN_BYTES_MAX`], the part that is written to, and those that are being finished; reserved from the query's pool. Where it has no
/// more, other parts are finished earlier.
pub(super) struct Parts<'a> {
    write: &'a CopyWrite,
    place: Place,
    /// Of a single file.
    single: Option<String>,
    export: Arc<Export>,
    /// By directory; at most [`COPY_TO_OPEN_MAX`].
    open: HashMap<String, Open>,
    /// With what each holds in memory, and its bytes that were told of.
    finishing: JoinSet<Result<(usize, u64, CopiedPart), StorageError>>,
    finishing_bytes: usize,
    done: Vec<CopiedPart>,
    /// Of the next part.
    number: usize,
    /// Grows with each use of a part.
    clock: u64,
    reservation: MemoryReservation,
    compute: Time,
    bytes_written: Count,
}

struct Open {
    part: Part,
    used: u64,
}

impl<'a> Parts<'a> {
    pub(super) fn new(
        write: &'a CopyWrite,
        (place, single): (Place, Option<String>),
        export: Arc<Export>,
        reservation: MemoryReservation,
        (compute, bytes_written): (Time, Count),
    ) -> Self {
        Parts {
            write,
            place,
            single,
            export,
            open: HashMap::new(),
            finishing: JoinSet::new(),
            finishing_bytes: 0,
            done: vec![],
            number: 0,
            clock: 0,
            reservation,
            compute,
            bytes_written,
        }
    }

    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = {
            let _timer = self.compute.timer();
            self.write.columns.to_forms(batch.columns())?
        };
        if self.write.columns.partition_by.is_empty() {
            let columns = self.write.columns.of_files(&columns);
            return self.write_to("", &columns, batch.num_rows()).await;
        }
        let groups = {
            let _timer = self.compute.timer();
            group(&self.write.columns, &columns, batch.num_rows())?
        };
        let columns = self.write.columns.of_files(&columns);
        for group in groups {
            let rows = group.rows.len();
            if rows == batch.num_rows() {
                self.write_to(&group.directory, &columns, rows).await?;
                continue;
            }
            let taken = {
                let _timer = self.compute.timer();
                let rows = UInt32Array::from(group.rows);
                columns.iter().map(|column| take(column, &rows, None)).collect::<Result<Vec<_>, _>>()?
            };
            self.write_to(&group.directory, &taken, rows).await?;
        }
        Ok(())
    }

    /// In pieces, between which the part's size is looked at.
    async fn write_to(&mut self, directory: &str, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let bytes: usize = columns.iter().map(|column| column.get_array_memory_size()).sum();
        let piece_rows = (rows / bytes.div_ceil(COPY_TO_PIECE_BYTES).max(1)).max(PIECE_ROWS_MIN);
        for start in (0..rows).step_by(piece_rows) {
            let piece_rows = piece_rows.min(rows - start);
            let piece: Vec<ArrayRef> = columns.iter().map(|column| column.slice(start, piece_rows)).collect();
            self.write_piece(directory, &piece, piece_rows).await?;
        }
        Ok(())
    }

    async fn write_piece(&mut self, directory: &str, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let mut open = match self.open.remove(directory) {
            Some(open) => open,
            None => {
                if self.open.len() >= COPY_TO_OPEN_MAX {
                    self.finish_oldest().await?;
                }
                Open { part: self.begin(directory).await?, used: 0 }
            }
        };
        {
            let _timer = self.compute.timer();
            open.part.encode(columns, rows)?;
        }
        let written = open.part.write_ready().await?;
        self.note_written(written);
        self.clock += 1;
        open.used = self.clock;
        let target = &self.write.spec.target;
        let bytes_max = match target.single {
            true => u64::MAX,
            false => target.max_file_bytes.unwrap_or(COPY_TO_PART_BYTES),
        };
        if open.part.bytes() >= bytes_max {
            self.finish(open.part).await?;
        } else {
            self.make_room(&mut open.part).await?;
            self.open.insert(directory.to_owned(), open);
        }
        Ok(())
    }

    fn note_written(&self, bytes: usize) {
        self.bytes_written.add(bytes);
        self.write.spec.progress.add_bytes(bytes as u64);
    }

    async fn begin(&mut self, directory: &str) -> Result<Part> {
        let CopyTarget { format, .. } = &self.write.spec.target;
        let name = match &self.single {
            Some(name) => PartName { name: name.clone(), replaces: true },
            None => {
                if self.number == COPY_TO_PARTS_MAX {
                    let message = format!("a segment would write more than {COPY_TO_PARTS_MAX} files");
                    let path = self.place.url_of("");
                    return Err(StorageError::File { path, message, sqlstate: "54000" }.into());
                }
                let stem = self.write.spec.target.stem_of(self.write.spec.content);
                let extension = self.write.encoding.extension(format);
                PartName { name: format!("{directory}{stem}_{}.{extension}", self.number), replaces: false }
            }
        };
        self.number += 1;
        self.write.spec.progress.unit_begun();
        let encoder = self.write.encoding.begin(&self.place.url_of(&name.name))?;
        Ok(Part::begin(&self.place, &self.export, name, encoder).await?)
    }

    /// Reserves what all parts hold. Where that is too much, those that were not written to for longest end; the last resort is that
    /// `current`, which is not among the open ones, writes out what it has.
    async fn make_room(&mut self, current: &mut Part) -> Result<()> {
        loop {
            let others: usize = self.open.values().map(|open| open.part.memory_bytes()).sum();
            let wanted = others + self.finishing_bytes + current.memory_bytes();
            let is_bounded = others <= COPY_TO_OPEN_BYTES_MAX;
            let refused = match self.reservation.try_resize(wanted) {
                Ok(()) if is_bounded => return Ok(()),
                Ok(()) => None,
                Err(error) => Some(error),
            };
            if !self.open.is_empty() {
                self.finish_oldest().await?;
            } else if !self.finishing.is_empty() {
                self.finish_one().await?;
            } else if let Some(refused) = refused {
                let before = current.memory_bytes();
                let written = current.flush().await?;
                self.note_written(written);
                if current.memory_bytes() >= before {
                    return Err(refused);
                }
            }
        }
    }

    async fn finish_oldest(&mut self) -> Result<()> {
        let oldest = self.open.iter().min_by_key(|(_, open)| open.used).map(|(directory, _)| directory.clone());
        match oldest.and_then(|directory| self.open.remove(&directory)) {
            Some(open) => self.finish(open.part).await,
            None => Ok(()),
        }
    }

    /// In the background, once there is room.
    async fn finish(&mut self, part: Part) -> Result<()> {
        while self.finishing.len() >= COPY_TO_FINISHING_MAX {
            self.finish_one().await?;
        }
        let (memory, content) = (part.memory_bytes(), self.write.spec.content);
        self.finishing_bytes += memory;
        let told = part.written();
        self.finishing.spawn(async move { Ok((memory, told, part.finish(content).await?)) });
        Ok(())
    }

    /// Waits for a part.
    async fn finish_one(&mut self) -> Result<()> {
        let Some(finished) = self.finishing.join_next().await else { return Ok(()) };
        let finished = finished.map_err(|ended| StorageError::io("write", "a file")(io::Error::other(ended)))?;
        let (memory, told, part) = finished?;
        self.finishing_bytes -= memory;
        self.write.spec.progress.add_bytes(part.bytes.saturating_sub(told));
        self.write.spec.progress.unit_done();
        self.done.push(part);
        Ok(())
    }

    /// Ends all parts; there is one at least where there are no directories and empty ones are not left out. In the order of their URLs.
    pub(super) async fn finish_all(mut self) -> Result<Vec<CopiedPart>> {
        let is_wanted = self.write.columns.partition_by.is_empty() && !self.write.spec.target.leaves_out_empty;
        if self.number == 0 && is_wanted {
            let part = self.begin("").await?;
            self.finish(part).await?;
        }
        while !self.open.is_empty() {
            self.finish_oldest().await?;
        }
        while !self.finishing.is_empty() {
            self.finish_one().await?;
        }
        let written: u64 = self.done.iter().map(|part| part.bytes).sum();
        // Until now only whole blocks were counted.
        self.bytes_written.add((written as usize).saturating_sub(self.bytes_written.value()));
        self.done.sort_by(|a, b| a.url.cmp(&b.url));
        Ok(self.done)
    }
}
