//! What a client can ask for: one variant a statement, made by [`parse`](super::parse), read by the session.

use super::types::SqlType;
use crate::locks::LockMode;
use damson_cluster::{Compression, CopyFormat};
use sqlparser::ast;

/// One parsed statement. Names are folded to lower case unless they were quoted.
#[derive(Clone, Debug)]
pub enum Statement {
    /// SELECT, VALUES, WITH: always an `ast::Statement::Query`, for DataFusion's binder.
    Query(Box<ast::Statement>),
    Insert(Insert),
    /// UPDATE or DELETE.
    Modify(Box<Modify>),
    CreateTable(CreateTable),
    CreateTableAs(CreateTableAs),
    CreateView(CreateView),
    CreateSchema(CreateSchema),
    DropTable(Drop<RelationName>),
    DropView(Drop<RelationName>),
    DropSchema(Drop<Name>),
    Truncate(Vec<RelationName>),
    AlterTable(AlterTable),
    CopyFrom(CopyFrom),
    CopyTo(CopyTo),
    Explain(Explain),
    Show(ShowTarget),
    Set(SetSetting),
    /// `RESET name`; None is `RESET ALL`.
    Reset(Option<String>),
    /// None is every table.
    Analyze(Option<RelationName>),
    /// None is every table.
    Vacuum(Option<RelationName>),
    Transaction(TransactionStatement),
    LockTable(LockTable),
}

impl Statement {
    /// True for what changes the catalog or its rows, or gives no rows: everything but queries, EXPLAIN and SHOW.
    pub fn is_update(&self) -> bool {
        !matches!(self, Statement::Query(_) | Statement::Explain(_) | Statement::Show(_))
    }
}

impl Statement {
    /// Whether it is content with what is there already: `IF NOT EXISTS`.
    pub fn is_content_with_existing(&self) -> bool {
        match self {
            Statement::CreateTable(create) => create.if_not_exists,
            Statement::CreateTableAs(create) => create.if_not_exists,
            Statement::CreateSchema(create) => create.if_not_exists,
            _ => false,
        }
    }

    /// What it is, as the tags of PostgreSQL name it.
    pub fn name(&self) -> &'static str {
        match self {
            Statement::Query(_) => "SELECT",
            Statement::Insert(_) => "INSERT",
            Statement::Modify(modify) if modify.assignments.is_some() => "UPDATE",
            Statement::Modify(_) => "DELETE",
            Statement::CreateTable(_) => "CREATE TABLE",
            Statement::CreateTableAs(_) => "CREATE TABLE AS",
            Statement::CreateView(_) => "CREATE VIEW",
            Statement::CreateSchema(_) => "CREATE SCHEMA",
            Statement::DropTable(_) => "DROP TABLE",
            Statement::DropView(_) => "DROP VIEW",
            Statement::DropSchema(_) => "DROP SCHEMA",
            Statement::Truncate(_) => "TRUNCATE TABLE",
            Statement::AlterTable(_) => "ALTER TABLE",
            Statement::CopyFrom(_) | Statement::CopyTo(_) => "COPY",
            Statement::Explain(_) => "EXPLAIN",
            Statement::Show(_) => "SHOW",
            Statement::Set(_) => "SET",
            Statement::Reset(_) => "RESET",
            Statement::Analyze(_) => "ANALYZE",
            Statement::Vacuum(_) => "VACUUM",
            Statement::Transaction(_) => "a transaction statement",
            Statement::LockTable(_) => "LOCK TABLE",
        }
    }
}

/// What begins, ends or divides a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionStatement {
    Begin(TransactionModes),
    /// `chain`: another transaction of the same modes begins.
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(Name),
    Release(Name),
    RollbackTo(Name),
    /// SET TRANSACTION.
    Set(TransactionModes),
}

/// None: as before, or as the session's settings say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionModes {
    pub isolation: Option<Isolation>,
    pub read_only: Option<bool>,
}

/// What a transaction's statements see of others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Each statement sees what was committed before it began. READ UNCOMMITTED is no less.
    ReadCommitted,
    /// All see what was committed before the first one. SERIALIZABLE is no more, as in Greenplum.
    RepeatableRead,
}

impl Isolation {
    /// As `SHOW transaction_isolation` gives it.
    pub fn name(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "read committed",
            Isolation::RepeatableRead => "repeatable read",
        }
    }

    /// Of a setting's value.
    pub fn of_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "read uncommitted" | "read committed" => Some(Isolation::ReadCommitted),
            "repeatable read" | "serializable" => Some(Isolation::RepeatableRead),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct LockTable {
    pub tables: Vec<RelationName>,
    pub(crate) mode: LockMode,
    pub nowait: bool,
}

/// A column's, schema's or setting's name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub text: String,
    /// 1-based character position in the statement's text.
    pub position: usize,
}

/// A table's or view's name as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationName {
    pub schema: Option<String>,
    pub name: String,
    /// 1-based character position in the statement's text.
    pub position: usize,
}

impl RelationName {
    /// The schema that was written, or `search_schema`.
    pub fn schema_or<'a>(&'a self, search_schema: &'a str) -> &'a str {
        self.schema.as_deref().unwrap_or(search_schema)
    }
}

/// As the user wrote it: `lineitem`, `public.lineitem`.
impl std::fmt::Display for RelationName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Insert {
    pub table: RelationName,
    /// Empty: all columns, in the table's order.
    pub columns: Vec<Name>,
    pub source: InsertSource,
}

