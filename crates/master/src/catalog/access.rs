//! Owners of what there is, and who else may use it.

use super::error::CatalogError;
use super::roles::RoleId;
use super::state::{CatalogState, Relation, StateParts};
use super::store::Change;
use super::workspace::Workspace;
use crate::sql::DEFAULT_SCHEMA;
use damson_cluster::TableId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What has an owner. A table keeps what is granted on it when it is renamed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    Database,
    Schema(String),
    Table(TableId),
    View(String, String),
    Sequence(String, String),
}

/// A set of privileges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Privileges(u16);

impl Privileges {
    pub const SELECT: Privileges = Privileges(1);
    pub const INSERT: Privileges = Privileges(1 << 1);
    pub const UPDATE: Privileges = Privileges(1 << 2);
    pub const DELETE: Privileges = Privileges(1 << 3);
    pub const TRUNCATE: Privileges = Privileges(1 << 4);
    pub const REFERENCES: Privileges = Privileges(1 << 5);
    pub const USAGE: Privileges = Privileges(1 << 6);
    pub const CREATE: Privileges = Privileges(1 << 7);
    pub const CONNECT: Privileges = Privileges(1 << 8);
    pub const TEMPORARY: Privileges = Privileges(1 << 9);

    const NAMES: [(&str, Privileges); 10] = [
        ("SELECT", Self::SELECT),
        ("INSERT", Self::INSERT),
        ("UPDATE", Self::UPDATE),
        ("DELETE", Self::DELETE),
        ("TRUNCATE", Self::TRUNCATE),
        ("REFERENCES", Self::REFERENCES),
        ("USAGE", Self::USAGE),
        ("CREATE", Self::CREATE),
        ("CONNECT", Self::CONNECT),
        ("TEMPORARY", Self::TEMPORARY),
    ];

