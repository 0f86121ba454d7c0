//! What a statement's role may do: looked at here for every kind of statement but for what queries read, which binding finds.

use super::Session;
use super::setval::Setval;
use super::truncate_error_log::TruncateErrorLog;
use crate::catalog::{CatalogState, Object, Privileges, Relation, RoleId};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::locks::LockMode;
use crate::sql::{ConflictAction, CopySource, IfAbsent, IfExists, Name, RelationName, Statement};

impl Session {
    /// The role that logged in, or that SET SESSION AUTHORIZATION named.
    pub(super) fn session_role(&self, state: &CatalogState) -> RoleId {
        let set = self.settings.lock().role_setting("session_authorization");
        set.map_or(self.login, |name| state.role(&name).map_or(RoleId::NOBODY, |role| role.id))
    }

    /// The role whose rights count: SET ROLE's, or the session's.
    pub(super) fn acting_role(&self, state: &CatalogState) -> RoleId {
        let set = self.settings.lock().role_setting("role");
        match set {
            Some(name) => state.role(&name).map_or(RoleId::NOBODY, |role| role.id),
            None => self.session_role(state),
        }
    }

    /// The session role's name, and whether the acting one is a superuser: what clients show.
    pub(crate) fn roles_shown(&self) -> (String, bool) {
        let state = self.master.catalog.current();
        let name = self.role_name(self.session_role(&state), &state).to_owned();
        (name, state.is_superuser(self.acting_role(&state)))
    }

    /// The name that the client gave, for a role that is gone.
    pub(super) fn role_name<'a>(&'a self, role: RoleId, state: &'a CatalogState) -> &'a str {
        state.role_by_id(role).map_or(self.user.as_str(), |role| role.name.as_str())
    }

    /// None for a superuser, who may read everything.
    pub(super) fn reader(&self, state: &CatalogState) -> Option<RoleId> {
        Some(self.acting_role(state)).filter(|role| !state.is_superuser(*role))
    }

    /// Whether the session's role may set itself to `name`.
    ///
    /// # Errors
    /// 22023 for a role that is not there; 42501.
    pub(super) fn check_role(&self, setting: &str, name: &str, state: &CatalogState) -> SqlResult<()> {
        let Some(role) = state.role(name) else {
            let message = format!("role \"{name}\" does not exist");
            return Err(SqlError::new(SqlState::INVALID_PARAMETER, message));
        };
        let allowed = match setting {
            "role" => state.can_become(self.session_role(state), role.id),
            _ => role.id == self.login || state.is_superuser(self.login),
        };
        let message = match setting {
            "role" => format!("permission denied to set role \"{name}\""),
            _ => "permission denied to set session authorization".into(),
        };
        if allowed { Ok(()) } else { Err(denied(message)) }
    }

    /// Whether the statement may be run. Names that mean nothing are the statement's to refuse.
    ///
    /// # Errors
    /// 42501.
    pub(super) fn authorize(&self, statement: &Statement, state: &CatalogState) -> SqlResult<()> {
        let Some(role) = self.reader(state) else { return Ok(()) };
        let schema = self.search_schema();
        Rights { state, role, schema: &schema }.of_statement(statement)
    }

    /// Whether rows may be added to the table, of which it is not known yet what they are.
    ///
    /// # Errors
    /// 42501.
    pub(super) fn authorize_insert(&self, table: &RelationName, state: &CatalogState) -> SqlResult<()> {
        let Some(role) = self.reader(state) else { return Ok(()) };
        let schema = self.search_schema();
        Rights { state, role, schema: &schema }.privilege(table, Privileges::INSERT)
    }
}

/// 42501.
pub(super) fn denied(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
}

/// Whether a role may read a relation by a query.
///
/// # Errors
/// 42501.
pub(super) fn check_read(state: &CatalogState, role: RoleId, relation: &Relation) -> SqlResult<()> {
    check_relation(state, role, relation, Privileges::SELECT)
}

/// Whether a role may read files on the nodes, or by their credentials.
///
/// # Errors
/// 42501.
pub(super) fn check_files(reader: Option<RoleId>) -> SqlResult<()> {
    match reader {
        None => Ok(()),
        Some(_) => Err(denied("permission denied to read files").with_hint("Only superusers read files in queries.")),
    }
}

fn check_relation(state: &CatalogState, role: RoleId, relation: &Relation, privileges: Privileges) -> SqlResult<()> {
    let (schema, name) = schema_and_name(relation);
    if !state.may(role, &Object::Schema(schema.to_owned()), Privileges::USAGE) {
        return Err(denied(format!("permission denied for schema {schema}")));
    }
    match state.may(role, &Object::of(relation), privileges) {
        true => Ok(()),
        false => Err(denied(format!("permission denied for {} {name}", kind(relation)))),
    }
}

