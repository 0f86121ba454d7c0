//! What a session is doing, as `pg_stat_activity` shows it.

use super::{Outcome, Session};
use crate::catalog::RoleId;
use crate::sql::shown_statement;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// Of a statement's text, PostgreSQL's `track_activity_query_size`.
const TEXT_BYTES_MAX: usize = 1024;

/// A session's; changed by its statements.
pub(super) struct Activity {
    started: SystemTime,
    now: Mutex<Now>,
}

struct Now {
    running: usize,
    /// The newest statement's, without secrets.
    text: String,
    query_start: Option<SystemTime>,
    state_change: SystemTime,
}

/// Held while a statement runs, and while its rows are sent.
pub(super) struct Busy(Arc<Activity>);

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
    pub query: String,
}

impl Default for Activity {
    fn default() -> Self {
        let started = SystemTime::now();
        let now = Now { running: 0, text: String::new(), query_start: None, state_change: started };
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
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut now = self.0.now.lock();
        now.running -= 1;
        now.state_change = SystemTime::now();
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
            state: match (now.running, in_block) {
                (0, false) => "idle",
                (0, true) => "idle in transaction",
                _ => "active",
            },
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
}
