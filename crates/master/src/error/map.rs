//! Every other crate's errors as the client sees them.

use super::{SqlError, SqlState};
use crate::sql::sql_type_name;
use damson_cluster::{ContentId, SliceId};
use damson_interconnect::{InterconnectError, RouteError};
use damson_motion::SpillError;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use std::error::Error;
use std::fmt::Display;

/// Why work on another thread gave nothing: the process ends, or it panicked.
pub(crate) fn task_ended(error: tokio::task::JoinError) -> SqlError {
    of_join(&error)
}

fn of_join(error: &tokio::task::JoinError) -> SqlError {
    match error.is_cancelled() {
        true => SqlError::new(SqlState::CANNOT_CONNECT_NOW, "this master is ending"),
        false => internal(error),
    }
}

/// A broken expectation inside the server.
pub(crate) fn internal(error: impl Display) -> SqlError {
    SqlError::new(SqlState::INTERNAL_ERROR, error.to_string())
}

/// A control call to a segment that failed.
pub(crate) fn of_call(content: ContentId) -> impl Fn(InterconnectError) -> SqlError {
    move |error| match error {
        InterconnectError::PeerLost { endpoint, reason } => SqlError {
            lost: Some(content),
            ..SqlError::new(SqlState::CONNECTION_FAILURE, format!("lost segment {content} at {endpoint}"))
                .with_detail(reason)
                .with_hint("the statement can be repeated once the segment is up again")
        },
        InterconnectError::Control(control) => {
            SqlError::new(SqlState::known(&control.code), format!("{} ({content})", control.message))
        }
        other => internal(other).with_detail(format!("in a call to {content}")),
    }
}

/// A slice that failed on a segment. Where it ran is said where it matters: not for what the user's data did.
pub(crate) fn of_slice(code: &str, message: String, slice: SliceId, content: ContentId) -> SqlError {
    let state = SqlState::known(code);
    let users_own = state.0.starts_with("22") || state.0.starts_with("23");
    let message = if users_own { message } else { format!("{message} ({content} {slice})") };
    with_detail(state, &message)
}

/// Storage's errors say what they tell in detail, and then what can be done, after the message, as PostgreSQL prints it.
fn with_detail(state: SqlState, message: &str) -> SqlError {
    let (message, hint) = match message.rsplit_once("\nHINT:  ") {
        Some((message, hint)) => (message, Some(hint)),
        None => (message, None),
    };
    let error = match message.split_once("\nDETAIL:  ") {
        Some((message, detail)) => SqlError::new(state, message).with_detail(detail),
        None => SqlError::new(state, message),
    };
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// A failure on the master, as the receivers of its motions see it.
pub(crate) fn describe(error: &DataFusionError) -> RouteError {
    if let Some(route) = find::<RouteError>(error) {
        return route.clone();
    }
    let error = of_datafusion_ref(error);
    RouteError::Remote { code: error.state.0.into(), message: error.message }
}

/// Whatever planning or execution raised.
pub(crate) fn of_datafusion(error: DataFusionError) -> SqlError {
    of_datafusion_ref(&error)
}

fn of_datafusion_ref(error: &DataFusionError) -> SqlError {
    if let Some(sql) = find::<SqlError>(error) {
        return sql.clone();
    }
    if let Some(route) = find::<RouteError>(error) {
        return of_route(route);
    }
    if let Some(spill) = SpillError::find(error) {
        return SqlError::new(SqlState::known(spill.sqlstate()), format!("{spill} (master)"));
    }
    let root = error.find_root();
    if let Some(described) = damson_functions::describe_evaluation(error) {
        return SqlError::new(SqlState::known(described.sqlstate), described.message);
    }
    match root {
        DataFusionError::SQL(parser, _) => SqlError::new(SqlState::SYNTAX_ERROR, parser.to_string()),
        DataFusionError::NotImplemented(what) => SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, first_line(what)),
        DataFusionError::SchemaError(schema, _) => of_schema(schema),
        DataFusionError::Plan(message) => of_plan(message),
        DataFusionError::Execution(message) if no_function(message).is_some() => of_plan(message),
        DataFusionError::ResourcesExhausted(what) => SqlError::new(SqlState::OUT_OF_MEMORY, "out of memory")
            .with_detail(first_line(what))
            .with_hint("run fewer statements at once, or raise --memory"),
        DataFusionError::IoError(io) => SqlError::new(SqlState::IO_ERROR, io.to_string()),
        DataFusionError::ExecutionJoin(join) => of_join(join),
        _ => SqlError::new(SqlState::INTERNAL_ERROR, message_of(root)),
    }
}

