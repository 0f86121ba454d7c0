//! What a statement that writes rows changes.

use super::error::CatalogError;
use super::files::FileKey;
use super::step::Step;
use super::store::Change;
use super::workspace::Workspace;
use damson_cluster::{DeleteVector, FileEntry, TableDef, TableId};

/// New and dropped files, all at once.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// One whose delete vector is set is a file that is there already, and that another segment reads from now on, or a copy of one.
    pub adds: Vec<FileEntry>,
    /// Live files to be dropped, by table.
    pub drops: Vec<(TableId, FileKey)>,
    /// New delete vectors of live files, made from those that the files had when the statement read them.
    pub deletes: Vec<(TableId, FileKey, DeleteVector)>,
    /// A table's new definition (SET DISTRIBUTED): `drops` must hold all of its files.
    pub replace_definition: Option<TableDef>,
    /// A table's definition with another bucket map: `adds`, `deletes` and `drops` have moved the rows that leave their segments, and all of
    /// its files are as they were read.
    pub new_layout: Option<TableDef>,
    /// Tables whose keys were found not to be those of any other row: others may not have added rows since.
    pub unique: Vec<TableId>,
}

impl Commit {
    /// New files only: INSERT, COPY.
    #[cfg(test)]
    pub fn of_adds(adds: Vec<FileEntry>) -> Self {
        Commit { adds, ..Commit::default() }
    }

    /// The files that were written for it. Those that were there before, and get another name, are not among them: removing them
    /// would take them from whoever has them.
    pub fn new_files(&self) -> Vec<FileKey> {
        let of_add = |file: &FileEntry| {
            let vector =
                file.deletes.as_ref().map(|vector| FileKey { content: file.content, path: vector.path.clone() });
            std::iter::once(FileKey::of(file)).chain(vector)
        };
        let vector = |(_, file, vector): &(TableId, FileKey, DeleteVector)| FileKey {
            content: file.content,
            path: vector.path.clone(),
        };
        let all = self.adds.iter().flat_map(of_add).chain(self.deletes.iter().map(vector));
        all.filter(|file| !file.is_shared()).collect()
    }
}

impl Workspace {
    /// Adds what a statement wrote, which has read the workspace's state.
    ///
    /// # Errors
    /// [`CatalogError::TableGone`] if a table is not there; [`CatalogError::Conflict`] if a table that is laid out anew has files
    /// that are not among `drops`, or a file is not the table's.
    pub fn add(&mut self, commit: Commit) -> Result<(), CatalogError> {
        let Commit { adds, drops, deletes, replace_definition, new_layout, unique } = commit;
        let replaced: Vec<TableId> = replace_definition.iter().map(|def| def.id).collect();
        let whole: Vec<TableId> = replaced.iter().copied().chain(new_layout.iter().map(|def| def.id)).collect();
        let mut changes = Vec::with_capacity(adds.len() + drops.len() + deletes.len() + 1);
        changes.extend(
            replace_definition.into_iter().chain(new_layout).map(|def| Change::PutTable { def, redefined: true }),
        );
        changes.extend(drops.into_iter().map(|(table, key)| Change::DropFile { table, key }));
        let mut vectors = deletes;
        for mut file in adds {
            // An entry is stored without its vector, which follows it.
            vectors.extend(file.deletes.take().map(|vector| (file.table, FileKey::of(&file), vector)));
            changes.push(Change::AddFile(file));
        }
        let put = |(table, file, vector)| Change::PutDeletes { table, file, vector };
        changes.extend(vectors.into_iter().map(put));
        self.check_files(&changes, &replaced)?;
        self.push(|base| Step::of_all_files(changes, base, &whole).of_all_rows(base, &unique))
    }
}
