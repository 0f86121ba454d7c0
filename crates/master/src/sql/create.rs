//! CREATE TABLE, CREATE TABLE AS, CREATE VIEW, CREATE SCHEMA.

use super::cursor::Cursor;
use super::distributed::{self, Clauses};
use super::statement::{
    ColumnSpec, CreateSchema, CreateTable, CreateTableAs, CreateView, Name, RelationName, Statement,
};
use super::{expression, names, query, table_options, types, unsupported};
use crate::error::{SqlError, SqlResult, SqlState};
use damson_cluster::Compression;
use sqlparser::ast::{self, ColumnOption, TableConstraint};
use sqlparser::tokenizer::Token;

pub(super) fn parse(cursor: &mut Cursor<'_>, clauses: Clauses) -> SqlResult<Statement> {
    let start = cursor.position();
    cursor.expect_word("CREATE")?;
    let or_replace = cursor.words(&["OR", "REPLACE"]);
    if cursor.word("SCHEMA") {
        return schema(cursor).map(Statement::CreateSchema);
    }
    if cursor.word("VIEW") {
        return view(cursor, or_replace).map(Statement::CreateView);
    }
    if cursor.word("TABLE") && !or_replace {
        return table(cursor, clauses);
    }
    Err(unsupported::object(cursor, "CREATE", start))
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
    options: Option<Compression>,
    options_given: bool,
}

impl Trailer {
    /// `WITH (…)` and `DISTRIBUTED …`, in any order.
    fn parse(&mut self, cursor: &mut Cursor<'_>) -> SqlResult<()> {
        loop {
            if cursor.peek_word(0, "DISTRIBUTED") && self.distribution.is_none() {
                self.distribution = distributed::parse(cursor)?;
            } else if cursor.peek_word(0, "WITH") && !self.options_given {
                self.options = table_options::parse(cursor)?;
                self.options_given = true;
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
        primary_key: None,
        foreign_key: false,
        distribution: None,
        compression: None,
    };
    statement.like = like(cursor)?;
    if statement.like.is_none() {
        columns(cursor, &mut statement)?;
    }
    let mut trailer = Trailer { distribution: clauses.distribution, ..Trailer::default() };
    trailer.parse(cursor)?;
    refuse_clauses(cursor)?;
    statement.distribution = trailer.distribution;
    statement.compression = trailer.options;
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
        compression: trailer.options,
        query,
        with_data: clauses.with_data.unwrap_or(true),
    })
}

/// Clauses of PostgreSQL and Greenplum that are known, and not done.
fn refuse_clauses(cursor: &Cursor<'_>) -> SqlResult<()> {
    for clause in ["PARTITION", "INHERITS", "TABLESPACE", "ON", "USING", "WITHOUT"] {
        if cursor.peek_word(0, clause) {
            return Err(cursor.unsupported(format!("{clause} of CREATE TABLE")));
        }
    }
    Ok(())
}

/// `(LIKE other [INCLUDING …])`.
fn like(cursor: &mut Cursor<'_>) -> SqlResult<Option<RelationName>> {
    if *cursor.peek() != Token::LParen || !cursor.peek_word(1, "LIKE") {
        return Ok(None);
    }
    cursor.parser.advance_token();
    cursor.parser.advance_token();
    let other = cursor.relation()?;
    while cursor.word("INCLUDING") || cursor.word("EXCLUDING") {
        // Defaults are copied; constraints other than NOT NULL, and storage options, are not.
        cursor.name()?;
    }
    cursor.expect_token(&Token::RParen)?;
    Ok(Some(other))
}

fn columns(cursor: &mut Cursor<'_>, statement: &mut CreateTable) -> SqlResult<()> {
    let at = cursor.position();
    if *cursor.peek() != Token::LParen {
        return Err(cursor.expected("( and the columns, or AS and a query"));
    }
    let (columns, constraints) = cursor.run(|parser| parser.parse_columns())?;
    if columns.is_empty() {
        let message = "a table must have at least one column";
        return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message).at(at));
    }
    for column in &columns {
        let parsed = self::column(cursor, column)?;
        statement.foreign_key |= parsed.foreign_key;
        if parsed.primary_key {
            set_primary_key(statement, vec![parsed.spec.name.clone()])?;
        }
        statement.columns.push(parsed.spec);
    }
    for constraint in &constraints {
        table_constraint(cursor, statement, constraint)?;
    }
    Ok(())
}

/// A column definition, and what it says about the table.
pub(super) struct ParsedColumn {
    pub spec: ColumnSpec,
    pub primary_key: bool,
    pub foreign_key: bool,
}

pub(super) fn column(cursor: &Cursor<'_>, column: &ast::ColumnDef) -> SqlResult<ParsedColumn> {
    let name = names::name(cursor.text, &column.name)?;
    let position = name.position;
    let sql_type = types::sql_type_of(&column.data_type).map_err(|error| error.at(position))?;
    let spec = ColumnSpec { name, sql_type, nullable: true, default: None };
    let mut parsed = ParsedColumn { spec, primary_key: false, foreign_key: false };
    let unsupported = |what: &str| {
        Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported")).at(position))
    };
    let mut null = false;
    for option in &column.options {
        match &option.option {
            ColumnOption::Null => null = true,
            ColumnOption::NotNull => parsed.spec.nullable = false,
            ColumnOption::Default(value) => {
                let default = expression::constant_text(value).map_err(|error| error.at(position))?;
                if parsed.spec.default.replace(default).is_some() {
                    let message = format!("multiple default values specified for column \"{}\"", parsed.spec.name.text);
                    return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(position));
                }
            }
            ColumnOption::PrimaryKey(_) => parsed.primary_key = true,
            ColumnOption::ForeignKey(_) => parsed.foreign_key = true,
            ColumnOption::Unique(_) => return unsupported("UNIQUE"),
            ColumnOption::Check(_) => return unsupported("CHECK"),
            ColumnOption::Collation(_) => return unsupported("COLLATE"),
            ColumnOption::Generated { .. } => return unsupported("GENERATED"),
            other => return unsupported(&format!("column option {other}")),
        }
    }
    if null && (!parsed.spec.nullable || parsed.primary_key) {
        let message = format!("conflicting NULL/NOT NULL declarations for column \"{}\"", parsed.spec.name.text);
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(position));
    }
    Ok(parsed)
}

fn table_constraint(cursor: &Cursor<'_>, statement: &mut CreateTable, constraint: &TableConstraint) -> SqlResult<()> {
    let unsupported =
        |what: &str| Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported")));
    match constraint {
        TableConstraint::PrimaryKey(key) => {
            let mut names = Vec::with_capacity(key.columns.len());
            for column in &key.columns {
                let ast::Expr::Identifier(ident) = &column.column.expr else {
                    let message = format!("\"{column}\" is not a column of the primary key");
                    return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
                };
                names.push(names::name(cursor.text, ident)?);
            }
            set_primary_key(statement, names)
        }
        TableConstraint::ForeignKey(_) => {
            statement.foreign_key = true;
            Ok(())
        }
        TableConstraint::Unique(_) => unsupported("UNIQUE"),
        TableConstraint::Check(_) => unsupported("CHECK"),
        other => unsupported(&format!("constraint {other}")),
    }
}

fn set_primary_key(statement: &mut CreateTable, key: Vec<Name>) -> SqlResult<()> {
    if let (Some(_), Some(first)) = (&statement.primary_key, key.first()) {
        let message = format!("multiple primary keys for table \"{}\" are not allowed", statement.table.name);
        return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message).at(first.position));
    }
    statement.primary_key = Some(key);
    Ok(())
}
