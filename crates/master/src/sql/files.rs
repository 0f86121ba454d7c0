//! Files where a relation stands: `FROM 'place'`, `FROM read_files('place', option => value)`.

use super::names::fold;
use super::statement::{CopyFrom, Statement};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, TableFactor, TableFunctionArgs, Value, ValueWithSpan,
};

/// The function that takes options beside places.
const READ_FILES: &str = "read_files";

/// Files that stand in a FROM, and what COPY would be told of them.
#[derive(Clone, Debug)]
pub struct FilesInFrom {
    pub copy: CopyFrom,
    /// Whether HEADER was written.
    pub says_header: bool,
    /// What columns are qualified with, unless there is an alias.
    pub alias: String,
}

/// The files that a part of FROM names; None for what is a table, or another function.
///
/// # Errors
/// As COPY's options; without a position.
pub fn files_in_from(factor: &TableFactor) -> Option<SqlResult<FilesInFrom>> {
    let TableFactor::Table { name, args, version, .. } = factor else { return None };
    let [part] = name.0.as_slice() else { return None };
    let ident = part.as_ident()?;
    let found = match args {
        None if is_place(ident) => of_place(&ident.value),
        Some(args) if fold(ident) == READ_FILES => of_call(args),
        _ => return None,
    };
    Some(match version {
        Some(_) => Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "AS OF of files is not supported")),
        None => found,
    })
}

/// Whether a name is a place: it is in single quotes.
pub(super) fn is_place(ident: &Ident) -> bool {
    ident.quote_style == Some('\'')
}

/// Whether a relation's name is one of files.
pub(super) fn is_place_name(name: &ObjectName) -> bool {
    matches!(name.0.as_slice(), [part] if part.as_ident().is_some_and(is_place))
}

fn of_place(place: &str) -> SqlResult<FilesInFrom> {
    let copy = copy_of(&[place.to_owned()], &[])?;
    Ok(FilesInFrom { copy, says_header: false, alias: alias_of(place) })
}

fn of_call(args: &TableFunctionArgs) -> SqlResult<FilesInFrom> {
    let mut places = None;
    let mut options: Vec<(String, String)> = vec![];
    for arg in &args.args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if places.is_none() => places = Some(places_of(expr)?),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                options.push((option_name(name)?, option_value(name, value)?));
            }
            other => {
                let message = format!("{READ_FILES} takes no argument {other}");
                return Err(SqlError::new(SqlState::INVALID_PARAMETER, message).with_hint(usage()));
            }
        }
    }
    let places = places.ok_or_else(|| {
        SqlError::new(SqlState::INVALID_PARAMETER, format!("{READ_FILES} needs a place")).with_hint(usage())
    })?;
    let copy = copy_of(&places, &options)?;
    let says_header = options.iter().any(|(name, _)| name == "header");
    Ok(FilesInFrom { copy, says_header, alias: READ_FILES.into() })
}

fn usage() -> String {
    format!("Write {READ_FILES}('place'), {READ_FILES}(ARRAY['place', 'place']), and options as format => 'csv'.")
}

fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => Some(text),
        _ => None,
    }
}

fn places_of(expr: &Expr) -> SqlResult<Vec<String>> {
    let places: Option<Vec<&str>> = match expr {
        Expr::Array(array) => array.elem.iter().map(text_of).collect(),
        other => text_of(other).map(|place| vec![place]),
    };
    match places {
        Some(places) if !places.is_empty() => Ok(places.into_iter().map(str::to_owned).collect()),
        _ => {
            let message = format!("the places of {READ_FILES} are texts in quotes, not {expr}");
            Err(SqlError::new(SqlState::INVALID_PARAMETER, message).with_hint(usage()))
        }
    }
}

fn option_name(name: &Ident) -> SqlResult<String> {
    let folded = fold(name);
    if folded.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(folded);
    }
    Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("option \"{folded}\" not recognized")))
}

