//! Who the active master is, where several share a catalog in PostgreSQL.

use super::error::CatalogError;
use super::postgres::{Connection, IDLE_IN_TRANSACTION, LOCK_SCHEMA, Session, column, next_epoch, prepare};
use super::rows::{count, int};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, sleep_until, timeout_at};

/// How long a lease lasts unless it is renewed: two renewals may fail.
const LEASE: Duration = Duration::from_secs(6);

/// How often the active master renews its lease.
const RENEW_EVERY: Duration = Duration::from_secs(2);

/// How soon a renewal that failed is tried again.
const RETRY_EVERY: Duration = Duration::from_millis(250);

/// How often a standby looks whether the lease is free.
const POLL_EVERY: Duration = Duration::from_millis(500);

/// From the death of the active master to the moment that another one has the catalog.
const TAKEOVER_MAX: Duration = Duration::from_secs(10);

const _: () = assert!(RENEW_EVERY.as_millis() * 3 <= LEASE.as_millis());
/// A transaction of the dead master holds the epoch's lock for as long as the server waits for it.
const _: () =
    assert!((LEASE.as_millis() + POLL_EVERY.as_millis() + IDLE_IN_TRANSACTION.as_millis()) < TAKEOVER_MAX.as_millis());

/// The right to be the active master, and the epoch that came with it. Taken before the catalog is opened with
/// [`Catalog::open_leased`](super::Catalog::open_leased). One that is dropped without [`Lease::release`] ends when it expires.
///
/// What says when it expires is the database's clock; the holder measures by its own only how long ago it asked for the lease, so
/// that it gives up before another can have it.
pub struct Lease {
    url: String,
    holder: String,
    epoch: u64,
    session: Mutex<LeaseSession>,
}

struct LeaseSession {
    connection: Connection,
    /// By our clock: a little before it expires by the database's.
    held_until: Instant,
    released: bool,
}

/// Who has the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseHolder {
    pub holder: String,
    pub endpoint: String,
    pub epoch: u64,
    /// Unless it renews the lease before.
    pub expires_in: Duration,
}

/// `the master m1 at 10.0.0.1:7000 (epoch 7)`
impl fmt::Display for LeaseHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LeaseHolder { holder, endpoint, epoch, .. } = self;
        // Masters name themselves after where they are.
        match holder.starts_with(endpoint.as_str()) {
            true => write!(f, "the master {holder} (epoch {epoch})"),
            false => write!(f, "the master {holder} at {endpoint} (epoch {epoch})"),
        }
    }
}

/// Why a standby waits.
#[derive(Debug)]
pub enum Waiting {
    Held(LeaseHolder),
    /// The database cannot be asked now.
    Unreachable(CatalogError),
}

impl Lease {
    /// Takes the lease if it is free or has expired, and the next epoch: from then on the master that had it can change nothing.
    /// Blocks. `holder` names this master in messages, `endpoint` is where clients and segments find it.
    ///
    /// # Errors
    /// [`CatalogError::Held`]; [`CatalogError::Postgres`]; [`CatalogError::NewerSchema`] and [`CatalogError::Damaged`] as
    /// [`Catalog::open`](super::Catalog::open).
    pub fn acquire(url: &str, holder: &str, endpoint: &str) -> Result<Lease, CatalogError> {
        let mut candidate = Candidate::new(url, holder, endpoint)?;
        let (epoch, held_until) = candidate.try_take()?;
        Ok(candidate.into_lease(epoch, held_until))
    }

