//! SET, SHOW and RESET: what a session can be told.

use super::{Outcome, Session};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::SetSetting;
use damson_motion::InterconnectSettings;
use std::collections::BTreeMap;

/// Name, default and meaning of every setting. Several are only there because clients send them when they connect.
const KNOWN: &[(&str, &str, &str)] = &[
    ("application_name", "", "Name of the client's program."),
    ("client_encoding", "UTF8", "Always UTF8."),
    ("client_min_messages", "notice", "Accepted; notices are always sent."),
    ("datestyle", "ISO, MDY", "Always ISO."),
    ("default_transaction_isolation", "read committed", "Every statement reads one snapshot."),
    ("extra_float_digits", "1", "Floats are always sent with all their digits."),
    ("intervalstyle", "postgres", "Always postgres."),
    ("optimizer", "on", "Accepted; there is one planner."),
    ("search_path", "public", "Schema in which unqualified names are looked up and made; the first one counts."),
    ("server_encoding", "UTF8", "Always UTF8."),
    ("server_version", "12.12 (Damson)", "The PostgreSQL version whose SQL is followed."),
    ("standard_conforming_strings", "on", "Always on."),
    ("timezone", "UTC", "Always UTC."),
    ("transaction_isolation", "read committed", "Every statement reads one snapshot."),
];

/// What may be SHOWn and not SET.
const READ_ONLY: &[&str] = &["server_encoding", "server_version", "transaction_isolation"];

/// What one session's statements see.
pub(super) struct Settings {
    /// The session's own that are not at their defaults.
    values: BTreeMap<&'static str, String>,
    /// The cluster's: shown, and changed by a restart alone.
    cluster: [(&'static str, String, &'static str); 6],
}

impl Settings {
    pub(super) fn new(interconnect: &InterconnectSettings) -> Self {
        Settings { values: BTreeMap::new(), cluster: interconnect.rows() }
    }

    pub(super) fn search_schema(&self) -> String {
        let path = self.values.get("search_path").map_or("public", String::as_str);
        let first = path.split(',').map(|s| s.trim().trim_matches('"')).find(|s| !s.is_empty() && *s != "$user");
        first.unwrap_or("public").to_owned()
    }

    /// Name, value and description of every setting.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, String, &'static str)> {
        let own = KNOWN.iter().map(|(name, default, about)| {
            let value = self.values.get(name).map_or_else(|| (*default).to_owned(), Clone::clone);
            (*name, value, *about)
        });
        own.chain(self.cluster.iter().cloned())
    }

    pub(super) fn get(&self, name: &str) -> SqlResult<String> {
        self.all().find(|(n, _, _)| *n == name).map(|(_, value, _)| value).ok_or_else(|| unknown(name))
    }
}

fn unknown(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""))
        .with_hint("SHOW ALL lists the settings")
}

fn known(name: &str) -> SqlResult<&'static str> {
    KNOWN.iter().map(|(known, _, _)| *known).find(|known| *known == name).ok_or_else(|| unknown(name))
}

impl Session {
    pub(super) fn set(&self, set: &SetSetting) -> SqlResult<Outcome> {
        let mut settings = self.settings.lock();
        if settings.cluster.iter().any(|(name, ..)| *name == set.name) {
            let message = format!("parameter \"{}\" cannot be changed without a restart", set.name);
            return Err(SqlError::new(SqlState::INVALID_PARAMETER, message)
                .with_hint("it is an option of \"damson master\", and holds for the cluster"));
        }
        let name = known(&set.name)?;
        if READ_ONLY.contains(&name) {
            let message = format!("parameter \"{name}\" cannot be changed");
            return Err(SqlError::new(SqlState::INVALID_PARAMETER, message));
        }
        match &set.value {
            Some(value) => settings.values.insert(name, value.clone()),
            None => settings.values.remove(name),
        };
        Ok(Outcome::command("SET"))
    }

    pub(super) fn reset(&self, name: Option<&str>) -> SqlResult<Outcome> {
        let mut settings = self.settings.lock();
        match name {
            Some(name) => {
                settings.values.remove(known(name)?);
            }
            None => settings.values.clear(),
        }
        Ok(Outcome::command("RESET"))
    }
}
