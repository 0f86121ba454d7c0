//! Who calls: sessions by bearer token, and by connection for clients that do not log in.

use super::basic;
use super::known::{Found, Key, Known, Lives};
use super::limits::{SESSION_IDLE, UNTOLD_MAX};
use super::peer::{ClientAddress, Connection};
use super::retrieve::Passes;
use super::statements::Statements;
use super::status::{malformed, status, unauthenticated, violation};
use crate::catalog::RoleId;
use crate::error::{SqlError, SqlResult, SqlState, internal};
use crate::master::Master;
use crate::session::Session;
use crate::shared::Shared;
use crate::sql::DATABASE;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use ring::{hmac, rand};
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
    /// It logged in over TLS, and its token is not to be shown without.
    is_encrypted: bool,
    user: String,
    role: RoleId,
    /// Of the password that it showed last, for clients that show it with every call.
    shown: Mutex<Option<hmac::Tag>>,
    used: Mutex<Instant>,
}

/// Who reads a stream that may be another session's of its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reader {
    pub user: String,
    pub role: RoleId,
    /// It logged in over TLS, and so comes over it.
    pub is_encrypted: bool,
}

/// Every client of a server.
pub(super) struct Clients {
    master: Shared<Master>,
    clients: Mutex<Known<Client>>,
    passes: Passes,
    /// Of this process: with it passwords are kept in memory as something else.
    password_key: hmac::Key,
}

const DEFAULT_USER: &str = "damson";