    /// The privilege of that name, in upper case.
    pub fn named(name: &str) -> Option<Privileges> {
        let name = if name == "TEMP" { "TEMPORARY" } else { name };
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, privilege)| *privilege)
    }

    /// Each of them, with its name.
    pub fn each(self) -> impl Iterator<Item = (&'static str, Privileges)> {
        Self::NAMES.iter().filter(move |(_, one)| self.has(*one)).copied()
    }

    /// Whether all of `other` are among them.
    pub fn has(self, other: Privileges) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn and(self, other: Privileges) -> Privileges {
        Privileges(self.0 | other.0)
    }

    pub fn without(self, other: Privileges) -> Privileges {
        Privileges(self.0 & !other.0)
    }

    pub fn common(self, other: Privileges) -> Privileges {
        Privileges(self.0 & other.0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Object {
    /// What can be granted on it.
    pub fn privileges(&self) -> Privileges {
        let list: &[Privileges] = match self {
            Object::Database => &[Privileges::CREATE, Privileges::CONNECT, Privileges::TEMPORARY],
            Object::Schema(_) => &[Privileges::USAGE, Privileges::CREATE],
            Object::Sequence(..) => &[Privileges::USAGE, Privileges::SELECT, Privileges::UPDATE],
            Object::Table(_) | Object::View(..) => &[
                Privileges::SELECT,
                Privileges::INSERT,
                Privileges::UPDATE,
                Privileges::DELETE,
                Privileges::TRUNCATE,
                Privileges::REFERENCES,
            ],
        };
        list.iter().fold(Privileges::default(), |all, one| all.and(*one))
    }

    pub fn of(relation: &Relation) -> Object {
        match relation {
            Relation::Table(entry) => Object::Table(entry.def.id),
            Relation::View(view) => Object::View(view.schema.clone(), view.name.clone()),
            Relation::Sequence(def) => Object::Sequence(def.schema.clone(), def.name.clone()),
        }
    }

    /// `table s.t`.
    pub(super) fn described(&self, parts: &StateParts) -> String {
        match self {
            Object::Database => "the database".into(),
            Object::Schema(name) => format!("schema {name}"),
            Object::Table(id) => match parts.table(*id) {
                Some(entry) => format!("table {}", entry.def.qualified_name()),
                None => format!("table {id}"),
            },
            Object::View(schema, name) => format!("view {schema}.{name}"),
            Object::Sequence(schema, name) => format!("sequence {schema}.{name}"),
        }
    }

    fn is_in(&self, parts: &StateParts) -> bool {
        match self {
            Object::Database => true,
            Object::Schema(name) => parts.schemas.contains(name),
            Object::Table(id) => parts.table(*id).is_some(),
            Object::View(schema, name) => parts.view(schema, name).is_some(),
            Object::Sequence(schema, name) => parts.sequence(schema, name).is_some(),
        }
    }
}

/// Who owns something, and who else may do what with it. What has none is the bootstrap superuser's, and nobody else's but for
/// [`AccessDef::initial`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessDef {
    pub object: Object,
    pub owner: RoleId,
    /// One a grantee.
    pub grants: Vec<Grant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// None: PUBLIC, who is everybody.
    pub grantee: Option<RoleId>,
    pub privileges: Privileges,
    /// Which of them it may grant to others.
    pub grantable: Privileges,
}

impl AccessDef {
    /// Of something new. PUBLIC may connect to the database, and use and create in schema public, as in Greenplum.
    pub fn initial(object: Object, owner: RoleId) -> Self {
        let public = match &object {
            Object::Database => Privileges::CONNECT.and(Privileges::TEMPORARY),
            Object::Schema(name) if name == DEFAULT_SCHEMA => Privileges::USAGE.and(Privileges::CREATE),
            _ => Privileges::default(),
        };
        let grant = Grant { grantee: None, privileges: public, grantable: Privileges::default() };
        let grants = if public.is_empty() { vec![] } else { vec![grant] };
        AccessDef { object, owner, grants }
    }

    /// With `option`, what is granted may be granted on.
    pub fn grant(&mut self, grantee: Option<RoleId>, privileges: Privileges, option: bool) {
        let grantable = if option { privileges } else { Privileges::default() };
        match self.grants.iter_mut().find(|grant| grant.grantee == grantee) {
            Some(grant) => {
                grant.privileges = grant.privileges.and(privileges);
                grant.grantable = grant.grantable.and(grantable);
            }
            None => self.grants.push(Grant { grantee, privileges, grantable }),
        }
    }

    /// With `only_option`, the privileges stay.
    pub fn revoke(&mut self, grantee: Option<RoleId>, privileges: Privileges, only_option: bool) {
        for grant in self.grants.iter_mut().filter(|grant| grant.grantee == grantee) {
            grant.grantable = grant.grantable.without(privileges);
            if !only_option {
                grant.privileges = grant.privileges.without(privileges);
            }
        }
        self.grants.retain(|grant| !grant.privileges.is_empty());
    }
}

impl CatalogState {
    /// Who may do what with it.
    pub fn access(&self, object: &Object) -> Arc<AccessDef> {
        let known = self.access.get(object).map(Arc::clone);
        known.unwrap_or_else(|| Arc::new(AccessDef::initial(object.clone(), RoleId::BOOTSTRAP)))
    }

    /// Whether a role is the owner, a member of it, or a superuser.
    pub fn owns(&self, role: RoleId, object: &Object) -> bool {
        self.is_superuser(role) || self.inherits(role, self.access(object).owner)
    }

    /// Whether a role has all of the privileges: of its own, by those that it is a member of, or as everybody has.
    pub fn may(&self, role: RoleId, object: &Object, privileges: Privileges) -> bool {
        self.is_superuser(role) || self.held(role, object, |grant| grant.privileges).has(privileges)
    }

    /// What a role may grant to others.
    pub fn grantable(&self, role: RoleId, object: &Object) -> Privileges {
        self.held(role, object, |grant| grant.grantable)
    }

    fn held(&self, role: RoleId, object: &Object, of: impl Fn(&Grant) -> Privileges) -> Privileges {
        // Who was dropped is not even PUBLIC.
        if self.role_by_id(role).is_none() {
            return Privileges::default();
        }
        let access = self.access(object);
        if self.owns(role, object) {
            return object.privileges();
        }
        let own = access.grants.iter().filter(|grant| grant.grantee.is_none_or(|to| self.inherits(role, to)));
        own.fold(Privileges::default(), |all, grant| all.and(of(grant)))
    }
}

impl Workspace {
    /// # Errors
    /// [`CatalogError::NoRole`]; [`CatalogError::Conflict`] if the object, or a role, has gone.
    pub fn put_access(&mut self, defs: Vec<AccessDef>) -> Result<(), CatalogError> {
        self.change(|_| Ok((defs.into_iter().map(Change::PutAccess).collect(), ())))
    }

    /// Makes `owner` the owner of all that was made by the steps from `from` on, and was not there before.
    ///
    /// # Errors
    /// As [`Workspace::put_access`].
    pub fn own_new(&mut self, from: usize, owner: RoleId) -> Result<(), CatalogError> {
        if owner == RoleId::BOOTSTRAP {
            return Ok(());
        }
        let (state, base) = (self.state(), self.base());
        let made = |change: &Change| match change {
            Change::CreateSchema(name) if !base.has_schema(name) => Some(Object::Schema(name.clone())),
            Change::PutTable { def, .. } if base.table_by_id(def.id).is_none() => Some(Object::Table(def.id)),
            Change::PutView(view) if base.view(&view.schema, &view.name).is_none() => {
                Some(Object::View(view.schema.clone(), view.name.clone()))
            }
            Change::PutSequence(def) if base.sequence(&def.schema, &def.name).is_none() => {
                Some(Object::Sequence(def.schema.clone(), def.name.clone()))
            }
            _ => None,
        };
        let changes = self.steps().iter().skip(from).flat_map(|step| &step.changes);
        let parts = state.parts();
        // What the statement has dropped again is nobody's; what an earlier one has made has its owner.
        let is_new = |object: &Object| object.is_in(&parts) && !state.access.contains_key(object);
        let new: BTreeSet<Object> = changes.filter_map(made).filter(is_new).collect();
        self.put_access(new.into_iter().map(|object| AccessDef::initial(object, owner)).collect())
    }
}

/// Whether all that a definition names is there.
pub(super) fn refuse_put(parts: &StateParts, def: &AccessDef) -> Result<(), CatalogError> {
    let roles = def.grants.iter().filter_map(|grant| grant.grantee).chain([def.owner]);
    for role in roles {
        if !parts.roles.contains_key(&role) {
            return Err(CatalogError::NoRole(role.0.to_string()));
        }
    }
    match def.object.is_in(parts) {
        true => Ok(()),
        false => Err(CatalogError::Conflict { table: def.object.described(parts), reason: "it was dropped" }),
    }
}

/// What goes with what a change drops.
pub(super) fn dropped_by(change: &Change) -> Option<Object> {
    match change {
        Change::DropSchema(name) => Some(Object::Schema(name.clone())),
        Change::DropTable(id) => Some(Object::Table(*id)),
        Change::DropView { schema, name } => Some(Object::View(schema.clone(), name.clone())),
        Change::DropSequence { schema, name } => Some(Object::Sequence(schema.clone(), name.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_revoked_is_not_granted_any_more() {
        let mut access = AccessDef::initial(Object::Schema("s".into()), RoleId::BOOTSTRAP);
        assert_eq!(access.grants, []);
        let (reader, both) = (Some(RoleId(5)), Privileges::USAGE.and(Privileges::CREATE));
        access.grant(reader, Privileges::USAGE, false);
        access.grant(reader, Privileges::CREATE, true);
        assert_eq!(access.grants, [Grant { grantee: reader, privileges: both, grantable: Privileges::CREATE }]);
        access.revoke(reader, both, true);
        assert_eq!(access.grants, [Grant { grantee: reader, privileges: both, grantable: Privileges::default() }]);
        access.revoke(None, both, false);
        access.revoke(reader, Privileges::USAGE, false);
        assert_eq!(access.grants[0].privileges.each().collect::<Vec<_>>(), [("CREATE", Privileges::CREATE)]);
        access.revoke(reader, Privileges::CREATE, false);
        assert_eq!(access.grants, []);
    }

    #[test]
    fn public_may_use_public() {
        let schema = AccessDef::initial(Object::Schema(DEFAULT_SCHEMA.into()), RoleId(3));
        assert!(schema.grants[0].privileges.has(Privileges::CREATE) && schema.grants[0].grantee.is_none());
        assert_eq!(AccessDef::initial(Object::Table(TableId(1)), RoleId(3)).grants, []);
    }
}
