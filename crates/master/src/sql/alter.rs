//! ALTER TABLE.

use super::cursor::Cursor;
use super::statement::{AlterAction, AlterTable, Statement};
use super::{create, distributed, table_options, unsupported};
use crate::error::{SqlError, SqlResult, SqlState};

pub(super) fn parse(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let start = cursor.position();
    cursor.expect_word("ALTER")?;
    if !cursor.word("TABLE") {
        return Err(unsupported::object(cursor, "ALTER", start));
    }
    let if_exists = cursor.if_exists();
    // There is no inheritance, so ONLY says nothing.
    cursor.word("ONLY");
    let table = cursor.relation()?;
    let action = action(cursor)?;
    if !cursor.at_end() && *cursor.peek() == sqlparser::tokenizer::Token::Comma {
        return Err(cursor.unsupported("ALTER TABLE with several actions"));
    }
    Ok(Statement::AlterTable(AlterTable { table, if_exists, action }))
}

fn action(cursor: &mut Cursor<'_>) -> SqlResult<AlterAction> {
    let at = cursor.position();
    if cursor.words(&["RENAME", "TO"]) {
        return Ok(AlterAction::RenameTo(cursor.name()?));
    }
    if cursor.words(&["RENAME", "CONSTRAINT"]) {
        return Err(not_yet("ALTER TABLE ... RENAME CONSTRAINT", at));
    }
    if cursor.word("RENAME") {
        cursor.word("COLUMN");
        let from = cursor.name()?;
        cursor.expect_word("TO")?;
        return Ok(AlterAction::RenameColumn { from, to: cursor.name()? });
    }
    if cursor.word("ADD") {
        for constraint in ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "PARTITION"] {
            if cursor.peek_word(0, constraint) && !cursor.peek_word(0, "COLUMN") {
                return Err(not_yet(&format!("ALTER TABLE ... ADD {constraint}"), at));
            }
        }
        return add_column(cursor);
    }
    if cursor.word("SET") {
        return set(cursor, at);
    }
    for known in ["DROP", "ALTER", "OWNER", "INHERIT", "ENABLE", "DISABLE", "CLUSTER", "VALIDATE", "EXPAND", "SPLIT"] {
        if cursor.peek_word(0, known) {
            return Err(not_yet(&format!("ALTER TABLE ... {known}"), at));
        }
    }
    Err(cursor.expected("RENAME, ADD COLUMN or SET DISTRIBUTED"))
}

fn add_column(cursor: &mut Cursor<'_>) -> SqlResult<AlterAction> {
    cursor.word("COLUMN");
    let if_not_exists = cursor.if_not_exists();
    let column = cursor.run(|parser| parser.parse_column_def())?;
    let parsed = create::column(cursor, &column)?;
    if parsed.primary_key || parsed.foreign_key {
        return Err(not_yet("a key of a column that is added", parsed.spec.name.position));
    }
    Ok(AlterAction::AddColumn { column: parsed.spec, if_not_exists })
}

fn set(cursor: &mut Cursor<'_>, at: usize) -> SqlResult<AlterAction> {
    let reorganize = if cursor.peek_word(0, "WITH") { table_options::reorganize(cursor)? } else { None };
    let distribution = distributed::parse(cursor)?;
    if distribution.is_none() && reorganize.is_none() {
        return Err(not_yet("ALTER TABLE ... SET other than DISTRIBUTED and WITH (REORGANIZE=...)", at));
    }
    Ok(AlterAction::SetDistributed { distribution, reorganize })
}

fn not_yet(what: &str, position: usize) -> SqlError {
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported")).at(position)
}
