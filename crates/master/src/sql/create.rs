//! CREATE TABLE, CREATE TABLE AS, CREATE VIEW, CREATE SCHEMA, CREATE RESTORE POINT; the others' are in files of their own.

use super::constraint::{self, Constraint};
use super::cursor::Cursor;
use super::distributed::{self, Clauses};
use super::statement::{
    CreateSchema, CreateTable, CreateTableAs, CreateView, Including, LayoutOptions, Like, Name, RelationName, Statement,
};
use super::table_options::{self, TableOptions};
use super::{column, external, query, role, secret, sequence, tablespace, unsupported};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::tokenizer::Token;

pub(super) fn parse(cursor: &mut Cursor<'_>, clauses: Clauses) -> SqlResult<Statement> {
    let start = cursor.position();
    cursor.expect_word("CREATE")?;
    let or_replace = cursor.words(&["OR", "REPLACE"]);
    if let Some(secret) = secret::create(cursor, or_replace)? {
        return Ok(secret);
    }
    if !or_replace && role::kind(cursor) {
        return role::create(cursor);
    }
    if !or_replace && cursor.word("TABLESPACE") {
        return tablespace::create(cursor).map(Statement::CreateTablespace);
    }
    if cursor.word("SCHEMA") {
        return schema(cursor).map(Statement::CreateSchema);
    }
    if cursor.word("VIEW") {
        return view(cursor, or_replace).map(Statement::CreateView);
    }
    if !or_replace && cursor.word("SEQUENCE") {
        return sequence::create(cursor).map(Statement::CreateSequence);
    }
    if !or_replace && cursor.words(&["RESTORE", "POINT"]) {
        return restore_point(cursor).map(Statement::CreateRestorePoint);
    }
    if !or_replace && let Some(external) = external::create(cursor, &clauses, start)? {
        return Ok(external);
    }
    if cursor.word("TABLE") && !or_replace {
        return table(cursor, clauses);
    }
    Err(unsupported::object(cursor, "CREATE", start))
}

/// A restore point's name: a word or a string.
pub(super) fn restore_point(cursor: &mut Cursor<'_>) -> SqlResult<Name> {
    let position = cursor.position();
    match cursor.string() {
        Some(text) if text.is_empty() => {
            Err(SqlError::new(SqlState::SYNTAX_ERROR, "a restore point needs a name").at(position))
        }
        Some(text) => Ok(Name { text, position }),
        None => cursor.name(),
    }
}

fn schema(cursor: &mut Cursor<'_>) -> SqlResult<CreateSchema> {
    let if_not_exists = cursor.if_not_exists();
    let schema = cursor.name()?;
    if !cursor.at_end() {
        return Err(cursor.unsupported("CREATE SCHEMA with AUTHORIZATION or with objects"));
    }
    Ok(CreateSchema { schema, if_not_exists })
}

fn view(cursor: &mut Cursor<'_>, or_replace: bool) -> SqlResult<CreateView> {
    let view = cursor.relation()?;
    let columns = cursor.optional_name_list()?;
    if cursor.peek_word(0, "WITH") {
        return Err(cursor.unsupported("CREATE VIEW ... WITH"));
    }
    cursor.expect_word("AS")?;
    let start = cursor.byte();
    let query = query::parse(cursor)?;
    if cursor.peek_word(0, "WITH") {
        return Err(cursor.unsupported("CREATE VIEW ... WITH CHECK OPTION"));
    }
    let query_text = cursor.text.source[start..cursor.byte()].trim_end().trim_end_matches(';').trim_end().to_owned();
    let references = query::references(&query)?;
    Ok(CreateView { view, or_replace, columns, query, query_text, references })
}

/// What a CREATE TABLE says besides its columns.
#[derive(Default)]
struct Trailer {
    distribution: Option<super::DistributionClause>,
    options: TableOptions,
    options_given: bool,
    tablespace: Option<Name>,
}

impl Trailer {
    /// `WITH (…)`, `DISTRIBUTED …` and `TABLESPACE …`, in any order.
    fn parse(&mut self, cursor: &mut Cursor<'_>) -> SqlResult<()> {
        loop {
            if cursor.peek_word(0, "DISTRIBUTED") && self.distribution.is_none() {
                self.distribution = distributed::parse(cursor)?;
            } else if cursor.peek_word(0, "WITH") && !self.options_given {
                self.options = table_options::parse(cursor)?;
                self.options_given = true;
            } else if self.tablespace.is_none() && cursor.word("TABLESPACE") {
                self.tablespace = Some(cursor.name()?);
            } else {
                return Ok(());
            }
        }
    }
}

fn table(cursor: &mut Cursor<'_>, clauses: Clauses) -> SqlResult<Statement> {
    let if_not_exists = cursor.if_not_exists();
    let table = cursor.relation()?;
    if cursor.peek_word(0, "PARTITION") || cursor.peek_word(0, "OF") {
        return Err(cursor.unsupported("CREATE TABLE ... PARTITION OF or OF"));
    }
    if is_table_as(cursor) {
        return table_as(cursor, clauses, table, if_not_exists).map(Statement::CreateTableAs);
    }
    if let Some(false) = clauses.with_data {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "WITH NO DATA belongs to CREATE TABLE AS"));
    }
    let mut statement = CreateTable {
        table,
        if_not_exists,
        columns: Vec::new(),
        like: None,
        keys: Vec::new(),
        checks: Vec::new(),
        foreign_key: false,
        distribution: None,
        compression: None,
        layout: LayoutOptions::default(),
        tablespace: None,
    };
    statement.like = like(cursor)?;
    if statement.like.is_none() {
        columns(cursor, &mut statement)?;
    }
    let mut trailer = Trailer { distribution: clauses.distribution, ..Trailer::default() };
    trailer.parse(cursor)?;
    refuse_clauses(cursor)?;
    statement.distribution = trailer.distribution;
    statement.compression = trailer.options.compression;
    statement.layout = trailer.options.layout;
    statement.tablespace = trailer.tablespace;
    Ok(Statement::CreateTable(statement))
}

