//! What a session is doing, as `pg_stat_activity` shows it.

use super::{Outcome, Session};
use crate::catalog::RoleId;
use crate::sql::shown_statement;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Of a statement's text, PostgreSQL's `track_activity_query_size`.
const TEXT_BYTES_MAX: usize = 1024;

/// A session's; changed by its statements.
pub(super) struct Activity {
    started: SystemTime,
    now: Mutex<Now>,
}

struct Now {
    running: usize,
    /// Calls of a client that are being answered.
    calls: usize,
    /// Statements that wait for a place, of those that run.
    waiting: usize,
    /// Since when nothing runs, and nothing is answered.
    quiet_since: Instant,
    /// Who is to say something, where the protocol tells.
    turn: Option<Turn>,
    /// The newest statement's, without secrets.
    text: String,
    query_start: Option<SystemTime>,
    state_change: SystemTime,
}

/// Whose turn it is in a protocol of question and answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Since then, even if a cursor of its waits to be asked for more rows.
    Client(Instant),
    Server,
}

/// Held while a statement runs, and while its rows are sent.
pub(super) struct Busy(Arc<Activity>);

/// Held while a statement waits for a place.
pub(super) struct Queued(Arc<Activity>);

/// Held while a call of the client's is answered.
pub(crate) struct Answering(Arc<Activity>);

/// One session.
#[derive(Clone, Debug)]
pub(crate) struct ActivityRow {
    pub pid: u64,
    pub role: RoleId,
    pub user: String,
    pub application: String,
    pub client: Option<IpAddr>,
    pub started: SystemTime,
    pub query_start: Option<SystemTime>,
    pub state_change: SystemTime,
    pub state: &'static str,
    /// Whether a statement waits for a place.
    pub is_queued: bool,
    pub query: String,
}

impl Default for Activity {
    fn default() -> Self {
        let started = SystemTime::now();
        let now = Now {
            running: 0,
            calls: 0,
            waiting: 0,
            quiet_since: Instant::now(),
            turn: None,
            text: String::new(),
            query_start: None,
            state_change: started,
        };
        Activity { started, now: Mutex::new(now) }
    }
}

impl Activity {
    pub(super) fn begin(self: &Arc<Self>, text: &str) -> Busy {
        let shown = shown_statement(text);
        let end = shown.floor_char_boundary(TEXT_BYTES_MAX);
        let mut now = self.now.lock();
        let at = SystemTime::now();
        now.running += 1;
        shown[..end].clone_into(&mut now.text);
        (now.query_start, now.state_change) = (Some(at), at);
        Busy(Arc::clone(self))
    }

    pub(super) fn queue(self: &Arc<Self>) -> Queued {
        self.now.lock().waiting += 1;
        Queued(Arc::clone(self))
    }

    /// Whether the client sends nothing while it is answered.
    pub(super) fn is_serial(&self) -> bool {
        self.now.lock().turn.is_some()
    }

    /// The client has been heard of.
    pub(super) fn touch(&self) {
        self.now.lock().quiet_since = Instant::now();
    }

    /// Calls `end` if the client has said nothing for so long and nobody works for it; nothing begins meanwhile.
    pub(super) fn if_idle_for(&self, timeout: Duration, end: impl FnOnce()) -> bool {
        let now = self.now.lock();
        let is_idle = now.idle_since().is_some_and(|since| since.elapsed() >= timeout);
        if is_idle {
            end();
        }
        is_idle
    }
}

