//! BACKUP, RESTORE and SHOW BACKUPS.

use super::cursor::Cursor;
use super::query;
use super::statement::{Backup, Restore, Statement};
use crate::error::SqlResult;

pub(super) fn backup(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    cursor.expect_word("BACKUP")?;
    cursor.expect_word("TO")?;
    let place = text(cursor, "the URL of a place for backups")?;
    // As `AS OF …` of a table is written out.
    let as_of = match cursor.words(&["FOR", "SYSTEM_TIME", "AS", "OF"]) {
        true => Some(query::expression(cursor)?),
        // Written out, it would have been the other.
        false if cursor.words(&["AS", "OF"]) => {
            return Err(cursor.expected("SNAPSHOT number, RESTORE POINT name or TIMESTAMP 'time'"));
        }
        false => None,
    };
    Ok(Statement::Backup(Backup { place, as_of }))
}

pub(super) fn restore(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    cursor.expect_word("RESTORE")?;
    cursor.expect_word("FROM")?;
    let place = text(cursor, "the URL of a place of backups")?;
    let backup = if cursor.word("BACKUP") { Some(text(cursor, "the name of a backup")?) } else { None };
    Ok(Statement::Restore(Restore { place, backup }))
}

/// After SHOW.
pub(super) fn show_backups(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    cursor.expect_word("BACKUPS")?;
    cursor.expect_word("IN")?;
    Ok(Statement::ShowBackups(text(cursor, "the URL of a place of backups")?))
}

fn text(cursor: &mut Cursor<'_>, what: &str) -> SqlResult<String> {
    cursor.string().ok_or_else(|| cursor.expected(&format!("{what} in quotes")))
}
