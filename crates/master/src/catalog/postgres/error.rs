//! What the server, or the way to it, did not do.

use postgres::error::{DbError, SqlState as Code};
use std::error::Error;
use std::io;
use thiserror::Error;

/// Names the server.
#[derive(Debug, Error)]
pub enum PostgresError {
    #[error("the catalog's database at {server} failed: {}", told(.error))]
    Failed { server: String, error: postgres::Error },
    #[error("the catalog's database at {server} accepts connections, and does not answer")]
    Silent { server: String },
    #[error("no thread for the catalog's database: {0}")]
    Thread(io::Error),
}

impl PostgresError {
    pub(super) fn new(server: &str, error: postgres::Error) -> Self {
        PostgresError::Failed { server: server.to_owned(), error }
    }

    /// The session is gone, or never came to be: whatever was asked, ask again.
    pub(in super::super) fn is_lost(&self) -> bool {
        let PostgresError::Failed { error, .. } = self else { return true };
        match error.as_db_error() {
            // An administrator, a timeout, or a server that starts or stops; of connecting, that there is no room for one more.
            Some(error) => {
                let code = error.code().code();
                code.starts_with("57P") || code.starts_with("08") || code == "25P03" || code == "53300"
            }
            None => true,
        }
    }

    /// Nothing of what was asked is wrong: it may succeed later.
    pub(in super::super) fn may_pass(&self) -> bool {
        // A lock that another has, or a resource that the server lacks.
        self.is_lost() || self.code().is_some_and(|code| code.code() == "55P03" || code.code().starts_with("53"))
    }

    pub(in super::super) fn code(&self) -> Option<&Code> {
        match self {
            PostgresError::Failed { error, .. } => error.code(),
            _ => None,
        }
    }

    /// What to do about it.
    pub(in super::super) fn hint(&self) -> Option<String> {
        let code = self.code();
        match code.map(Code::code) {
            Some("3D000") => Some("Make the database with CREATE DATABASE, or name another.".into()),
            Some("28000" | "28P01") => {
                Some("Look at the URL's user and password, and at the server's pg_hba.conf.".into())
            }
            Some("42501") => Some("The role needs CREATE on the database, or a schema damson of its own.".into()),
            Some("55P03") => {
                Some("Another session has locked the catalog's tables: see pg_stat_activity and pg_locks.".into())
            }
            Some("25006") => Some("Name the primary in the URL, not a standby.".into()),
            _ if self.is_lost() => {
                Some("See that the server runs and can be reached; the next statement connects again.".into())
            }
            _ => None,
        }
    }
}

/// The error with all its causes: the library's own text is without them.
pub(super) fn told(error: &postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return told_by_server(error);
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn told_by_server(error: &DbError) -> String {
    let detail = error.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
    format!("{}{detail}, SQLSTATE {}", error.message(), error.code().code())
}