fn kind(relation: &Relation) -> &'static str {
    match relation {
        Relation::Table(_) => "table",
        Relation::View(view) if view.external.is_some() => "table",
        Relation::View(_) => "view",
        Relation::Sequence(_) => "sequence",
    }
}

fn schema_and_name(relation: &Relation) -> (&str, &str) {
    match relation {
        Relation::Table(entry) => (&entry.def.schema, &entry.def.name),
        Relation::View(view) => (&view.schema, &view.name),
        Relation::Sequence(def) => (&def.schema, &def.name),
    }
}

/// What one role, which is no superuser, may do.
struct Rights<'a> {
    state: &'a CatalogState,
    role: RoleId,
    /// The schema of names that have none.
    schema: &'a str,
}

impl Rights<'_> {
    fn of_statement(&self, statement: &Statement) -> SqlResult<()> {
        match statement {
            Statement::Query(query) => {
                if let Some(setval) = Setval::of(query)? {
                    self.privilege(setval.sequence(), Privileges::UPDATE)?;
                }
                match TruncateErrorLog::of(query)? {
                    Some(truncate) => match truncate.table() {
                        Some(table) => self.owner(table),
                        None => self.superuser("gp_truncate_error_log of all tables"),
                    },
                    None => Ok(()),
                }
            }
            Statement::Explain(explain) => self.of_statement(&explain.statement),
            Statement::Insert(insert) => {
                let updates =
                    insert.on_conflict.as_ref().is_some_and(|on| matches!(on.action, ConflictAction::Update { .. }));
                let reads = insert.returning.is_some() || insert.on_conflict.is_some();
                let mut needed = Privileges::INSERT;
                if updates {
                    needed = needed.and(Privileges::UPDATE);
                }
                self.privilege(&insert.table, if reads { needed.and(Privileges::SELECT) } else { needed })
            }
            Statement::Ingest(ingest) => match (self.relation(&ingest.table), ingest.if_exists, ingest.if_absent) {
                (Some(_), IfExists::Replace, _) => {
                    self.droppable(&ingest.table)?;
                    self.create_in(&ingest.table)
                }
                (Some(_), IfExists::Append | IfExists::Fail, _) => self.privilege(&ingest.table, Privileges::INSERT),
                (None, _, IfAbsent::Create) => self.create_in(&ingest.table),
                (None, _, IfAbsent::Fail) => Ok(()),
            },
            Statement::Modify(modify) => {
                let change = if modify.assignments.is_some() { Privileges::UPDATE } else { Privileges::DELETE };
                // What a statement computes new values of, or chooses rows by, it reads.
                let reads = modify.selection.is_some() || modify.returning.is_some() || modify.assignments.is_some();
                self.privilege(&modify.table, if reads { change.and(Privileges::SELECT) } else { change })
            }
            Statement::Merge(merge) => {
                use crate::sql::MergeAction;
                let of = |action: &MergeAction| match action {
                    MergeAction::Nothing => Privileges::default(),
                    MergeAction::Delete => Privileges::DELETE,
                    MergeAction::Update(_) => Privileges::UPDATE,
                    MergeAction::Insert { .. } => Privileges::INSERT,
                };
                let actions = merge.clauses.iter().map(|clause| of(&clause.action));
                self.privilege(&merge.table, actions.fold(Privileges::SELECT, Privileges::and))
            }
            Statement::CopyFrom(copy) => {
                self.privilege(&copy.table, Privileges::INSERT)?;
                self.superuser("COPY from files")
            }
            Statement::CopyTo(copy) => {
                if let CopySource::Table { table, .. } = &copy.source {
                    self.privilege(table, Privileges::SELECT)?;
                }
                self.superuser("COPY to files")
            }
            Statement::CreateTable(create) => {
                if let Some(like) = &create.like {
                    self.privilege(&like.table, Privileges::SELECT)?;
                }
                self.create_in(&create.table)
            }
            Statement::CreateTableAs(create) => self.create_in(&create.table),
            Statement::CreateView(create) => {
                if create.or_replace && self.relation(&create.view).is_some() {
                    self.owner(&create.view)?;
                }
                self.create_in(&create.view)
            }
            Statement::CreateSequence(create) => self.create_in(&create.sequence),
            Statement::CreateSchema(_) => match self.state.may(self.role, &Object::Database, Privileges::CREATE) {
                true => Ok(()),
                false => Err(denied(format!("permission denied for database {}", crate::sql::DATABASE))),
            },
            Statement::DropTable(drop) | Statement::DropView(drop) | Statement::DropExternal(drop) => {
                drop.names.iter().try_for_each(|name| self.droppable(name))
            }
            Statement::DropSequence(drop) => drop.names.iter().try_for_each(|name| self.droppable(name)),
            Statement::DropSchema(drop) => drop.names.iter().try_for_each(|name| self.owner_of_schema(name)),
            Statement::Truncate(truncate) => {
                truncate.tables.iter().try_for_each(|table| self.privilege(table, Privileges::TRUNCATE))
            }
            Statement::AlterTable(alter) => self.owner(&alter.table),
            Statement::ExpandTable { table, .. } => self.owner(table),
            Statement::AlterSequence(alter) => self.owner(&alter.sequence),
            Statement::Vacuum(Some(table)) | Statement::Analyze(Some(table)) => self.owner(table),
            Statement::Vacuum(None) => self.superuser("VACUUM of all tables"),
            Statement::LockTable(lock) => {
                let writes = [Privileges::UPDATE, Privileges::DELETE, Privileges::TRUNCATE];
                lock.tables.iter().try_for_each(|table| {
                    let reads = lock.mode == LockMode::AccessShare;
                    let may = |privilege: &Privileges| self.privilege(table, *privilege).is_ok();
                    match writes.iter().any(may) {
                        true => Ok(()),
                        false => self.privilege(table, if reads { Privileges::SELECT } else { Privileges::UPDATE }),
                    }
                })
            }
            Statement::CreateExternal(_)
            | Statement::AlterSystem(_)
            | Statement::CreateRestorePoint(_)
            | Statement::DropRestorePoint { .. }
            | Statement::CreateSecret(_)
            | Statement::DropSecret { .. }
            | Statement::CreateTablespace(_)
            | Statement::DropTablespace { .. }
            | Statement::Backup(_)
            | Statement::Restore(_)
            | Statement::ShowBackups(_) => self.superuser(statement.name()),
            // Of the tables that it reads it is asked when they are bound.
            Statement::Retrieve(_) => Ok(()),
            // What changes roles and privileges looks at them itself.
            Statement::CreateRole(_)
            | Statement::AlterRole(_)
            | Statement::RenameRole { .. }
            | Statement::DropRole { .. }
            | Statement::Membership(_)
            | Statement::Privileges(_)
            | Statement::OwnerTo { .. } => Ok(()),
            Statement::Analyze(None)
            | Statement::Show(_)
            | Statement::Set(_)
            | Statement::Reset(_)
            | Statement::Transaction(_) => Ok(()),
        }
    }

    fn relation(&self, name: &RelationName) -> Option<&Relation> {
        self.state.relation(name.schema_or(self.schema), &name.name)
    }

    fn superuser(&self, what: &str) -> SqlResult<()> {
        Err(denied(format!("permission denied: {what} is for superusers only")))
    }

    fn privilege(&self, name: &RelationName, privileges: Privileges) -> SqlResult<()> {
        let Some(relation) = self.relation(name) else { return Ok(()) };
        check_relation(self.state, self.role, relation, privileges)
    }

    fn create_in(&self, name: &RelationName) -> SqlResult<()> {
        let schema = name.schema_or(self.schema);
        let object = Object::Schema(schema.to_owned());
        match !self.state.has_schema(schema) || self.state.may(self.role, &object, Privileges::CREATE) {
            true => Ok(()),
            false => Err(denied(format!("permission denied for schema {schema}")).at(name.position)),
        }
    }

    fn owner(&self, name: &RelationName) -> SqlResult<()> {
        let Some(relation) = self.relation(name) else { return Ok(()) };
        match self.state.owns(self.role, &Object::of(relation)) {
            true => Ok(()),
            false => Err(denied(format!("must be owner of {} {}", kind(relation), name.name))),
        }
    }

    /// The schema's owner may drop what is in it.
    fn droppable(&self, name: &RelationName) -> SqlResult<()> {
        let schema = Object::Schema(name.schema_or(self.schema).to_owned());
        if self.state.owns(self.role, &schema) { Ok(()) } else { self.owner(name) }
    }

    fn owner_of_schema(&self, name: &Name) -> SqlResult<()> {
        let object = Object::Schema(name.text.clone());
        match !self.state.has_schema(&name.text) || self.state.owns(self.role, &object) {
            true => Ok(()),
            false => Err(denied(format!("must be owner of schema {}", name.text))),
        }
    }
}
