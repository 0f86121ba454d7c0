//! What both protocols ask: must this client show a password, and is it the right one?

use super::hba::{HbaError, HbaRules, Method, Peer};
use super::scram::{ITERATIONS, SALT_BYTES, ScramVerifier};
use super::throttle::Throttle;
use super::valid_until::ValidUntil;
use crate::catalog::{Catalog, CatalogState, Object, Privileges, RoleDef, RoleId};
use crate::error::{SqlError, SqlResult, SqlState, internal, task_ended};
use crate::sql::DATABASE;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use ring::{hmac, rand};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use thiserror::Error;
use tokio::sync::Semaphore;

/// Passwords that are checked at the same time, each for some milliseconds of one core: who sends many waits, and queries go on.
const CHECKS_AT_ONCE: usize = 2;

/// A password longer than this is nobody's: PostgreSQL's bound.
const PASSWORD_BYTES_MAX: usize = 1024;

/// Where the rules are.
#[derive(Clone, Debug)]
pub enum HbaSource {
    Fixed(HbaRules),
    /// Read at the start, and again when [`Authenticator::reload`] is called.
    File(PathBuf),
}

/// Why a file of rules is not used.
#[derive(Debug, Error)]
pub enum HbaFileError {
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Wrong { path: PathBuf, source: HbaError },
}

/// What a client must do to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing: it is that role.
    Nothing(RoleId),
    /// SCRAM-SHA-256, where the protocol has it; else the password.
    Scram,
    /// The password itself.
    Password,
}

/// Lets clients in, or not. One a master.
pub struct Authenticator {
    catalog: Arc<Catalog>,
    source: HbaSource,
    rules: RwLock<Arc<HbaRules>>,
    throttle: Mutex<Throttle<Option<IpAddr>>>,
    checks: Semaphore,
    /// Of what users are told to salt with who are none: the same for each of them, until the master is started again.
    mock_key: hmac::Key,
}

