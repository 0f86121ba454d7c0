//! What went wrong, as psql would show it.

use arrow::error::ArrowError;
use arrow_flight::error::FlightError;
use damson_master::flight_sql::protocol::{DETAIL, HINT, MESSAGE, POSITION, SQLSTATE};
use std::error::Error;
use std::fmt::Write;
use std::io;
use tonic::{Code, Status};

/// Why a statement gave no result, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The server's answer.
    #[error("{}", .0.message)]
    Server(Box<ServerError>),
    /// The server cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// What the server sent cannot be understood, or its address cannot.
    #[error("{0}")]
    Connection(String),
    /// Ctrl-C.
    #[error("canceling statement due to user request")]
    Interrupted,
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
}

/// An error with its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    pub message: String,
    pub sqlstate: Option<String>,
    /// 1-based, in characters of the statement.
    pub position: Option<usize>,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let ascii = |name: &str| status.metadata().get(name)?.to_str().ok().map(str::to_owned);
        let binary = |name: &str| {
            let bytes = status.metadata().get_bin(name)?.to_bytes().ok()?;
            String::from_utf8(bytes.to_vec()).ok()
        };
        let Some(sqlstate) = ascii(SQLSTATE) else {
            // Not the server's own words: the transport's.
            return match status.code() == Code::Unavailable || status.source().is_some() {
                true => Failure::Unreachable(format!("no connection to the server: {}", root(&status))),
                false => Failure::Connection(root(&status)),
            };
        };
        Failure::Server(Box::new(ServerError {
            message: binary(MESSAGE).unwrap_or_else(|| status.message().to_owned()),
            sqlstate: Some(sqlstate),
            position: ascii(POSITION).and_then(|p| p.parse().ok()),
            detail: binary(DETAIL),
            hint: binary(HINT),
        }))
    }
}

impl From<FlightError> for Failure {
    fn from(error: FlightError) -> Self {
        match error {
            FlightError::Tonic(status) => (*status).into(),
            other => Failure::Connection(other.to_string()),
        }
    }
}

impl From<ArrowError> for Failure {
    fn from(error: ArrowError) -> Self {
        Failure::Connection(error.to_string())
    }
}

impl Failure {
    /// The lines for stderr: `ERROR:`, then the place in `statement`, then details and hints.
    pub fn report(&self, statement: &str) -> String {
        let error = match self {
            Failure::Server(error) => error,
            Failure::Unreachable(message) => return format!("ERROR:  {message}\nHINT:  {UNREACHABLE_HINT}\n"),
            _ => return format!("ERROR:  {self}\n"),
        };
        let mut report = format!("ERROR:  {}", error.message);
        if let Some(sqlstate) = &error.sqlstate {
            // Writing to a String cannot fail, here and below.
            let _ = write!(report, " (SQLSTATE {sqlstate})");
        }
        report.push('\n');
        if let Some(position) = error.position {
            // A statement that is not told in full has something to hide.
            if damson_master::shown_statement(statement) == statement {
                report.push_str(&pointer(statement, position));
            }
        }
        for (name, text) in [("DETAIL", &error.detail), ("HINT", &error.hint)] {
            if let Some(text) = text {
                let _ = writeln!(report, "{name}:  {text}");
            }
        }
        report
    }

    /// Whether the server cannot be reached.
    pub fn is_lost_server(&self) -> bool {
        matches!(self, Failure::Unreachable(_))
    }

    /// True if the server does not know the session: it was restarted, or the session was forgotten.
    pub fn is_lost_session(&self) -> bool {
        self.sqlstate() == Some("28000")
    }

    /// True if the session is there no more: as [`Failure::is_lost_session`], or it was ended by command, or because it was idle. Unlike then, a
    /// statement may have been done.
    pub fn is_ended_session(&self) -> bool {
        self.is_lost_session() || matches!(self.sqlstate(), Some("57P01" | "57P05" | "25P03"))
    }

    /// The server's, if it has said one.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Failure::Server(error) => error.sqlstate.as_deref(),
            _ => None,
        }
    }
}

const UNREACHABLE_HINT: &str = "Is it started, and is this its address? --url flight://HOST:PORT names another.";

