//! What a client is told when a statement fails. Mapped once, here, from every crate's errors.

mod map;

pub(crate) use map::{describe, internal, of_call, of_datafusion, of_slice, task_ended};

use damson_cluster::{ContentId, QueryId};
use std::fmt;

/// A five-character SQLSTATE, such as `22012`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SqlState(pub &'static str);

impl SqlState {
    pub const SYNTAX_ERROR: SqlState = SqlState("42601");
    pub const SYNTAX_OR_ACCESS_RULE: SqlState = SqlState("42000");
    pub const UNDEFINED_TABLE: SqlState = SqlState("42P01");
    pub const UNDEFINED_COLUMN: SqlState = SqlState("42703");
    pub const UNDEFINED_FUNCTION: SqlState = SqlState("42883");
    pub const UNDEFINED_SCHEMA: SqlState = SqlState("3F000");
    pub const AMBIGUOUS_COLUMN: SqlState = SqlState("42702");
    pub const AMBIGUOUS_ALIAS: SqlState = SqlState("42P09");
    pub const DUPLICATE_ALIAS: SqlState = SqlState("42712");
    pub const DUPLICATE_TABLE: SqlState = SqlState("42P07");
    pub const DUPLICATE_SCHEMA: SqlState = SqlState("42P06");
    pub const DUPLICATE_COLUMN: SqlState = SqlState("42701");
    pub const DATATYPE_MISMATCH: SqlState = SqlState("42804");
    pub const GROUPING_ERROR: SqlState = SqlState("42803");
    pub const INVALID_TABLE_DEFINITION: SqlState = SqlState("42P16");
    pub const WRONG_OBJECT_TYPE: SqlState = SqlState("42809");
    pub const DEPENDENT_OBJECTS: SqlState = SqlState("2BP01");
    pub const FEATURE_NOT_SUPPORTED: SqlState = SqlState("0A000");
    pub const DATA_EXCEPTION: SqlState = SqlState("22000");
    pub const DIVISION_BY_ZERO: SqlState = SqlState("22012");
    pub const NUMERIC_OUT_OF_RANGE: SqlState = SqlState("22003");
    pub const STRING_TRUNCATION: SqlState = SqlState("22001");
    pub const INVALID_TEXT: SqlState = SqlState("22P02");
    pub const INVALID_DATETIME: SqlState = SqlState("22007");
    pub const DATETIME_OUT_OF_RANGE: SqlState = SqlState("22008");
    pub const BAD_COPY: SqlState = SqlState("22P04");
    pub const INVALID_PARAMETER: SqlState = SqlState("22023");
    pub const NOT_NULL_VIOLATION: SqlState = SqlState("23502");
    pub const UNIQUE_VIOLATION: SqlState = SqlState("23505");
    pub const CHECK_VIOLATION: SqlState = SqlState("23514");
    pub const WINDOWING_ERROR: SqlState = SqlState("42P20");
    pub const DUPLICATE_OBJECT: SqlState = SqlState("42710");
    pub const INVALID_COLUMN_REFERENCE: SqlState = SqlState("42P10");
    pub const OBJECT_NOT_IN_STATE: SqlState = SqlState("55000");
    pub const SEQUENCE_EXHAUSTED: SqlState = SqlState("2200H");
    pub const GENERATED_ALWAYS: SqlState = SqlState("428C9");
    pub const CARDINALITY_VIOLATION: SqlState = SqlState("21000");
    pub const INVALID_OBJECT_DEFINITION: SqlState = SqlState("42P17");
    pub const NAME_TOO_LONG: SqlState = SqlState("42622");
    pub const INVALID_NAME: SqlState = SqlState("42602");
    pub const UNDEFINED_OBJECT: SqlState = SqlState("42704");
    pub const RESERVED_NAME: SqlState = SqlState("42939");
    pub const SNAPSHOT_TOO_OLD: SqlState = SqlState("72000");
    pub const SERIALIZATION_FAILURE: SqlState = SqlState("40001");
    pub const LOCK_NOT_AVAILABLE: SqlState = SqlState("55P03");
    pub const DEADLOCK_DETECTED: SqlState = SqlState("40P01");
    pub const IN_FAILED_TRANSACTION: SqlState = SqlState("25P02");
    pub const NO_ACTIVE_TRANSACTION: SqlState = SqlState("25P01");
    pub const ACTIVE_TRANSACTION: SqlState = SqlState("25001");
    pub const READ_ONLY_TRANSACTION: SqlState = SqlState("25006");
    pub const IDLE_IN_TRANSACTION_TIMEOUT: SqlState = SqlState("25P03");
    pub const UNDEFINED_SAVEPOINT: SqlState = SqlState("3B001");
    pub const OBJECT_IN_USE: SqlState = SqlState("55006");
    pub const INSUFFICIENT_PRIVILEGE: SqlState = SqlState("42501");
    pub const INVALID_GRANT_OPERATION: SqlState = SqlState("0LP01");
    pub const INVALID_AUTHORIZATION: SqlState = SqlState("28000");
    pub const INVALID_PASSWORD: SqlState = SqlState("28P01");
    pub const TOO_MANY_CONNECTIONS: SqlState = SqlState("53300");
    pub const CONFIG_FILE_ERROR: SqlState = SqlState("F0000");
    pub const UNDEFINED_FILE: SqlState = SqlState("58P01");
    pub const DUPLICATE_FILE: SqlState = SqlState("58P02");
    pub const IO_ERROR: SqlState = SqlState("58030");
    pub const DATA_CORRUPTED: SqlState = SqlState("XX001");
    pub const OUT_OF_MEMORY: SqlState = SqlState("53200");
    pub const DISK_FULL: SqlState = SqlState("53100");
    pub const CONFIGURATION_LIMIT_EXCEEDED: SqlState = SqlState("53400");
    pub const PROGRAM_LIMIT_EXCEEDED: SqlState = SqlState("54000");
    pub const TOO_MANY_COLUMNS: SqlState = SqlState("54011");
    pub const TOO_COMPLEX: SqlState = SqlState("54001");
    pub const QUERY_CANCELED: SqlState = SqlState("57014");
    pub const ADMIN_SHUTDOWN: SqlState = SqlState("57P01");
    pub const IDLE_SESSION_TIMEOUT: SqlState = SqlState("57P05");
    pub const CANNOT_CONNECT_NOW: SqlState = SqlState("57P03");
    pub const CONNECTION_FAILURE: SqlState = SqlState("08006");
    pub const PROTOCOL_VIOLATION: SqlState = SqlState("08P01");
    pub const INVALID_STATEMENT_NAME: SqlState = SqlState("26000");
    pub const INTERNAL_ERROR: SqlState = SqlState("XX000");
    pub const INVALID_ENCODING: SqlState = SqlState("22021");
    pub const INVALID_LOGARITHM: SqlState = SqlState("2201E");
    pub const INVALID_POWER: SqlState = SqlState("2201F");
    pub const INVALID_REGEX: SqlState = SqlState("2201B");
    pub const INVALID_ESCAPE: SqlState = SqlState("22025");
    pub const SUBSTRING_ERROR: SqlState = SqlState("22011");

