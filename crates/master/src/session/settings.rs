//! SET, SHOW and RESET: what a session can be told.

use super::history::{BUCKET_MAP, SNAPSHOT_RETENTION};
use super::{Outcome, Session};
use crate::catalog::{CatalogState, Durability};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::session_limits::SessionLimits;
use crate::sql::{DEFAULT_TABLESPACE, Isolation, SetSetting, bytes_of_size};
use damson_motion::InterconnectSettings;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Of which the server's options have the defaults.
const IDLE_SESSION: &str = "idle_session_timeout";
const IDLE_IN_TRANSACTION: &str = "idle_in_transaction_session_timeout";
/// An option of the server alone.
const MAX_ACTIVE_STATEMENTS: &str = "max_active_statements";

/// Name, default and meaning of every setting. Several are only there because clients send them when they connect.
const KNOWN: &[(&str, &str, &str)] = &[
    ("application_name", "", "Name of the client's program."),
    (
        "bucket_map",
        "",
        "How many buckets each segment owns, in their order, of tables made from now on; ALTER SYSTEM SET changes it.",
    ),
    ("client_encoding", "UTF8", "Always UTF8."),
    ("client_min_messages", "notice", "Accepted; notices are always sent."),
    ("datestyle", "ISO, MDY", "Always ISO."),
    ("default_table_access_method", "parquet", "Accepted; all tables are parquet."),
    ("default_tablespace", "", "Tablespace of tables that CREATE TABLE gives none; empty: the segments' own disks."),
    ("default_transaction_isolation", "read committed", "Isolation level of a transaction that BEGIN gives none."),
    ("default_transaction_read_only", "off", "Whether transactions may change anything, unless BEGIN says."),
    (
        "expand_max_rate",
        "0",
        "Bytes a second that ALTER TABLE … EXPAND TABLE moves at most, such as 50MB; 0 is no limit.",
    ),
    ("extra_float_digits", "1", "Floats are always sent with all their digits."),
    (
        IDLE_IN_TRANSACTION,
        "",
        "A session that has a transaction and says nothing for so long ends, and its transaction is rolled back; 0 is never.",
    ),
    (IDLE_SESSION, "", "A session that has no transaction and says nothing for so long ends; 0 is never."),
    ("intervalstyle", "postgres", "Always postgres."),
    ("integer_datetimes", "on", "Always on."),
    ("lock_timeout", "0", "How long a statement waits for a lock; 0 is as long as it takes."),
    (
        MAX_ACTIVE_STATEMENTS,
        "",
        "Statements that work on segments at once, but for those of superusers; more wait. 0 is no limit. An option of damson master.",
    ),
    ("max_identifier_length", "63", "PostgreSQL's; longer names are kept whole."),
    ("max_index_keys", "32", "PostgreSQL's; a key may have more columns."),
    ("optimizer", "on", "Accepted; there is one planner."),
    ("parallel_retrieve", "off", "Whether Flight SQL gives a large query's rows in a stream for each segment."),
    ("search_path", "public", "Schema in which unqualified names are looked up and made; the first one counts."),
    ("role", "none", "The role whose rights count, SET ROLE's."),
    ("server_encoding", "UTF8", "Always UTF8."),
    ("server_version", "12.12 (Damson)", "The PostgreSQL version whose SQL is followed."),
    ("server_version_num", "120012", "The same as a number."),
    ("session_authorization", "", "The role that has logged in, or SET SESSION AUTHORIZATION's."),
    (
        "snapshot_retention",
        "0",
        "How long AS OF can read a snapshot that another replaced; ALTER SYSTEM SET changes it.",
    ),
    ("standard_conforming_strings", "on", "Always on."),
    ("statement_timeout", "0", "How long a statement may take, its rows included; 0 is as long as it takes."),
    (
        "synchronous_commit",
        "on",
        "off: COMMIT does not wait for the disk, and a loss of power can lose the last ones. group is on: they share a wait.",
    ),
    ("timezone", "UTC", "Always UTC; by any of its names."),
    ("transaction_isolation", "read committed", "The transaction's isolation level."),
    ("transaction_read_only", "off", "Whether the transaction may change anything."),
    ("transaction_snapshot", "", "The snapshot that the next statement reads, for AS OF SNAPSHOT."),
];

