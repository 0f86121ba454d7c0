//! What PostgreSQL or Greenplum has and Damson does not: named, so that nobody looks for a typing error.

use super::cursor::Cursor;
use crate::error::{SqlError, SqlState};
use sqlparser::tokenizer::Token;

/// First words of statements that are SQL, and a hint where there is another way.
const STATEMENTS: &[(&str, &str)] = &[
    ("PREPARE", "Use the client protocol's prepared statements."),
    ("EXECUTE", "Use the client protocol's prepared statements."),
    ("DEALLOCATE", ""),
    ("DECLARE", "Results are streamed: a cursor is not needed."),
    ("FETCH", "Results are streamed: a cursor is not needed."),
    ("MOVE", ""),
    ("CLOSE", ""),
    ("LISTEN", ""),
    ("UNLISTEN", ""),
    ("NOTIFY", ""),
    ("COMMENT", ""),
    ("CALL", ""),
    ("DO", ""),
    ("CLUSTER", ""),
    ("REINDEX", "There are no indexes."),
    ("CHECKPOINT", "Every commit is durable."),
    ("LOAD", ""),
    ("DISCARD", ""),
    ("REFRESH", ""),
    ("REASSIGN", ""),
    ("SECURITY", ""),
    ("IMPORT", ""),
];

/// Kinds of objects that CREATE, DROP and ALTER may name; some are two words.
const OBJECTS: &[(&str, &str)] = &[
    ("INDEX", "There are no indexes: files carry minima and maxima of their columns."),
    ("UNIQUE", "There are no indexes."),
    ("TEMP", "Use an ordinary table and drop it."),
    ("TEMPORARY", "Use an ordinary table and drop it."),
    ("LOCAL", "Use an ordinary table and drop it."),
    ("GLOBAL", "Use an ordinary table and drop it."),
    ("UNLOGGED", "Use an ordinary table."),
    ("EXTERNAL", "Drop the external table, and make it anew."),
    ("FOREIGN", "Load with COPY."),
    ("WEB", "Load with COPY."),
    ("MATERIALIZED", "Use CREATE TABLE ... AS."),
    ("RECURSIVE", "Use CREATE VIEW with WITH RECURSIVE."),
    ("TABLE", "Drop the table first."),
    ("VIEW", ""),
    ("SCHEMA", ""),
    ("FUNCTION", ""),
    ("PROCEDURE", ""),
    ("AGGREGATE", ""),
    ("TRIGGER", ""),
    ("EVENT", ""),
    ("RULE", ""),
    ("TYPE", ""),
    ("DOMAIN", ""),
    ("CAST", ""),
    ("COLLATION", ""),
    ("OPERATOR", ""),
    ("EXTENSION", ""),
    ("LANGUAGE", ""),
    ("DATABASE", "A cluster has one database."),
    ("TABLESPACE", "Drop it, and make another one."),
    ("SECRET", "Use CREATE OR REPLACE SECRET."),
    ("POLICY", ""),
    ("RESOURCE", ""),
    ("SERVER", ""),
    ("STATISTICS", "Statistics are collected while rows are written."),
    ("SYSTEM", ""),
    ("DEFAULT", ""),
    ("OWNED", ""),
    ("PUBLICATION", ""),
    ("SUBSCRIPTION", ""),
];

/// The error for a statement that begins with `first`: 0A000 if it is known, else 42601.
pub(super) fn statement(cursor: &Cursor<'_>, first: &str) -> SqlError {
    if first == "PREPARE" && cursor.peek_word(1, "TRANSACTION") {
        let hint = "COMMIT is all or nothing on all segments; there is no two-phase commit by the client.";
        return refuse("PREPARE TRANSACTION", hint).at(cursor.position());
    }
    match STATEMENTS.iter().find(|(word, _)| *word == first) {
        Some((word, hint)) => refuse(word, hint).at(cursor.position()),
        None => cursor.unexpected(),
    }
}

/// The error for `verb` and what the cursor is at; `start` is the verb's position.
pub(super) fn object(cursor: &Cursor<'_>, verb: &str, start: usize) -> SqlError {
    let Token::Word(word) = cursor.peek() else { return cursor.unexpected() };
    let kind = word.value.to_ascii_uppercase();
    match OBJECTS.iter().find(|(object, _)| *object == kind) {
        Some((object, hint)) => refuse(&format!("{verb} {object}"), hint).at(start),
        None => cursor.unexpected(),
    }
}

fn refuse(what: &str, hint: &str) -> SqlError {
    let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported"));
    if hint.is_empty() { error } else { error.with_hint(hint) }
}
