//! BEGIN, COMMIT, ROLLBACK, savepoints, SET TRANSACTION, LOCK TABLE.

use super::cursor::Cursor;
use super::statement::{Isolation, LockTable, Statement, TransactionModes, TransactionStatement};
use crate::error::SqlResult;
use crate::locks::LockMode;
use sqlparser::tokenizer::Token;

/// Everything that begins, ends or divides a transaction.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let statement = if cursor.word("BEGIN") {
        noise(cursor);
        TransactionStatement::Begin { modes: modes(cursor)?, tag: "BEGIN" }
    } else if cursor.word("START") {
        cursor.expect_word("TRANSACTION")?;
        TransactionStatement::Begin { modes: modes(cursor)?, tag: "START TRANSACTION" }
    } else if cursor.word("COMMIT") || cursor.word("END") {
        refuse_prepared(cursor)?;
        noise(cursor);
        TransactionStatement::Commit { chain: chain(cursor)? }
    } else if cursor.word("SAVEPOINT") {
        TransactionStatement::Savepoint(cursor.name()?)
    } else if cursor.word("RELEASE") {
        cursor.word("SAVEPOINT");
        TransactionStatement::Release(cursor.name()?)
    } else {
        if !cursor.word("ABORT") {
            cursor.expect_word("ROLLBACK")?;
        }
        refuse_prepared(cursor)?;
        noise(cursor);
        if cursor.word("TO") {
            cursor.word("SAVEPOINT");
            TransactionStatement::RollbackTo(cursor.name()?)
        } else {
            TransactionStatement::Rollback { chain: chain(cursor)? }
        }
    };
    Ok(Statement::Transaction(statement))
}

/// What follows `SET TRANSACTION`.
pub(super) fn set(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let modes = modes(cursor)?;
    if modes == TransactionModes::default() {
        return Err(cursor.expected("ISOLATION LEVEL, READ WRITE or READ ONLY"));
    }
    Ok(Statement::Transaction(TransactionStatement::Set(modes)))
}

/// `LOCK [TABLE] t, … [IN … MODE] [NOWAIT]`.
pub(super) fn lock(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    cursor.expect_word("LOCK")?;
    cursor.word("TABLE");
    cursor.word("ONLY");
    let tables = cursor.list(Cursor::relation)?;
    let mode = if cursor.word("IN") { mode(cursor)? } else { LockMode::AccessExclusive };
    let nowait = cursor.word("NOWAIT");
    Ok(Statement::LockTable(LockTable { tables, mode, nowait }))
}

fn mode(cursor: &mut Cursor<'_>) -> SqlResult<LockMode> {
    let names: [(&[&str], LockMode); 8] = [
        (&["ACCESS", "SHARE", "MODE"], LockMode::AccessShare),
        (&["ROW", "SHARE", "MODE"], LockMode::RowShare),
        (&["ROW", "EXCLUSIVE", "MODE"], LockMode::RowExclusive),
        (&["SHARE", "UPDATE", "EXCLUSIVE", "MODE"], LockMode::ShareUpdateExclusive),
        (&["SHARE", "MODE"], LockMode::Share),
        (&["SHARE", "ROW", "EXCLUSIVE", "MODE"], LockMode::ShareRowExclusive),
        (&["EXCLUSIVE", "MODE"], LockMode::Exclusive),
        (&["ACCESS", "EXCLUSIVE", "MODE"], LockMode::AccessExclusive),
    ];
    match names.into_iter().find(|(words, _)| cursor.words(words)) {
        Some((_, mode)) => Ok(mode),
        None => Err(cursor.expected("a lock mode, such as SHARE MODE or ACCESS EXCLUSIVE MODE")),
    }
}

fn noise(cursor: &mut Cursor<'_>) {
    if !cursor.word("WORK") {
        cursor.word("TRANSACTION");
    }
}

fn chain(cursor: &mut Cursor<'_>) -> SqlResult<bool> {
    if !cursor.word("AND") {
        return Ok(false);
    }
    let chain = !cursor.word("NO");
    cursor.expect_word("CHAIN")?;
    Ok(chain)
}

fn refuse_prepared(cursor: &Cursor<'_>) -> SqlResult<()> {
    if cursor.peek_word(0, "PREPARED") {
        return Err(cursor.unsupported("two-phase commit by the client (PREPARE TRANSACTION)"));
    }
    Ok(())
}

/// The modes that follow, with or without commas between.
fn modes(cursor: &mut Cursor<'_>) -> SqlResult<TransactionModes> {
    let mut modes = TransactionModes::default();
    loop {
        if cursor.words(&["ISOLATION", "LEVEL"]) {
            modes.isolation = Some(isolation(cursor)?);
        } else if cursor.words(&["READ", "ONLY"]) {
            modes.read_only = Some(true);
        } else if cursor.words(&["READ", "WRITE"]) {
            modes.read_only = Some(false);
        } else if cursor.words(&["NOT", "DEFERRABLE"]) || cursor.word("DEFERRABLE") {
            // It is for serializable transactions alone.
        } else {
            return Ok(modes);
        }
        cursor.token(&Token::Comma);
    }
}

fn isolation(cursor: &mut Cursor<'_>) -> SqlResult<Isolation> {
    if cursor.words(&["READ", "COMMITTED"]) || cursor.words(&["READ", "UNCOMMITTED"]) {
        Ok(Isolation::ReadCommitted)
    } else if cursor.words(&["REPEATABLE", "READ"]) || cursor.word("SERIALIZABLE") {
        Ok(Isolation::RepeatableRead)
    } else {
        Err(cursor.expected("READ COMMITTED, REPEATABLE READ or SERIALIZABLE"))
    }
}
