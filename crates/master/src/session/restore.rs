//! RESTORE: everything that a backup has, in one transaction of an empty cluster.

use super::backup::{done, until};
use super::write::unchecked;
use super::{Outcome, Session};
use crate::backup::{BackupSequence, Manifest, PlaceCalls, PlacedTable, Transfer, place_table, shown_url};
use crate::catalog::{CatalogState, FileKey, Relation, SequenceDef, SequenceOwner, ViewDef};
use crate::ddl::Rewrite;
use crate::error::{SqlError, SqlResult, SqlState, internal};
use crate::sql::{DEFAULT_SCHEMA, Isolation};
use crate::transaction::Transaction;
use damson_cluster::{ContentId, Copied, Distribution, RestoreFile, SequenceId, TableDef, TableId};
use futures::future::try_join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Session {
    /// Restores a backup, the newest where none is named: all of it, or nothing.
    pub(super) async fn restore(
        self: &Arc<Self>,
        url: &str,
        id: Option<&str>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let mut transaction =
            Transaction::new(&self.master, self.id, Isolation::ReadCommitted, self.default_read_only());
        transaction.begin_change(&self.master, "RESTORE")?;
        refuse_unless_empty(&transaction.state())?;
        transaction.workspace().rely_on_empty();
        let transfer = self.master.transfers.begin(self.id, "RESTORE", url);
        let place = self.place(url);
        let manifest = until(&cancel, place.manifest(id)).await?;
        refuse_tablespaces(&manifest)?;
        let mut restore = Restore { session: self, place, transfer, cancel, copied: Copied::default(), files: vec![] };
        let restored = restore.run(&manifest, &mut transaction).await;
        let Restore { copied, files, cancel, .. } = restore;
        let restored = restored.and_then(|()| if cancel.is_cancelled() { Err(SqlError::canceled()) } else { Ok(()) });
        if let Err(error) = restored {
            let written = transaction.new_files();
            drop(transaction);
            self.discard(&[files, written].concat()).await;
            return Err(error);
        }
        // If the catalog refuses, what it has not heard of was removed before.
        self.commit(transaction, SqlError::from).await?;
        tracing::info!(
            session_id = self.id.0,
            backup = manifest.id,
            place = shown_url(url),
            files = copied.files,
            "restored"
        );
        done(&manifest, copied)
    }
}

/// A restore in progress.
struct Restore<'a> {
    session: &'a Arc<Session>,
    place: PlaceCalls<'a>,
    transfer: Transfer,
    cancel: CancellationToken,
    copied: Copied,
    /// What may have been copied until now.
    files: Vec<FileKey>,
}

impl Restore<'_> {
    async fn run(&mut self, manifest: &Manifest, transaction: &mut Transaction) -> SqlResult<()> {
        self.transfer.enter("reading the manifest");
        let mut tables = vec![];
        for table in &manifest.tables {
            let files = until(&self.cancel, self.place.files_of(manifest, table)).await?;
            let old = manifest.map(table.def.map_version).ok_or_else(|| internal("a table without its map"))?;
            let id = self.session.reserve_table_id().await?;
            let state = transaction.state();
            tables.push(place_table(table.def.clone(), id, files, old, state.current_map()));
        }
        let copies = || tables.iter().flat_map(|table| &table.copies);
        self.transfer.expect(copies().count() as u64, copies().map(|(_, copy)| copy.bytes).sum());
        let before = transaction.state();
        self.session.give_ids(transaction, manifest.schemas.len()).await?;
        for schema in manifest.schemas.iter().filter(|schema| !before.has_schema(schema)) {
            transaction.workspace().create_schema(schema)?;
        }
        let old_ids = manifest.tables.iter().map(|table| table.def.id);
        let ids: BTreeMap<TableId, TableId> = old_ids.zip(tables.iter().map(|table| table.def.id)).collect();
        self.sequences(&manifest.sequences, &ids, transaction).await?;
        let (strewn, settled): (Vec<_>, Vec<_>) = tables.into_iter().partition(|table| table.is_strewn);
        self.settle(settled, transaction).await?;
        for table in strewn {
            self.redistribute(table, transaction).await?;
        }
        self.transfer.enter("committing");
        self.session.give_ids(transaction, manifest.views.len()).await?;
        for view in in_order(&manifest.views)? {
            transaction.workspace().create_view(view.clone(), false)?;
        }
        Ok(())
    }

    /// Before the tables, whose defaults take from them. `ids` are those of the tables, by those that they had.
    async fn sequences(
        &self,
        sequences: &[BackupSequence],
        ids: &BTreeMap<TableId, TableId>,
        transaction: &mut Transaction,
    ) -> SqlResult<()> {
        for BackupSequence { def, position } in sequences {
            let id = SequenceId(self.session.reserve_table_id().await?.0);
            let owner = def.owner.and_then(|owner| Some(SequenceOwner { table: *ids.get(&owner.table)?, ..owner }));
            transaction.workspace().create_sequence(SequenceDef { id, owner, ..def.clone() })?;
            let position = *position;
            self.session.master.files.in_catalog(move |catalog| catalog.set_position(id, position)).await?;
        }
        Ok(())
    }

    /// Tables whose rows are where they belong once the files are there.
    async fn settle(&mut self, tables: Vec<PlacedTable>, transaction: &mut Transaction) -> SqlResult<()> {
        self.copy(tables.iter().flat_map(|table| table.copies.iter().cloned())).await?;
        let tables = tables.into_iter().map(|table| (table.def, table.files)).collect();
        Ok(transaction.workspace().restore_tables(tables)?)
    }

    /// A table whose rows are read where its files are, and sent to where they belong. The copies have had their use then: nobody but this
    /// transaction has seen them.
    async fn redistribute(&mut self, table: PlacedTable, transaction: &mut Transaction) -> SqlResult<()> {
        let PlacedTable { def, files, copies, .. } = table;
        self.copy(copies.iter().cloned()).await?;
        let as_copied = TableDef { distribution: Distribution::Randomly, keys: vec![], checks: vec![], ..def.clone() };
        transaction.workspace().restore_tables(vec![(as_copied, files)])?;
        let entry = transaction.state().table_by_id(def.id).map(Arc::clone);
        let entry = entry.ok_or_else(|| internal("a table that was made is not there"))?;
        self.transfer.enter("redistributing rows");
        // They were kept by the cluster that was backed up.
        let target = unchecked(&def);
        let rewrite = Rewrite { entry, def };
        self.session.write_anew(rewrite, target, transaction, self.cancel.clone()).await?;
        let copies = copies.into_iter().map(|(content, copy)| FileKey { content, path: copy.target });
        self.session.discard(&copies.collect::<Vec<_>>()).await;
        Ok(())
    }

    /// Copies files to their segments, each its own.
    async fn copy(&mut self, copies: impl Iterator<Item = (ContentId, RestoreFile)>) -> SqlResult<()> {
        self.transfer.enter("copying files");
        let mut by_content: BTreeMap<ContentId, Vec<RestoreFile>> = BTreeMap::new();
        for (content, copy) in copies {
            self.files.push(FileKey { content, path: copy.target.clone() });
            by_content.entry(content).or_default().push(copy);
        }
        let copies = by_content.into_iter().map(|(content, files)| self.place.restore(content, files, &self.transfer));
        let copied = until(&self.cancel, try_join_all(copies)).await?;
        copied.into_iter().for_each(|of_content| self.copied += of_content);
        Ok(())
    }
}

