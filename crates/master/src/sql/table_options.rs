//! `WITH (appendoptimized=true, compresstype=zstd, …)` of a table.

use super::cursor::Cursor;
use crate::error::{SqlError, SqlResult, SqlState};
use damson_cluster::Compression;
use sqlparser::tokenizer::Token;

/// zstd's when only the type is given.
const ZSTD_LEVEL_DEFAULT: i32 = 1;

struct TableOption {
    name: String,
    value: String,
    position: usize,
}

/// The options at the cursor, which is at WITH. None if they say nothing of compression.
///
/// # Errors
/// 42601; 22023 for an option or a value that is unknown.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> SqlResult<Option<Compression>> {
    cursor.expect_word("WITH")?;
    compression(&list(cursor)?)
}

/// `REORGANIZE=…` of `SET WITH (…)`.
///
/// # Errors
/// As [`parse`].
pub(super) fn reorganize(cursor: &mut Cursor<'_>) -> SqlResult<Option<bool>> {
    cursor.expect_word("WITH")?;
    let mut reorganize = None;
    for option in list(cursor)? {
        match option.name.as_str() {
            "reorganize" => reorganize = Some(boolean(&option)?),
            _ => return Err(unknown(&option)),
        }
    }
    Ok(reorganize)
}

fn list(cursor: &mut Cursor<'_>) -> SqlResult<Vec<TableOption>> {
    cursor.expect_token(&Token::LParen)?;
    let options = cursor.list(option)?;
    cursor.expect_token(&Token::RParen)?;
    for (index, option) in options.iter().enumerate() {
        if options[..index].iter().any(|before| before.name == option.name) {
            let message = format!("parameter \"{}\" specified more than once", option.name);
            return Err(SqlError::new(SqlState::INVALID_PARAMETER, message).at(option.position));
        }
    }
    Ok(options)
}

fn option(cursor: &mut Cursor<'_>) -> SqlResult<TableOption> {
    let name = cursor.name()?;
    let value = if !cursor.token(&Token::Eq) {
        // `WITH (appendoptimized)`.
        "true".to_owned()
    } else if let Some(value) = cursor.string() {
        value
    } else {
        let value = match cursor.peek() {
            Token::Word(word) => word.value.clone(),
            Token::Number(digits, _) => digits.clone(),
            _ => return Err(cursor.expected("a value")),
        };
        cursor.parser.advance_token();
        value
    };
    Ok(TableOption { name: name.text, value: value.to_ascii_lowercase(), position: name.position })
}

fn invalid(option: &TableOption, hint: &str) -> SqlError {
    let message = format!("invalid value for option \"{}\": \"{}\"", option.name, option.value);
    SqlError::new(SqlState::INVALID_PARAMETER, message).with_hint(hint).at(option.position)
}

fn unknown(option: &TableOption) -> SqlError {
    let message = format!("unrecognized parameter \"{}\"", option.name);
    SqlError::new(SqlState::INVALID_PARAMETER, message).at(option.position)
}

fn boolean(option: &TableOption) -> SqlResult<bool> {
    match option.value.as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(invalid(option, "It is true or false.")),
    }
}

fn compression(options: &[TableOption]) -> SqlResult<Option<Compression>> {
    let (mut kind, mut level) = (None, None);
    for option in options {
        match option.name.as_str() {
            "compresstype" => kind = Some(option),
            "compresslevel" => level = Some(option),
            // Every table is append-optimised and columnar here.
            "appendonly" | "appendoptimized" => {
                boolean(option)?;
            }
            "orientation" if matches!(option.value.as_str(), "row" | "column") => {}
            "orientation" => return Err(invalid(option, "It is row or column; tables are columnar in both cases.")),
            _ => return Err(unknown(option)),
        }
    }
    let types = "It is zstd, lz4, snappy or none.";
    let compression = match kind.map(|kind| (kind, kind.value.as_str())) {
        None if level.is_none() => return Ok(None),
        None | Some((_, "zstd")) => Compression::Zstd(level.map(zstd_level).transpose()?.unwrap_or(ZSTD_LEVEL_DEFAULT)),
        Some((_, "lz4")) => Compression::Lz4,
        Some((_, "snappy")) => Compression::Snappy,
        Some((_, "none")) => Compression::None,
        Some((kind, _)) => return Err(invalid(kind, types)),
    };
    match (compression, level) {
        (Compression::Zstd(_), _) | (_, None) => Ok(Some(compression)),
        (_, Some(level)) => Err(invalid(level, "Only compresstype zstd has levels.")),
    }
}

fn zstd_level(option: &TableOption) -> SqlResult<i32> {
    option
        .value
        .parse()
        .ok()
        .filter(|level| (1..=19).contains(level))
        .ok_or_else(|| invalid(option, "It is a number from 1 to 19."))
}