/// True if what follows the table's name is `AS`, `WITH (…) AS`, or a list of bare names.
fn is_table_as(cursor: &Cursor<'_>) -> bool {
    if *cursor.peek() != Token::LParen {
        return true;
    }
    let second = &cursor.parser.peek_nth_token_ref(1).token;
    let third = &cursor.parser.peek_nth_token_ref(2).token;
    matches!(second, Token::Word(_)) && matches!(third, Token::Comma | Token::RParen)
}

fn table_as(
    cursor: &mut Cursor<'_>,
    clauses: Clauses,
    table: RelationName,
    if_not_exists: bool,
) -> SqlResult<CreateTableAs> {
    let columns = cursor.optional_name_list()?;
    let mut trailer = Trailer { distribution: clauses.distribution, ..Trailer::default() };
    trailer.parse(cursor)?;
    refuse_clauses(cursor)?;
    cursor.expect_word("AS")?;
    let query = query::parse(cursor)?;
    Ok(CreateTableAs {
        table,
        if_not_exists,
        columns,
        distribution: trailer.distribution,
        compression: trailer.options.compression,
        layout: trailer.options.layout,
        tablespace: trailer.tablespace,
        query,
        with_data: clauses.with_data.unwrap_or(true),
    })
}

/// Clauses of PostgreSQL and Greenplum that are known, and not done.
fn refuse_clauses(cursor: &Cursor<'_>) -> SqlResult<()> {
    for clause in ["PARTITION", "INHERITS", "ON", "USING", "WITHOUT"] {
        if cursor.peek_word(0, clause) {
            return Err(cursor.unsupported(format!("{clause} of CREATE TABLE")));
        }
    }
    Ok(())
}

/// `(LIKE other [{INCLUDING | EXCLUDING} …])`.
fn like(cursor: &mut Cursor<'_>) -> SqlResult<Option<Like>> {
    if *cursor.peek() != Token::LParen || !cursor.peek_word(1, "LIKE") {
        return Ok(None);
    }
    cursor.parser.advance_token();
    cursor.parser.advance_token();
    let table = cursor.relation()?;
    let mut including = Including::default();
    loop {
        let included = cursor.word("INCLUDING");
        if !included && !cursor.word("EXCLUDING") {
            break;
        }
        let expected = cursor.expected("CONSTRAINTS, INDEXES, IDENTITY, DEFAULTS or ALL");
        match cursor.name()?.text.as_str() {
            "all" => {
                including = Including {
                    constraints: included,
                    defaults: included,
                    indexes: included,
                    identity: included,
                    storage: included,
                };
            }
            "constraints" => including.constraints = included,
            "defaults" => including.defaults = included,
            "indexes" => including.indexes = included,
            "identity" => including.identity = included,
            "storage" => including.storage = included,
            // There is nothing of these to copy.
            "comments" | "generated" | "statistics" | "compression" => {}
            _ => return Err(expected),
        }
    }
    cursor.expect_token(&Token::RParen)?;
    Ok(Some(Like { table, including }))
}

fn columns(cursor: &mut Cursor<'_>, statement: &mut CreateTable) -> SqlResult<()> {
    let at = cursor.position();
    if !cursor.token(&Token::LParen) {
        return Err(cursor.expected("( and the columns, or AS and a query"));
    }
    // No columns at all: the error is below.
    let mut more = !cursor.token(&Token::RParen);
    while more {
        match constraint::of_table(cursor)? {
            Some(constraint) => table_constraint(statement, constraint)?,
            None => {
                let column = column::parse(cursor)?;
                statement.foreign_key |= column.foreign_key;
                for key in column.keys {
                    table_constraint(statement, Constraint::Key(key))?;
                }
                statement.checks.extend(column.checks);
                statement.columns.push(column.spec);
            }
        }
        more = !cursor.token(&Token::RParen);
        if more && !cursor.token(&Token::Comma) {
            return Err(cursor.expected(", or )"));
        }
    }
    if statement.columns.is_empty() {
        let message = "a table must have at least one column";
        return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message).at(at));
    }
    Ok(())
}

fn table_constraint(statement: &mut CreateTable, constraint: Constraint) -> SqlResult<()> {
    match constraint {
        Constraint::Key(key) => {
            let again = key.primary && statement.keys.iter().any(|before| before.primary);
            if let (true, Some(first)) = (again, key.columns.first()) {
                let message = format!("multiple primary keys for table \"{}\" are not allowed", statement.table.name);
                return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message).at(first.position));
            }
            statement.keys.push(key);
        }
        Constraint::Check(check) => statement.checks.push(check),
        Constraint::ForeignKey => statement.foreign_key = true,
    }
    Ok(())
}
