//! The eight modes of PostgreSQL, and which of them exclude each other.

use std::fmt;

/// From weakest to strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LockMode {
    /// CREATE VIEW. Queries read a snapshot, and lock nothing.
    AccessShare,
    /// Only by LOCK TABLE.
    RowShare,
    /// INSERT and COPY into tables without keys.
    RowExclusive,
    /// UPDATE, DELETE and MERGE, so that they run in turn, each on the rows that the one before left; INSERT and COPY into tables with
    /// keys, so that none of two has a key of the other's; and compaction's commit. Greenplum takes EXCLUSIVE, for which INSERT and COPY
    /// would wait, too.
    ShareUpdateExclusive,
    /// Only by LOCK TABLE.
    Share,
    /// Only by LOCK TABLE.
    ShareRowExclusive,
    /// Only by LOCK TABLE.
    Exclusive,
    /// ALTER, DROP, TRUNCATE.
    AccessExclusive,
}

impl LockMode {
    #[cfg(test)]
    pub(crate) const ALL: [LockMode; 8] = [
        LockMode::AccessShare,
        LockMode::RowShare,
        LockMode::RowExclusive,
        LockMode::ShareUpdateExclusive,
        LockMode::Share,
        LockMode::ShareRowExclusive,
        LockMode::Exclusive,
        LockMode::AccessExclusive,
    ];

    /// Whether two transactions cannot hold the two at once. PostgreSQL 12, "Table-Level Lock Modes", table 13.2.
    pub(crate) fn excludes(self, other: LockMode) -> bool {
        use LockMode as M;
        match self {
            M::AccessShare => other == M::AccessExclusive,
            M::RowShare => other >= M::Exclusive,
            M::RowExclusive => other >= M::Share,
            M::ShareUpdateExclusive => other >= M::ShareUpdateExclusive,
            M::Share => other >= M::RowExclusive && other != M::Share,
            M::ShareRowExclusive => other >= M::RowExclusive,
            M::Exclusive => other >= M::RowShare,
            M::AccessExclusive => true,
        }
    }

    /// As `pg_locks` shows it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            LockMode::AccessShare => "AccessShareLock",
            LockMode::RowShare => "RowShareLock",
            LockMode::RowExclusive => "RowExclusiveLock",
            LockMode::ShareUpdateExclusive => "ShareUpdateExclusiveLock",
            LockMode::Share => "ShareLock",
            LockMode::ShareRowExclusive => "ShareRowExclusiveLock",
            LockMode::Exclusive => "ExclusiveLock",
            LockMode::AccessExclusive => "AccessExclusiveLock",
        }
    }
}

impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of PostgreSQL's documentation.
    #[test]
    fn conflicts_are_postgresqls() {
        let table = [
            "       X", // ACCESS SHARE
            "      XX", // ROW SHARE
            "    XXXX", // ROW EXCLUSIVE
            "   XXXXX", // SHARE UPDATE EXCLUSIVE
            "  XX XXX", // SHARE
            "  XXXXXX", // SHARE ROW EXCLUSIVE
            " XXXXXXX", // EXCLUSIVE
            "XXXXXXXX", // ACCESS EXCLUSIVE
        ];
        for (mode, row) in LockMode::ALL.into_iter().zip(table) {
            for (other, cell) in LockMode::ALL.into_iter().zip(row.chars()) {
                assert_eq!(mode.excludes(other), cell == 'X', "{mode} and {other}");
                assert_eq!(mode.excludes(other), other.excludes(mode));
            }
        }
    }
}
