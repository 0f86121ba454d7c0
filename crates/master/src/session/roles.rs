//! CREATE, ALTER and DROP ROLE; GRANT and REVOKE; OWNER TO.

use super::privileges::denied;
use super::{Outcome, Session};
use crate::auth::{ValidUntil, hash_password, is_verifier};
use crate::catalog::{
    AccessDef, CatalogError, CatalogState, Membership, Object, Privileges, Relation, RoleDef, RoleId, Verifier,
};
use crate::error::{SqlError, SqlResult, SqlState, task_ended};
use crate::sql::{
    AlterRole, CreateRole, DATABASE, GrantObject, MembershipChange, Name, PrivilegeChange, RelationName, RoleOptions,
    RoleSpec, Statement,
};
use crate::transaction::Transaction;
use std::sync::Arc;

impl Session {
    /// What changes roles and privileges.
    ///
    /// # Errors
    /// 42501, 42704, 42710, 2BP01, 0LP01.
    pub(super) async fn change_roles(
        &self,
        statement: &Statement,
        transaction: &mut Transaction,
    ) -> SqlResult<Outcome> {
        match statement {
            Statement::CreateRole(create) => self.create_role(create, transaction).await?,
            Statement::AlterRole(alter) => self.alter_role(alter, transaction).await?,
            Statement::RenameRole { role, to } => self.rename_role(role, to, transaction)?,
            Statement::DropRole { roles, if_exists } => return self.drop_roles(roles, *if_exists, transaction),
            Statement::Membership(change) => return self.change_members(change, transaction),
            Statement::Privileges(change) => return self.change_privileges(change, transaction),
            Statement::OwnerTo { object, owner } => self.change_owner(object, owner, transaction)?,
            other => return Err(crate::error::internal(format!("{} is no change of roles", other.name()))),
        }
        Ok(Outcome::command(statement.name()))
    }

    async fn create_role(&self, create: &CreateRole, transaction: &mut Transaction) -> SqlResult<()> {
        let state = transaction.state();
        let acting = self.acting_role(&state);
        let by = state.role_by_id(acting);
        let is_superuser = state.is_superuser(acting);
        if create.options.superuser == Some(true) && !is_superuser {
            return Err(denied("must be superuser to create superusers"));
        }
        if !is_superuser && !by.is_some_and(|role| role.createrole) {
            return Err(denied("permission denied to create role"));
        }
        if state.role(&create.role.text).is_some() {
            return Err(SqlError::from(CatalogError::RoleExists(create.role.text.clone())).at(create.role.position));
        }
        self.give_ids(transaction, 1).await?;
        let id = RoleId(transaction.workspace().next_id()?.0);
        let mut def = RoleDef::new(id, create.role.text.clone());
        set_options(&mut def, &create.options).await?;
        for name in &create.in_roles {
            let role = self.administered(&state, acting, name)?;
            def.member_of.push(Membership { role: role.id, admin: false });
        }
        transaction.workspace().create_role(def)?;
        let members = create.members.iter().map(|name| (name, false));
        for (name, admin) in members.chain(create.admins.iter().map(|name| (name, true))) {
            let state = transaction.state();
            let mut member = (**named(&state, name)?).clone();
            member.member_of.retain(|of| of.role != id);
            member.member_of.push(Membership { role: id, admin });
            transaction.workspace().put_role(member)?;
        }
        Ok(())
    }

