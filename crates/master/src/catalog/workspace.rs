//! A transaction's changes of the catalog, before they are committed.

use super::durable::Catalog;
use super::error::CatalogError;
use super::files::FileKey;
use super::state::CatalogState;
use super::step::{Step, check, make, replay};
use super::store::{Change, Durability};
use damson_cluster::{ContentId, SnapshotId, TableId};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// What a transaction reads, and has changed: a snapshot, and its own changes on it, which nobody else sees. Dropping it gives the
/// changes up; the files that were written for them are nobody's then.
pub struct Workspace {
    catalog: Arc<Catalog>,
    /// The snapshot below.
    base: Arc<CatalogState>,
    /// `base` after `steps`.
    state: Arc<CatalogState>,
    steps: Vec<Step>,
    /// As many steps stay as they are: a savepoint is after them.
    kept: usize,
    ids: VecDeque<TableId>,
}

/// A place in a transaction to go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(usize);

impl Workspace {
    /// On the newest snapshot.
    pub fn new(catalog: &Arc<Catalog>) -> Self {
        Self::on(catalog, catalog.current())
    }

    /// On a snapshot.
    pub fn on(catalog: &Arc<Catalog>, base: Arc<CatalogState>) -> Self {
        let state = Arc::clone(&base);
        Workspace { catalog: Arc::clone(catalog), base, state, steps: vec![], kept: 0, ids: VecDeque::new() }
    }

    /// What the transaction's next statement reads.
    pub fn state(&self) -> Arc<CatalogState> {
        Arc::clone(&self.state)
    }

    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Whether there is nothing to commit.
    pub fn is_unchanged(&self) -> bool {
        self.steps.is_empty()
    }

    /// Takes the newest snapshot for the one below.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`], [`CatalogError::TableGone`] and those of names if the transaction's changes cannot be made of it.
    pub fn refresh(&mut self) -> Result<(), CatalogError> {
        let newest = self.catalog.current();
        if Arc::ptr_eq(&newest, &self.base) {
            return Ok(());
        }
        self.state = self.after(&newest, self.steps.len())?;
        self.base = newest;
        Ok(())
    }

    /// The transaction can only be committed where there are no relations but its own: RESTORE.
    pub fn rely_on_empty(&mut self) {
        let step = Step::on_empty(&self.base);
        self.steps.push(step);
    }

    /// Whether the changes could be committed now.
    ///
    /// # Errors
    /// As [`Workspace::refresh`].
    pub fn check(&self) -> Result<(), CatalogError> {
        let newest = self.catalog.current();
        if Arc::ptr_eq(&newest, &self.base) { Ok(()) } else { check(&self.steps, &newest) }
    }

    /// The place after all changes until now.
    pub fn mark(&mut self) -> Mark {
        self.kept = self.steps.len();
        Mark(self.kept)
    }

    /// Gives up the changes since `mark`; gives the files that were written for them.
    ///
    /// # Errors
    /// As [`Workspace::refresh`], and nothing is given up: what was changed since made good what others have done, such as a view of a
    /// table that was dropped before, and made again since.
    ///
    /// # Panics
    /// If the workspace has been taken back behind `mark` already.
    pub fn back_to(&mut self, mark: Mark) -> Result<Vec<FileKey>, CatalogError> {
        assert!(mark.0 <= self.steps.len(), "a mark of changes that were given up");
        if mark.0 < self.steps.len() {
            self.state = self.after(&self.base, mark.0)?;
        }
        self.kept = mark.0;
        Ok(new_files(&self.steps.split_off(mark.0)))
    }

    /// Ids for the next tables and sequences that are made, so that making them need not wait for the store.
    pub fn give_ids(&mut self, ids: Vec<TableId>) {
        self.ids = ids.into();
    }

    /// An id that is never given again.
    ///
    /// # Errors
    /// The store's.
    pub fn next_id(&mut self) -> Result<TableId, CatalogError> {
        match self.ids.pop_front() {
            Some(id) => Ok(id),
            None => self.catalog.reserve_table_id(),
        }
    }

    /// The files that were written for the changes.
    pub fn new_files(&self) -> Vec<FileKey> {
        new_files(&self.steps)
    }