    /// The state with this code; of an unknown code, its class's general one.
    pub fn known(code: &str) -> SqlState {
        let known = ALL.iter().find(|state| state.0 == code);
        known.copied().unwrap_or(match code.get(..2) {
            Some("22") => SqlState::DATA_EXCEPTION,
            Some("42") => SqlState::SYNTAX_OR_ACCESS_RULE,
            Some("53") => SqlState::OUT_OF_MEMORY,
            _ => SqlState::INTERNAL_ERROR,
        })
    }
}

/// Every state, for [`SqlState::known`].
const ALL: &[SqlState] = &[
    SqlState::SYNTAX_ERROR,
    SqlState::SYNTAX_OR_ACCESS_RULE,
    SqlState::UNDEFINED_TABLE,
    SqlState::UNDEFINED_COLUMN,
    SqlState::UNDEFINED_FUNCTION,
    SqlState::UNDEFINED_SCHEMA,
    SqlState::AMBIGUOUS_COLUMN,
    SqlState::AMBIGUOUS_ALIAS,
    SqlState::DUPLICATE_ALIAS,
    SqlState::DUPLICATE_TABLE,
    SqlState::DUPLICATE_SCHEMA,
    SqlState::DUPLICATE_COLUMN,
    SqlState::DATATYPE_MISMATCH,
    SqlState::GROUPING_ERROR,
    SqlState::INVALID_TABLE_DEFINITION,
    SqlState::WRONG_OBJECT_TYPE,
    SqlState::DEPENDENT_OBJECTS,
    SqlState::FEATURE_NOT_SUPPORTED,
    SqlState::DATA_EXCEPTION,
    SqlState::DIVISION_BY_ZERO,
    SqlState::NUMERIC_OUT_OF_RANGE,
    SqlState::STRING_TRUNCATION,
    SqlState::INVALID_TEXT,
    SqlState::INVALID_DATETIME,
    SqlState::DATETIME_OUT_OF_RANGE,
    SqlState::BAD_COPY,
    SqlState::INVALID_PARAMETER,
    SqlState::NOT_NULL_VIOLATION,
    SqlState::UNIQUE_VIOLATION,
    SqlState::CHECK_VIOLATION,
    SqlState::WINDOWING_ERROR,
    SqlState::DUPLICATE_OBJECT,
    SqlState::INVALID_COLUMN_REFERENCE,
    SqlState::OBJECT_NOT_IN_STATE,
    SqlState::SEQUENCE_EXHAUSTED,
    SqlState::GENERATED_ALWAYS,
    SqlState::CARDINALITY_VIOLATION,
    SqlState::NAME_TOO_LONG,
    SqlState::INVALID_NAME,
    SqlState::UNDEFINED_OBJECT,
    SqlState::RESERVED_NAME,
    SqlState::SNAPSHOT_TOO_OLD,
    SqlState::SERIALIZATION_FAILURE,
    SqlState::LOCK_NOT_AVAILABLE,
    SqlState::DEADLOCK_DETECTED,
    SqlState::IN_FAILED_TRANSACTION,
    SqlState::NO_ACTIVE_TRANSACTION,
    SqlState::ACTIVE_TRANSACTION,
    SqlState::READ_ONLY_TRANSACTION,
    SqlState::IDLE_IN_TRANSACTION_TIMEOUT,
    SqlState::UNDEFINED_SAVEPOINT,
    SqlState::OBJECT_IN_USE,
    SqlState::INSUFFICIENT_PRIVILEGE,
    SqlState::INVALID_GRANT_OPERATION,
    SqlState::INVALID_AUTHORIZATION,
    SqlState::INVALID_PASSWORD,
    SqlState::TOO_MANY_CONNECTIONS,
    SqlState::CONFIG_FILE_ERROR,
    SqlState::UNDEFINED_FILE,
    SqlState::DUPLICATE_FILE,
    SqlState::IO_ERROR,
    SqlState::DATA_CORRUPTED,
    SqlState::OUT_OF_MEMORY,
    SqlState::DISK_FULL,
    SqlState::CONFIGURATION_LIMIT_EXCEEDED,
    SqlState::PROGRAM_LIMIT_EXCEEDED,
    SqlState::TOO_MANY_COLUMNS,
    SqlState::TOO_COMPLEX,
    SqlState::QUERY_CANCELED,
    SqlState::ADMIN_SHUTDOWN,
    SqlState::IDLE_SESSION_TIMEOUT,
    SqlState::CANNOT_CONNECT_NOW,
    SqlState::CONNECTION_FAILURE,
    SqlState::PROTOCOL_VIOLATION,
    SqlState::INVALID_STATEMENT_NAME,
    SqlState::INVALID_OBJECT_DEFINITION,
    SqlState::INTERNAL_ERROR,
    SqlState::INVALID_ENCODING,
    SqlState::INVALID_LOGARITHM,
    SqlState::INVALID_POWER,
    SqlState::INVALID_REGEX,
    SqlState::INVALID_ESCAPE,
    SqlState::SUBSTRING_ERROR,
];