impl Authenticator {
    /// # Errors
    /// Rules that cannot be read; a system without random bytes.
    pub fn new(catalog: Arc<Catalog>, source: HbaSource) -> SqlResult<Self> {
        let rules = read(&source).map_err(|error| SqlError::new(SqlState::CONFIG_FILE_ERROR, error.to_string()))?;
        let mock_key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new());
        Ok(Authenticator {
            catalog,
            source,
            rules: RwLock::new(Arc::new(rules)),
            throttle: Mutex::default(),
            checks: Semaphore::new(CHECKS_AT_ONCE),
            mock_key: mock_key.map_err(|_| -> SqlError { internal("the system gives no random bytes") })?,
        })
    }

    /// Reads the file of rules again. Rules that are wrong leave the old ones in force. Clients that are in stay.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn reload(&self) -> Result<(), HbaFileError> {
        let rules = read(&self.source)?;
        *self.rules.write() = Arc::new(rules);
        Ok(())
    }

    /// Whether there are rules that fit nobody where there is no TLS for clients.
    pub fn has_hostssl_rules(&self) -> bool {
        self.rules.read().have_hostssl()
    }

    /// What a client must show that says that it is `user`.
    ///
    /// # Errors
    /// 28000 if no rule lets it in.
    pub fn demand(&self, user: &str, database: &str, peer: Peer) -> SqlResult<Demand> {
        let state = self.catalog.current();
        let rules = Arc::clone(&self.rules.read());
        let method = rules.method(peer, database, user, |role| belongs(&state, user, role));
        let encryption = if peer.is_encrypted { "SSL encryption" } else { "no encryption" };
        let refused = |why: &str| {
            let message = format!("{why} for {peer}, user \"{user}\", database \"{database}\", {encryption}");
            tracing::warn!(user, %peer, "{why}");
            SqlError::new(SqlState::INVALID_AUTHORIZATION, message)
        };
        match method {
            Some(Method::Trust { unknown }) => {
                let named = state.role(user).or_else(|| unknown.as_ref().and_then(|role| state.role(role)));
                let Some(role) = named else {
                    let message = format!("role \"{user}\" does not exist");
                    return Err(SqlError::new(SqlState::INVALID_AUTHORIZATION, message));
                };
                may_log_in(&state, role)?;
                Ok(Demand::Nothing(role.id))
            }
            Some(Method::Scram) => Ok(Demand::Scram),
            Some(Method::Password) if peer.is_encrypted || peer.is_local() => Ok(Demand::Password),
            Some(Method::Password) => Err(refused("the rule asks for a password, which goes over TLS only,")),
            Some(Method::Reject) => Err(refused("pg_hba.conf rejects connection")),
            None => Err(refused("no pg_hba.conf entry")),
        }
    }

    /// Lets a client in by what it sent: a password, or none. Right or wrong, for users that are there or not, it takes the same steps.
    ///
    /// # Errors
    /// 28000, 28P01; 53300 while too many passwords were wrong.
    pub fn log_in<'a>(
        &'a self,
        user: &'a str,
        database: &'a str,
        peer: Peer,
        password: Option<&'a str>,
    ) -> BoxFuture<'a, SqlResult<RoleId>> {
        async move {
            match (self.demand(user, database, peer)?, password) {
                (Demand::Nothing(role), _) => Ok(role),
                (Demand::Scram | Demand::Password, Some(password)) => self.check_password(user, peer, password).await,
                (Demand::Scram | Demand::Password, None) => {
                    let message = format!("user \"{user}\" has to show a password");
                    Err(SqlError::new(SqlState::INVALID_AUTHORIZATION, message))
                }
            }
        }
        .boxed()
    }

    async fn check_password(&self, user: &str, peer: Peer, password: &str) -> SqlResult<RoleId> {
        // Held until the failure is counted: guesses that come at the same time are counted one after the other.
        let _permit = self.checks.acquire().await.map_err(internal)?;
        let verifier = self.verifier(user, peer)?;
        let is_possible = password.len() <= PASSWORD_BYTES_MAX;
        let password = if is_possible { password.to_owned() } else { String::new() };
        // Made slow on purpose: not on a thread that serves sockets.
        let checked = tokio::task::spawn_blocking(move || verifier.is_of(&password)).await.map_err(task_ended)?;
        self.conclude(user, peer, checked && is_possible)
    }

    /// What a user's proof is checked by; of who has no password, one that no proof fits, and that does not tell so. The protocol then calls
    /// [`Authenticator::conclude`] with what came of the proof; a client that goes before it has sent one has guessed nothing.
    ///
    /// # Errors
    /// 53300 while too many passwords were wrong.
    pub fn verifier(&self, user: &str, peer: Peer) -> SqlResult<ScramVerifier> {
        if let Some(wait) = self.throttle.lock().wait(peer.address, user, Instant::now()) {
            return Err(throttled(user, peer, wait));
        }
        let state = self.catalog.current();
        let known = state.role(user).and_then(|role| role.verifier.as_ref());
        Ok(known.and_then(|verifier| ScramVerifier::parse(&verifier.0)).unwrap_or_else(|| self.mock(user)))
    }

    /// Counts and logs what was wrong, and says which role came in if `is_right`. Of proofs that came at the same time, those count for
    /// nothing, and tell nothing, that would have had to wait if they had come one after the other.
    ///
    /// # Errors
    /// 28P01; 28000 of a role that may not log in; 53300.
    pub fn conclude(&self, user: &str, peer: Peer, is_right: bool) -> SqlResult<RoleId> {
        let state = self.catalog.current();
        // The mock's keys are nobody's, but for who guesses them.
        let role = state.role(user).filter(|role| is_right && role.verifier.is_some());
        let role = role.filter(|role| is_valid(role, SystemTime::now()));
        let mut throttle = self.throttle.lock();
        let now = Instant::now();
        if let Some(wait) = throttle.wait(peer.address, user, now) {
            return Err(throttled(user, peer, wait));
        }
        let Some(role) = role else {
            throttle.failed(peer.address, user, now);
            tracing::warn!(user, %peer, "password authentication failed");
            return Err(wrong_password(user));
        };
        throttle.succeeded(peer.address, user);
        drop(throttle);
        may_log_in(&state, role)?;
        Ok(role.id)
    }

    /// Of a user without a password: always the same salt, which does not tell that it is none of a password.
    fn mock(&self, user: &str) -> ScramVerifier {
        let bytes = |what: &str| {
            let tag = hmac::sign(&self.mock_key, format!("{what}\0{user}").as_bytes());
            <[u8; 32]>::try_from(tag.as_ref()).expect("a SHA-256 has 32 bytes")
        };
        ScramVerifier {
            iterations: ITERATIONS,
            salt: bytes("salt")[..SALT_BYTES].to_vec(),
            stored_key: bytes("stored"),
            server_key: bytes("server"),
        }
    }
}