    async fn alter_role(&self, alter: &AlterRole, transaction: &mut Transaction) -> SqlResult<()> {
        let state = transaction.state();
        let acting = self.acting_role(&state);
        let id = self.role_of(&state, &alter.role)?;
        let old = state.role_by_id(id).ok_or_else(|| denied("permission denied"))?;
        if !state.is_superuser(acting) {
            let options = &alter.options;
            if old.superuser || options.superuser.is_some() {
                return Err(denied("must be superuser to alter superuser roles or change superuser attribute"));
            }
            // Everybody may change their own password.
            let only_password = RoleOptions { password: None, ..options.clone() } == RoleOptions::default();
            let creates = state.role_by_id(acting).is_some_and(|role| role.createrole);
            if !(creates || only_password && id == acting) {
                return Err(denied("permission denied"));
            }
        }
        let mut def = (**old).clone();
        set_options(&mut def, &alter.options).await?;
        if id == RoleId::BOOTSTRAP && !def.superuser {
            let message = "the bootstrap user must have the SUPERUSER attribute";
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        Ok(transaction.workspace().put_role(def)?)
    }

    fn rename_role(&self, role: &Name, to: &Name, transaction: &mut Transaction) -> SqlResult<()> {
        let state = transaction.state();
        let acting = self.acting_role(&state);
        let old = named(&state, role)?;
        let creates = state.role_by_id(acting).is_some_and(|role| role.createrole);
        if !state.is_superuser(acting) && (old.superuser || !creates) {
            return Err(denied("permission denied to rename role"));
        }
        if [self.session_role(&state), acting].contains(&old.id) {
            let message = "session user cannot be renamed";
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        let def = RoleDef { name: to.text.clone(), ..(**old).clone() };
        transaction.workspace().put_role(def).map_err(|error| SqlError::from(error).at(to.position))
    }

    fn drop_roles(&self, roles: &[Name], if_exists: bool, transaction: &mut Transaction) -> SqlResult<Outcome> {
        let mut notices = vec![];
        for name in roles {
            let state = transaction.state();
            let acting = self.acting_role(&state);
            if !state.is_superuser(acting) && !state.role_by_id(acting).is_some_and(|role| role.createrole) {
                return Err(denied("permission denied to drop role"));
            }
            let Some(role) = state.role(&name.text) else {
                if if_exists {
                    notices.push(format!("role \"{}\" does not exist, skipping", name.text));
                    continue;
                }
                return Err(no_role(name));
            };
            if role.superuser && !state.is_superuser(acting) {
                return Err(denied("must be superuser to drop superusers"));
            }
            if [acting, self.session_role(&state), self.login].contains(&role.id) {
                return Err(SqlError::new(SqlState::OBJECT_IN_USE, "current user cannot be dropped"));
            }
            if role.id == RoleId::BOOTSTRAP {
                let message =
                    format!("cannot drop role \"{}\" because it is required by the database system", role.name);
                return Err(SqlError::new(SqlState::DEPENDENT_OBJECTS, message));
            }
            transaction.workspace().drop_role(role.id)?;
        }
        Ok(Outcome::Command { tag: "DROP ROLE".into(), rows: 0, notices })
    }

    fn change_members(&self, change: &MembershipChange, transaction: &mut Transaction) -> SqlResult<Outcome> {
        for role in &change.roles {
            for member in &change.members {
                let state = transaction.state();
                let role = self.administered(&state, self.acting_role(&state), role)?;
                let member = self.role_of(&state, member)?;
                let Some(member) = state.role_by_id(member) else { continue };
                let mut def = (**member).clone();
                let old = def.member_of.iter_mut().find(|of| of.role == role.id);
                match (change.grants, old) {
                    (true, Some(old)) => old.admin |= change.admin,
                    (true, None) => def.member_of.push(Membership { role: role.id, admin: change.admin }),
                    (false, Some(old)) if change.admin => old.admin = false,
                    (false, _) => def.member_of.retain(|of| of.role != role.id),
                }
                transaction.workspace().put_role(def)?;
            }
        }
        Ok(Outcome::command(if change.grants { "GRANT ROLE" } else { "REVOKE ROLE" }))
    }

    fn change_privileges(&self, change: &PrivilegeChange, transaction: &mut Transaction) -> SqlResult<Outcome> {
        let state = transaction.state();
        let acting = self.acting_role(&state);
        let mut grantees = vec![];
        for role in &change.roles {
            grantees.push(match role {
                RoleSpec::Public => None,
                role => Some(self.role_of(&state, role)?),
            });
        }
        if change.grants && change.option && grantees.contains(&None) {
            let message = "grant options can only be granted to roles";
            return Err(SqlError::new(SqlState::INVALID_GRANT_OPERATION, message));
        }
        let mut defs: Vec<AccessDef> = vec![];
        for (object, called) in self.objects(&state, &change.objects)? {
            let privileges = asked(change, &object)?;
            let grantable = match state.owns(acting, &object) {
                true => object.privileges(),
                false => state.grantable(acting, &object),
            };
            let allowed = privileges.common(grantable);
            if allowed.is_empty() {
                return Err(denied(format!("permission denied for {called}")));
            }
            let mut def = (*state.access(&object)).clone();
            for grantee in &grantees {
                match change.grants {
                    true => def.grant(*grantee, allowed, change.option),
                    false => def.revoke(*grantee, allowed, change.option),
                }
            }
            defs.retain(|other| other.object != def.object);
            defs.push(def);
        }
        transaction.workspace().put_access(defs)?;
        Ok(Outcome::command(if change.grants { "GRANT" } else { "REVOKE" }))
    }

    fn change_owner(&self, object: &GrantObject, owner: &RoleSpec, transaction: &mut Transaction) -> SqlResult<()> {
        let state = transaction.state();
        let acting = self.acting_role(&state);
        let owner = self.role_of(&state, owner)?;
        let mut defs = vec![];
        for (object, called) in self.objects(&state, std::slice::from_ref(object))? {
            if !state.owns(acting, &object) {
                return Err(denied(format!("must be owner of {called}")));
            }
            if !state.can_become(acting, owner) {
                let name = state.role_by_id(owner).map(|role| role.name.clone()).unwrap_or_default();
                return Err(denied(format!("must be member of role \"{name}\"")));
            }
            let mut def = (*state.access(&object)).clone();
            // The owner has everything without a grant.
            def.grants.retain(|grant| grant.grantee != Some(owner));
            def.owner = owner;
            defs.push(def);
        }
        Ok(transaction.workspace().put_access(defs)?)
    }

    /// What GRANT names, and how messages call it.
    fn objects(&self, state: &CatalogState, written: &[GrantObject]) -> SqlResult<Vec<(Object, String)>> {
        let mut objects = vec![];
        for object in written {
            match object {
                GrantObject::Table(name) => objects.push(self.relation_object(state, name, "relation")?),
                GrantObject::View(name) => objects.push(self.relation_object(state, name, "view")?),
                GrantObject::Sequence(name) => objects.push(self.relation_object(state, name, "sequence")?),
                GrantObject::Schema(name) => {
                    check_schema(state, name)?;
                    objects.push((Object::Schema(name.text.clone()), format!("schema {}", name.text)));
                }
                GrantObject::Database(name) if name.text == DATABASE => {
                    objects.push((Object::Database, format!("database {DATABASE}")));
                }
                GrantObject::Database(name) => {
                    let message = format!("database \"{}\" does not exist", name.text);
                    return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message).at(name.position));
                }
                GrantObject::AllTables(schema) | GrantObject::AllSequences(schema) => {
                    check_schema(state, schema)?;
                    let sequences = matches!(object, GrantObject::AllSequences(_));
                    let wanted = state.relations().filter(|relation| match relation {
                        Relation::Table(entry) => !sequences && entry.def.schema == schema.text,
                        Relation::View(view) => !sequences && view.schema == schema.text,
                        Relation::Sequence(def) => sequences && def.schema == schema.text,
                    });
                    objects.extend(wanted.map(|r| (Object::of(r), format!("relation {}", r.qualified_name()))));
                }
            }
        }
        Ok(objects)
    }

