//! Identifiers: folding, and names of relations.

use super::statement::{Name, RelationName};
use super::text::Text;
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{Ident, ObjectName};

/// The one database of a cluster.
pub const DATABASE: &str = "damson";

/// The schema of names that have none.
pub const DEFAULT_SCHEMA: &str = "public";

/// The tablespace that is the segments' own disks.
pub const DEFAULT_TABLESPACE: &str = "pg_default";

/// Longest name, in bytes, as in PostgreSQL; a longer one is cut there, refused here.
pub(crate) const NAME_BYTES_MAX: usize = 63;

/// What an identifier stands for: lower case unless it was quoted. ASCII letters only, as DataFusion folds.
pub fn fold(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

pub(super) fn name(text: &Text<'_>, ident: &Ident) -> SqlResult<Name> {
    let name = Name { text: fold(ident), position: text.position(ident.span.start) };
    if name.text.is_empty() {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "zero-length delimited identifier").at(name.position));
    }
    if name.text.len() > NAME_BYTES_MAX {
        let message = format!("name \"{}\" is longer than {NAME_BYTES_MAX} bytes", name.text);
        return Err(SqlError::new(SqlState::NAME_TOO_LONG, message).at(name.position));
    }
    Ok(name)
}

/// `table`, `schema.table` or `damson.schema.table`.
pub(super) fn relation(text: &Text<'_>, object: &ObjectName) -> SqlResult<RelationName> {
    let mut parts = Vec::with_capacity(object.0.len());
    for part in &object.0 {
        let ident = part.as_ident().ok_or_else(|| {
            SqlError::new(SqlState::SYNTAX_ERROR, format!("\"{object}\" is not the name of a relation"))
        })?;
        parts.push(name(text, ident)?);
    }
    let position = parts.first().map_or(1, |part| part.position);
    if parts.len() == 3 {
        let database = parts.remove(0);
        if database.text != DATABASE {
            let message = format!("cross-database references are not implemented: \"{object}\"");
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(position));
        }
    }
    let mut parts = parts.into_iter().map(|part| part.text);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => Ok(RelationName { schema: None, name, position }),
        (Some(schema), Some(name), None) => Ok(RelationName { schema: Some(schema), name, position }),
        _ => {
            let message = format!("improper qualified name (too many dotted names): {object}");
            Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(position))
        }
    }
}

/// A relation's name out of an AST that has no text any more: its position is 1.
///
/// # Errors
/// 42601, 0A000 for another database.
pub fn relation_name(object: &ObjectName) -> SqlResult<RelationName> {
    let text = Text::new("");
    relation(&text, object).map(|name| RelationName { position: 1, ..name }).map_err(|error| error.at(1))
}
