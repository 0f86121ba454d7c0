//! ALTER TABLE.

use super::constraint::{self, Constraint};
use super::cursor::Cursor;
use super::statement::{AlterAction, AlterTable, LayoutOptions, Statement};
use super::{column, distributed, expression, role, sequence, settings, table_options, unsupported};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::tokenizer::Token;

/// Also ALTER SEQUENCE and ALTER SYSTEM.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let start = cursor.position();
    cursor.expect_word("ALTER")?;
    if role::kind(cursor) {
        return role::alter(cursor);
    }
    if let Some(owner) = role::owner_to(cursor)? {
        return Ok(owner);
    }
    if cursor.word("SEQUENCE") {
        return sequence::alter(cursor).map(Statement::AlterSequence);
    }
    if cursor.word("SYSTEM") {
        return settings::alter_system(cursor).map(Statement::AlterSystem);
    }
    if !cursor.word("TABLE") {
        return Err(unsupported::object(cursor, "ALTER", start));
    }
    let if_exists = cursor.if_exists();
    // There is no inheritance, so ONLY says nothing.
    cursor.word("ONLY");
    let table = cursor.relation()?;
    if cursor.words(&["EXPAND", "TABLE"]) {
        return Ok(Statement::ExpandTable { table, if_exists });
    }
    let action = action(cursor)?;
    if !cursor.at_end() && *cursor.peek() == Token::Comma {
        return Err(cursor.unsupported("ALTER TABLE with several actions"));
    }
    Ok(Statement::AlterTable(AlterTable { table, if_exists, action }))
}

fn action(cursor: &mut Cursor<'_>) -> SqlResult<AlterAction> {
    let at = cursor.position();
    if cursor.word("RENAME") {
        return rename(cursor);
    }
    if cursor.word("ADD") {
        return add(cursor, at);
    }
    if cursor.word("DROP") {
        return drop(cursor, at);
    }
    if cursor.word("ALTER") {
        return alter_column(cursor, at);
    }
    if cursor.word("SET") {
        return set(cursor, at);
    }
    for known in ["INHERIT", "ENABLE", "DISABLE", "CLUSTER", "VALIDATE", "EXPAND", "SPLIT"] {
        if cursor.peek_word(0, known) {
            return Err(not_yet(&format!("ALTER TABLE ... {known}"), at));
        }
    }
    Err(cursor.expected("RENAME, ADD, DROP, ALTER or SET DISTRIBUTED"))
}

fn rename(cursor: &mut Cursor<'_>) -> SqlResult<AlterAction> {
    if cursor.word("TO") {
        return Ok(AlterAction::RenameTo(cursor.name()?));
    }
    let constraint = cursor.word("CONSTRAINT");
    if !constraint {
        cursor.word("COLUMN");
    }
    let from = cursor.name()?;
    cursor.expect_word("TO")?;
    let to = cursor.name()?;
    Ok(if constraint { AlterAction::RenameConstraint { from, to } } else { AlterAction::RenameColumn { from, to } })
}

fn add(cursor: &mut Cursor<'_>, at: usize) -> SqlResult<AlterAction> {
    if cursor.peek_word(0, "PARTITION") {
        return Err(not_yet("ALTER TABLE ... ADD PARTITION", at));
    }
    let constraint = if cursor.word("COLUMN") { None } else { constraint::of_table(cursor)? };
    match constraint {
        Some(Constraint::Key(key)) => return Ok(AlterAction::AddKey(key)),
        Some(Constraint::Check(check)) => return Ok(AlterAction::AddCheck(check)),
        Some(Constraint::ForeignKey) => return Ok(AlterAction::AddForeignKey),
        None => {}
    }
    let if_not_exists = cursor.if_not_exists();
    let column = column::parse(cursor)?;
    if !column.keys.is_empty() {
        return Err(not_yet("a key of a column that is added", column.spec.name.position));
    }
    Ok(AlterAction::AddColumn { column: column.spec, if_not_exists, checks: column.checks })
}

fn drop(cursor: &mut Cursor<'_>, at: usize) -> SqlResult<AlterAction> {
    for partition in [&["PARTITION"] as &[&str], &["DEFAULT", "PARTITION"]] {
        if cursor.words(partition) {
            return Err(not_yet("ALTER TABLE ... DROP PARTITION", at));
        }
    }
    if cursor.word("CONSTRAINT") {
        let if_exists = cursor.if_exists();
        return Ok(AlterAction::DropConstraint { name: cursor.name()?, if_exists, cascade: cursor.cascade() });
    }
    cursor.word("COLUMN");
    let if_exists = cursor.if_exists();
    Ok(AlterAction::DropColumn { column: cursor.name()?, if_exists, cascade: cursor.cascade() })
}

fn alter_column(cursor: &mut Cursor<'_>, at: usize) -> SqlResult<AlterAction> {
    if cursor.word("CONSTRAINT") {
        return Err(not_yet("ALTER TABLE ... ALTER CONSTRAINT", at));
    }
    cursor.word("COLUMN");
    let column = cursor.name()?;
    if cursor.words(&["SET", "NOT", "NULL"]) {
        return Ok(AlterAction::SetNotNull(column));
    }
    if cursor.words(&["DROP", "NOT", "NULL"]) {
        return Ok(AlterAction::DropNotNull(column));
    }
    if cursor.words(&["DROP", "DEFAULT"]) {
        return Ok(AlterAction::DropDefault(column));
    }
    if cursor.words(&["SET", "DEFAULT"]) {
        let at = cursor.position();
        let value = cursor.run(|parser| parser.parse_expr())?;
        let default = expression::default_text(&value).map_err(|error| error.at(at))?;
        return Ok(AlterAction::SetDefault { column, default });
    }
    for known in ["TYPE", "SET", "ADD", "DROP", "RESTART", "RESET"] {
        if cursor.peek_word(0, known) {
            return Err(cursor.unsupported(format!("ALTER TABLE ... ALTER COLUMN ... {known}")));
        }
    }
    Err(cursor.expected("SET or DROP, and NOT NULL or DEFAULT"))
}

fn set(cursor: &mut Cursor<'_>, at: usize) -> SqlResult<AlterAction> {
    if cursor.peek_word(0, "TABLESPACE") {
        let hint = "CREATE TABLE ... TABLESPACE ... AS makes a copy in another one.";
        return Err(not_yet("ALTER TABLE ... SET TABLESPACE", at).with_hint(hint));
    }
    let (mut reorganize, mut layout) = (None, LayoutOptions::default());
    if cursor.peek_word(0, "WITH") {
        (reorganize, layout) = table_options::altered(cursor)?;
    } else if *cursor.peek() == Token::LParen {
        (reorganize, layout) = table_options::altered_in_parentheses(cursor)?;
    }
    let distribution = distributed::parse(cursor)?;
    // Without rewriting anything, only files to come are laid out so.
    let stays = reorganize == Some(false) && distribution.is_none() && !layout.is_empty();
    if (distribution.is_some() || reorganize.is_some()) && !stays {
        return Ok(AlterAction::SetDistributed { distribution, reorganize, layout });
    }
    if layout.is_empty() {
        return Err(not_yet("ALTER TABLE ... SET other than DISTRIBUTED and WITH (...)", at));
    }
    Ok(AlterAction::SetLayout(layout))
}

fn not_yet(what: &str, position: usize) -> SqlError {
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported")).at(position)
}
