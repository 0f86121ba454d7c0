//! What RESTORE puts in the catalog.

use super::commit::Commit;
use super::error::CatalogError;
use super::files::FileKey;
use super::store::Change;
use super::workspace::Workspace;
use damson_cluster::{FileEntry, TableDef};

impl Workspace {
    /// Makes tables as their definitions say, each with the files that its rows are in, and their delete vectors. Ids were reserved.
    ///
    /// # Errors
    /// [`CatalogError::RelationExists`], [`CatalogError::NoSchema`].
    ///
    /// # Panics
    /// If a file is another table's.
    pub fn restore_tables(&mut self, tables: Vec<(TableDef, Vec<FileEntry>)>) -> Result<(), CatalogError> {
        let (mut changes, mut deletes) = (vec![], vec![]);
        for (def, files) in tables {
            let id = def.id;
            changes.push(Change::PutTable { def, redefined: true });
            for mut file in files {
                assert_eq!(file.table, id, "a new table's files belong to it");
                if let Some(vector) = file.deletes.take() {
                    deletes.push((id, FileKey::of(&file), vector));
                }
                changes.push(Change::AddFile(file));
            }
        }
        self.change(|_| Ok((changes, ())))?;
        // Vectors are of files that are there.
        self.add(Commit { deletes, ..Commit::default() })
    }
}