/// Levels of `synchronous_commit` that wait for the disk, besides on.
const SYNCHRONOUS: [&str; 4] = ["group", "local", "remote_write", "remote_apply"];

/// Names of roles: RESET ALL leaves them.
const ROLES: [&str; 2] = ["role", "session_authorization"];

/// What is UTC by its names, and by its offset.
const UTC_NAMES: [&str; 17] = [
    "utc",
    "gmt",
    "z",
    "zulu",
    "uct",
    "universal",
    "greenwich",
    "etc/utc",
    "etc/gmt",
    "etc/uct",
    "etc/universal",
    "etc/greenwich",
    "etc/zulu",
    "0",
    "+00:00",
    "default",
    "local",
];

/// What may be SHOWn and not SET.
const READ_ONLY: &[&str] = &[
    BUCKET_MAP,
    "integer_datetimes",
    MAX_ACTIVE_STATEMENTS,
    "max_identifier_length",
    "max_index_keys",
    "server_encoding",
    "server_version",
    "server_version_num",
    SNAPSHOT_RETENTION,
    "transaction_isolation",
    "transaction_read_only",
    "transaction_snapshot",
];

/// What one session's statements see.
pub(super) struct Settings {
    /// The session's own that are not at their defaults.
    values: BTreeMap<&'static str, String>,
    /// The cluster's: shown, and changed by a restart alone.
    cluster: [(&'static str, String, &'static str); 6],
    /// The server's, where it has the default.
    defaults: SessionLimits,
}

impl Settings {
    pub(super) fn new(interconnect: &InterconnectSettings, defaults: &SessionLimits) -> Self {
        Settings { values: BTreeMap::new(), cluster: interconnect.rows(), defaults: defaults.clone() }
    }

    pub(super) fn search_schema(&self) -> String {
        let path = self.values.get("search_path").map_or("public", String::as_str);
        let first = path.split(',').map(|s| s.trim().trim_matches('"')).find(|s| !s.is_empty() && *s != "$user");
        first.unwrap_or("public").to_owned()
    }

