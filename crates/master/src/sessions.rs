//! Sessions that clients have, and how many there may be.

use crate::catalog::{CatalogState, RoleDef, RoleId};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::session::{ActivityRow, Session};
use damson_cluster::SessionId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// Sessions at the same time: an idle one is some kilobytes of settings.
pub(crate) const SESSIONS_MAX: usize = 10_000;

/// Of these the last are kept for superusers, so that an administrator can always look what is going on.
const SESSIONS_RESERVED: usize = 3;

const _: () = assert!(SESSIONS_RESERVED < SESSIONS_MAX);

/// Clients' sessions by number. One a master.
pub(crate) struct Sessions {
    open: Mutex<BTreeMap<SessionId, Entry>>,
    max: usize,
    reserved: usize,
}

struct Entry {
    role: RoleId,
    session: Weak<Session>,
}

/// A session's place among them: there for as long as it is held.
pub(crate) struct Place {
    id: SessionId,
    sessions: Arc<Sessions>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.leave(self.id);
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Sessions { open: Mutex::default(), max: SESSIONS_MAX, reserved: SESSIONS_RESERVED }
    }
}

impl Sessions {
    /// A place for a session of a role that has logged in.
    ///
    /// # Errors
    /// 53300 if there are too many, of all or of that role; 28000 if the role has gone meanwhile.
    pub(crate) fn enter(self: &Arc<Self>, id: SessionId, role: RoleId, state: &CatalogState) -> SqlResult<Place> {
        let Some(def) = state.role_by_id(role) else {
            return Err(SqlError::new(SqlState::INVALID_AUTHORIZATION, "the role does not exist any more"));
        };
        let mut open = self.open.lock();
        self.check(&open, def)?;
        open.insert(id, Entry { role, session: Weak::new() });
        Ok(Place { id, sessions: Arc::clone(self) })
    }

    fn check(&self, open: &BTreeMap<SessionId, Entry>, role: &RoleDef) -> SqlResult<()> {
        let full = |message: String| Err(SqlError::new(SqlState::TOO_MANY_CONNECTIONS, message));
        if open.len() >= self.max {
            return full("sorry, too many clients already".into());
        }
        if role.superuser {
            return Ok(());
        }
        if open.len() >= self.max - self.reserved {
            return full("remaining connection slots are reserved for roles with the SUPERUSER attribute".into());
        }
        let limit = role.connection_limit.map(|limit| limit as usize);
        let own = || open.values().filter(|entry| entry.role == role.id).count();
        if limit.is_some_and(|limit| own() >= limit) {
            return full(format!("too many connections for role \"{}\"", role.name));
        }
        Ok(())
    }
}

impl Sessions {
    pub(crate) fn find(&self, number: u64) -> Option<Arc<Session>> {
        self.open.lock().get(&SessionId(number)).and_then(|entry| entry.session.upgrade())
    }

    /// Its place is free for another.
    pub(crate) fn leave(&self, id: SessionId) {
        self.open.lock().remove(&id);
    }

    /// In the order in which they came.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.open.lock().values().filter_map(|entry| entry.session.upgrade()).collect()
    }

    /// What each is doing.
    pub(crate) fn activity(&self) -> Vec<ActivityRow> {
        self.all().iter().map(|session| session.activity()).collect()
    }
}

impl Place {
    /// Lets others find the session.
    pub(crate) fn is_of(&self, session: Weak<Session>) {
        if let Some(entry) = self.sessions.open.lock().get_mut(&self.id) {
            entry.session = session;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    fn refused(entered: SqlResult<Place>) -> String {
        entered.err().expect("it is full").message
    }

    #[test]
    fn the_last_places_are_for_superusers() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(directory.path(), 1).unwrap();
        let role = |id, limit| RoleDef { connection_limit: limit, ..RoleDef::new(RoleId(id), format!("r{id}")) };
        catalog.alone(|workspace| workspace.create_role(role(1001, None))).unwrap();
        catalog.alone(|workspace| workspace.create_role(role(1002, Some(2)))).unwrap();
        let state = catalog.current();
        let sessions = Arc::new(Sessions { open: Mutex::default(), max: 5, reserved: 1 });
        let enter = |id, role| sessions.enter(SessionId(id), RoleId(role), &state);
        let limited = [enter(1, 1002).unwrap(), enter(2, 1002).unwrap()];
        assert_eq!(refused(enter(3, 1002)), "too many connections for role \"r1002\"");
        let others = [enter(4, 1001).unwrap(), enter(5, 1001).unwrap()];
        assert!(refused(enter(6, 1001)).starts_with("remaining connection slots are reserved"));
        let administrator = enter(7, RoleId::BOOTSTRAP.0).unwrap();
        assert_eq!(refused(enter(8, RoleId::BOOTSTRAP.0)), "sorry, too many clients already");
        drop(administrator);
        drop(limited);
        enter(9, 1002).unwrap();
        drop(others);
        assert!(sessions.open.lock().is_empty());
        assert_eq!(enter(10, 4711).err().unwrap().state, SqlState::INVALID_AUTHORIZATION);
    }
}