    fn relation_object(&self, state: &CatalogState, name: &RelationName, kind: &str) -> SqlResult<(Object, String)> {
        let relation = state.relation(name.schema_or(&self.search_schema()), &name.name).ok_or_else(|| {
            let message = format!("relation \"{name}\" does not exist");
            SqlError::new(SqlState::UNDEFINED_TABLE, message).at(name.position)
        })?;
        let fits = match kind {
            "view" => matches!(relation, Relation::View(_)),
            "sequence" => matches!(relation, Relation::Sequence(_)),
            _ => true,
        };
        if !fits {
            let message = format!("\"{name}\" is not a {kind}");
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message).at(name.position));
        }
        Ok((Object::of(relation), format!("{kind} {}", name.name)))
    }

    fn role_of(&self, state: &CatalogState, role: &RoleSpec) -> SqlResult<RoleId> {
        match role {
            RoleSpec::Named(name) => named(state, name).map(|role| role.id),
            RoleSpec::CurrentUser => Ok(self.acting_role(state)),
            RoleSpec::SessionUser => Ok(self.session_role(state)),
            RoleSpec::Public => Err(SqlError::new(SqlState::RESERVED_NAME, "role name \"public\" is reserved")),
        }
    }

    /// A role of which `acting` may make others members.
    fn administered<'a>(&self, state: &'a CatalogState, acting: RoleId, name: &Name) -> SqlResult<&'a Arc<RoleDef>> {
        let role = named(state, name)?;
        match state.administers(acting, role.id) {
            true => Ok(role),
            false => Err(denied(format!("must have admin option on role \"{}\"", name.text))),
        }
    }
}