fn of_route(route: &RouteError) -> SqlError {
    match route {
        RouteError::Remote { code, message } => with_detail(SqlState::known(code), message),
        RouteError::Cancelled { .. } => SqlError::new(SqlState::QUERY_CANCELED, route.to_string()),
        RouteError::PeerLost { .. } => SqlError::new(SqlState::CONNECTION_FAILURE, route.to_string()),
        _ => internal(route),
    }
}

fn of_schema(error: &SchemaError) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let is_of =
                |c: &datafusion::common::Column, name: &str| c.relation.as_ref().is_some_and(|r| r.table() == name);
            if let Some(table) = &field.relation
                && !valid_fields.iter().any(|c| is_of(c, table.table()))
            {
                let message = format!("missing FROM-clause entry for table \"{}\"", table.table());
                return SqlError::new(SqlState::UNDEFINED_TABLE, message);
            }
            let not_found =
                SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{}\" does not exist", field.flat_name()));
            let same = |c: &&datafusion::common::Column| c.name.eq_ignore_ascii_case(&field.name);
            match valid_fields.iter().find(same) {
                Some(near) => not_found.with_hint(format!("perhaps you meant \"{}\"", near.flat_name())),
                None => not_found,
            }
        }
        SchemaError::AmbiguousReference { field } => SqlError::new(
            SqlState::AMBIGUOUS_COLUMN,
            format!("column reference \"{}\" is ambiguous", field.flat_name()),
        ),
        other => SqlError::new(SqlState::DUPLICATE_COLUMN, other.to_string()),
    }
}

/// DataFusion's binder has one error for everything: what it says tells which.
fn of_plan(message: &str) -> SqlError {
    let message = first_line(message);
    if let Some(error) = no_function(&message) {
        return error;
    }
    if let Some((_, rest)) = message.split_once("column \"")
        && let Some((column, _)) = rest.split_once("\" must appear in the GROUP BY clause")
    {
        let message =
            format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function");
        return SqlError::new(SqlState::GROUPING_ERROR, message);
    }
    if let Some(name) = quoted_after(&message, "table function '").filter(|_| message.contains("not found")) {
        let error = SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {name} does not exist"));
        let is_of_files = ["read", "scan", "csv", "json", "parquet"].iter().any(|word| name.contains(word));
        return if is_of_files {
            error.with_hint("read_files('place') reads files, and so does FROM 'place'.")
        } else {
            error
        };
    }
    if let Some(table) = quoted_after(&message, "table '").filter(|_| message.contains("not found")) {
        let name = table.strip_prefix("damson.public.").or_else(|| table.strip_prefix("damson.")).unwrap_or(table);
        return SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"));
    }
    if message.contains("Invalid function '") {
        let name = quoted_after(&message, "Invalid function '").unwrap_or_default();
        return SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {name} does not exist"));
    }
    if let Some(operation) = message.strip_prefix("Cannot coerce arithmetic expression ")
        && let Some(operation) = operation.strip_suffix(" to valid types")
    {
        return no_operator(operation);
    }
    let mentions = |words: &[&str]| words.iter().any(|w| message.contains(w));
    let state = if mentions(&["GROUP BY", "must appear in", "aggregate"]) {
        SqlState::GROUPING_ERROR
    } else if mentions(&[
        "No function matches",
        "does not support",
        "Failed to coerce",
        "failed to match any signature",
    ]) {
        SqlState::UNDEFINED_FUNCTION
    } else if mentions(&["Cannot coerce", "annot infer common", "Incompatible", "type", "boolean"]) {
        SqlState::DATATYPE_MISMATCH
    } else if mentions(&["Schema error", "No field named"]) {
        SqlState::UNDEFINED_COLUMN
    } else {
        SqlState::SYNTAX_OR_ACCESS_RULE
    };
    SqlError::new(state, message)
}

