//! What DDL changes.

use super::error::CatalogError;
use super::files::FileKey;
use super::object_ids::ObjectName;
use super::sequences::{defaults_from, owned_by};
use super::state::{CatalogState, Relation, TableEntry, ViewDef};
use super::step::{Step, uses};
use super::store::Change;
use super::workspace::Workspace;
use damson_cluster::{
    CheckDef, ColumnDef, Compression, Distribution, FileEntry, KeyDef, MapVersion, TableDef, TableId, TableLayout,
    TablespaceId,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A table to be made. The catalog gives it its id, unless one was reserved, and the current bucket map.
#[derive(Clone, Debug)]
pub struct NewTable {
    /// From [`Catalog::reserve_table_id`](super::Catalog::reserve_table_id), where files are written before the table is there (CREATE TABLE AS).
    pub id: Option<TableId>,
    pub schema: String,
    pub name: String,
    pub columns: Vec<ColumnDef>,
    pub distribution: Distribution,
    /// None is the current one; name it where files were written by it.
    pub map_version: Option<MapVersion>,
    pub keys: Vec<KeyDef>,
    pub checks: Vec<CheckDef>,
    pub compression: Compression,
    pub layout: TableLayout,
    /// None: on the segments' own disks.
    pub tablespace: Option<TablespaceId>,
}

/// What [`Workspace::create_table`] found.
#[derive(Clone, Debug)]
pub enum CreateTableOutcome {
    Created(Arc<TableDef>),
    /// There is a relation of that name, and `if_not_exists` was given.
    Exists,
}

impl Workspace {
    /// # Errors
    /// [`CatalogError::SchemaExists`].
    pub fn create_schema(&mut self, name: &str) -> Result<(), CatalogError> {
        if self.state().has_schema(name) {
            return Err(CatalogError::SchemaExists(name.to_owned()));
        }
        let id = self.next_id()?.0;
        let object = ObjectName::Schema(name.to_owned());
        let changes = vec![Change::CreateSchema(name.to_owned()), Change::PutObjectId { object, id }];
        self.change(|_| Ok((changes, ())))
    }

    /// Drops a schema; with `cascade` what is in it, and views and defaults elsewhere that use it. Gives what those are called.
    ///
    /// # Errors
    /// [`CatalogError::NoSchema`]; [`CatalogError::SchemaNotEmpty`] without `cascade`.
    pub fn drop_schema(&mut self, name: &str, cascade: bool) -> Result<Vec<String>, CatalogError> {
        self.change(|state| {
            if !state.has_schema(name) {
                return Err(CatalogError::NoSchema(name.to_owned()));
            }
            let inside: BTreeSet<(String, String)> =
                state.relations.keys().filter(|(schema, _)| schema == name).cloned().collect();
            if !inside.is_empty() && !cascade {
                return Err(CatalogError::SchemaNotEmpty(name.to_owned()));
            }
            let Dropped { mut changes, relations, defaults } = drop_relations(state, inside);
            changes.push(Change::DropSchema(name.to_owned()));
            // A table's own sequences are no news.
            let owned = owned_by(state, &relations);
            let relations = relations.into_iter().filter(|name| !owned.contains(name));
            let relations = relations.map(|(schema, name)| format!("{schema}.{name}"));
            Ok((changes, relations.chain(defaults).collect()))
        })
    }

    /// Makes a table, with the files that its rows are already in (CREATE TABLE AS), as one snapshot.
    ///
    /// # Errors
    /// [`CatalogError::RelationExists`] unless `if_not_exists`, [`CatalogError::NoSchema`].
    pub fn create_table(
        &mut self,
        new: NewTable,
        files: Vec<FileEntry>,
        if_not_exists: bool,
    ) -> Result<CreateTableOutcome, CatalogError> {
        let state = self.state();
        if !state.has_schema(&new.schema) {
            return Err(CatalogError::NoSchema(new.schema));
        }
        if state.relation(&new.schema, &new.name).is_some() {
            return if if_not_exists {
                Ok(CreateTableOutcome::Exists)
            } else {
                Err(CatalogError::RelationExists(new.name))
            };
        }
        let id = match new.id {
            Some(id) => id,
            None => self.next_id()?,
        };
        self.change(|state| {
            let mut changes = Vec::with_capacity(files.len() + 2);
            let def = TableDef {
                id,
                schema: new.schema,
                name: new.name,
                columns: new.columns,
                distribution: new.distribution,
                map_version: new.map_version.unwrap_or_else(|| state.current_map().version),
                keys: new.keys,
                checks: new.checks,
                compression: new.compression,
                layout: new.layout,
                tablespace: new.tablespace,
            };
            changes.push(Change::PutTable { def: def.clone(), redefined: true });
            changes.extend(files.into_iter().map(|file| {
                assert_eq!(file.table, id, "a new table's files belong to it");
                Change::AddFile(file)
            }));
            Ok((changes, CreateTableOutcome::Created(Arc::new(def))))
        })
    }

    /// Drops relations with the sequences that they own, and with `cascade` the views, and the defaults, that use them; gives what
    /// those are called. Names of relations that are gone are left out.
    ///
    /// # Errors
    /// [`CatalogError::Needed`] without `cascade` if a view or a table that is not among `names` uses one of them.
    pub fn drop_relations(&mut self, names: &[(String, String)], cascade: bool) -> Result<Vec<String>, CatalogError> {
        self.change(|state| {
            let asked: BTreeSet<(String, String)> = names.iter().cloned().collect();
            if !cascade {
                for (schema, name) in &asked {
                    let needing = state.dependent_views(schema, name);
                    let needing = needing.filter(|view| !asked.contains(&(view.schema.clone(), view.name.clone())));
                    let mut dependents: Vec<String> =
                        needing.map(|view| format!("view {}", view.qualified_name())).collect();
                    let mut names = BTreeSet::from([(schema.clone(), name.clone())]);
                    names.extend(owned_by(state, &names));
                    dependents.extend(defaults_from(state, &names, &asked).1);
                    if !dependents.is_empty() {
                        return Err(CatalogError::Needed { relation: format!("{schema}.{name}"), dependents });
                    }
                }
            }
            let Dropped { changes, relations, defaults } = drop_relations(state, asked.clone());
            let views = relations.into_iter().filter(|name| !asked.contains(name));
            let views = views.filter(|(schema, name)| state.view(schema, name).is_some());
            let views = views.map(|(schema, name)| format!("view {schema}.{name}"));
            Ok((changes, views.chain(defaults).collect()))
        })
    }

    /// Drops all files of the tables, as one snapshot, and forgets which were loaded into them: they can be loaded again.
    ///
    /// # Errors
    /// [`CatalogError::TableGone`].
    pub fn truncate(&mut self, ids: &[TableId]) -> Result<(), CatalogError> {
        let state = self.state();
        let mut changes = Vec::new();
        for id in ids.iter().collect::<BTreeSet<_>>() {
            let entry = state.table_by_id(*id).ok_or(CatalogError::TableGone(*id))?;
            changes.extend(drop_files(entry));
            // Also of a table without rows: they may have been deleted.
            changes.push(Change::ForgetCopied(*id));
        }
        self.push(|base| Step::of_all_files(changes, base, ids))
    }

    /// # Errors
    /// [`CatalogError::RelationExists`] if the name is a table's, or a view's and not `or_replace`;
    /// [`CatalogError::NoSchema`]; [`CatalogError::RecursiveView`] if its query uses the view itself, through other
    /// views or not.
    pub fn create_view(&mut self, view: ViewDef, or_replace: bool) -> Result<(), CatalogError> {
        let state = self.state();
        if !state.has_schema(&view.schema) {
            return Err(CatalogError::NoSchema(view.schema));
        }
        match state.relation(&view.schema, &view.name) {
            Some(Relation::View(_)) if or_replace => {}
            Some(_) => return Err(CatalogError::RelationExists(view.name)),
            None => {}
        }
        let name = (view.schema.clone(), view.name.clone());
        if uses(|schema, name| state.view(schema, name), &view.references, &name) {
            return Err(CatalogError::RecursiveView(view.name));
        }
        let object = ObjectName::View(name.0, name.1);
        // A view that is replaced keeps its id.
        let id = match state.object_ids.get(&object) {
            Some(id) => *id,
            None => self.next_id()?.0,
        };
        // The id follows: one that replaces a view which another transaction has dropped since needs it too.
        let changes = vec![Change::PutView(view), Change::PutObjectId { object, id }];
        self.change(|_| Ok((changes, ())))
    }

    /// # Errors
    /// [`CatalogError::RelationExists`], [`CatalogError::TableGone`].
    pub fn rename_table(&mut self, id: TableId, name: &str) -> Result<(), CatalogError> {
        self.change(|state| {
            let entry = state.table_by_id(id).ok_or(CatalogError::TableGone(id))?;
            if state.relation(&entry.def.schema, name).is_some() {
                return Err(CatalogError::RelationExists(name.to_owned()));
            }
            let def = TableDef { name: name.to_owned(), ..(*entry.def).clone() };
            Ok((vec![Change::PutTable { def, redefined: false }], ()))
        })
    }

    /// Gives a view another name; it keeps its id.
    ///
    /// # Errors
    /// [`CatalogError::RelationExists`]; [`CatalogError::Conflict`] if the view was dropped.
    pub fn rename_view(&mut self, schema: &str, name: &str, to: &str) -> Result<(), CatalogError> {
        self.change(|state| {
            let view = state.view(schema, name).ok_or_else(|| CatalogError::Conflict {
                table: format!("{schema}.{name}"),
                reason: "the view was dropped",
            })?;
            if state.relation(schema, to).is_some() {
                return Err(CatalogError::RelationExists(to.to_owned()));
            }
            let renamed = ViewDef { name: to.to_owned(), ..ViewDef::clone(view) };
            let id = state.view_id(schema, name);
            let object = ObjectName::View(schema.to_owned(), to.to_owned());
            let dropped = Change::DropView { schema: schema.to_owned(), name: name.to_owned() };
            let changes = [dropped, Change::PutView(renamed)];
            let with_id = id.map(|id| Change::PutObjectId { object, id });
            Ok((changes.into_iter().chain(with_id).collect(), ()))
        })
    }

    /// `checks` are the table's, with the new name.
    ///
    /// # Errors
    /// [`CatalogError::TableGone`]; [`CatalogError::Conflict`] if there is a column called `name`.
    ///
    /// # Panics
    /// If `column` is not one of the table's positions: the caller looked it up.
    pub fn rename_column(
        &mut self,
        id: TableId,
        column: usize,
        name: &str,
        checks: Vec<CheckDef>,
    ) -> Result<(), CatalogError> {
        self.change(|state| {
            let entry = state.table_by_id(id).ok_or(CatalogError::TableGone(id))?;
            let mut def = (*entry.def).clone();
            if def.columns.iter().any(|column| column.name == name) {
                let table = def.qualified_name();
                return Err(CatalogError::Conflict { table, reason: "it got a column of that name" });
            }
            def.columns[column].name = name.to_owned();
            def.checks = checks;
            Ok((vec![Change::PutTable { def, redefined: false }], ()))
        })
    }

    /// Gives a table another definition of the same rows. With `all_rows`, what it says was found to hold of the rows that the
    /// transaction reads: others may not have added any.
    ///
    /// # Errors
    /// [`CatalogError::TableGone`].
    pub fn redefine(&mut self, def: TableDef, all_rows: bool) -> Result<(), CatalogError> {
        let id = def.id;
        self.state().table_by_id(id).ok_or(CatalogError::TableGone(id))?;
        let changes = vec![Change::PutTable { def, redefined: true }];
        self.push(|base| Step::of_all_files(changes, base, if all_rows { std::slice::from_ref(&id) } else { &[] }))
    }

    /// Adds a column at the end; rows of existing files read NULL in it.
    ///
    /// # Errors
    /// [`CatalogError::TableGone`]; [`CatalogError::Conflict`] if the column may not be NULL, or has a default or checks, and there are
    /// rows.
    pub fn add_column(&mut self, id: TableId, column: ColumnDef, checks: Vec<CheckDef>) -> Result<(), CatalogError> {
        let state = self.state();
        let entry = state.table_by_id(id).ok_or(CatalogError::TableGone(id))?;
        let needs_no_rows = !column.nullable || column.default.is_some() || !checks.is_empty();
        if needs_no_rows && !entry.files.is_empty() {
            return Err(CatalogError::Conflict { table: entry.def.qualified_name(), reason: "rows were added to it" });
        }
        let mut def = (*entry.def).clone();
        def.columns.push(column);
        def.checks.extend(checks);
        let changes = vec![Change::PutTable { def, redefined: true }];
        let empty = [id];
        self.push(|base| Step::of_all_files(changes, base, if needs_no_rows { &empty } else { &[] }))
    }
}

/// What DROP of some relations comes to.
struct Dropped {
    changes: Vec<Change>,
    /// By schema and name.
    relations: BTreeSet<(String, String)>,
    /// What the defaults are called that go with it.
    defaults: Vec<String>,
}

/// DROP of `names`, of the sequences that they own, of every view that uses one of them, directly or through views, and of the defaults
/// of tables that stay.
fn drop_relations(state: &CatalogState, names: BTreeSet<(String, String)>) -> Dropped {
    let mut all = names;
    all.extend(owned_by(state, &all));
    loop {
        let using = state.views().filter(|view| view.references.iter().any(|reference| all.contains(reference)));
        let using: Vec<_> = using.map(|view| (view.schema.clone(), view.name.clone())).collect();
        let before = all.len();
        all.extend(using);
        if all.len() == before {
            break;
        }
    }
    let (mut changes, defaults) = defaults_from(state, &all, &all);
    for (schema, name) in &all {
        match state.relation(schema, name) {
            Some(Relation::Table(entry)) => changes.extend(drop_table_changes(entry)),
            Some(Relation::View(_)) => changes.push(Change::DropView { schema: schema.clone(), name: name.clone() }),
            Some(Relation::Sequence(_)) => {
                changes.push(Change::DropSequence { schema: schema.clone(), name: name.clone() });
            }
            // Dropped by another statement since the caller looked: what was asked for is so.
            None => {}
        }
    }
    Dropped { changes, relations: all, defaults }
}

fn drop_table_changes(entry: &TableEntry) -> Vec<Change> {
    let id = entry.def.id;
    drop_files(entry).chain([Change::ForgetCopied(id), Change::DropTable(id)]).collect()
}

fn drop_files(entry: &TableEntry) -> impl Iterator<Item = Change> {
    entry.files.iter().map(|file| Change::DropFile { table: file.table, key: FileKey::of(file) })
}
