//! Hashed tables. On local disks row groups whose buckets all leave for one segment, or nearly all, go there as bytes. Nothing of them is decoded, encoded,
//! hashed or sorted but, where a row group is divided, the key's columns. What leaves otherwise is moved row by row afterwards, from the files as they are then.
//! In a bucket rows stay in their files, and only delete vectors are made ([`shared`](super::shared)).

use super::moves::Moves;
use super::pieces::Piece;
use crate::catalog::{CatalogState, Commit, FileKey};
use crate::engine::DamsonTable;
use crate::error::{SqlResult, internal, of_datafusion};
use crate::planner::{Output, TableTarget, WriteTarget};
use crate::session::Session;
use crate::session::write::{collect, unchecked};
use damson_cluster::{
    ColumnStats, DeleteVector, FileEntry, HandedOver, Relayout, SharedFile, TableId, TakenFile, failpoint,
};
use damson_motion::{Leave, Leaving, ModifyKind, TableScanExec};
use datafusion::catalog::TableProvider;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

impl Session {
    /// Moves the rows of some files of a hashed table that leave, and commits nothing.
    pub(super) async fn hand_over_group(
        self: &Arc<Self>,
        catalog: &Arc<CatalogState>,
        moves: &Moves,
        files: &[Arc<FileEntry>],
        key: &[usize],
        cancel: &CancellationToken,
    ) -> SqlResult<Piece> {
        let mut handed = self.hand_over(catalog, moves, files, leaving(moves, key, Leave::AsRowGroups), cancel).await?;
        failpoint("expand.after_copy");
        let copied = handed.adds.iter().map(|file| file.bytes).sum();
        let rest = rest(files, &handed);
        if !rest.is_empty() {
            let moved = async {
                let supposed = self.master.catalog.suppose(catalog, moves.def().id, rest.iter().cloned())?;
                self.move_rows(&supposed, moves, &rest, Some(leaving(moves, key, Leave::RowByRow)), cancel).await
            };
            match moved.await {
                Ok(moved) => {
                    let outdated = add(&mut handed, moved);
                    self.discard(&outdated).await;
                }
                Err(error) => {
                    self.discard(&handed.new_files()).await;
                    return Err(error);
                }
            }
        }
        Ok(Piece { copied, ..Piece::new(files, handed) })
    }

    /// Gives the rows of some files in a bucket that leave to their new owners, and commits nothing.
    pub(super) async fn share_group(
        self: &Arc<Self>,
        catalog: &Arc<CatalogState>,
        moves: &Moves,
        files: &[Arc<FileEntry>],
        key: &[usize],
        cancel: &CancellationToken,
    ) -> SqlResult<Piece> {
        let shared = self.hand_over(catalog, moves, files, leaving(moves, key, Leave::InPlace), cancel).await?;
        let rows = shared.adds.iter().map(FileEntry::live_rows).sum();
        let of_readers = shared.adds.iter().filter_map(|file| file.deletes.as_ref());
        let written = of_readers.chain(shared.deletes.iter().map(|(_, _, vector)| vector));
        let bytes = written.map(|vector| vector.bytes).sum();
        Ok(Piece { bytes, ..Piece::shared(files, shared, rows) })
    }

    /// What leaves otherwise than row by row.
    async fn hand_over(
        self: &Arc<Self>,
        catalog: &Arc<CatalogState>,
        moves: &Moves,
        files: &[Arc<FileEntry>],
        leaving: Leaving,
        cancel: &CancellationToken,
    ) -> SqlResult<Commit> {
        let def = moves.def();
        let entry = catalog.table_by_id(def.id).ok_or_else(|| internal("a table that was found is not there"))?;
        let bound = self.bind_nothing(Arc::clone(catalog))?;
        let table = DamsonTable::new(Arc::clone(entry), false, catalog.current_map().owning_segments().len());
        let scan = table.scan(&*bound.state, None, &[], None).await.map_err(of_datafusion)?;
        let scan = scan.downcast_ref::<TableScanExec>().ok_or_else(|| internal("a table's scan is something else"))?;
        let given = scan.leaving(leaving).map_err(of_datafusion)?;
        let table = TableTarget { map: moves.map().version, ..unchecked(def) };
        let target = WriteTarget::Modify { table, kind: ModifyKind::RowGroups, once: None };
        let slices = self.slice(&bound, Arc::new(given), Output::Write(target))?;
        let only: HashSet<FileKey> = files.iter().map(|file| FileKey::of(file)).collect();
        let running = self.dispatch_over(&bound, &slices, only, cancel.clone()).await?;
        let (reports, _, outcome) = collect::<HandedOver>(&bound, running).await;
        let reports: Vec<HandedOver> = reports.into_iter().map(|(_, report)| report).collect();
        let written = new_files(&reports);
        match outcome.and_then(|()| committed(def.id, files, reports).map_err(internal)) {
            Ok(commit) => Ok(commit),
            Err(error) => {
                self.discard(&written).await;
                Err(error)
            }
        }
    }
}

