//! The files of one table as of one snapshot.

use damson_cluster::{ContentId, DeleteVector, FileEntry, SnapshotId, is_shared, stored_at};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What names a file in the cluster: its path is relative to its content's data directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileKey {
    pub content: ContentId,
    pub path: String,
}

impl FileKey {
    pub fn of(file: &FileEntry) -> Self {
        FileKey { content: file.content, path: file.path.clone() }
    }

    /// Whether it names what another segment has written: the file may have other names, and is not the statement's that made this one.
    pub fn is_shared(&self) -> bool {
        is_shared(&self.path)
    }

    /// The file that it names, whoever reads it: content and path of who has written it.
    pub(super) fn stored(&self) -> (ContentId, &str) {
        stored_at(self.content, &self.path)
    }
}

/// All that an entry names: its file, and its delete vector.
pub(super) fn stored_of(file: &FileEntry) -> impl Iterator<Item = (ContentId, &str)> {
    let paths = [Some(&file.path), file.deletes.as_ref().map(|vector| &vector.path)];
    paths.into_iter().flatten().map(|path| stored_at(file.content, path))
}

/// Which snapshot made a file, and the delete vector that it has.
pub(super) struct Origin {
    pub created: SnapshotId,
    pub vector: Option<(FileKey, SnapshotId)>,
}

/// Files that a list's chunk is made of. A commit copies the chunks that it changes: of an INSERT, one for each segment.
const CHUNK_FILES: usize = 256;

static NO_FILES: FileList = FileList { chunks: vec![] };

/// A table's files on one segment, in the order in which they were committed. The next snapshot's list shares the chunks that did not change.
#[derive(Clone, Debug, Default)]
pub struct FileList {
    /// Of 1 to [`CHUNK_FILES`] files.
    chunks: Vec<Arc<Vec<Arc<FileEntry>>>>,
}

impl FileList {
    pub fn iter(&self) -> impl Iterator<Item = &Arc<FileEntry>> + Clone {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    fn add(&mut self, file: Arc<FileEntry>) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK_FILES => Arc::make_mut(last).push(file),
            _ => self.chunks.push(Arc::new(vec![file])),
        }
    }

    fn remove(&mut self, paths: &HashSet<&str>) {
        let is_dropped = |file: &Arc<FileEntry>| paths.contains(file.path.as_str());
        for chunk in &mut self.chunks {
            if chunk.iter().any(is_dropped) {
                Arc::make_mut(chunk).retain(|file| !is_dropped(file));
            }
        }
        self.chunks.retain(|chunk| !chunk.is_empty());
        // Chunks that have lost most of their files are put together.
        if self.chunks.len() > 2 * self.len().div_ceil(CHUNK_FILES) {
            let files: Vec<Arc<FileEntry>> = self.iter().map(Arc::clone).collect();
            self.chunks = files.chunks(CHUNK_FILES).map(|chunk| Arc::new(chunk.to_vec())).collect();
        }
    }

    fn put_deletes(&mut self, mut vectors: HashMap<&str, &DeleteVector>) {
        for chunk in &mut self.chunks {
            if !chunk.iter().any(|file| vectors.contains_key(file.path.as_str())) {
                continue;
            }
            for file in Arc::make_mut(chunk) {
                if let Some(vector) = vectors.remove(file.path.as_str()) {
                    let deletes = Some(vector.clone());
                    *file = Arc::new(FileEntry { deletes, ..FileEntry::clone(file) });
                }
            }
        }
    }

    /// The files that are in chunks which `other` does not share.
    fn not_shared_with<'a>(&'a self, other: &FileList) -> impl Iterator<Item = &'a Arc<FileEntry>> {
        let shared: HashSet<*const Vec<Arc<FileEntry>>> = other.chunks.iter().map(Arc::as_ptr).collect();
        self.chunks.iter().filter(move |chunk| !shared.contains(&Arc::as_ptr(chunk))).flat_map(|chunk| chunk.iter())
    }
}

/// A table's files by segment. Immutable; the next snapshot's shares what did not change.
#[derive(Clone, Debug, Default)]
pub struct TableFiles {
    by_content: BTreeMap<ContentId, Arc<FileList>>,
}

impl TableFiles {
    /// The files on one segment.
    pub fn of(&self, content: ContentId) -> &FileList {
        self.by_content.get(&content).map_or(&NO_FILES, |files| files)
    }