/// The innermost cause that says something: `Connection refused`, not `transport error`. Without any, what the status says.
pub(super) fn root(error: &(dyn Error + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    match root.downcast_ref::<Status>() {
        Some(status) if !status.message().is_empty() => status.message().to_owned(),
        Some(status) => status.code().to_string(),
        None => root.to_string(),
    }
}

/// Characters of a line that are shown on each side of the place.
const CONTEXT_CHARS: usize = 60;

/// `LINE 2: …` and a `^` under the character at `position` (1-based). Nothing for a position that is not in the text.
fn pointer(statement: &str, position: usize) -> String {
    let Some(index) = position.checked_sub(1) else { return String::new() };
    let mut start = 0;
    for (number, line) in statement.split('\n').enumerate() {
        let length = line.chars().count();
        if index <= start + length {
            let column = index - start;
            // A tab is one column wide here, so that the caret stays below its place.
            let chars: Vec<char> = line.chars().map(|c| if c == '\t' { ' ' } else { c }).collect();
            let from = column.saturating_sub(CONTEXT_CHARS);
            let to = chars.len().min(column + CONTEXT_CHARS);
            let (before, after) = (if from > 0 { "..." } else { "" }, if to < chars.len() { "..." } else { "" });
            let prefix = format!("LINE {}: {before}", number + 1);
            let shown: String = chars[from..to].iter().collect();
            let caret = " ".repeat(prefix.chars().count() + column - from);
            return format!("{prefix}{}{after}\n{caret}^\n", shown.trim_end_matches('\r'));
        }
        start += length + 1;
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::metadata::{MetadataMap, MetadataValue};

    #[test]
    fn the_place_is_pointed_at() {
        assert_eq!(pointer("SELECT * FROM nowhere", 15), "LINE 1: SELECT * FROM nowhere\n                      ^\n");
        assert_eq!(pointer("SELECT\n  x", 10), "LINE 2:   x\n          ^\n");
        assert_eq!(pointer("é ü x", 5), "LINE 1: é ü x\n            ^\n");
        assert_eq!(pointer("\tx", 2), "LINE 1:  x\n         ^\n");
        assert_eq!(pointer("x", 2), "LINE 1: x\n         ^\n", "at the end");
        assert_eq!(pointer("x", 3), "");
        assert_eq!(pointer("x", 0), "");
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let statement = format!("{}!{}", "a".repeat(100), "b".repeat(100));
        let shown = pointer(&statement, 101);
        let (line, caret) = shown.split_once('\n').unwrap();
        assert!(line.starts_with("LINE 1: ...aaa") && line.ends_with("bbb..."), "{line}");
        assert_eq!(line.find('!'), caret.find('^'));
    }

    #[test]
    fn an_error_is_shown_with_its_parts() {
        let mut metadata = MetadataMap::new();
        metadata.insert(SQLSTATE, MetadataValue::from_static("42P01"));
        metadata.insert(POSITION, MetadataValue::from_static("15"));
        metadata.insert_bin(MESSAGE, MetadataValue::from_bytes("relation \"ö\" does not exist".as_bytes()));
        metadata.insert_bin(HINT, MetadataValue::from_bytes(b"look"));
        let failure = Failure::from(Status::with_metadata(tonic::Code::NotFound, "all of it", metadata));
        assert_eq!(
            failure.report("SELECT * FROM ö"),
            "ERROR:  relation \"ö\" does not exist (SQLSTATE 42P01)\nLINE 1: SELECT * FROM ö\n                      \
             ^\nHINT:  look\n"
        );
    }

    #[test]
    fn the_transport_has_no_sqlstate() {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "Connection refused");
        let misread = Failure::from(Status::out_of_range("too large"));
        assert_eq!((misread.report("").as_str(), misread.is_lost_server()), ("ERROR:  too large\n", false));
        for status in [Status::unavailable("Connection refused"), Status::from_error(Box::new(refused))] {
            let failure = Failure::from(status);
            assert!(failure.is_lost_server() && failure.sqlstate().is_none());
            assert_eq!(
                failure.report("SELECT 1"),
                format!("ERROR:  no connection to the server: Connection refused\nHINT:  {UNREACHABLE_HINT}\n")
            );
        }
    }
}