fn read(source: &HbaSource) -> Result<HbaRules, HbaFileError> {
    match source {
        HbaSource::Fixed(rules) => Ok(rules.clone()),
        HbaSource::File(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|source| HbaFileError::Unreadable { path: path.clone(), source })?;
            HbaRules::parse(&text).map_err(|source| HbaFileError::Wrong { path: path.clone(), source })
        }
    }
}

/// For `+role` of the rules: whether a user is a member, whatever it inherits. A superuser belongs only to what it is a member of.
fn belongs(state: &CatalogState, user: &str, role: &str) -> bool {
    let (Some(user), Some(role)) = (state.role(user), state.role(role)) else { return false };
    state.is_member(user.id, role.id)
}

fn is_valid(role: &RoleDef, now: SystemTime) -> bool {
    let until = role.valid_until.as_deref().map(ValidUntil::parse);
    // What cannot be read lets nobody in.
    until.is_none_or(|until| until.is_ok_and(|until| !until.is_over(now)))
}

fn may_log_in(state: &CatalogState, role: &RoleDef) -> SqlResult<()> {
    if !role.login {
        let message = format!("role \"{}\" is not permitted to log in", role.name);
        return Err(SqlError::new(SqlState::INVALID_AUTHORIZATION, message));
    }
    if !state.may(role.id, &Object::Database, Privileges::CONNECT) {
        let message = format!("permission denied for database \"{DATABASE}\"");
        let detail = "User does not have CONNECT privilege.";
        return Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, message).with_detail(detail));
    }
    Ok(())
}

fn throttled(user: &str, peer: Peer, wait: Duration) -> SqlError {
    let message = format!("too many failed attempts to log in as \"{user}\" from {peer}");
    let hint = format!("Try again in {} seconds.", wait.as_secs() + 1);
    SqlError::new(SqlState::TOO_MANY_CONNECTIONS, message).with_hint(hint)
}