    pub fn contents(&self) -> impl Iterator<Item = (ContentId, &FileList)> {
        self.by_content.iter().map(|(content, files)| (*content, files.as_ref()))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<FileEntry>> {
        self.by_content.values().flat_map(|files| files.iter())
    }

    pub fn len(&self) -> usize {
        self.by_content.values().map(|files| files.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.by_content.is_empty()
    }

    /// Rows on one segment that are not deleted.
    pub fn rows_of(&self, content: ContentId) -> u64 {
        self.of(content).iter().map(|file| file.live_rows()).sum()
    }

    /// Whether every file is one of `known`, whatever was deleted of it.
    pub(super) fn adds_nothing_to(&self, known: &TableFiles) -> bool {
        self.by_content.iter().all(|(content, files)| {
            let others = known.of(*content);
            let mut new = files.not_shared_with(others).peekable();
            if new.peek().is_none() {
                return true;
            }
            let others: HashSet<&str> = others.not_shared_with(files).map(|file| file.path.as_str()).collect();
            new.all(|file| others.contains(file.path.as_str()))
        })
    }

    /// Where each file comes from.
    pub(super) fn origins(&self) -> HashMap<FileKey, Origin> {
        let origin = |file: &Arc<FileEntry>| {
            let vector = file.deletes.as_ref().map(|vector| {
                let path = vector.path.clone();
                (FileKey { content: file.content, path }, vector.created)
            });
            (FileKey::of(file), Origin { created: file.created, vector })
        };
        self.iter().map(origin).collect()
    }

    pub(super) fn add(&mut self, file: Arc<FileEntry>) {
        Arc::make_mut(self.by_content.entry(file.content).or_default()).add(file);
    }

    /// Gives files of one segment their new delete vectors, by path.
    pub(super) fn put_deletes(&mut self, content: ContentId, vectors: HashMap<&str, &DeleteVector>) {
        if let Some(files) = self.by_content.get_mut(&content) {
            Arc::make_mut(files).put_deletes(vectors);
        }
    }

    /// Removes the files that `dropped` holds.
    pub(super) fn remove(&mut self, dropped: &HashSet<FileKey>) {
        let mut paths: BTreeMap<ContentId, HashSet<&str>> = BTreeMap::new();
        for key in dropped {
            paths.entry(key.content).or_default().insert(&key.path);
        }
        for (content, paths) in paths {
            if let Some(files) = self.by_content.get_mut(&content) {
                Arc::make_mut(files).remove(&paths);
                if files.is_empty() {
                    self.by_content.remove(&content);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::TableId;
    use std::collections::BTreeSet;
    use std::iter;

    fn file(number: u64) -> Arc<FileEntry> {
        Arc::new(FileEntry {
            table: TableId(1),
            content: ContentId(0),
            path: number.to_string(),
            rows: 10,
            bytes: 1,
            checksum: 0,
            buckets: None,
            columns: vec![],
            deletes: None,
            created: SnapshotId(1),
        })
    }

    fn key(path: &str) -> FileKey {
        FileKey { content: ContentId(0), path: path.into() }
    }

    /// Paths, and those of vectors.
    fn told(files: &FileList) -> Vec<(String, Option<String>)> {
        files.iter().map(|file| (file.path.clone(), file.deletes.as_ref().map(|vector| vector.path.clone()))).collect()
    }

    /// As a plain list has it, whatever is done in whatever order; what was taken before stays as it was.
    #[test]
    fn chunks_are_a_list() {
        let mut seed = 1_u64;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let (mut files, mut model) = (TableFiles::default(), Vec::<(String, Option<String>)>::new());
        let mut next = 0;
        for step in 0..400 {
            let (before, told_before) = (files.clone(), model.clone());
            match random(4) {
                0 | 1 => {
                    for _ in 0..=random(2 * CHUNK_FILES) {
                        files.add(file(next));
                        model.push((next.to_string(), None));
                        next += 1;
                    }
                    assert!(before.adds_nothing_to(&files) && !files.adds_nothing_to(&before));
                }
                2 if !model.is_empty() => {
                    let (from, every) = (random(model.len()), 1 + random(3));
                    let count = 1 + random(4 * CHUNK_FILES);
                    let dropped: HashSet<FileKey> =
                        model.iter().skip(from).step_by(every).take(count).map(|(path, _)| key(path)).collect();
                    files.remove(&dropped);
                    model.retain(|(path, _)| !dropped.contains(&key(path)));
                    assert!(files.adds_nothing_to(&before) && !before.adds_nothing_to(&files));
                }
                _ if !model.is_empty() => {
                    let path = format!("v{step}");

                    let vector =
                        DeleteVector { path: path.clone(), rows: 1, bytes: 1, checksum: 0, created: SnapshotId(1) };
                    let chosen: BTreeSet<usize> = iter::repeat_with(|| random(model.len())).take(3).collect();
                    let named: Vec<String> = chosen.iter().map(|&at| model[at].0.clone()).collect();
                    files.put_deletes(ContentId(0), named.iter().map(|name| (name.as_str(), &vector)).collect());
                    chosen.into_iter().for_each(|at| model[at].1 = Some(path.clone()));
                    assert!(files.adds_nothing_to(&before) && before.adds_nothing_to(&files));
                }
                _ => {}
            }
            let list = files.of(ContentId(0));
            assert_eq!(told(list), model, "step {step}");
            assert_eq!(
                (list.len(), list.is_empty(), files.is_empty()),
                (model.len(), model.is_empty(), model.is_empty())
            );
            assert!(list.chunks.len() <= 2 * model.len().div_ceil(CHUNK_FILES) + 2, "{} chunks", list.chunks.len());
            assert!(list.chunks.iter().all(|chunk| (1..=CHUNK_FILES).contains(&chunk.len())));
            assert_eq!(told(before.of(ContentId(0))), told_before, "step {step}");
        }
        assert!(next > 20_000);
    }

    #[test]
    fn a_commit_copies_one_chunk() {
        let mut files = TableFiles::default();
        (0..10 * CHUNK_FILES as u64 + 5).for_each(|number| files.add(file(number)));
        let before = files.clone();
        files.add(file(u64::MAX));
        let (old, new) = (before.of(ContentId(0)), files.of(ContentId(0)));
        assert_eq!(new.not_shared_with(old).count(), 6);
        assert_eq!(old.not_shared_with(new).count(), 5);
    }
}