impl Clients {
    /// # Errors
    /// A system without random bytes.
    pub(super) fn new(master: Arc<Master>) -> SqlResult<Self> {
        let password_key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new());
        let password_key = password_key.map_err(|_| -> SqlError { internal("the system gives no random bytes") })?;
        let clients = Mutex::new(Known::new(UNTOLD_MAX));
        Ok(Clients { master: master.into(), clients, passes: Passes::default(), password_key })
    }

    /// A new session, and the token that stands for it.
    ///
    /// # Errors
    /// Unauthenticated for who may not come in, InvalidArgument for an unreadable header, ResourceExhausted if there are too many
    /// sessions, or were too many wrong passwords.
    pub(super) fn log_in<'a>(
        &'a self,
        authorization: Option<&str>,
        connection: Connection,
    ) -> BoxFuture<'a, Result<String, Status>> {
        let shown = authorization.map(Credentials::parse);
        async move {
            let (user, password) = match shown {
                None => (DEFAULT_USER.to_owned(), None),
                Some(Credentials::Basic(user, password)) => (user, Some(password)),
                Some(_) => return Err(violation("a handshake needs an authorization header of the form \"Basic …\"")),
            };
            let role = self.role(&user, password.as_deref(), connection.address()).await.map_err(|e| status(&e))?;
            let token = Uuid::new_v4().simple().to_string();
            self.insert(Key::Token(token.clone()), &user, role, &connection).map_err(|e| status(&e))?;
            Ok(token)
        }
        .boxed()
    }

    /// The client that makes a call.
    ///
    /// # Errors
    /// As [`Clients::log_in`]; Unauthenticated if its token is not known (any more). Once, why its session has ended, if that was idle, or is its
    /// connection's.
    pub(super) fn of_call<'a>(
        &'a self,
        authorization: Option<&str>,
        connection: Connection,
    ) -> BoxFuture<'a, Result<Arc<Client>, Status>> {
        let shown = authorization.map(Credentials::parse);
        async move {
            let (user, password) = match shown {
                Some(Credentials::Bearer(token)) => {
                    let known = self.known(&Key::Token(token), &connection).map_err(|e| status(&e))?;
                    let client = known.ok_or_else(|| {
                        status(&unauthenticated("the session is not known: it ended, or the server was restarted"))
                    })?;
                    if client.is_encrypted && !connection.address().is_encrypted {
                        return Err(status(&unauthenticated("the session began over TLS, and this call came without")));
                    }
                    return Ok(client);
                }
                Some(Credentials::Basic(user, password)) => (user, Some(password)),
                Some(Credentials::Other) => return Err(violation("unreadable authorization header")),
                None => (DEFAULT_USER.to_owned(), None),
            };
            let key = Key::Connection(connection.address(), user.clone());
            let known = self.known(&key, &connection).map_err(|e| status(&e))?;
            if let Some(client) = &known
                && self.has_shown(client, password.as_deref())
            {
                return Ok(Arc::clone(client));
            }
            let role = self.role(&user, password.as_deref(), connection.address()).await.map_err(|e| status(&e))?;
            let client = match known.filter(|client| client.role == role) {
                Some(client) => client,
                None => self.insert(key, &user, role, &connection).map_err(|e| status(&e))?,
            };
            *client.shown.lock() = password.map(|password| hmac::sign(&self.password_key, password.as_bytes()));
            Ok(client)
        }
        .boxed()
    }

    /// Whether the client has come in with that very password already, which need not be checked again.
    fn has_shown(&self, client: &Client, password: Option<&str>) -> bool {
        match (*client.shown.lock(), password) {
            (Some(shown), Some(password)) => {
                hmac::verify(&self.password_key, password.as_bytes(), shown.as_ref()).is_ok()
            }
            _ => false,
        }
    }

    async fn role(&self, user: &str, password: Option<&str>, address: ClientAddress) -> SqlResult<RoleId> {
        self.master.auth.log_in(user, DATABASE, address.peer(), password).await
    }

    /// Whose a stream is that a client asks for: its own, or another's of the same user, if both have logged in. What began over TLS is read over
    /// TLS.
    pub(super) fn of_stream(&self, client: &Arc<Client>, handle: Uuid) -> Option<Arc<Client>> {
        if client.statements.has_stream(handle) {
            return Some(Arc::clone(client));
        }
        if client.is_anonymous {
            return None;
        }
        let Client { user, role, is_encrypted, .. } = client.as_ref();
        let reader = Reader { user: user.clone(), role: *role, is_encrypted: *is_encrypted };
        self.of_reader(&reader, handle).filter(|owner| !owner.is_anonymous)
    }

    /// Whose a stream is that somebody asks for, if it is the same user's.
    pub(super) fn of_reader(&self, reader: &Reader, handle: Uuid) -> Option<Arc<Client>> {
        let may_read = |client: &&Arc<Client>| {
            (&client.user, client.role) == (&reader.user, reader.role)
                && (reader.is_encrypted || !client.is_encrypted)
                && client.statements.has_stream(handle)
        };
        let owner = self.clients.lock().all().find(may_read).cloned()?;
        // It has no place any more to run anything in.
        owner.ended().is_none().then_some(owner)
    }

    /// Who has come to a segment, by what it shows: a session's token, one of [`Clients::pass`], a name and a password, or nothing.
    ///
    /// # Errors
    /// 28000 and 28P01 for who may not come in, 08P01 for an unreadable header.
    pub(super) async fn reader(&self, authorization: Option<&str>, address: ClientAddress) -> SqlResult<Reader> {
        let (user, password) = match authorization.map(Credentials::parse) {
            Some(Credentials::Bearer(token)) => {
                let known = self.known(&Key::Token(token.clone()), &Connection::new(address))?;
                let known = known.map(|client| Reader {
                    user: client.user.clone(),
                    role: client.role,
                    is_encrypted: client.is_encrypted,
                });
                let reader = known.or_else(|| self.passes.find(&token, Instant::now()));
                let reader = reader.ok_or_else(|| unauthenticated("the token is not known: its session has ended"))?;
                if reader.is_encrypted && !address.is_encrypted {
                    return Err(unauthenticated("the session began over TLS, and this call came without"));
                }
                return Ok(reader);
            }
            Some(Credentials::Basic(user, password)) => (user, Some(password)),
            Some(Credentials::Other) => return Err(malformed("unreadable authorization header")),
            None => (DEFAULT_USER.to_owned(), None),
        };
        let role = self.role(&user, password.as_deref(), address).await?;
        Ok(Reader { user, role, is_encrypted: address.is_encrypted })
    }

    /// A token for who has come to a segment with a name and a password, or without either, where no session begins.
    ///
    /// # Errors
    /// As [`Clients::reader`]; 08P01 for who shows a token, which would not end then.
    pub(super) async fn pass(&self, authorization: Option<&str>, address: ClientAddress) -> SqlResult<String> {
        if let Some(Credentials::Bearer(_)) = authorization.map(Credentials::parse) {
            return Err(malformed("a handshake needs an authorization header of the form \"Basic …\""));
        }
        let reader = self.reader(authorization, address).await?;
        Ok(self.passes.give(reader, Instant::now()))
    }

    /// Ends the session of a call; false if there is none.
    pub(super) fn log_out(&self, authorization: Option<&str>, address: ClientAddress) -> bool {
        let key = match authorization.map(Credentials::parse) {
            Some(Credentials::Bearer(token)) => Key::Token(token),
            Some(Credentials::Basic(user, _)) => Key::Connection(address, user),
            Some(Credentials::Other) => return false,
            None => Key::Connection(address, DEFAULT_USER.to_owned()),
        };
        let client = self.clients.lock().remove(&key);
        if let Some(client) = &client {
            client.statements.cancel_all();
        }
        client.is_some()
    }

    /// # Errors
    /// Why the session has ended. The client is told so by its next call; those after it find no session, or begin a new one. Who has a token hears
    /// of an administrator's command that the session is not known.
    fn known(&self, key: &Key, connection: &Connection) -> SqlResult<Option<Arc<Client>>> {
        let found = self.clients.lock().find(key, connection);
        match (found, key) {
            (Found::Client(client), _) => {
                *client.used.lock() = Instant::now();
                Ok(Some(client))
            }
            (Found::Ended(why), Key::Connection(..)) => {
                Err(why.with_hint("Its settings and its transaction are gone; the next call begins a new session."))
            }
            (Found::Ended(why), Key::Token(_)) if why.state != SqlState::ADMIN_SHUTDOWN => {
                Err(why.with_hint("log in again"))
            }
            (Found::Ended(_) | Found::Nobody, _) => Ok(None),
        }
    }

    fn insert(&self, key: Key, user: &str, role: RoleId, connection: &Connection) -> SqlResult<Arc<Client>> {
        let mut clients = self.clients.lock();
        clients.forget_ended();
        let address = connection.address();
        let enter = || self.master.client_session(user, role, Some(address.ip()));
        let session = match enter() {
            Ok(session) => session,
            // Clients that never log out may be idle for long enough to be forgotten.
            Err(_) => {
                clients.forget_all_ended();
                enter()?
            }
        };
        session.take_plain_text();
        let client = Client {
            session: session.into(),
            statements: Arc::default(),
            is_anonymous: matches!(key, Key::Connection(..)),
            is_encrypted: address.is_encrypted,
            user: user.to_owned(),
            role,
            shown: Mutex::default(),
            used: Mutex::new(Instant::now()),
        };
        Ok(clients.insert(key, client, connection, |there| there.role == role))
    }
}

