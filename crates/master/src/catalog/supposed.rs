//! States that no commit has made.

use super::durable::Catalog;
use super::error::CatalogError;
use super::files::TableFiles;
use super::state::{CatalogState, TableEntry};
use damson_cluster::{FileEntry, TableId};
use std::sync::Arc;

impl Catalog {
    /// `state`, if the table had these files and no others: what a plan reads that prepares entries which are not committed yet. It keeps what
    /// `state` keeps.
    ///
    /// # Errors
    /// [`CatalogError::TableGone`].
    pub fn suppose(
        &self,
        state: &CatalogState,
        table: TableId,
        files: impl IntoIterator<Item = Arc<FileEntry>>,
    ) -> Result<Arc<CatalogState>, CatalogError> {
        let entry = state.table_by_id(table).ok_or(CatalogError::TableGone(table))?;
        let mut supposed = TableFiles::default();
        files.into_iter().for_each(|file| supposed.add(file));
        let mut parts = state.parts();
        parts.put_table(TableEntry::new(Arc::clone(&entry.def), supposed, entry.defined));
        Ok(parts.into_state(state.snapshot, self.pins()))
    }
}