fn leaving(moves: &Moves, key: &[usize], how: Leave) -> Leaving {
    let maps = Relayout { from: moves.old().version, to: moves.map().version };
    Leaving { maps, key: key.to_vec(), how }
}

/// All files that segments have made.
fn new_files(reports: &[HandedOver]) -> Vec<FileKey> {
    let of_report = |report: &HandedOver| {
        let content = report.content;
        let vector = |vector: &DeleteVector| vector.path.clone();
        let taken = report.taken.iter().flat_map(move |TakenFile { entry, .. }| {
            std::iter::once(entry.path.clone()).chain(entry.deletes.as_ref().map(vector))
        });
        let shared = report.shared.iter().filter_map(|shared| shared.deletes.as_ref()).map(vector);
        let left = report.left.iter().filter_map(|(_, left)| left.as_ref()).map(vector);
        taken.chain(shared).chain(left).map(|path| FileKey { content, path }).collect::<Vec<_>>()
    };
    reports.iter().flat_map(of_report).collect()
}

/// What the reports change of the files that were read.
///
/// # Errors
/// A report of another file; rows of a file that nobody has afterwards, or several.
fn committed(table: TableId, files: &[Arc<FileEntry>], reports: Vec<HandedOver>) -> Result<Commit, String> {
    let read: HashMap<FileKey, &Arc<FileEntry>> = files.iter().map(|file| (FileKey::of(file), file)).collect();
    // Rows that are not where they were.
    let mut gone: HashMap<FileKey, u64> = HashMap::new();
    let mut commit = Commit::default();
    for HandedOver { content, taken, shared, left } in reports {
        for TakenFile { from, path, entry } in taken {
            let key = FileKey { content: from, path };
            let Some(source) = read.get(&key) else { return Err(format!("{} was not to be moved", key.path)) };
            *gone.entry(key).or_default() += entry.live_rows();
            let columns = columns_of(source, &entry)?;
            commit.adds.push(FileEntry { columns, ..entry });
        }
        for SharedFile { from, path, deletes } in shared {
            let key = FileKey { content: from, path };
            let Some(source) = read.get(&key) else { return Err(format!("{} was not to be shared", key.path)) };
            let entry = FileEntry { deletes, ..source.shared_with(content, &Uuid::now_v7()) };
            *gone.entry(key).or_default() += entry.live_rows();
            commit.adds.push(entry);
        }
        for (path, vector) in left {
            let key = FileKey { content, path };
            match vector {
                Some(vector) => commit.deletes.push((table, key, vector)),
                None => commit.drops.push((table, key)),
            }
        }
    }
    let vectors = commit.deletes.iter().map(|(_, key, vector)| (key, Some(vector)));
    let left: HashMap<&FileKey, Option<&DeleteVector>> =
        vectors.chain(commit.drops.iter().map(|(_, key)| (key, None))).collect();
    for file in files {
        let key = FileKey::of(file);
        let stays = match left.get(&key) {
            None => file.live_rows(),
            Some(None) => 0,
            Some(Some(vector)) => file.rows.saturating_sub(vector.rows),
        };
        let leave = gone.get(&key).copied().unwrap_or(0);
        if stays + leave != file.live_rows() {
            let (path, content, rows) = (&file.path, file.content, file.live_rows());
            return Err(format!("{path} of {content} has {rows} rows, of which {stays} stay and {leave} leave"));
        }
    }
    let other = left.keys().find(|key| !read.contains_key(**key)).map(|key| key.path.clone());
    match other {
        Some(path) => Err(format!("rows of {path} left, which was not asked for")),
        None => Ok(commit),
    }
}

/// The source's bounds bound the rows of each part of it; its sketches are as good as before for the whole table, which has the same rows.
fn columns_of(source: &FileEntry, part: &FileEntry) -> Result<Vec<ColumnStats>, String> {
    if source.columns.len() != part.columns.len() || part.rows > source.rows {
        return Err(format!("a part of {} has other columns, or more rows", source.path));
    }
    let scaled = |bytes: u64| (u128::from(bytes) * u128::from(part.rows) / u128::from(source.rows.max(1))) as u64;
    let column = |(old, part): (&ColumnStats, &ColumnStats)| ColumnStats {
        nulls: part.nulls,
        value_bytes: scaled(old.value_bytes),
        ..old.clone()
    };
    Ok(source.columns.iter().zip(&part.columns).map(column).collect())
}