/// As COPY has it in its text.
fn option_value(name: &Ident, value: &Expr) -> SqlResult<String> {
    match value {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => Ok(quoted(text)),
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => Ok(digits.to_string()),
        Expr::Value(ValueWithSpan { value: Value::Boolean(flag), .. }) => Ok(flag.to_string()),
        Expr::Identifier(word) if word.quote_style.is_none() => option_name(word),
        other => {
            let message = format!("option {name} takes no value {other}");
            Err(SqlError::new(SqlState::INVALID_PARAMETER, message))
        }
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What COPY makes of the places and the options: it has one grammar of them.
fn copy_of(places: &[String], options: &[(String, String)]) -> SqlResult<CopyFrom> {
    let places: Vec<String> = places.iter().map(|place| quoted(place)).collect();
    let options: Vec<String> = options.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let options = if options.is_empty() { String::new() } else { format!(" ({})", options.join(", ")) };
    let text = format!("COPY files FROM ({}){options}", places.join(", "));
    // Positions are those of this text.
    let parsed = super::parse(&text).map_err(|error| SqlError { position: None, ..error })?;
    let Statement::CopyFrom(copy) = parsed else { return Err(crate::error::internal("a COPY FROM is parsed as one")) };
    let only_copy = [("FORCE", copy.force), ("VALIDATE", copy.is_validation())];
    match only_copy.into_iter().find(|(_, is_asked)| *is_asked) {
        Some((option, _)) => {
            let message = format!("{option} cannot be used where files are queried");
            Err(SqlError::new(SqlState::INVALID_PARAMETER, message))
        }
        None => Ok(copy),
    }
}

/// A file's name without extensions, if that is a word.
fn alias_of(place: &str) -> String {
    let name = place.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    let is_word = stem.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_word { stem.to_ascii_lowercase() } else { "files".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse;
    use damson_cluster::{Codec, CopyFormat};
    use sqlparser::ast::{SetExpr, Statement as Ast};

    fn files(from: &str) -> Option<SqlResult<FilesInFrom>> {
        let Statement::Query(query) = parse(&format!("SELECT * FROM {from}")).unwrap() else { panic!("{from}") };
        let Ast::Query(query) = *query else { panic!("{from}") };
        let SetExpr::Select(select) = *query.body else { panic!("{from}") };
        files_in_from(&select.from[0].relation)
    }

    #[test]
    fn places_stand_for_relations() {
        let found = files("'s3://b/p/Orders.csv.gz' AS x").unwrap().unwrap();
        assert_eq!((found.copy.sources, found.alias.as_str()), (vec!["s3://b/p/Orders.csv.gz".to_owned()], "orders"));
        let found = files("'/d/*.parquet'").unwrap().unwrap();
        assert!(matches!(found.copy.format, CopyFormat::Parquet(_)) && found.alias == "files" && !found.says_header);
        assert_eq!(files("'it''s'").unwrap().unwrap().copy.sources, ["it's"]);
        for table in ["t", "s.t", "\"/d/x.csv\"", "generate_series(1, 2)", "(SELECT 1)"] {
            assert!(files(table).is_none(), "{table}");
        }
    }

    #[test]
    fn options_are_those_of_copy() {
        let call = "read_files(ARRAY['/a', '/b'], format => 'csv', header => true, delimiter => ';', \
                    compression => gzip, pattern => 'x')";
        let found = files(call).unwrap().unwrap();
        assert!(found.says_header);
        assert_eq!((found.copy.sources.len(), found.copy.codec), (2, Some(Codec::Gzip)));
        assert_eq!(found.copy.pattern.as_deref(), Some("x"));
        let CopyFormat::Csv(options) = found.copy.format else { panic!("CSV") };
        assert_eq!((options.delimiter, options.header), (b';', true));
        for (call, state) in [
            ("read_files()", SqlState::INVALID_PARAMETER),
            ("read_files(1)", SqlState::INVALID_PARAMETER),
            ("read_files('/a', '/b')", SqlState::INVALID_PARAMETER),
            ("read_files('/a', force => true)", SqlState::INVALID_PARAMETER),
            ("read_files('/a', format => 'avro')", SqlState::INVALID_PARAMETER),
            ("read_files('/a', nothing => 1)", SqlState::SYNTAX_ERROR),
            ("read_files('')", SqlState::INVALID_PARAMETER),
        ] {
            let error = files(call).unwrap().unwrap_err();
            assert_eq!((error.state, error.position), (state, None), "{call}: {error}");
        }
    }
}