    /// Name, value and description of every setting.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, String, &'static str)> {
        KNOWN.iter().map(|known| self.shown(known)).chain(self.cluster.iter().cloned())
    }

    pub(super) fn get(&self, name: &str) -> SqlResult<(&'static str, String, &'static str)> {
        let own = KNOWN.iter().find(|(known, _, _)| *known == name).map(|known| self.shown(known));
        let of_cluster = || self.cluster.iter().find(|(known, _, _)| *known == name).cloned();
        own.or_else(of_cluster).ok_or_else(|| unknown(name))
    }

    fn shown(
        &self,
        &(name, default, about): &(&'static str, &'static str, &'static str),
    ) -> (&'static str, String, &'static str) {
        let of_server = || match name {
            IDLE_SESSION => duration_text(self.defaults.idle_session_timeout),
            IDLE_IN_TRANSACTION => duration_text(self.defaults.idle_in_transaction_session_timeout),
            MAX_ACTIVE_STATEMENTS => self.defaults.active_statements_max.map_or(0, NonZeroUsize::get).to_string(),
            _ => default.to_owned(),
        };
        (name, self.values.get(name).cloned().unwrap_or_else(of_server), about)
    }

    /// What the session has set of its own.
    pub(super) fn save(&self) -> SavedSettings {
        SavedSettings(self.values.clone())
    }

    pub(super) fn restore(&mut self, saved: &SavedSettings) {
        self.values.clone_from(&saved.0);
    }

    /// Brings single settings back to what [`Settings::own`] gave.
    pub(super) fn restore_some(&mut self, saved: &BTreeMap<&'static str, Option<String>>) {
        for (name, value) in saved {
            match value {
                Some(value) => self.values.insert(name, value.clone()),
                None => self.values.remove(name),
            };
        }
    }

    /// A setting's name, and its value if it is not the default.
    pub(super) fn own(&self, name: &str) -> SqlResult<(&'static str, Option<String>)> {
        let name = known(name)?;
        Ok((name, self.values.get(name).cloned()))
    }

    /// The role that was SET, if one was.
    pub(super) fn role_setting(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }

    pub(super) fn lock_timeout(&self) -> Option<Duration> {
        self.duration("lock_timeout")
    }

    pub(super) fn parallel_retrieve(&self) -> bool {
        boolean(&self.value("parallel_retrieve")).unwrap_or(false)
    }

    pub(super) fn statement_timeout(&self) -> Option<Duration> {
        self.duration("statement_timeout")
    }

    /// How long the session may say nothing, in a transaction or without one.
    pub(super) fn idle_timeout(&self, in_transaction: bool) -> Option<Duration> {
        let (name, default) = match in_transaction {
            true => (IDLE_IN_TRANSACTION, self.defaults.idle_in_transaction_session_timeout),
            false => (IDLE_SESSION, self.defaults.idle_session_timeout),
        };
        // Asked of every session every second.
        let own = self.values.get(name).map(|value| duration_of_text(value).unwrap_or_default());
        Some(own.unwrap_or(default)).filter(|timeout| !timeout.is_zero())
    }

    /// Bytes a second; None where there is no limit.
    pub(super) fn expand_max_rate(&self) -> Option<u64> {
        bytes_of_size(&self.value("expand_max_rate"))
    }

    /// None where it is not set.
    pub(super) fn default_tablespace(&self) -> Option<String> {
        Some(self.value("default_tablespace")).filter(|name| !name.is_empty())
    }

    pub(super) fn default_isolation(&self) -> Isolation {
        Isolation::of_name(&self.value("default_transaction_isolation")).unwrap_or(Isolation::ReadCommitted)
    }

    pub(super) fn default_read_only(&self) -> bool {
        boolean(&self.value("default_transaction_read_only")).unwrap_or(false)
    }

    /// What a COMMIT waits for.
    pub(super) fn durability(&self) -> Durability {
        match self.value("synchronous_commit").to_ascii_lowercase().as_str() {
            "off" | "false" | "no" | "0" => Durability::Unsynced,
            _ => Durability::Synced,
        }
    }

    /// None for 0.
    fn duration(&self, name: &str) -> Option<Duration> {
        duration_of_text(&self.value(name)).filter(|duration| !duration.is_zero())
    }

    fn value(&self, name: &str) -> String {
        self.get(name).map(|(_, value, _)| value).unwrap_or_default()
    }
}

/// A session's settings at some time.
pub(super) struct SavedSettings(BTreeMap<&'static str, String>);

/// `36h`: the largest unit that leaves nothing.
pub(super) fn duration_text(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [("d", 24 * 60 * 60 * 1000), ("h", 60 * 60 * 1000), ("min", 60 * 1000), ("s", 1000)];
    match units.iter().find(|(_, unit)| ms > 0 && ms.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", ms / unit),
        None if ms == 0 => "0".into(),
        None => format!("{ms}ms"),
    }
}

/// Milliseconds, or with a unit: `1500`, `2s`, `10min`, `1 day`.
pub fn duration_of_text(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().ok()?;
    let ms = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60 * 1000,
        "h" | "hour" | "hours" => 60 * 60 * 1000,
        "d" | "day" | "days" => 24 * 60 * 60 * 1000,
        _ => return None,
    };
    number.checked_mul(ms).map(Duration::from_millis)
}

fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Whether a setting can have the value.
///
/// # Errors
/// 22023.
fn check(name: &str, value: &str, state: &CatalogState) -> SqlResult<()> {
    let (fits, hint) = match name {
        "lock_timeout" | "statement_timeout" | IDLE_SESSION | IDLE_IN_TRANSACTION => {
            (duration_of_text(value).is_some(), "It is a time: milliseconds, or a number with ms, s, min, h or d.")
        }
        "expand_max_rate" => (
            value == "0" || bytes_of_size(value).is_some(),
            "It is a number of bytes a second: 0, or a number with kB, MB or GB.",
        ),
        "default_transaction_isolation" => (
            Isolation::of_name(value).is_some(),
            "Available values: serializable, repeatable read, read committed, read uncommitted.",
        ),
        "default_transaction_read_only" | "parallel_retrieve" => (boolean(value).is_some(), "It is on or off."),
        "default_tablespace" => (
            ["", DEFAULT_TABLESPACE].contains(&value) || state.tablespace(value).is_some(),
            "There is no tablespace of that name: pg_tablespace lists them.",
        ),
        "synchronous_commit" => (
            boolean(value).is_some() || SYNCHRONOUS.iter().any(|level| value.eq_ignore_ascii_case(level)),
            "Available values: on, group, off. PostgreSQL's local, remote_write and remote_apply are on.",
        ),
        "timezone" => (is_utc(value), "Times are shown in UTC. AT TIME ZONE gives those of another zone."),
        "datestyle" => {
            (value.split(',').all(is_iso_style), "Dates are shown as ISO 8601 has them. to_char() gives others.")
        }
        "intervalstyle" => (value.eq_ignore_ascii_case("postgres"), "Intervals are shown in the style postgres."),
        "client_encoding" => (
            ["utf8", "utf-8", "unicode"].iter().any(|name| value.trim().eq_ignore_ascii_case(name)),
            "The server and its clients speak UTF8.",
        ),
        "standard_conforming_strings" => {
            (boolean(value) == Some(true), "A backslash in quotes is a character. E'...' has escapes.")
        }
        _ => (true, ""),
    };
    if fits {
        return Ok(());
    }
    let message = format!("invalid value for parameter \"{name}\": \"{value}\"");
    Err(SqlError::new(SqlState::INVALID_PARAMETER, message).with_hint(hint))
}

pub(crate) fn is_utc(zone: &str) -> bool {
    UTC_NAMES.iter().any(|name| zone.trim().eq_ignore_ascii_case(name))
}

/// The order of day and month matters to no text that is read.
fn is_iso_style(word: &str) -> bool {
    const WORDS: [&str; 11] =
        ["iso", "mdy", "dmy", "ymd", "us", "noneuro", "noneuropean", "euro", "european", "default", ""];
    WORDS.iter().any(|known| word.trim().eq_ignore_ascii_case(known))
}

fn unknown(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""))
        .with_hint("SHOW ALL lists the settings")
}

fn known(name: &str) -> SqlResult<&'static str> {
    KNOWN.iter().map(|(known, _, _)| *known).find(|known| *known == name).ok_or_else(|| unknown(name))
}

impl Session {
    pub(super) fn set(&self, set: &SetSetting, state: &CatalogState) -> SqlResult<Outcome> {
        let mut settings = self.settings.lock();
        if settings.cluster.iter().any(|(name, ..)| *name == set.name) {
            let message = format!("parameter \"{}\" cannot be changed without a restart", set.name);
            return Err(SqlError::new(SqlState::INVALID_PARAMETER, message)
                .with_hint("it is an option of \"damson master\", and holds for the cluster"));
        }
        let name = known(&set.name)?;
        if READ_ONLY.contains(&name) {
            let message = format!("parameter \"{name}\" cannot be changed");
            let error = SqlError::new(SqlState::INVALID_PARAMETER, message);
            return Err(match name {
                BUCKET_MAP | SNAPSHOT_RETENTION => {
                    error.with_hint("ALTER SYSTEM SET changes it, for the whole cluster.")
                }
                MAX_ACTIVE_STATEMENTS => error.with_hint("It is an option of \"damson master\"."),
                _ => error,
            });
        }
        if let Some(value) = &set.value {
            check(name, value, state)?;
            if ROLES.contains(&name) {
                drop(settings);
                self.check_role(name, value, state)?;
                settings = self.settings.lock();
            }
        }
        match &set.value {
            Some(value) => settings.values.insert(name, value.clone()),
            None => settings.values.remove(name),
        };
        Ok(Outcome::command("SET"))
    }

    pub(crate) fn statement_timeout(&self) -> Option<Duration> {
        self.settings.lock().statement_timeout()
    }

    /// A setting's value; None for what is no setting.
    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        self.settings.lock().get(name).ok().map(|(_, value, _)| value)
    }

    pub(super) fn reset(&self, name: Option<&str>) -> SqlResult<Outcome> {
        let mut settings = self.settings.lock();
        match name {
            Some(name) => {
                settings.values.remove(known(name)?);
            }
            None => settings.values.retain(|name, _| ROLES.contains(name)),
        }
        Ok(Outcome::command("RESET"))
    }
}
