//! The files of one table as of one snapshot.

use damson_cluster::{ContentId, DeleteVector, FileEntry, SnapshotId, is_shared, stored_at};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
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

/// A table's files by segment. Immutable; the next snapshot's shares the lists of the segments that did not change.
#[derive(Clone, Debug, Default)]
pub struct TableFiles {
    by_content: BTreeMap<ContentId, Arc<Vec<Arc<FileEntry>>>>,
}

impl TableFiles {
    /// The files on one segment, in the order in which they were committed.
    pub fn of(&self, content: ContentId) -> &[Arc<FileEntry>] {
        self.by_content.get(&content).map_or(&[], |files| files.as_slice())
    }

    pub fn contents(&self) -> impl Iterator<Item = (ContentId, &[Arc<FileEntry>])> {
        self.by_content.iter().map(|(content, files)| (*content, files.as_slice()))
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
        self.by_content.iter().all(|(content, files)| match known.by_content.get(content) {
            Some(others) if Arc::ptr_eq(files, others) => true,
            others => {
                let others: HashSet<&str> =
                    others.iter().flat_map(|files| files.iter()).map(|f| f.path.as_str()).collect();
                files.iter().all(|file| others.contains(file.path.as_str()))
            }
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
        Arc::make_mut(self.by_content.entry(file.content).or_default()).push(file);
    }

    /// Gives files of one segment their new delete vectors, by path.
    pub(super) fn put_deletes(&mut self, content: ContentId, mut vectors: HashMap<&str, &DeleteVector>) {
        let Some(files) = self.by_content.get_mut(&content) else { return };
        for file in Arc::make_mut(files) {
            if let Some(vector) = vectors.remove(file.path.as_str()) {
                let deletes = Some(vector.clone());
                *file = Arc::new(FileEntry { deletes, ..FileEntry::clone(file) });
            }
        }
    }

    /// Removes the files that `dropped` holds.
    pub(super) fn remove(&mut self, dropped: &HashSet<FileKey>) {
        for content in dropped.iter().map(|key| key.content).collect::<BTreeSet<_>>() {
            if let Some(files) = self.by_content.get_mut(&content) {
                Arc::make_mut(files).retain(|file| !dropped.contains(&FileKey::of(file)));
                if files.is_empty() {
                    self.by_content.remove(&content);
                }
            }
        }
    }
}
