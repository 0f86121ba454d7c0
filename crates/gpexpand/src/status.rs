//! The words of `gpexpand.status` and `gpexpand.status_detail`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// `gpexpand.status`: where the expansion as a whole is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ExpansionStatus {
    /// Phase 1: the new segments are being started, and the new map is set.
    #[serde(rename = "SETUP")]
    Setup,
    /// The new map is set: new tables are laid out by it, the others by their own.
    #[serde(rename = "SETUP DONE")]
    SetupDone,
    /// Phase 2: tables are being moved.
    #[serde(rename = "EXPANSION STARTED")]
    Started,
    /// Phase 2 was stopped by the user, by its deadline, by a failed table or by a crash; it can be started again.
    #[serde(rename = "EXPANSION STOPPED")]
    Stopped,
    /// Every table is laid out by the new map, or is gone.
    #[serde(rename = "EXPANSION COMPLETE")]
    Complete,
    /// The old map is set again, and the record goes. Only a rollback leads on from here.
    #[serde(rename = "ROLLBACK STARTED")]
    RollingBack,
}

impl fmt::Display for ExpansionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ExpansionStatus::Setup => "SETUP",
            ExpansionStatus::SetupDone => "SETUP DONE",
            ExpansionStatus::Started => "EXPANSION STARTED",
            ExpansionStatus::Stopped => "EXPANSION STOPPED",
            ExpansionStatus::Complete => "EXPANSION COMPLETE",
            ExpansionStatus::RollingBack => "ROLLBACK STARTED",
        })
    }
}

/// `gpexpand.status_detail`: where one table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TableStatus {
    #[serde(rename = "NOT STARTED")]
    NotStarted,
    #[serde(rename = "IN PROGRESS")]
    InProgress,
    #[serde(rename = "COMPLETED")]
    Completed,
    /// Dropped before its turn came.
    #[serde(rename = "NO LONGER EXISTS")]
    NoLongerExists,
}

impl TableStatus {
    /// True where nothing remains to be done.
    pub fn is_final(self) -> bool {
        matches!(self, TableStatus::Completed | TableStatus::NoLongerExists)
    }
}

impl fmt::Display for TableStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TableStatus::NotStarted => "NOT STARTED",
            TableStatus::InProgress => "IN PROGRESS",
            TableStatus::Completed => "COMPLETED",
            TableStatus::NoLongerExists => "NO LONGER EXISTS",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_what_is_shown() {
        use ExpansionStatus::*;
        for status in [Setup, SetupDone, Started, Stopped, Complete, RollingBack] {
            assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{status}\""));
        }
        for status in
            [TableStatus::NotStarted, TableStatus::InProgress, TableStatus::Completed, TableStatus::NoLongerExists]
        {
            assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{status}\""));
        }
    }
}