fn check_schema(state: &CatalogState, name: &Name) -> SqlResult<()> {
    match state.has_schema(&name.text) {
        true => Ok(()),
        false => Err(SqlError::from(CatalogError::NoSchema(name.text.clone())).at(name.position)),
    }
}

fn named<'a>(state: &'a CatalogState, name: &Name) -> SqlResult<&'a Arc<RoleDef>> {
    state.role(&name.text).ok_or_else(|| no_role(name))
}

fn no_role(name: &Name) -> SqlError {
    SqlError::from(CatalogError::NoRole(name.text.clone())).at(name.position)
}

/// The privileges that a GRANT or REVOKE names, of an object.
fn asked(change: &PrivilegeChange, object: &Object) -> SqlResult<Privileges> {
    if change.privileges.is_empty() {
        return Ok(object.privileges());
    }
    let mut all = Privileges::default();
    for name in &change.privileges {
        let Some(privilege) = Privileges::named(&name.text) else {
            let message = format!("unrecognized privilege type \"{}\"", name.text.to_ascii_lowercase());
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(name.position));
        };
        if !object.privileges().has(privilege) {
            let kind = match object {
                Object::Database => "database",
                Object::Schema(_) => "schema",
                Object::Sequence(..) => "sequence",
                Object::Table(_) | Object::View(..) => "relation",
            };
            let message = format!("invalid privilege type {} for {kind}", name.text);
            return Err(SqlError::new(SqlState::INVALID_GRANT_OPERATION, message).at(name.position));
        }
        all = all.and(privilege);
    }
    Ok(all)
}

async fn set_options(def: &mut RoleDef, options: &RoleOptions) -> SqlResult<()> {
    let flags = [
        (&mut def.superuser, options.superuser),
        (&mut def.createdb, options.createdb),
        (&mut def.createrole, options.createrole),
        (&mut def.inherit, options.inherit),
        (&mut def.login, options.login),
    ];
    for (flag, option) in flags {
        *flag = option.unwrap_or(*flag);
    }
    if let Some(limit) = options.connection_limit {
        def.connection_limit = limit;
    }
    if let Some(until) = &options.valid_until {
        ValidUntil::parse(until)?;
        def.valid_until = Some(until.clone());
    }
    match &options.password {
        None => {}
        Some(None) => def.verifier = None,
        // An empty one lets nobody in, as in PostgreSQL.
        Some(Some(password)) if password.0.is_empty() => def.verifier = None,
        Some(Some(password)) if is_verifier(&password.0) => def.verifier = Some(Verifier(password.0.clone())),
        Some(Some(password)) => {
            let password = password.0.clone();
            // Made slow on purpose: not on a thread that serves sockets.
            let hashed = tokio::task::spawn_blocking(move || hash_password(&password)).await.map_err(task_ended)?;
            def.verifier = Some(Verifier(hashed?));
        }
    }
    Ok(())
}
