//! RETURNING, of INSERT, UPDATE, DELETE and MERGE.

use super::cursor::Cursor;
use super::query;
use crate::error::SqlResult;
use sqlparser::ast::SelectItem;
use sqlparser::parser::Parser;

/// The clause at the cursor, if there is one.
///
/// # Errors
/// 42601, 0A000.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> SqlResult<Option<Vec<SelectItem>>> {
    let at = cursor.position();
    if !cursor.word("RETURNING") {
        return Ok(None);
    }
    let items = cursor.run(|parser| parser.parse_comma_separated(Parser::parse_select_item))?;
    query::check_inside(&items).map_err(|error| error.at(at))?;
    Ok(Some(items))
}
