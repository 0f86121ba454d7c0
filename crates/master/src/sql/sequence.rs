//! CREATE SEQUENCE, ALTER SEQUENCE, and the options of these and of identity columns.

use super::cursor::Cursor;
use super::names;
use super::statement::{AlterSequence, CreateSequence, Name, RelationName, SequenceOptions};
use super::types;
use crate::error::{SqlError, SqlResult, SqlState};
use arrow::datatypes::DataType;
use sqlparser::ast::ObjectName;
use sqlparser::tokenizer::Token;

/// What the options are for; not every one is for all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Create,
    Alter,
    /// The column says the type, and owns the sequence.
    Identity,
}

/// What stands behind `CREATE SEQUENCE`.
pub(super) fn create(cursor: &mut Cursor<'_>) -> SqlResult<CreateSequence> {
    let if_not_exists = cursor.if_not_exists();
    Ok(CreateSequence { sequence: cursor.relation()?, if_not_exists, options: options(cursor, Of::Create)? })
}

/// What stands behind `ALTER SEQUENCE`.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> SqlResult<AlterSequence> {
    let if_exists = cursor.if_exists();
    let sequence = cursor.relation()?;
    for known in ["RENAME", "OWNER", "SET"] {
        if cursor.peek_word(0, known) {
            return Err(cursor.unsupported(format!("ALTER SEQUENCE ... {known}")));
        }
    }
    if cursor.at_end() {
        return Err(cursor.expected("options"));
    }
    Ok(AlterSequence { sequence, if_exists, options: options(cursor, Of::Alter)? })
}

/// The options at the cursor, in any order; what is none ends them.
///
/// # Errors
/// 42601, also for an option that is given twice; 22023, 22003 for values.
pub(super) fn options(cursor: &mut Cursor<'_>, of: Of) -> SqlResult<SequenceOptions> {
    let mut options = SequenceOptions::default();
    loop {
        let at = cursor.position();
        if of != Of::Identity && cursor.word("AS") {
            set(&mut options.data_type, data_type(cursor)?, at)?;
        } else if cursor.word("INCREMENT") {
            cursor.word("BY");
            let increment = integer(cursor)?;
            if increment == 0 {
                return Err(invalid("INCREMENT must not be zero").at(at));
            }
            set(&mut options.increment, increment, at)?;
        } else if cursor.word("MINVALUE") {
            set(&mut options.min, Some(integer(cursor)?), at)?;
        } else if cursor.words(&["NO", "MINVALUE"]) {
            set(&mut options.min, None, at)?;
        } else if cursor.word("MAXVALUE") {
            set(&mut options.max, Some(integer(cursor)?), at)?;
        } else if cursor.words(&["NO", "MAXVALUE"]) {
            set(&mut options.max, None, at)?;
        } else if cursor.word("START") {
            cursor.word("WITH");
            set(&mut options.start, integer(cursor)?, at)?;
        } else if of == Of::Alter && cursor.word("RESTART") {
            let value = if cursor.word("WITH") || is_integer(cursor.peek()) { Some(integer(cursor)?) } else { None };
            set(&mut options.restart, value, at)?;
        } else if cursor.word("CACHE") {
            let cache = integer(cursor)?;
            if cache < 1 {
                return Err(invalid(&format!("CACHE ({cache}) must be greater than zero")).at(at));
            }
            set(&mut options.cache, cache, at)?;
        } else if cursor.word("CYCLE") {
            set(&mut options.cycle, true, at)?;
        } else if cursor.words(&["NO", "CYCLE"]) {
            set(&mut options.cycle, false, at)?;
        } else if of != Of::Identity && cursor.words(&["OWNED", "BY"]) {
            set(&mut options.owned_by, owner(cursor)?, at)?;
        } else {
            return Ok(options);
        }
    }
}

fn set<T>(option: &mut Option<T>, value: T, at: usize) -> SqlResult<()> {
    match option.replace(value) {
        None => Ok(()),
        Some(_) => Err(SqlError::new(SqlState::SYNTAX_ERROR, "conflicting or redundant options").at(at)),
    }
}

fn data_type(cursor: &mut Cursor<'_>) -> SqlResult<types::SqlType> {
    let at = cursor.position();
    let sql = cursor.run(|parser| parser.parse_data_type())?;
    let sql_type = types::sql_type_of(&sql).map_err(|error| error.at(at))?;
    match sql_type.data_type {
        DataType::Int16 | DataType::Int32 | DataType::Int64 => Ok(sql_type),
        _ => Err(invalid("sequence type must be smallint, integer, or bigint").at(at)),
    }
}

fn is_integer(token: &Token) -> bool {
    matches!(token, Token::Plus | Token::Minus | Token::Number(..))
}

fn integer(cursor: &mut Cursor<'_>) -> SqlResult<i64> {
    let at = cursor.position();
    let sign = if cursor.token(&Token::Minus) { "-" } else { "" };
    if sign.is_empty() {
        cursor.token(&Token::Plus);
    }
    let digits = match cursor.peek() {
        Token::Number(digits, false) => digits.replace('_', ""),
        _ => return Err(cursor.expected("an integer")),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(cursor.expected("an integer"));
    }
    cursor.parser.advance_token();
    let text = format!("{sign}{digits}");
    text.parse().map_err(|_| {
        let message = format!("value \"{text}\" is out of range for type bigint");
        SqlError::new(SqlState::NUMERIC_OUT_OF_RANGE, message).at(at)
    })
}

/// `NONE`, `t.c` or `s.t.c`.
fn owner(cursor: &mut Cursor<'_>) -> SqlResult<Option<(RelationName, Name)>> {
    if cursor.word("NONE") {
        return Ok(None);
    }
    let at = cursor.position();
    let mut object = cursor.run(|parser| parser.parse_object_name(false))?;
    let column = object.0.pop().and_then(|part| part.as_ident().cloned());
    match (column, object) {
        (Some(column), ObjectName(table)) if !table.is_empty() => {
            let table = names::relation(cursor.text, &ObjectName(table))?;
            Ok(Some((table, names::name(cursor.text, &column)?)))
        }
        _ => {
            let error = SqlError::new(SqlState::SYNTAX_ERROR, "invalid OWNED BY option");
            Err(error.with_hint("Specify OWNED BY table.column or OWNED BY NONE.").at(at))
        }
    }
}

fn invalid(message: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER, message)
}