impl Client {
    /// Whether what it began is to be seen by no one on the way.
    pub(super) fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }
}

impl Lives for Client {
    /// A session ends by an administrator, by its settings, and by itself when nobody has called for so long.
    fn ended(&self) -> Option<SqlError> {
        if let Some(why) = self.session.ended() {
            return Some(why);
        }
        let is_quiet = !self.statements.is_running() && self.used.lock().elapsed() >= SESSION_IDLE;
        is_quiet.then(Session::too_quiet)
    }
}

#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
enum Credentials {
    Bearer(String),
    /// User and password.
    Basic(String, String),
    Other,
}

impl Credentials {
    fn parse(header: &str) -> Self {
        let Some((scheme, value)) = header.split_once(' ') else { return Credentials::Other };
        if scheme.eq_ignore_ascii_case("bearer") {
            return Credentials::Bearer(value.trim().to_owned());
        }
        match basic::decode(value) {
            Some((user, password)) if scheme.eq_ignore_ascii_case("basic") => {
                Credentials::Basic(if user.is_empty() { DEFAULT_USER.to_owned() } else { user }, password)
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
        let basic = |user: &str, password: &str| Credentials::Basic(user.into(), password.into());
        assert_eq!(Credentials::parse("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), basic("Aladdin", "open sesame"));
        assert_eq!(Credentials::parse("Basic Og=="), basic(DEFAULT_USER, ""));
        for other in ["", "Bearer", "Digest QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Basic ???"] {
            assert_eq!(Credentials::parse(other), Credentials::Other, "{other}");
        }
    }
}