    /// Waits until it can be taken, as a standby does. `told` is called when there is another reason to wait than before. Nothing is
    /// held if the future is dropped, or for no longer than a lease lasts.
    ///
    /// # Errors
    /// As [`Lease::acquire`], but a lease that is held, and a database that cannot be reached, are waited for.
    pub async fn wait(
        url: &str,
        holder: &str,
        endpoint: &str,
        mut told: impl FnMut(&Waiting),
    ) -> Result<Lease, CatalogError> {
        let mut candidate = Candidate::new(url, holder, endpoint)?;
        let mut reason = None;
        loop {
            let attempt = spawn_blocking(move || {
                let taken = candidate.try_take();
                (candidate, taken)
            });
            let (returned, taken) =
                attempt.await.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
            candidate = returned;
            let waiting = match taken {
                Ok((epoch, held_until)) => return Ok(candidate.into_lease(epoch, held_until)),
                Err(CatalogError::Held(holder)) => Waiting::Held(holder),
                Err(CatalogError::Postgres(error)) if error.may_pass() => Waiting::Unreachable(error.into()),
                Err(error) => return Err(error),
            };
            let now = match &waiting {
                Waiting::Held(holder) => holder.to_string(),
                Waiting::Unreachable(error) => error.to_string(),
            };
            if reason.as_ref() != Some(&now) {
                told(&waiting);
                reason = Some(now);
            }
            sleep(POLL_EVERY).await;
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Fences every master before.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Makes it last from now. Blocks.
    ///
    /// # Errors
    /// [`CatalogError::Deposed`] if another master has it, or opened the catalog without one; [`CatalogError::Postgres`], after which it
    /// may be tried again.
    pub fn renew(&self) -> Result<(), CatalogError> {
        let mut session = self.session.lock();
        if session.released {
            return Err(CatalogError::Deposed { ours: self.epoch, by: "itself: it released the lease".into() });
        }
        let asked = Instant::now();
        self.change(&mut session, LEASE)?;
        session.held_until = asked + LEASE;
        Ok(())
    }

    /// Lets a standby take over at once: the last act of a master. Blocks.
    ///
    /// # Errors
    /// [`CatalogError::Postgres`] and [`CatalogError::LeaseExpired`]: then it ends when it expires.
    pub fn release(&self) -> Result<(), CatalogError> {
        let Some(mut session) = self.session.try_lock_for(RENEW_EVERY) else {
            let failure = "the database does not answer".to_owned();
            return Err(CatalogError::LeaseExpired { failure });
        };
        session.released = true;
        match self.change(&mut session, Duration::ZERO) {
            Err(CatalogError::Deposed { .. }) => Ok(()),
            result => result,
        }
    }

    /// It expires after `left`.
    fn change(&self, session: &mut LeaseSession, left: Duration) -> Result<(), CatalogError> {
        let (epoch, left_ms) = (int(self.epoch), left.as_millis() as i64);
        session.connection.transaction("SELECT holder FROM lease FOR UPDATE", |session, _| {
            // Of a master that opened the catalog without a lease only the epoch tells.
            let renew = "UPDATE lease SET expires = clock_timestamp() + $3::bigint * interval '1 millisecond'
                         WHERE holder = $1 AND epoch = $2 AND EXISTS (
                             SELECT FROM settings WHERE key = 'epoch' AND value = $2::bigint::text)";
            if session.execute(renew, &[&self.holder, &epoch, &left_ms])? == 1 {
                return Ok(());
            }
            let by = match holder(session)? {
                Some(other) if other.epoch != self.epoch => other.to_string(),
                _ => "a master that opened the catalog without a lease".to_owned(),
            };
            Err(CatalogError::Deposed { ours: self.epoch, by })
        })
    }

    /// Renews it for as long as that can be done, and tells when it is not ours any more: the master must stop then. Start it
    /// before the catalog is opened, which may take longer than a lease lasts.
    ///
    /// Gives [`CatalogError::Deposed`], or [`CatalogError::LeaseExpired`] if it could not be renewed until a standby may have it.
    pub async fn keep(self: Arc<Self>) -> CatalogError {
        let mut held_until = self.session.lock().held_until;
        let mut failure = "the database did not answer".to_owned();
        loop {
            // Since it was last asked for.
            sleep_until((held_until - LEASE + RENEW_EVERY).into()).await;
            loop {
                let lease = Arc::clone(&self);
                let renewal = spawn_blocking(move || lease.renew().map(|()| lease.session.lock().held_until));
                match timeout_at(held_until.into(), renewal).await {
                    Ok(Ok(Ok(until))) => {
                        held_until = until;
                        break;
                    }
                    Ok(Ok(Err(error @ CatalogError::Deposed { .. }))) => return error,
                    Ok(Ok(Err(error))) => {
                        tracing::warn!(%error, "lease of the catalog not renewed");
                        failure = error.to_string();
                    }
                    Ok(Err(failed)) => std::panic::resume_unwind(failed.into_panic()),
                    Err(_) => return CatalogError::LeaseExpired { failure },
                }
                if timeout_at(held_until.into(), sleep(RETRY_EVERY)).await.is_err() {
                    return CatalogError::LeaseExpired { failure };
                }
            }
        }
    }
}

/// A master that would be the active one.
struct Candidate {
    url: String,
    holder: String,
    endpoint: String,
    connection: Connection,
}

impl Candidate {
    fn new(url: &str, holder: &str, endpoint: &str) -> Result<Self, CatalogError> {
        let connection = Connection::new(url)?;
        Ok(Candidate { url: url.to_owned(), holder: holder.to_owned(), endpoint: endpoint.to_owned(), connection })
    }

    fn into_lease(self, epoch: u64, held_until: Instant) -> Lease {
        let Candidate { url, holder, connection, .. } = self;
        Lease { url, holder, epoch, session: Mutex::new(LeaseSession { connection, held_until, released: false }) }
    }

    /// The epoch, and until when the lease is ours by our clock.
    fn try_take(&mut self) -> Result<(u64, Instant), CatalogError> {
        let asked = Instant::now();
        let (name, endpoint) = (&self.holder, &self.endpoint);
        let epoch = self.connection.transaction(LOCK_SCHEMA, |session, _| {
            prepare(session)?;
            // Locks the row: a renewal comes before this transaction or is too late.
            if let Some(holder) = holder(session)?.filter(|holder| !holder.expires_in.is_zero()) {
                if holder.expires_in > LEASE {
                    // The database's clock was set back. No holder counts on more than a lease from its last word.
                    let shorten =
                        "UPDATE lease SET expires = clock_timestamp() + $1::bigint * interval '1 millisecond'";
                    session.execute(shorten, &[&(LEASE.as_millis() as i64)])?;
                }
                // Not an error, for which the session would be replaced.
                return Ok(Err(holder));
            }
            let epoch = next_epoch(session)?;
            let take = "INSERT INTO lease (holder, endpoint, epoch, expires)
                        VALUES ($1, $2, $3, clock_timestamp() + $4::bigint * interval '1 millisecond')
                        ON CONFLICT (one) DO UPDATE SET holder = excluded.holder, endpoint = excluded.endpoint,
                            epoch = excluded.epoch, expires = excluded.expires";
            session.execute(take, &[name, endpoint, &int(epoch), &(LEASE.as_millis() as i64)])?;
            Ok(Ok(epoch))
        })?;
        let epoch = epoch.map_err(CatalogError::Held)?;
        Ok((epoch, asked + LEASE))
    }
}

/// The row of `lease`, locked; none if nobody ever had it.
fn holder(session: &mut Session) -> Result<Option<LeaseHolder>, CatalogError> {
    let select = "SELECT holder, endpoint, epoch,
                      greatest(0, ceil(extract(epoch FROM expires - clock_timestamp()) * 1000))::bigint
                  FROM lease FOR UPDATE";
    let Some(row) = session.row(select, &[])? else { return Ok(None) };
    Ok(Some(LeaseHolder {
        holder: column(&row, 0)?,
        endpoint: column(&row, 1)?,
        epoch: count(column(&row, 2)?)?,
        expires_in: Duration::from_millis(count(column(&row, 3)?)?),
    }))
}

#[cfg(test)]
mod tests;
