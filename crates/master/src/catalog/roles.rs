//! Roles: who can log in, who belongs to whom.

use super::access::Object;
use super::error::CatalogError;
use super::state::{CatalogState, StateParts};
use super::store::Change;
use super::workspace::Workspace;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Roles of a cluster; each check of a privilege may walk through the memberships.
const ROLES_MAX: usize = 10_000;

/// Given when a role is made, and never again; from the same numbers as tables' ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoleId(pub u64);

impl RoleId {
    /// The superuser that every catalog has, who owns what nobody else does.
    pub const BOOTSTRAP: RoleId = RoleId(0);
    /// No role's: who acts as a role that was dropped may do nothing.
    pub const NOBODY: RoleId = RoleId(u64::MAX);
}

/// What a password is checked by, `SCRAM-SHA-256$…`: as good as the password to who wants to guess it, so that it is not printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Verifier(pub String);

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(***)")
    }
}

/// A user or a group: there is no difference but `login`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleDef {
    pub id: RoleId,
    pub name: String,
    pub superuser: bool,
    pub createdb: bool,
    pub createrole: bool,
    /// Whether it has what the roles have that it is a member of, without SET ROLE.
    pub inherit: bool,
    pub login: bool,
    /// Sessions at the same time; None: as many as there can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_limit: Option<u32>,
    /// As it was written: the password is not taken afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier: Option<Verifier>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub member_of: Vec<Membership>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    pub role: RoleId,
    /// It may make others members.
    pub admin: bool,
}

impl RoleDef {
    /// One that may do nothing of its own.
    pub fn new(id: RoleId, name: String) -> Self {
        RoleDef {
            id,
            name,
            superuser: false,
            createdb: false,
            createrole: false,
            inherit: true,
            login: false,
            connection_limit: None,
            valid_until: None,
            verifier: None,
            member_of: vec![],
        }
    }
}

impl CatalogState {
    /// In the order in which they were made.
    pub fn roles(&self) -> impl Iterator<Item = &Arc<RoleDef>> {
        self.roles.values()
    }

    pub fn role(&self, name: &str) -> Option<&Arc<RoleDef>> {
        self.roles().find(|role| role.name == name)
    }

    pub fn role_by_id(&self, id: RoleId) -> Option<&Arc<RoleDef>> {
        self.roles.get(&id)
    }

    pub fn is_superuser(&self, id: RoleId) -> bool {
        self.role_by_id(id).is_some_and(|role| role.superuser)
    }

    /// Whether `member` can become `role` by SET ROLE.
    pub fn can_become(&self, member: RoleId, role: RoleId) -> bool {
        self.is_superuser(member) || self.reaches(member, role, false)
    }

    /// Whether `member` has what `role` has.
    pub fn inherits(&self, member: RoleId, role: RoleId) -> bool {
        self.is_superuser(member) || self.reaches(member, role, true)
    }

    /// Whether `member` is `role`, or a member of it; superusers are no members by being superusers.
    pub fn is_member(&self, member: RoleId, role: RoleId) -> bool {
        self.reaches(member, role, false)
    }

    /// Whether `member` may make others members of `role`.
    pub fn administers(&self, member: RoleId, role: RoleId) -> bool {
        let Some(target) = self.role_by_id(role) else { return false };
        if self.is_superuser(member) {
            return true;
        }
        let creates = self.role_by_id(member).is_some_and(|def| def.createrole);
        // Of superusers, only a superuser.
        let mut admins = self.roles().filter(|def| def.member_of.iter().any(|of| of.role == role && of.admin));
        !target.superuser && (creates || admins.any(|def| self.inherits(member, def.id)))
    }

    /// Walks memberships from `member`; with `inherited` only through roles that inherit.
    fn reaches(&self, member: RoleId, role: RoleId, inherited: bool) -> bool {
        let (mut open, mut seen) = (vec![member], BTreeSet::new());
        while let Some(id) = open.pop() {
            if id == role {
                return true;
            }
            if let Some(def) = self.role_by_id(id)
                && seen.insert(id)
                && (def.inherit || !inherited)
            {
                open.extend(def.member_of.iter().map(|of| of.role));
            }
        }
        false
    }
}

impl Workspace {
    /// Makes a role, of which `id` is none yet.
    ///
    /// # Errors
    /// [`CatalogError::RoleExists`], [`CatalogError::NoRole`], [`CatalogError::TooMany`].
    pub fn create_role(&mut self, def: RoleDef) -> Result<(), CatalogError> {
        if self.state().roles().count() >= ROLES_MAX {
            return Err(CatalogError::TooMany { what: "roles", max: ROLES_MAX });
        }
        self.put_role(def)
    }

    /// # Errors
    /// [`CatalogError::RoleExists`] if another has the name; [`CatalogError::NoRole`], [`CatalogError::MemberOfItself`].
    pub fn put_role(&mut self, def: RoleDef) -> Result<(), CatalogError> {
        self.change(|_| Ok((vec![Change::PutRole(def)], ())))
    }

    /// Drops a role, and its members' memberships.
    ///
    /// # Errors
    /// [`CatalogError::NoRole`]; [`CatalogError::RoleUsed`] while it owns something, or something is granted to it.
    pub fn drop_role(&mut self, id: RoleId) -> Result<(), CatalogError> {
        self.change(|state| {
            let members = state.roles().filter(|def| def.member_of.iter().any(|of| of.role == id));
            let left = members.map(|def| {
                let member_of = def.member_of.iter().filter(|of| of.role != id).copied().collect();
                Change::PutRole(RoleDef { member_of, ..(**def).clone() })
            });
            Ok((left.chain([Change::DropRole(id)]).collect(), ()))
        })
    }
}

/// Whether a role's definition can be.
pub(super) fn refuse_put(parts: &StateParts, def: &RoleDef) -> Result<(), CatalogError> {
    if parts.roles.values().any(|other| other.name == def.name && other.id != def.id) {
        return Err(CatalogError::RoleExists(def.name.clone()));
    }
    let (mut open, mut seen): (Vec<RoleId>, _) = (def.member_of.iter().map(|of| of.role).collect(), BTreeSet::new());
    while let Some(id) = open.pop() {
        if id == def.id {
            return Err(CatalogError::MemberOfItself(def.name.clone()));
        }
        let Some(role) = parts.roles.get(&id) else { return Err(CatalogError::NoRole(id.0.to_string())) };
        if seen.insert(id) {
            open.extend(role.member_of.iter().map(|of| of.role));
        }
    }
    Ok(())
}

/// Whether a role can go: it owns nothing, and nothing is granted to it.
pub(super) fn refuse_drop(parts: &StateParts, id: RoleId) -> Result<(), CatalogError> {
    let Some(def) = parts.roles.get(&id) else { return Err(CatalogError::NoRole(id.0.to_string())) };
    let used = parts.access.values().filter_map(|access| {
        let object = |object: &Object| object.described(parts);
        if access.owner == id {
            Some(format!("owner of {}", object(&access.object)))
        } else {
            let is_granted = access.grants.iter().any(|grant| grant.grantee == Some(id));
            is_granted.then(|| format!("privileges for {}", object(&access.object)))
        }
    });
    let dependents: Vec<String> = used.collect();
    match dependents.is_empty() {
        true => Ok(()),
        false => Err(CatalogError::RoleUsed { role: def.name.clone(), dependents }),
    }
}
