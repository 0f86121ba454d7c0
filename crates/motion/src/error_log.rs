//! What the master asks segments about tables' error logs.

/// Names of the calls.
pub mod error_log_calls {
    /// Master → segment: JSON of a [`damson_cluster::TableId`]; each message of the answer is a JSON list of [`damson_cluster::BadRow`],
    /// the oldest first.
    pub const READ_ERROR_LOG: &str = "read_error_log";
    /// Master → segment: JSON list of tables, or null: all; answers null.
    pub const TRUNCATE_ERROR_LOG: &str = "truncate_error_log";
    /// Master → segment: answers one JSON list of the tables that have logs.
    pub const LIST_ERROR_LOGS: &str = "list_error_logs";
    /// Master → segment: JSON list of tables that are no more; answers null.
    pub const DROP_ERROR_LOGS: &str = "drop_error_logs";
}