    /// Makes all changes at once, of the newest snapshot. None if there were none.
    ///
    /// # Errors
    /// As [`Workspace::refresh`], and then nothing was changed; and the store's.
    pub fn commit(self, durability: Durability) -> Result<Option<SnapshotId>, CatalogError> {
        if self.steps.is_empty() {
            return Ok(None);
        }
        let Workspace { catalog, base, state, steps, .. } = self;
        // It holds no file that the changes drop.
        drop((base, state));
        catalog.commit(steps, durability).map(Some)
    }

    /// Adds a statement's changes, which are planned on the state that it reads.
    pub(super) fn change<T>(
        &mut self,
        plan: impl FnOnce(&CatalogState) -> Result<(Vec<Change>, T), CatalogError>,
    ) -> Result<T, CatalogError> {
        let (changes, result) = plan(&self.state)?;
        self.push(|base| Step::new(changes, base))?;
        Ok(result)
    }

    #[cfg(test)]
    pub(super) fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// Steps until now: one or more a statement that changes anything.
    pub fn step_count(&self) -> usize {
        self.steps.len()
    }

    pub(super) fn base(&self) -> Arc<CatalogState> {
        Arc::clone(&self.base)
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(super) fn push(&mut self, step: impl FnOnce(&CatalogState) -> Step) -> Result<(), CatalogError> {
        let step = step(&self.base);
        if step.changes.is_empty() {
            return Ok(());
        }
        let (parts, _) = make(&self.state, std::slice::from_ref(&step), self.base.snapshot)?;
        self.state = parts.into_state(self.base.snapshot, self.catalog.pins());
        match self.steps[self.kept..].last_mut() {
            // A thousand INSERTs are one step to be made again.
            Some(last) if last.only_adds() && step.only_adds() => last.append(step),
            _ => self.steps.push(step),
        }
        Ok(())
    }

    /// Whether the files that a statement read are those of the state that it read, and all of them where a table is replaced. Those that it
    /// adds with a delete vector it has not read.
    pub(super) fn check_files(&self, changes: &[Change], replaced: &[TableId]) -> Result<(), CatalogError> {
        let mut read: HashMap<TableId, HashSet<&FileKey>> = HashMap::new();
        let mut dropped: HashMap<TableId, usize> = HashMap::new();
        let mut added: HashSet<(TableId, ContentId, &str)> = HashSet::new();
        for change in changes {
            match change {
                Change::AddFile(file) => _ = added.insert((file.table, file.content, file.path.as_str())),
                Change::PutDeletes { table, file, .. }
                    if added.contains(&(*table, file.content, file.path.as_str())) => {}
                Change::DropFile { table, key } => {
                    read.entry(*table).or_default().insert(key);
                    *dropped.entry(*table).or_default() += 1;
                }
                Change::PutDeletes { table, file, .. } => _ = read.entry(*table).or_default().insert(file),
                _ => {}
            }
        }
        let entry = |id: TableId| self.state.table_by_id(id).ok_or(CatalogError::TableGone(id));
        let conflict = |id: TableId, reason| {
            let table = entry(id).map_or_else(|_| id.to_string(), |entry| entry.def.qualified_name());
            Err(CatalogError::Conflict { table, reason })
        };
        for (id, files) in read {
            if entry(id)?.files.iter().filter(|file| files.contains(&FileKey::of(file))).count() != files.len() {
                return conflict(id, "its rows were changed");
            }
        }
        for id in replaced {
            if entry(*id)?.files.len() != dropped.get(id).copied().unwrap_or(0) {
                return conflict(*id, "rows were added to it");
            }
        }
        Ok(())
    }

    /// `base` after the first `count` steps.
    fn after(&self, base: &Arc<CatalogState>, count: usize) -> Result<Arc<CatalogState>, CatalogError> {
        if count == 0 {
            return Ok(Arc::clone(base));
        }
        let (parts, _) = replay(base, &self.steps[..count], base.snapshot)?;
        Ok(parts.into_state(base.snapshot, self.catalog.pins()))
    }
}

/// Without those that were there before, see [`Commit::new_files`](super::Commit::new_files).
fn new_files(steps: &[Step]) -> Vec<FileKey> {
    let file = |change: &Change| match change {
        Change::AddFile(file) => Some(FileKey::of(file)),
        Change::PutDeletes { file, vector, .. } => Some(FileKey { content: file.content, path: vector.path.clone() }),
        _ => None,
    };
    let all = steps.iter().flat_map(|step| &step.changes).filter_map(file);
    all.filter(|file| !file.is_shared()).collect()
}