impl Now {
    /// Since when the client is waited for; None while it waits itself, or sends the rows of a statement, or takes them.
    fn idle_since(&self) -> Option<Instant> {
        match self.turn {
            Some(Turn::Client(since)) => Some(since),
            Some(Turn::Server) => None,
            None => (self.running == 0 && self.calls == 0).then_some(self.quiet_since),
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut now = self.0.now.lock();
        now.running -= 1;
        (now.state_change, now.quiet_since) = (SystemTime::now(), Instant::now());
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.now.lock().waiting -= 1;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut now = self.0.now.lock();
        now.calls -= 1;
        now.quiet_since = Instant::now();
    }
}

impl Outcome {
    /// Rows that are still sent are activity.
    pub(super) fn during(self, busy: Busy) -> Self {
        match self {
            Outcome::Rows { schema, stream } => {
                let inner = stream.schema();
                let held = stream.map(move |batch| {
                    let _busy = &busy;
                    batch
                });
                Outcome::Rows { schema, stream: Box::pin(RecordBatchStreamAdapter::new(inner, held)) }
            }
            command => command,
        }
    }
}

impl Session {
    /// From now on the client is to say something: it was told that the server is ready.
    pub(crate) fn awaits_client(&self) {
        self.activity.now.lock().turn = Some(Turn::Client(Instant::now()));
    }

    /// The client has said something, which is being answered.
    pub(crate) fn hears_client(&self) {
        self.activity.now.lock().turn = Some(Turn::Server);
    }

    /// The same, of a protocol whose clients call whenever they like.
    pub(crate) fn answers(&self) -> Answering {
        self.activity.now.lock().calls += 1;
        Answering(Arc::clone(&self.activity))
    }

    pub(crate) fn activity(&self) -> ActivityRow {
        let state = self.master.catalog.current();
        let role = self.session_role(&state);
        let setting = self.settings.lock().get("application_name");
        let in_block = self.block.try_lock().is_ok_and(|slot| slot.is_some());
        let now = self.activity.now.lock();
        ActivityRow {
            pid: self.id.0,
            role,
            user: self.role_name(role, &state).to_owned(),
            application: setting.map(|(_, value, _)| value).unwrap_or_default(),
            client: self.client,
            started: self.activity.started,
            query_start: now.query_start,
            state_change: now.state_change,
            state: match (now.running > 0 && !matches!(now.turn, Some(Turn::Client(_))), in_block) {
                (true, _) => "active",
                (false, false) => "idle",
                (false, true) => "idle in transaction",
            },
            is_queued: now.waiting > 0,
            query: now.text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_shown_without_its_secrets_and_its_end() {
        let activity = Arc::new(Activity::default());
        let first = activity.begin("ALTER ROLE ann PASSWORD 'hush'");
        assert!(!activity.now.lock().text.contains("hush"));
        let second = activity.begin(&format!("SELECT '{}'", "é".repeat(TEXT_BYTES_MAX)));
        assert!(activity.now.lock().text.starts_with("SELECT 'éé"));
        assert!(activity.now.lock().text.len() <= TEXT_BYTES_MAX);
        drop(first);
        assert_eq!(activity.now.lock().running, 1);
        drop(second);
        assert_eq!(activity.now.lock().running, 0);
    }

    fn is_idle(activity: &Activity) -> bool {
        let mut has_ended = false;
        assert_eq!(activity.if_idle_for(Duration::ZERO, || has_ended = true), has_ended);
        has_ended
    }

    #[test]
    fn who_runs_or_is_answered_is_not_idle() {
        let activity = Arc::new(Activity::default());
        assert!(is_idle(&activity));
        assert!(!activity.if_idle_for(Duration::from_secs(3600), || panic!("it was quiet for no hour")));
        let busy = activity.begin("SELECT 1");
        assert!(!is_idle(&activity));
        activity.now.lock().calls += 1;
        let answering = Answering(Arc::clone(&activity));
        drop(busy);
        assert!(!is_idle(&activity));
        drop(answering);
        assert!(is_idle(&activity));
    }

    #[test]
    fn where_the_protocol_tells_whose_turn_it_is_nothing_else_counts() {
        let activity = Arc::new(Activity::default());
        activity.now.lock().turn = Some(Turn::Server);
        assert!(!is_idle(&activity), "rows of a COPY may come");
        let cursor = activity.begin("SELECT 1");
        activity.now.lock().turn = Some(Turn::Client(Instant::now()));
        assert!(is_idle(&activity), "a cursor that is not asked for rows is no work");
        drop(cursor);
    }
}
