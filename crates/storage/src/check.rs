//! Compares files with what the catalog says of them.

use crate::deletes::DeletedRows;
use crate::footers::FileIdentity;
use crate::{StorageError, TableStore};
use damson_cluster::{BucketMap, DeleteVector, Distribution, FileEntry, TableDef, placement};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::execution::TaskContext;
use futures::StreamExt;
use std::sync::Arc;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblem {
    /// As [`FileEntry::path`]: the file's, or its delete vector's.
    pub path: String,
    pub problem: String,
}

/// What came of reading a file.
enum Wrong {
    /// With the file itself.
    File(String),
    /// The place does not answer, or refuses.
    Away(StorageError),
}

impl TableStore {
    /// Reads every one of `files`, which are the table's on this content, from the disk: whether it is there, its length and checksum, its
    /// rows, its delete vector, and whether every row that is not deleted is where `map` puts it. Gives what is wrong; what comes after a file
    /// that a bucket does not give is not looked at.
    ///
    /// # Memory
    /// One block of a file, then what [`TableStore::scan_with_row_ids`] of its distribution key takes, and its delete vector.
    pub async fn check(&self, table: &TableDef, map: &BucketMap, files: &[FileEntry]) -> Vec<FileProblem> {
        let mut problems = vec![];
        for (index, file) in files.iter().enumerate() {
            let wrong = |problem: String| FileProblem { path: file.path.clone(), problem };
            match self.check_file(file).await {
                // Each of the others would wait as long for a bucket that went away.
                Err(Wrong::Away(error)) => {
                    let others = files.len() - index - 1;
                    problems.push(wrong(format!(
                        "it cannot be read, and neither it nor {others} others were checked: {error}"
                    )));
                    return problems;
                }
                Ok(()) => match self.check_placement(table, map, file).await {
                    Ok(None) => {}
                    Ok(Some(problem)) => problems.push(wrong(problem)),
                    Err(error) => problems.push(wrong(error)),
                },
                Err(Wrong::File(error)) => problems.push(wrong(error)),
            }
            if let Some(vector) = &file.deletes
                && let Err(problem) = self.check_vector(file, vector).await
            {
                problems.push(FileProblem { path: vector.path.clone(), problem });
            }
        }
        problems
    }

    async fn check_file(&self, file: &FileEntry) -> Result<(), Wrong> {
        let is_remote = self.files().place.is_remote();
        let footer = self.files().footers.verify(&FileIdentity::from(file)).await.map_err(|error| match error {
            StorageError::Io { .. } if is_remote => Wrong::Away(error),
            error => Wrong::File(error.to_string()),
        })?;
        let rows = footer.metadata.metadata().file_metadata().num_rows();
        if u64::try_from(rows) != Ok(file.rows) {
            return Err(Wrong::File(format!("it has {rows} rows, not {}", file.rows)));
        }
        Ok(())
    }

    async fn check_vector(&self, file: &FileEntry, vector: &DeleteVector) -> Result<(), String> {
        let rows = self.files().deletes.verify(file.table, vector).await.map_err(|e| e.to_string())?;
        match rows.max() {
            Some(last) if u64::from(last) >= file.rows => {
                Err(format!("it deletes row {last} of a file of {} rows", file.rows))
            }
            _ => Ok(()),
        }
    }

    /// For each row group the number of the row after its last, and its buckets; empty where the file does not say.
    async fn row_group_buckets(&self, key: &[usize], file: &FileEntry) -> Result<Vec<(i64, (u16, u16))>, String> {
        let footer = self.files().footers.get(&FileIdentity::from(file)).await.map_err(|e| e.to_string())?;
        let Some(buckets) = &footer.buckets else { return Ok(vec![]) };
        if buckets.key != key {
            return Err(format!("its row groups are divided by the columns at {:?}, not {key:?}", buckets.key));
        }
        let row_groups = footer.metadata.metadata().row_groups().iter();
        let ends = row_groups.scan(0, |end, row_group| {
            *end += row_group.num_rows();
            Some(*end)
        });
        Ok(ends.zip(buckets.ranges.iter().copied()).collect())
    }

    /// Deleted rows are read, too, but may be another segment's: those that left for it when the table was laid out by another map.
    async fn check_placement(
        &self,
        table: &TableDef,
        map: &BucketMap,
        file: &FileEntry,
    ) -> Result<Option<String>, String> {
        let Distribution::Hashed(key) = &table.distribution else { return Ok(None) };
        let deleted = match &file.deletes {
            None => DeletedRows::default(),
            Some(vector) => match self.files().deletes.verify(file.table, vector).await {
                Ok(deleted) => deleted,
                // What is wrong with it is told of the vector itself.
                Err(_) => return Ok(None),
            },
        };
        let row_groups = self.row_group_buckets(key, file).await?;
        let whole = FileEntry { deletes: None, ..file.clone() };
        let scan = self.scan_with_row_ids(&table.arrow_schema(), key, &[whole]).map_err(|e| e.to_string())?;
        let described = |error| StorageError::find(&error).map_or_else(|| error.to_string(), ToString::to_string);
        let mut batches = scan.execute(0, Arc::new(TaskContext::default())).map_err(described)?;
        let (mut hashes, mut strays, mut outside, mut misplaced, mut rows) = (vec![], 0_u64, 0_u64, 0_u64, 0_u64);
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(described)?;
            // After the key are the file and the number of each row.
            placement::hash_rows(&batch.columns()[..key.len()], &mut hashes).map_err(|e| e.to_string())?;
            let numbers = batch.column(key.len() + 1).as_primitive::<Int64Type>();
            rows += batch.num_rows() as u64;
            for (&hash, &number) in hashes.iter().zip(numbers.values().iter()) {
                let bucket = placement::bucket_of(hash);
                let is_deleted = u32::try_from(number).is_ok_and(|number| deleted.contains(number));
                strays += u64::from(!is_deleted && map.owner(bucket) != self.content());
                outside += u64::from(file.buckets.is_some_and(|(low, high)| !(low..=high).contains(&bucket)));
                let row_group = row_groups.partition_point(|(end, _)| *end <= number);
                let stated = row_groups.get(row_group).map(|(_, buckets)| buckets);
                misplaced += u64::from(stated.is_some_and(|(low, high)| !(low..=high).contains(&&bucket)));
            }
        }
        Ok(if rows != file.rows {
            Some(format!("{rows} rows can be read of it, not {}", file.rows))
        } else if strays > 0 {
            Some(format!("{strays} of its {rows} rows belong to other segments"))
        } else if outside > 0 {
            Some(format!("{outside} of its {rows} rows are in buckets that the catalog does not list"))
        } else if misplaced > 0 {
            Some(format!(
                "{misplaced} of its {rows} rows are in buckets that its footer does not list for their row groups"
            ))
        } else {
            None
        })
    }
}