/// A backup has no tablespaces: one of a newer build may.
///
/// # Errors
/// 0A000.
fn refuse_tablespaces(manifest: &Manifest) -> SqlResult<()> {
    match manifest.tables.iter().find(|table| table.def.tablespace.is_some()) {
        None => Ok(()),
        Some(table) => {
            let message = format!("cannot restore table {}: it is in a tablespace", table.def.qualified_name());
            Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message))
        }
    }
}

/// # Errors
/// 55000 naming what is there.
fn refuse_unless_empty(state: &CatalogState) -> SqlResult<()> {
    let relation = state.relations().next().map(|relation| match relation {
        Relation::Table(entry) => format!("table {}", entry.def.qualified_name()),
        Relation::View(view) => format!("view {}", view.qualified_name()),
        Relation::Sequence(def) => format!("sequence {}", def.qualified_name()),
    });
    let schema = || state.schemas().find(|schema| *schema != DEFAULT_SCHEMA).map(|schema| format!("schema {schema}"));
    match relation.or_else(schema) {
        None => Ok(()),
        Some(there) => {
            let message = format!("cannot restore into a cluster that is not empty: it has {there}");
            Err(SqlError::new(SqlState::OBJECT_NOT_IN_STATE, message)
                .with_hint("Restore into a new cluster, or drop what is there."))
        }
    }
}

/// Views, each after those that it uses.
fn in_order(views: &[ViewDef]) -> SqlResult<Vec<&ViewDef>> {
    let mut left: BTreeMap<(String, String), &ViewDef> =
        views.iter().map(|view| ((view.schema.clone(), view.name.clone()), view)).collect();
    let mut ordered = vec![];
    while !left.is_empty() {
        let is_ready = |view: &ViewDef| !view.references.iter().any(|used| left.contains_key(used));
        let ready: BTreeSet<(String, String)> =
            left.iter().filter(|(_, view)| is_ready(view)).map(|(name, _)| name.clone()).collect();
        if ready.is_empty() {
            let message = "the backup is damaged: its views use each other in a circle";
            return Err(SqlError::new(SqlState::DATA_CORRUPTED, message));
        }
        ordered.extend(ready.into_iter().filter_map(|name| left.remove(&name)));
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str, uses: &[&str]) -> ViewDef {
        ViewDef {
            external: None,
            schema: "public".into(),
            name: name.into(),
            columns: vec![],
            query: String::new(),
            references: uses.iter().map(|used| ("public".to_owned(), (*used).to_owned())).collect(),
            search_schema: "public".into(),
        }
    }

    #[test]
    fn views_come_after_what_they_use() {
        let views = [view("a", &["c", "t"]), view("b", &[]), view("c", &["b"])];
        let names: Vec<&str> = in_order(&views).unwrap().iter().map(|view| view.name.as_str()).collect();
        assert_eq!(names, ["b", "c", "a"]);
        let circle = [view("a", &["b"]), view("b", &["a"])];
        assert_eq!(in_order(&circle).unwrap_err().state, SqlState::DATA_CORRUPTED);
    }
}
