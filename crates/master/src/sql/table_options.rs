//! `WITH (appendoptimized=true, compresstype=zstd, sort_key='a, b desc', …)` of a table.

use super::cursor::{Cursor, tokenize};
use super::statement::{LayoutOptions, Name, SortSpec};
use super::text::Text;
use crate::error::{SqlError, SqlResult, SqlState};
use damson_cluster::Compression;
use sqlparser::tokenizer::Token;

/// zstd's when only the type is given.
const ZSTD_LEVEL_DEFAULT: i32 = 1;

/// What a table is made with.
#[derive(Default)]
pub(super) struct TableOptions {
    /// None if nothing is said of it.
    pub compression: Option<Compression>,
    pub layout: LayoutOptions,
}

struct TableOption {
    name: String,
    /// In lower case.
    value: String,
    /// As it was written.
    raw: String,
    position: usize,
}

/// The options at the cursor, which is at WITH.
///
/// # Errors
/// 42601; 22023 for an option or a value that is unknown.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> SqlResult<TableOptions> {
    cursor.expect_word("WITH")?;
    let mut layout = LayoutOptions::default();
    let mut others = vec![];
    for option in list(cursor)? {
        if !take_layout(&option, &mut layout)? {
            others.push(option);
        }
    }
    Ok(TableOptions { compression: compression(&others)?, layout })
}

/// Those of `SET WITH (…)`: REORGANIZE, and how files to come are laid out.
///
/// # Errors
/// As [`parse`].
pub(super) fn altered(cursor: &mut Cursor<'_>) -> SqlResult<(Option<bool>, LayoutOptions)> {
    cursor.expect_word("WITH")?;
    altered_in_parentheses(cursor)
}

/// Those of `SET (…)`, which is the same.
///
/// # Errors
/// As [`parse`].
pub(super) fn altered_in_parentheses(cursor: &mut Cursor<'_>) -> SqlResult<(Option<bool>, LayoutOptions)> {
    let (mut reorganize, mut layout) = (None, LayoutOptions::default());
    for option in list(cursor)? {
        match option.name.as_str() {
            "reorganize" => reorganize = Some(boolean(&option)?),
            _ if take_layout(&option, &mut layout)? => {}
            _ => return Err(unknown(&option)),
        }
    }
    Ok((reorganize, layout))
}

/// False if the option is another.
fn take_layout(option: &TableOption, layout: &mut LayoutOptions) -> SqlResult<bool> {
    match option.name.as_str() {
        "sort_key" => layout.sort_key = Some(sort_key(option)?),
        "bloom_filter_columns" => layout.bloom_filter_columns = Some(columns(option)?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// `'a, "B" DESC'`.
fn sort_key(option: &TableOption) -> SqlResult<Vec<SortSpec>> {
    in_text(option, "It is a list of columns, such as 'a, b DESC'; NULLs are last.", |cursor| {
        let column = cursor.name()?;
        let descending = cursor.word("DESC");
        if !descending {
            cursor.word("ASC");
        }
        Ok(SortSpec { column: Name { position: option.position, ..column }, descending })
    })
}

/// `'a, "B"'`.
fn columns(option: &TableOption) -> SqlResult<Vec<Name>> {
    in_text(option, "It is a list of columns, such as 'a, b'.", |cursor| {
        Ok(Name { position: option.position, ..cursor.name()? })
    })
}

/// A list in an option's text, which may be empty.
fn in_text<T>(
    option: &TableOption,
    hint: &str,
    item: impl FnMut(&mut Cursor<'_>) -> SqlResult<T>,
) -> SqlResult<Vec<T>> {
    if option.raw.trim().is_empty() {
        return Ok(vec![]);
    }
    let text = Text::new(&option.raw);
    let parse = || {
        let mut cursor = Cursor::new(&text, tokenize(&text)?);
        let items = cursor.list(item)?;
        cursor.end()?;
        Ok(items)
    };
    // A position in the option's text says nothing to the user.
    parse().map_err(|_: SqlError| invalid(option, hint))
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
    Ok(TableOption { name: name.text, value: value.to_ascii_lowercase(), raw: value, position: name.position })
}

fn invalid(option: &TableOption, hint: &str) -> SqlError {
    let message = format!("invalid value for option \"{}\": \"{}\"", option.name, option.raw);
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