/// An error as a client sees it. `message` starts in lower case and names what is wrong; `hint` says what to do.
#[derive(Clone, Debug)]
pub struct SqlError {
    pub state: SqlState,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// 1-based character position in the statement's text.
    pub position: Option<usize>,
    /// The segment that was lost, if that is the error.
    pub lost: Option<ContentId>,
}

impl SqlError {
    pub fn new(state: SqlState, message: impl Into<String>) -> Self {
        SqlError { state, message: message.into(), detail: None, hint: None, position: None, lost: None }
    }

    /// The user does not want the statement any more.
    pub(crate) fn canceled() -> Self {
        SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says which query lost its segment.
    pub(crate) fn in_query(mut self, query: QueryId) -> Self {
        if self.lost.is_some() {
            self.message = format!("{query}: {}", self.message);
        }
        self
    }

    /// The error of a route that broke because something else did: what did is the better answer.
    pub(crate) fn is_effect(&self) -> bool {
        let is_broken = self.state == SqlState::CONNECTION_FAILURE || self.state == SqlState::QUERY_CANCELED;
        is_broken && self.lost.is_none()
    }

    pub fn at(mut self, position: usize) -> Self {
        self.position = Some(position);
        self
    }
}

/// `ERROR:  relation "x" does not exist (SQLSTATE 42P01)`, then DETAIL, HINT and position lines.
impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.state.0)?;
        if let Some(detail) = &self.detail {
            write!(f, "\nDETAIL:  {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nHINT:  {hint}")?;
        }
        if let Some(position) = self.position {
            write!(f, "\nPOSITION:  {position}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SqlError {}

/// `Ok` or what the client is told.
pub type SqlResult<T> = Result<T, SqlError>;