/// The files as they are afterwards, without those that are gone.
fn rest(files: &[Arc<FileEntry>], commit: &Commit) -> Vec<Arc<FileEntry>> {
    let vectors: HashMap<&FileKey, &DeleteVector> =
        commit.deletes.iter().map(|(_, key, vector)| (key, vector)).collect();
    let gone: HashSet<&FileKey> = commit.drops.iter().map(|(_, key)| key).collect();
    let is_there = |file: &&Arc<FileEntry>| !gone.contains(&FileKey::of(file));
    let with_vector = |file: &Arc<FileEntry>| match vectors.get(&FileKey::of(file)) {
        Some(vector) => Arc::new(FileEntry { deletes: Some((*vector).clone()), ..FileEntry::clone(file) }),
        None => Arc::clone(file),
    };
    files.iter().filter(is_there).map(with_vector).collect()
}

/// Adds what was moved after that. Gives the vectors that others have taken the place of.
fn add(commit: &mut Commit, moved: Commit) -> Vec<FileKey> {
    let again: HashSet<FileKey> = {
        let vectors = moved.deletes.iter().map(|(_, key, _)| key);
        vectors.chain(moved.drops.iter().map(|(_, key)| key)).cloned().collect()
    };
    let deletes = std::mem::take(&mut commit.deletes);
    let (outdated, kept): (Vec<_>, Vec<_>) = deletes.into_iter().partition(|(_, key, _)| again.contains(key));
    commit.adds.extend(moved.adds);
    commit.deletes = kept;
    commit.deletes.extend(moved.deletes);
    commit.drops.extend(moved.drops);
    let vector = |(_, key, vector): (TableId, FileKey, DeleteVector)| FileKey { path: vector.path, ..key };
    outdated.into_iter().map(vector).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::{ContentId, SnapshotId, StatValue, stored_at};

    const TABLE: TableId = TableId(5);

    fn file(content: i32, path: &str, rows: u64) -> FileEntry {
        let column =
            ColumnStats { nulls: 3, min: Some(StatValue::Int(1)), value_bytes: rows * 8, ..ColumnStats::UNKNOWN };
        FileEntry {
            table: TABLE,
            content: ContentId(content),
            path: path.into(),
            rows,
            bytes: rows * 10,
            checksum: 0,
            buckets: Some((0, 9)),
            columns: vec![column],
            deletes: None,
            created: SnapshotId(0),
        }
    }

    fn vector(path: &str, rows: u64) -> DeleteVector {
        DeleteVector { path: path.into(), rows, bytes: 1, checksum: 0, created: SnapshotId(0) }
    }

    fn taken(from: &str, entry: FileEntry) -> TakenFile {
        let columns = vec![ColumnStats { nulls: 1, ..ColumnStats::UNKNOWN }];
        TakenFile { from: ContentId(0), path: from.into(), entry: FileEntry { columns, ..entry } }
    }

    fn given(left: Vec<(&str, Option<DeleteVector>)>) -> HandedOver {
        let left = left.into_iter().map(|(path, vector)| (path.to_owned(), vector)).collect();
        HandedOver { content: ContentId(0), taken: vec![], shared: vec![], left }
    }

    #[test]
    fn every_row_is_somewhere_once() {
        let files = [Arc::new(file(0, "a", 100)), Arc::new(file(0, "b", 50)), Arc::new(file(0, "c", 10))];
        let reports = || {
            vec![
                given(vec![("a", Some(vector("a.deletes", 60))), ("b", None)]),
                HandedOver {
                    content: ContentId(2),
                    taken: vec![taken("a", file(2, "a2", 60)), taken("b", file(2, "b2", 50))],
                    shared: vec![],
                    left: vec![],
                },
            ]
        };
        let commit = committed(TABLE, &files, reports()).unwrap();
        assert_eq!(commit.adds.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["a2", "b2"]);
        let part = &commit.adds[0].columns[0];
        assert_eq!((part.nulls, &part.min, part.value_bytes), (1, &Some(StatValue::Int(1)), 480));
        let left = rest(&files, &commit);
        assert_eq!(
            left.iter().map(|file| (file.path.as_str(), file.live_rows())).collect::<Vec<_>>(),
            [("a", 40), ("c", 10)]
        );

        let mut wrong = reports();
        wrong[1].taken.pop();
        assert!(committed(TABLE, &files, wrong).unwrap_err().contains("of which 0 stay and 0 leave"));
        let mut wrong = reports();
        wrong[0].left[0].1 = Some(vector("a.deletes", 61));
        assert!(committed(TABLE, &files, wrong).unwrap_err().contains("of which 39 stay and 60 leave"));
        let mut wrong = reports();
        wrong[0].left.push(("z".into(), None));
        assert!(committed(TABLE, &files, wrong).unwrap_err().contains("not asked for"));
        let mut wrong = reports();
        wrong[1].taken[0].path = "z".into();
        assert!(committed(TABLE, &files, wrong).unwrap_err().contains("not to be moved"));
        assert_eq!(new_files(&reports()).len(), 3);
    }

    #[test]
    fn files_of_a_bucket_get_entries_for_their_new_readers() {
        let deleted = FileEntry { deletes: Some(vector("base/t5/a.deletes", 10)), ..file(0, "base/t5/a.parquet", 100) };
        let files = [Arc::new(deleted), Arc::new(file(0, "base/t5/b.parquet", 50))];
        let shared = |reader: i32, file: usize, deletes| HandedOver {
            content: ContentId(reader),
            taken: vec![],
            shared: vec![SharedFile { from: ContentId(0), path: files[file].path.clone(), deletes }],
            left: vec![],
        };
        // Of the first file rows stay and go to 2 and 3; all of the second go to 2.
        let reports = || {
            vec![
                given(vec![("base/t5/a.parquet", Some(vector("base/t5/a2.deletes", 60))), ("base/t5/b.parquet", None)]),
                shared(2, 0, Some(vector("base/t5/of2.deletes", 70))),
                shared(3, 0, Some(vector("base/t5/of3.deletes", 80))),
                shared(2, 1, None),
            ]
        };
        let commit = committed(TABLE, &files, reports()).unwrap();
        let added =
            commit.adds.iter().map(|file| (file.content.0, stored_at(file.content, &file.path), file.live_rows()));
        let (a, b) = ((ContentId(0), "base/t5/a.parquet"), (ContentId(0), "base/t5/b.parquet"));
        assert_eq!(added.collect::<Vec<_>>(), [(2, a, 30), (3, a, 20), (2, b, 50)]);
        assert_eq!(commit.adds[0].columns, files[0].columns);
        let key = |path: &str| FileKey { content: ContentId(0), path: path.into() };
        assert_eq!(commit.drops, [(TABLE, key("base/t5/b.parquet"))]);
        assert_eq!(commit.deletes, [(TABLE, key("base/t5/a.parquet"), vector("base/t5/a2.deletes", 60))]);
        // What a failure removes: vectors that were written, and nothing that was there.
        let mut paths: Vec<String> = commit.new_files().into_iter().map(|file| file.path).collect();
        paths.sort();
        assert_eq!(paths, ["base/t5/a2.deletes", "base/t5/of2.deletes", "base/t5/of3.deletes"]);
        assert_eq!(new_files(&reports()).len(), 3);

        let mut wrong = reports();
        wrong[2].shared[0].deletes = Some(vector("base/t5/of3.deletes", 81));
        assert!(committed(TABLE, &files, wrong).unwrap_err().contains("of which 40 stay and 49 leave"));
        let mut wrong = reports();
        wrong[3].shared[0].path = "z".into();
        assert!(committed(TABLE, &files, wrong).unwrap_err().contains("not to be shared"));
    }

    #[test]
    fn the_newest_vector_of_a_file_counts() {
        let key = |path: &str| FileKey { content: ContentId(0), path: path.into() };
        let mut commit = Commit {
            deletes: vec![
                (TABLE, key("a"), vector("a1", 1)),
                (TABLE, key("b"), vector("b1", 1)),
                (TABLE, key("c"), vector("c1", 1)),
            ],
            ..Commit::default()
        };
        let moved = Commit {
            deletes: vec![(TABLE, key("a"), vector("a2", 2))],
            drops: vec![(TABLE, key("b"))],
            ..Commit::default()
        };
        assert_eq!(add(&mut commit, moved), [key("a1"), key("b1")]);
        let vectors: Vec<&str> = commit.deletes.iter().map(|(_, _, vector)| vector.path.as_str()).collect();
        assert_eq!((vectors, commit.drops), (vec!["c1", "a2"], vec![(TABLE, key("b"))]));
    }
}
