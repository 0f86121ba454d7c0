//! CREATE EXTERNAL TABLE: Greenplum's grammar, with COPY's options.

use super::column;
use super::copy::external_options;
use super::cursor::Cursor;
use super::distributed::Clauses;
use super::statement::{ColumnSpec, CreateExternal, RelationName, Statement};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::tokenizer::Token;

/// Schemes of places; what has none is a path.
const SCHEMES: [&str; 6] = ["file", "s3", "gs", "az", "http", "https"];

/// `[READABLE | WRITABLE] EXTERNAL [WEB] TABLE …`, if that is next; `start` is CREATE's position.
///
/// # Errors
/// 42601; 0A000 for web tables and for protocols and clauses that Damson does not have.
pub(super) fn create(cursor: &mut Cursor<'_>, clauses: &Clauses, start: usize) -> SqlResult<Option<Statement>> {
    let kind = ["READABLE", "WRITABLE"].into_iter().find(|kind| cursor.peek_word(0, kind));
    if !cursor.peek_word(usize::from(kind.is_some()), "EXTERNAL") {
        return Ok(None);
    }
    kind.into_iter().for_each(|kind| _ = cursor.word(kind));
    cursor.expect_word("EXTERNAL")?;
    if cursor.peek_word(0, "WEB") {
        return Err(web("CREATE").at(start));
    }
    if cursor.word("TEMPORARY") || cursor.word("TEMP") {
        let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "a temporary external table is not supported");
        return Err(error.at(start));
    }
    cursor.expect_word("TABLE")?;
    let writable = kind == Some("WRITABLE");
    if clauses.distribution.is_some() && !writable {
        let message = "DISTRIBUTED is for writable external tables: a readable one has no rows of its own";
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(start));
    }
    let if_not_exists = cursor.if_not_exists();
    let table = cursor.relation()?;
    let like = like(cursor)?;
    let columns = if like.is_some() { vec![] } else { columns(cursor)? };
    if cursor.peek_word(0, "EXECUTE") {
        return Err(web("CREATE").at(start));
    }
    cursor.expect_word("LOCATION")?;
    cursor.expect_token(&Token::LParen)?;
    let locations = cursor.list(location)?;
    cursor.expect_token(&Token::RParen)?;
    if cursor.words(&["ON", "MASTER"]) || cursor.words(&["ON", "COORDINATOR"]) {
        return Err(cursor.unsupported("ON MASTER of an external table"));
    }
    cursor.words(&["ON", "ALL"]);
    let (copy, partition_by) = external_options(cursor, table.clone(), locations, writable)?;
    let distribution = clauses.distribution.clone();
    Ok(Some(Statement::CreateExternal(Box::new(CreateExternal {
        table,
        if_not_exists,
        like,
        columns,
        copy,
        writable,
        distribution,
        partition_by,
    }))))
}

/// `(LIKE table)`, if that is next.
fn like(cursor: &mut Cursor<'_>) -> SqlResult<Option<RelationName>> {
    if !cursor.peek_word(1, "LIKE") {
        return Ok(None);
    }
    cursor.expect_token(&Token::LParen)?;
    cursor.expect_word("LIKE")?;
    let table = cursor.relation()?;
    cursor.expect_token(&Token::RParen)?;
    Ok(Some(table))
}

/// `DROP EXTERNAL [WEB] TABLE`, if that is next.
pub(super) fn is_drop(cursor: &mut Cursor<'_>) -> bool {
    cursor.words(&["EXTERNAL", "TABLE"]) || cursor.words(&["EXTERNAL", "WEB", "TABLE"])
}

fn web(verb: &str) -> SqlError {
    let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{verb} EXTERNAL WEB TABLE is not supported"));
    error.with_hint(
        "Segments run no commands. Files of a web server are read by CREATE EXTERNAL TABLE with an http or https URL.",
    )
}

fn columns(cursor: &mut Cursor<'_>) -> SqlResult<Vec<ColumnSpec>> {
    cursor.expect_token(&Token::LParen)?;
    let columns = cursor.list(|cursor| {
        let at = cursor.position();
        let column = column::parse(cursor)?;
        let has_more = column.spec.default.is_some()
            || column.spec.identity.is_some()
            || !column.spec.nullable
            || !column.keys.is_empty()
            || !column.checks.is_empty()
            || column.foreign_key;
        if has_more {
            let message =
                format!("column \"{}\" of an external table has a constraint or a default", column.spec.name.text);
            let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(at);
            return Err(error.with_hint("Its files are what they are: write name and type alone."));
        }
        Ok(column.spec)
    })?;
    cursor.expect_token(&Token::RParen)?;
    Ok(columns)
}