fn wrong_password(user: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_PASSWORD, format!("password authentication failed for user \"{user}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{AccessDef, Verifier};

    const FAR: Peer = Peer { address: Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1))), is_encrypted: false };
    const NEAR: Peer = Peer { address: Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)), is_encrypted: false };

    fn with_roles(source: HbaSource) -> (tempfile::TempDir, Authenticator) {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(directory.path(), 1).unwrap();
        for (id, name, login, until) in [
            (1001, "ann", true, None),
            (1002, "group", false, None),
            (1003, "late", true, Some("2020-01-01".to_owned())),
        ] {
            let verifier = ScramVerifier::of_password("right", b"0123456789abcdef", ITERATIONS).text();
            let role = RoleDef {
                login,
                valid_until: until,
                verifier: Some(Verifier(verifier)),
                ..RoleDef::new(RoleId(id), name.into())
            };
            catalog.alone(|workspace| workspace.create_role(role)).unwrap();
        }
        let bare = RoleDef { login: true, ..RoleDef::new(RoleId(1004), "bare".into()) };
        catalog.alone(|workspace| workspace.create_role(bare)).unwrap();
        let authenticator = Authenticator::new(catalog, source).unwrap();
        (directory, authenticator)
    }

    async fn state_of(auth: &Authenticator, user: &str, peer: Peer, password: &str) -> Result<u64, &'static str> {
        let role = auth.log_in(user, "damson", peer, Some(password)).await;
        role.map(|role| role.0).map_err(|error| error.state.0)
    }

    #[tokio::test]
    async fn the_right_password_lets_in() {
        let (_directory, auth) = with_roles(HbaSource::Fixed(HbaRules::passwords()));
        assert_eq!(state_of(&auth, "ann", FAR, "right").await, Ok(1001));
        for (user, password, state) in [
            ("ann", "wrong", "28P01"),
            ("ann", "", "28P01"),
            ("nobody", "right", "28P01"),
            ("bare", "", "28P01"),
            ("late", "right", "28P01"),
            ("group", "right", "28000"),
            ("group", "wrong", "28P01"),
        ] {
            assert_eq!(state_of(&auth, user, FAR, password).await, Err(state), "{user} {password}");
        }
        assert_eq!(auth.log_in("ann", "damson", FAR, None).await.unwrap_err().state.0, "28000");
        let long = auth.log_in("ann", "damson", FAR, Some(&"x".repeat(PASSWORD_BYTES_MAX + 1))).await;
        assert_eq!(long.unwrap_err().state.0, "28P01");
    }

    #[tokio::test]
    async fn who_guesses_waits() {
        let (_directory, auth) = with_roles(HbaSource::Fixed(HbaRules::passwords()));
        let mut states = vec![];
        for _ in 0..10_000 {
            states.push(state_of(&auth, "ann", FAR, "wrong").await.unwrap_err());
        }
        let checked = states.iter().filter(|state| **state == "28P01").count();
        // Each second, and then two, and four, another one.
        assert!((5..20).contains(&checked), "{checked} were checked");
        assert_eq!(states.iter().filter(|state| **state == "53300").count(), 10_000 - checked);
        // Not even the right one; but from elsewhere.
        assert_eq!(state_of(&auth, "ann", FAR, "right").await, Err("53300"));
        assert_eq!(state_of(&auth, "ann", NEAR, "right").await, Ok(1001));
    }

    #[tokio::test]
    async fn who_may_not_connect_does_not() {
        let (_directory, auth) = with_roles(HbaSource::Fixed(HbaRules::passwords()));
        let mut access = AccessDef::initial(Object::Database, RoleId::BOOTSTRAP);
        access.revoke(None, Privileges::CONNECT, false);
        auth.catalog.alone(|workspace| workspace.put_access(vec![access.clone()])).unwrap();
        assert_eq!(state_of(&auth, "ann", FAR, "right").await, Err("42501"));
        access.grant(Some(RoleId(1001)), Privileges::CONNECT, false);
        auth.catalog.alone(|workspace| workspace.put_access(vec![access])).unwrap();
        assert_eq!(state_of(&auth, "ann", FAR, "right").await, Ok(1001));
    }

    #[test]
    fn who_is_nobody_is_told_a_salt_too() {
        let (_directory, auth) = with_roles(HbaSource::Fixed(HbaRules::passwords()));
        let first = auth.verifier("nobody", FAR).unwrap();
        assert_eq!(auth.verifier("nobody", FAR).unwrap(), first);
        assert_ne!(auth.verifier("nobody2", FAR).unwrap().salt, first.salt);
        assert_eq!((first.iterations, first.salt.len()), (ITERATIONS, SALT_BYTES));
        assert_eq!(auth.conclude("nobody", FAR, true).unwrap_err().state.0, "28P01");
        assert_eq!(auth.conclude("bare", FAR, true).unwrap_err().state.0, "28P01");
    }

    /// Who opens many connections first, and then sends a proof over each.
    #[test]
    fn guesses_at_the_same_time_are_not_free() {
        let (_directory, auth) = with_roles(HbaSource::Fixed(HbaRules::passwords()));
        let verifiers: Vec<ScramVerifier> = (0..100).map(|_| auth.verifier("ann", FAR).unwrap()).collect();
        let concluded = |is_right| auth.conclude("ann", FAR, is_right).unwrap_err().state.0;
        let states: Vec<&str> = verifiers.iter().map(|_| concluded(false)).collect();
        assert_eq!(states.iter().filter(|state| **state == "28P01").count(), 5, "{states:?}");
        assert!(states[5..].iter().all(|state| *state == "53300"), "{states:?}");
        assert_eq!(concluded(true), "53300", "it is not told which one was right");
    }

    #[tokio::test]
    async fn a_demo_knows_everybody_who_is_near() {
        let (_directory, auth) = with_roles(HbaSource::Fixed(HbaRules::demo()));
        assert_eq!(auth.demand("somebody", "postgres", NEAR).unwrap(), Demand::Nothing(RoleId::BOOTSTRAP));
        assert_eq!(auth.demand("ann", "damson", NEAR).unwrap(), Demand::Nothing(RoleId(1001)));
        assert_eq!(auth.demand("group", "damson", NEAR).unwrap_err().state.0, "28000");
        assert_eq!(auth.demand("damson", "damson", FAR).unwrap(), Demand::Scram);
        assert_eq!(state_of(&auth, "damson", FAR, "").await, Err("28P01"));
    }

    #[test]
    fn rules_are_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hba.conf");
        std::fs::write(&path, "host all all 127.0.0.1/32 trust\nhost all all all password\n").unwrap();
        let (_catalog, auth) = with_roles(HbaSource::File(path.clone()));
        assert_eq!(auth.demand("ann", "damson", NEAR).unwrap(), Demand::Nothing(RoleId(1001)));
        assert_eq!(auth.demand("somebody", "damson", NEAR).unwrap_err().message, "role \"somebody\" does not exist");
        // A password does not go over the network as it is.
        assert_eq!(auth.demand("ann", "damson", FAR).unwrap_err().state.0, "28000");
        let encrypted = Peer { is_encrypted: true, ..FAR };
        assert_eq!(auth.demand("ann", "damson", encrypted).unwrap(), Demand::Password);
        std::fs::write(&path, "host all all 127.0.0.1/32 reject\n").unwrap();
        auth.reload().unwrap();
        let refused = auth.demand("ann", "damson", NEAR).unwrap_err().message;
        assert!(
            refused.starts_with("pg_hba.conf rejects connection for host \"127.0.0.1\", user \"ann\""),
            "{refused}"
        );
        let refused = auth.demand("ann", "damson", FAR).unwrap_err().message;
        assert!(refused.starts_with("no pg_hba.conf entry for host \"10.0.0.1\""), "{refused}");
        std::fs::write(&path, "host all\n").unwrap();
        assert!(auth.reload().unwrap_err().to_string().contains("line 1"));
        assert!(auth.demand("ann", "damson", NEAR).unwrap_err().message.starts_with("pg_hba.conf rejects"));
        std::fs::remove_file(&path).unwrap();
        assert!(auth.reload().is_err());
    }

    #[test]
    fn a_password_is_valid_until_its_time() {
        let role = |until: &str| RoleDef { valid_until: Some(until.into()), ..RoleDef::new(RoleId(1), "r".into()) };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
        assert!(is_valid(&role("1970-01-02 00:00:01"), now) && !is_valid(&role("1970-01-02"), now));
        assert!(is_valid(&role("infinity"), now) && !is_valid(&role("what is this"), now));
    }
}
