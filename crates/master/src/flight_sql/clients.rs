//! Who calls: sessions by bearer token, and by connection for clients that do not log in.

use super::basic;
use super::limits::{SESSION_IDLE, SESSIONS_MAX};
use super::statements::Statements;
use super::status::{status, too_many, unauthenticated, violation};
use crate::error::SqlResult;
use crate::master::Master;
use crate::session::Session;
use crate::shared::Shared;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tonic::Status;
use uuid::Uuid;

/// One client: its session and its statements.
pub(super) struct Client {
    pub session: Shared<Session>,
    pub statements: Arc<Statements>,
    /// It did not log in: its session is its connection's, which another client's may seem to be when it is gone.
    pub is_anonymous: bool,
    used: Mutex<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Token(String),
    /// A connection, and the user that it names on every call.
    Connection(Option<SocketAddr>, String),
}

/// Every client of a server.
pub(super) struct Clients {
    master: Shared<Master>,
    clients: Mutex<HashMap<Key, Arc<Client>>>,
}

const DEFAULT_USER: &str = "damson";

impl Clients {
    pub(super) fn new(master: Arc<Master>) -> Self {
        Clients { master: master.into(), clients: Mutex::default() }
    }

    /// A new session, and the token that stands for it. Any user and password will do: roles come later.
    ///
    /// # Errors
    /// Unauthenticated or InvalidArgument for an unreadable header, ResourceExhausted if there are too many sessions.
    pub(super) fn log_in(&self, authorization: Option<&str>) -> Result<String, Status> {
        let user = match authorization.map(Credentials::parse) {
            None => DEFAULT_USER.to_owned(),
            Some(Credentials::Basic(user)) => user,
            Some(_) => return Err(violation("a handshake needs an authorization header of the form \"Basic …\"")),
        };
        let token = Uuid::new_v4().simple().to_string();
        self.insert(Key::Token(token.clone()), &user).map_err(|e| status(&e))?;
        Ok(token)
    }

    /// The client that makes a call.
    ///
    /// # Errors
    /// Unauthenticated if its token is not known (any more).
    pub(super) fn of_call(
        &self,
        authorization: Option<&str>,
        connection: Option<SocketAddr>,
    ) -> Result<Arc<Client>, Status> {
        let user = match authorization.map(Credentials::parse) {
            Some(Credentials::Bearer(token)) => {
                return self.known(&Key::Token(token)).ok_or_else(|| {
                    status(&unauthenticated("the session is not known: it ended, or the server was restarted"))
                });
            }
            Some(Credentials::Basic(user)) => user,
            Some(Credentials::Other) => return Err(violation("unreadable authorization header")),
            None => DEFAULT_USER.to_owned(),
        };
        let key = Key::Connection(connection, user.clone());
        match self.known(&key) {
            Some(client) => Ok(client),
            None => self.insert(key, &user).map_err(|e| status(&e)),
        }
    }

    /// Ends the session of a call; false if there is none.
    pub(super) fn log_out(&self, authorization: Option<&str>, connection: Option<SocketAddr>) -> bool {
        let key = match authorization.map(Credentials::parse) {
            Some(Credentials::Bearer(token)) => Key::Token(token),
            Some(Credentials::Basic(user)) => Key::Connection(connection, user),
            Some(Credentials::Other) => return false,
            None => Key::Connection(connection, DEFAULT_USER.to_owned()),
        };
        let client = self.clients.lock().remove(&key);
        if let Some(client) = &client {
            client.statements.cancel_all();
        }
        client.is_some()
    }

    fn known(&self, key: &Key) -> Option<Arc<Client>> {
        let client = self.clients.lock().get(key).map(Arc::clone)?;
        *client.used.lock() = Instant::now();
        Some(client)
    }

    fn insert(&self, key: Key, user: &str) -> SqlResult<Arc<Client>> {
        let mut clients = self.clients.lock();
        if clients.len() >= SESSIONS_MAX {
            clients.retain(|_, client| client.statements.is_running() || client.used.lock().elapsed() < SESSION_IDLE);
        }
        if clients.len() >= SESSIONS_MAX {
            return Err(too_many("too many sessions").with_hint("close sessions that are not used any more"));
        }
        let session = self.master.session(user).into();
        let is_anonymous = matches!(key, Key::Connection(..));
        let client = Client { session, statements: Arc::default(), is_anonymous, used: Mutex::new(Instant::now()) };
        let client = Arc::new(client);
        // Two first calls of one connection at once share the session of the first.
        Ok(Arc::clone(clients.entry(key).or_insert(client)))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Credentials {
    Bearer(String),
    /// The user.
    Basic(String),
    Other,
}

impl Credentials {
    fn parse(header: &str) -> Self {
        let Some((scheme, value)) = header.split_once(' ') else { return Credentials::Other };
        if scheme.eq_ignore_ascii_case("bearer") {
            return Credentials::Bearer(value.trim().to_owned());
        }
        match basic::decode(value) {
            Some((user, _)) if scheme.eq_ignore_ascii_case("basic") => {
                Credentials::Basic(if user.is_empty() { DEFAULT_USER.to_owned() } else { user })
            }
            _ => Credentials::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_told_apart() {
        assert_eq!(Credentials::parse("Bearer abc"), Credentials::Bearer("abc".into()));
        assert_eq!(Credentials::parse("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), Credentials::Basic("Aladdin".into()));
        assert_eq!(Credentials::parse("Basic Og=="), Credentials::Basic(DEFAULT_USER.into()));
        for other in ["", "Bearer", "Digest QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Basic ???"] {
            assert_eq!(Credentials::parse(other), Credentials::Other, "{other}");
        }
    }
}