/// `Function 'sum' user-defined coercion failed with "… function sum(Utf8View) does not exist"`: one of ours refuses a type.
fn no_function(message: &str) -> Option<SqlError> {
    let (_, reason) = message.split_once("user-defined coercion failed with")?;
    let (_, call) = reason.split_once("function ")?;
    let (call, _) = call.split_once(" does not exist")?;
    let (name, types) = call.split_once('(')?;
    let types = types.trim_matches(['(', ')', '[', ']']).split(", ");
    let sql_name = |word: &str| word.parse::<DataType>().map_or_else(|_| word.into(), |t| sql_type_name(&t));
    let types = types.map(sql_name).collect::<Vec<_>>().join(", ");
    let error = SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {name}({types}) does not exist"));
    Some(
        error.with_hint(
            "No function matches the given name and argument types. You might need to add explicit type casts.",
        ),
    )
}

/// `Utf8View + Int64`, in DataFusion's words.
fn no_operator(operation: &str) -> SqlError {
    let sql_name = |word: &str| word.parse::<DataType>().map_or_else(|_| word.into(), |t| sql_type_name(&t));
    let operation = operation.split(' ').map(sql_name).collect::<Vec<_>>().join(" ");
    SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {operation}"))
        .with_hint("No operator matches the given argument types. You might need to add explicit type casts.")
}

fn quoted_after<'a>(message: &'a str, before: &str) -> Option<&'a str> {
    let start = message.find(before)? + before.len();
    message[start..].split('\'').next()
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim().to_owned()
}

/// The message alone, without the layers that it came through.
fn message_of(error: &DataFusionError) -> String {
    match error {
        DataFusionError::ArrowError(arrow, _) if matches!(**arrow, ArrowError::DivideByZero) => {
            "division by zero".into()
        }
        DataFusionError::ArrowError(arrow, _) => arrow.to_string(),
        DataFusionError::External(cause) => cause.to_string(),
        other => other.strip_backtrace().trim().to_owned(),
    }
}

/// The error of one type among an error's causes.
fn find<E: Error + 'static>(error: &DataFusionError) -> Option<&E> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binders_words_become_postgresql_s() {
        let text = "Function 'sum' user-defined coercion failed with \"Error during planning: function sum(Utf8View) does not exist\"";
        let error = of_datafusion(DataFusionError::Execution(text.into()));
        assert_eq!(
            (error.state, error.message.as_str()),
            (SqlState::UNDEFINED_FUNCTION, "function sum(text) does not exist")
        );
        let text = "Column in SELECT must be in GROUP BY or an aggregate function: While expanding wildcard, column \"t.v\" \
                    must appear in the GROUP BY clause or must be part of an aggregate function, currently only \"t.k\" \
                    appears in the SELECT clause satisfies this requirement";
        let error = of_datafusion(DataFusionError::Plan(text.into()));
        let message = "column \"t.v\" must appear in the GROUP BY clause or be used in an aggregate function";
        assert_eq!((error.state, error.message.as_str()), (SqlState::GROUPING_ERROR, message));
        let of_function =
            |name: &str| of_datafusion(DataFusionError::Plan(format!("table function '{name}' not found")));
        let error = of_function("read_csv");
        assert_eq!(
            (error.state, error.message.as_str()),
            (SqlState::UNDEFINED_FUNCTION, "function read_csv does not exist")
        );
        assert!(error.hint.is_some_and(|hint| hint.contains("read_files")) && of_function("f").hint.is_none());
    }

    #[test]
    fn storages_details_and_hints_are_taken_apart() {
        let parts = |message: &str| {
            let error = of_slice("22P02", message.into(), SliceId(1), ContentId(0));
            (error.message, error.detail, error.hint)
        };
        assert_eq!(parts("wrong"), ("wrong".into(), None, None));
        assert_eq!(parts("wrong\nHINT:  look"), ("wrong".into(), None, Some("look".into())));
        let all = parts("wrong\nDETAIL:  this\nHINT:  look");
        assert_eq!(all, ("wrong".into(), Some("this".into()), Some("look".into())));
    }

    #[tokio::test]
    async fn what_a_master_that_ends_cut_short_can_be_asked_of_another() {
        let task = tokio::spawn(std::future::pending::<()>());
        task.abort();
        let cut_short = DataFusionError::ExecutionJoin(Box::new(task.await.unwrap_err()));
        let died = tokio::spawn(async { panic!("it has a bug") }).await.unwrap_err();
        let states =
            [cut_short, DataFusionError::ExecutionJoin(Box::new(died))].map(|error| of_datafusion(error).state);
        assert_eq!(states, [SqlState::CANNOT_CONNECT_NOW, SqlState::INTERNAL_ERROR]);
    }
}