/// UPDATE, or DELETE without assignments.
#[derive(Clone, Debug)]
pub struct Modify {
    pub table: RelationName,
    /// What the rest of the statement calls the table, if not by its name.
    pub alias: Option<String>,
    /// None: the rows are deleted.
    pub assignments: Option<Vec<(Name, InsertValue)>>,
    /// What stands after FROM or USING.
    pub from: Vec<ast::TableWithJoins>,
    pub selection: Option<ast::Expr>,
}

#[derive(Clone, Debug)]
pub enum InsertSource {
    /// `VALUES (…), (…)` and nothing else; every row has the same number of values.
    Values(Vec<Vec<InsertValue>>),
    /// An `ast::Statement::Query`.
    Query(Box<ast::Statement>),
    DefaultValues,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every value is an expression")]
pub enum InsertValue {
    /// The keyword DEFAULT.
    Default,
    Expr(ast::Expr),
}

/// `CREATE TABLE t (…)`.
#[derive(Clone, Debug)]
pub struct CreateTable {
    pub table: RelationName,
    pub if_not_exists: bool,
    pub columns: Vec<ColumnSpec>,
    /// `(LIKE other)`: takes the other table's columns; `columns` is empty then.
    pub like: Option<RelationName>,
    /// PRIMARY KEY of a column or of the table; None without one.
    pub primary_key: Option<Vec<Name>>,
    /// True if a FOREIGN KEY or REFERENCES was written.
    pub foreign_key: bool,
    pub distribution: Option<DistributionClause>,
    pub compression: Option<Compression>,
}

/// `CREATE TABLE t AS query`.
#[derive(Clone, Debug)]
pub struct CreateTableAs {
    pub table: RelationName,
    pub if_not_exists: bool,
    /// New names of the query's first columns.
    pub columns: Vec<Name>,
    pub distribution: Option<DistributionClause>,
    pub compression: Option<Compression>,
    /// An `ast::Statement::Query`.
    pub query: Box<ast::Statement>,
    /// False for `WITH NO DATA`.
    pub with_data: bool,
}

#[derive(Clone, Debug)]
pub struct ColumnSpec {
    pub name: Name,
    pub sql_type: SqlType,
    pub nullable: bool,
    /// DEFAULT's expression as SQL text; a constant expression.
    pub default: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DistributionClause {
    By(Vec<Name>),
    Randomly,
    Replicated,
}

#[derive(Clone, Debug)]
pub struct CreateView {
    pub view: RelationName,
    pub or_replace: bool,
    /// New names of the query's columns; empty keeps them.
    pub columns: Vec<Name>,
    /// An `ast::Statement::Query`.
    pub query: Box<ast::Statement>,
    /// The query's text as it was written: what the catalog keeps.
    pub query_text: String,
    /// The relations that the query names, without its own CTEs.
    pub references: Vec<RelationName>,
}

#[derive(Clone, Debug)]
pub struct CreateSchema {
    pub schema: Name,
    pub if_not_exists: bool,
}

#[derive(Clone, Debug)]
pub struct Drop<N> {
    pub names: Vec<N>,
    pub if_exists: bool,
    pub cascade: bool,
}

#[derive(Clone, Debug)]
pub struct AlterTable {
    pub table: RelationName,
    pub if_exists: bool,
    pub action: AlterAction,
}

#[derive(Clone, Debug)]
pub enum AlterAction {
    RenameTo(Name),
    RenameColumn {
        from: Name,
        to: Name,
    },
    AddColumn {
        column: ColumnSpec,
        if_not_exists: bool,
    },
    /// `SET DISTRIBUTED …` or `SET WITH (REORGANIZE=true)`; None keeps the policy and only rewrites the rows.
    SetDistributed {
        distribution: Option<DistributionClause>,
        /// `REORGANIZE`: true rewrites even when the policy stays the same; false never moves rows.
        reorganize: Option<bool>,
    },
}

#[derive(Clone, Debug)]
pub struct CopyFrom {
    pub table: RelationName,
    /// Empty: all columns, in the table's order.
    pub columns: Vec<Name>,
    /// A file, a glob or a directory, on the master's and segments' hosts.
    pub path: String,
    pub format: CopyFormat,
}

#[derive(Clone, Debug)]
pub struct CopyTo {
    pub source: CopySource,
    /// A directory.
    pub path: String,
    pub format: CopyFormat,
}

#[derive(Clone, Debug)]
pub enum CopySource {
    /// Columns empty: all of them.
    Table { table: RelationName, columns: Vec<Name> },
    /// An `ast::Statement::Query`.
    Query(Box<ast::Statement>),
}

#[derive(Clone, Debug)]
pub struct Explain {
    pub analyze: bool,
    pub verbose: bool,
    pub format: ExplainFormat,
    /// A query, an INSERT or a CREATE TABLE AS.
    pub statement: Box<Statement>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainFormat {
    Text,
    Json,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShowTarget {
    All,
    /// Lower case; `SHOW TIME ZONE` is `timezone`, `SHOW TRANSACTION ISOLATION LEVEL` is `transaction_isolation`.
    Name(String),
}

/// `SET [SESSION | LOCAL] name {TO | =} value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetSetting {
    pub local: bool,
    /// Lower case; `SET TIME ZONE` is `timezone`.
    pub name: String,
    /// Several values are joined by `, `; None is DEFAULT.
    pub value: Option<String>,
}
