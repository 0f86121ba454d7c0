//! DROP and TRUNCATE.

use super::create;
use super::cursor::Cursor;
use super::external;
use super::statement::{Drop, Statement, Truncate};
use super::{role, secret, tablespace, unsupported};
use crate::error::SqlResult;

pub(super) fn parse(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let start = cursor.position();
    cursor.expect_word("DROP")?;
    if cursor.word("TABLE") {
        list(cursor, Cursor::relation).map(Statement::DropTable)
    } else if external::is_drop(cursor) {
        list(cursor, Cursor::relation).map(Statement::DropExternal)
    } else if cursor.word("VIEW") {
        list(cursor, Cursor::relation).map(Statement::DropView)
    } else if cursor.word("SCHEMA") {
        list(cursor, Cursor::name).map(Statement::DropSchema)
    } else if cursor.words(&["RESTORE", "POINT"]) {
        let if_exists = cursor.if_exists();
        Ok(Statement::DropRestorePoint { name: create::restore_point(cursor)?, if_exists })
    } else if cursor.word("SECRET") || cursor.words(&["PERSISTENT", "SECRET"]) {
        secret::drop(cursor)
    } else if role::kind(cursor) {
        role::drop(cursor)
    } else if cursor.word("TABLESPACE") {
        tablespace::drop(cursor)
    } else if cursor.word("SEQUENCE") {
        list(cursor, Cursor::relation).map(Statement::DropSequence)
    } else {
        Err(unsupported::object(cursor, "DROP", start))
    }
}

fn list<'a, N>(cursor: &mut Cursor<'a>, name: impl FnMut(&mut Cursor<'a>) -> SqlResult<N>) -> SqlResult<Drop<N>> {
    let if_exists = cursor.if_exists();
    let names = cursor.list(name)?;
    Ok(Drop { names, if_exists, cascade: cursor.cascade() })
}

pub(super) fn truncate(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    cursor.expect_word("TRUNCATE")?;
    cursor.word("TABLE");
    cursor.word("ONLY");
    let tables = cursor.list(Cursor::relation)?;
    let restart_identity = cursor.words(&["RESTART", "IDENTITY"]);
    if !restart_identity {
        cursor.words(&["CONTINUE", "IDENTITY"]);
    }
    // No foreign keys are enforced: CASCADE has nothing to reach.
    cursor.cascade();
    Ok(Statement::Truncate(Truncate { tables, restart_identity }))
}