fn location(cursor: &mut Cursor<'_>) -> SqlResult<String> {
    let at = cursor.position();
    let place = cursor.string().ok_or_else(|| cursor.expected("a path or URL in quotes"))?;
    let Some((scheme, _)) = place.split_once("://") else { return Ok(place) };
    if SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Ok(place);
    }
    let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("protocol \"{scheme}\" is not supported"));
    Err(error.at(at).with_hint("Files are at file://, s3://, gs://, az://, http:// and https://."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse;
    use crate::sql::statement::DistributionClause;
    use damson_cluster::{Codec, CopyFormat, OnBadRow, RejectLimit};

    fn external(sql: &str) -> CreateExternal {
        match parse(sql).unwrap() {
            Statement::CreateExternal(create) => *create,
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn greenplums_grammar_is_read() {
        let create = external(
            "CREATE READABLE EXTERNAL TABLE s.e (k int, v text) LOCATION ('s3://b/x', '/d/*.gz') ON ALL \
             FORMAT 'TEXT' (DELIMITER '|' NULL 'nil' ESCAPE 'OFF') ENCODING 'LATIN1' COMPRESSION gzip \
             SEGMENT REJECT LIMIT 5 PERCENT",
        );
        assert_eq!((create.table.to_string().as_str(), create.columns.len(), create.writable), ("s.e", 2, false));
        assert_eq!((create.copy.sources.len(), create.copy.codec), (2, Some(Codec::Gzip)));
        let limit = RejectLimit::Percent(5);
        assert_eq!(create.copy.on_bad_row, OnBadRow::Reject { limit, log: false });
        let CopyFormat::Text(options) = create.copy.format else { panic!("text") };
        assert_eq!((options.delimiter, options.null.as_str(), options.escape), (b'|', "nil", None));

        let create = external(
            "CREATE WRITABLE EXTERNAL TABLE IF NOT EXISTS e (k int) LOCATION ('/d') FORMAT 'parquet' DISTRIBUTED RANDOMLY",
        );
        assert!(create.writable && create.if_not_exists && matches!(create.copy.format, CopyFormat::Parquet(_)));
        assert!(matches!(create.distribution, Some(DistributionClause::Randomly)));
        let create = external(
            "CREATE WRITABLE EXTERNAL TABLE e (LIKE s.t) LOCATION ('s3://b/x', '/d') FORMAT 'parquet' COMPRESSION zstd \
             PARTITION BY (d) DISTRIBUTED BY (k, d)",
        );
        assert_eq!(create.like.map(|like| like.to_string()).as_deref(), Some("s.t"));
        assert_eq!((create.copy.codec, create.partition_by.len(), create.columns.len()), (Some(Codec::Zstd), 1, 0));
        assert!(matches!(create.distribution, Some(DistributionClause::By(names)) if names.len() == 2));
        let create = external("CREATE EXTERNAL TABLE e (k int) LOCATION ('/d') FORMAT 'CSV' (HEADER, DELIMITER ';')");
        let CopyFormat::Csv(options) = create.copy.format else { panic!("CSV") };
        assert_eq!((options.header, options.delimiter), (true, b';'));
        assert!(matches!(parse("DROP EXTERNAL TABLE IF EXISTS a, b CASCADE").unwrap(), Statement::DropExternal(_)));
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let refused = SqlState::FEATURE_NOT_SUPPORTED;
        for (sql, state) in [
            ("CREATE EXTERNAL WEB TABLE e (k int) EXECUTE 'ls' FORMAT 'CSV'", refused),
            ("CREATE READABLE EXTERNAL WEB TABLE e (k int) LOCATION ('http://h/x') FORMAT 'CSV'", refused),
            ("CREATE EXTERNAL TABLE e (k int) EXECUTE 'ls' FORMAT 'CSV'", refused),
            ("CREATE EXTERNAL TABLE e (k int) LOCATION ('gpfdist://h:8080/x') FORMAT 'CSV'", refused),
            ("CREATE EXTERNAL TABLE e (LIKE t, k int) LOCATION ('/x') FORMAT 'CSV'", SqlState::SYNTAX_ERROR),
            (
                "CREATE WRITABLE EXTERNAL TABLE e (k int) LOCATION ('/x') FORMAT 'CSV' SEGMENT REJECT LIMIT 5",
                SqlState::INVALID_TABLE_DEFINITION,
            ),
            ("CREATE WRITABLE EXTERNAL TABLE e (k int) LOCATION ('/x') FORMAT 'CSV' ENCODING 'LATIN1'", refused),
            (
                "CREATE EXTERNAL TABLE e (k int) LOCATION ('/x') FORMAT 'CSV' PARTITION BY (k)",
                SqlState::INVALID_PARAMETER,
            ),
            ("CREATE EXTERNAL TABLE e (k int PRIMARY KEY) LOCATION ('/x') FORMAT 'CSV'", refused),
            ("CREATE EXTERNAL TABLE e (k int DEFAULT 1) LOCATION ('/x') FORMAT 'CSV'", refused),
            ("CREATE EXTERNAL TABLE e (k int) LOCATION ('/x') ON MASTER FORMAT 'CSV'", refused),
            ("CREATE EXTERNAL TABLE e (k int) LOCATION ('/x')", SqlState::SYNTAX_ERROR),
            ("CREATE EXTERNAL TABLE e (k int) FORMAT 'CSV'", SqlState::SYNTAX_ERROR),
            (
                "CREATE EXTERNAL TABLE e (k int) LOCATION ('/x') FORMAT 'CSV' DISTRIBUTED RANDOMLY",
                SqlState::SYNTAX_ERROR,
            ),
            ("ALTER EXTERNAL TABLE e RENAME TO f", refused),
        ] {
            assert_eq!(parse(sql).unwrap_err().state, state, "{sql}");
        }
    }
}
