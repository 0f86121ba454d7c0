//! The definition of a column, in CREATE TABLE and in ALTER TABLE ... ADD COLUMN.

use super::constraint::{self, Constraint};
use super::cursor::Cursor;
use super::sequence::{self, Of};
use super::statement::{CheckSpec, ColumnSpec, IdentitySpec, KeySpec, SequenceOptions};
use super::{expression, types};
use crate::error::{SqlError, SqlResult, SqlState};
use arrow::datatypes::DataType;
use sqlparser::ast::ColumnOption;
use sqlparser::tokenizer::Token;

const DEFAULT_AND_IDENTITY: &str = "both default and identity specified for";

/// A column, and what its definition says about the table.
pub(super) struct Column {
    pub spec: ColumnSpec,
    pub keys: Vec<KeySpec>,
    pub checks: Vec<CheckSpec>,
    /// True if a REFERENCES was written.
    pub foreign_key: bool,
}

/// The definition at the cursor.
///
/// # Errors
/// 42601, 0A000; 42704 and 22023 for types.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> SqlResult<Column> {
    let mut column = head(cursor)?;
    let mut null = false;
    loop {
        let name = constraint::name(cursor)?;
        match constraint::of_column(cursor, name.as_ref(), &column.spec.name)? {
            Some(Constraint::Key(key)) => column.keys.push(key),
            Some(Constraint::Check(check)) => column.checks.push(check),
            Some(Constraint::ForeignKey) => column.foreign_key = true,
            None if cursor.words(&["NOT", "NULL"]) => column.spec.nullable = false,
            None if cursor.word("NULL") => null = true,
            None if cursor.peek_word(0, "DEFAULT") => default(cursor, &mut column.spec)?,
            None if cursor.peek_word(0, "GENERATED") => identity(cursor, &mut column.spec)?,
            None if cursor.peek_word(0, "COLLATE") => return Err(cursor.unsupported("COLLATE")),
            None if name.is_some() => return Err(cursor.expected("a constraint")),
            None => break,
        }
    }
    let has_primary_key = column.keys.iter().any(|key| key.primary);
    if null && (!column.spec.nullable || has_primary_key) {
        return Err(refuse(&column.spec, "conflicting NULL/NOT NULL declarations for"));
    }
    Ok(column)
}

/// Name and type.
fn head(cursor: &mut Cursor<'_>) -> SqlResult<Column> {
    let name = cursor.name()?;
    let sql = cursor.run(|parser| parser.parse_data_type())?;
    let spec = match types::serial_type_of(&sql) {
        Some(sql_type) => {
            let identity = IdentitySpec { always: false, serial: true, options: SequenceOptions::default() };
            ColumnSpec { name, sql_type, nullable: false, default: None, identity: Some(identity) }
        }
        None => {
            let sql_type = types::sql_type_of(&sql).map_err(|error| error.at(name.position))?;
            ColumnSpec { name, sql_type, nullable: true, default: None, identity: None }
        }
    };
    Ok(Column { spec, keys: vec![], checks: vec![], foreign_key: false })
}

fn default(cursor: &mut Cursor<'_>, spec: &mut ColumnSpec) -> SqlResult<()> {
    let Some(ColumnOption::Default(value)) = cursor.run(|parser| parser.parse_optional_column_option())? else {
        return Err(cursor.unexpected());
    };
    let default = expression::default_text(&value).map_err(|error| error.at(spec.name.position))?;
    let before = spec.default.replace(default);
    match &spec.identity {
        Some(identity) if !identity.serial => Err(refuse(spec, DEFAULT_AND_IDENTITY)),
        None if before.is_none() => Ok(()),
        _ => Err(refuse(spec, "multiple default values specified for")),
    }
}

/// `GENERATED {ALWAYS | BY DEFAULT} AS IDENTITY [(options)]`.
fn identity(cursor: &mut Cursor<'_>, spec: &mut ColumnSpec) -> SqlResult<()> {
    cursor.expect_word("GENERATED")?;
    let always = cursor.word("ALWAYS");
    if !always && !cursor.words(&["BY", "DEFAULT"]) {
        return Err(cursor.expected("ALWAYS or BY DEFAULT"));
    }
    cursor.expect_word("AS")?;
    if *cursor.peek() == Token::LParen {
        return Err(cursor.unsupported("a column that is computed from others"));
    }
    cursor.expect_word("IDENTITY")?;
    let mut options = SequenceOptions::default();
    if cursor.token(&Token::LParen) {
        options = sequence::options(cursor, Of::Identity)?;
        if cursor.peek_word(0, "SEQUENCE") {
            return Err(cursor.unsupported("SEQUENCE NAME of an identity column"));
        }
        cursor.expect_token(&Token::RParen)?;
    }
    if !matches!(spec.sql_type.data_type, DataType::Int16 | DataType::Int32 | DataType::Int64) {
        let message = "identity column type must be smallint, integer, or bigint";
        return Err(SqlError::new(SqlState::INVALID_PARAMETER, message).at(spec.name.position));
    }
    let identity = IdentitySpec { always, serial: false, options };
    spec.nullable = false;
    let before = spec.identity.replace(identity);
    if spec.default.is_some() || before.as_ref().is_some_and(|before| before.serial) {
        return Err(refuse(spec, DEFAULT_AND_IDENTITY));
    }
    match before {
        None => Ok(()),
        Some(_) => Err(refuse(spec, "multiple identity specifications for")),
    }
}

/// 42601: `problem` is followed by the column's name.
fn refuse(spec: &ColumnSpec, problem: &str) -> SqlError {
    let message = format!("{problem} column \"{}\"", spec.name.text);
    SqlError::new(SqlState::SYNTAX_ERROR, message).at(spec.name.position)
}
