//! What a client can ask for: one variant a statement, made by [`parse`](super::parse), read by the session.

use super::retrieve::Retrieve;
use super::types::SqlType;
use crate::engine::SentRows;
use crate::locks::LockMode;
use damson_cluster::{Codec, Compression, CopyFormat, OnBadRow, SecretType, SourceAccess};
use sqlparser::ast;

/// One parsed statement. Names are folded to lower case unless they were quoted.
#[derive(Clone, Debug)]
pub enum Statement {
    /// SELECT, VALUES, WITH: always an `ast::Statement::Query`, for DataFusion's binder.
    Query(Box<ast::Statement>),
    /// In no text: Flight SQL makes it of a query.
    Retrieve(Box<Retrieve>),
    Insert(Insert),
    /// In no text: Flight SQL has a command for it.
    Ingest(Box<Ingest>),
    /// UPDATE or DELETE.
    Modify(Box<Modify>),
    Merge(Box<Merge>),
    CreateTable(CreateTable),
    CreateTableAs(CreateTableAs),
    CreateExternal(Box<CreateExternal>),
    CreateView(CreateView),
    CreateSchema(CreateSchema),
    CreateSequence(CreateSequence),
    DropTable(Drop<RelationName>),
    DropExternal(Drop<RelationName>),
    DropView(Drop<RelationName>),
    DropSchema(Drop<Name>),
    DropSequence(Drop<RelationName>),
    Truncate(Truncate),
    AlterTable(AlterTable),
    /// `ALTER TABLE name EXPAND TABLE`: lays it out by the newest bucket map.
    ExpandTable {
        table: RelationName,
        if_exists: bool,
    },
    AlterSystem(AlterSystem),
    CreateRestorePoint(Name),
    DropRestorePoint {
        name: Name,
        if_exists: bool,
    },
    AlterSequence(AlterSequence),
    CreateSecret(CreateSecret),
    DropSecret {
        name: Name,
        if_exists: bool,
    },
    CreateTablespace(CreateTablespace),
    DropTablespace {
        name: Name,
        if_exists: bool,
    },
    CreateRole(Box<CreateRole>),
    AlterRole(Box<AlterRole>),
    RenameRole {
        role: Name,
        to: Name,
    },
    DropRole {
        roles: Vec<Name>,
        if_exists: bool,
    },
    /// GRANT and REVOKE of roles.
    Membership(MembershipChange),
    /// GRANT and REVOKE of privileges.
    Privileges(PrivilegeChange),
    /// `ALTER … OWNER TO role`.
    OwnerTo {
        object: GrantObject,
        owner: RoleSpec,
    },
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
    Backup(Backup),
    Restore(Restore),
    /// Of the place of that URL.
    ShowBackups(String),
}

impl Statement {
    /// True for what gives no rows: everything but queries, EXPLAIN, SHOW, BACKUP, RESTORE, COPY with VALIDATE, and changes with
    /// RETURNING.
    pub fn is_update(&self) -> bool {
        let gives_rows = match self {
            Statement::Query(_)
            | Statement::Retrieve(_)
            | Statement::Explain(_)
            | Statement::Show(_)
            | Statement::Backup(_)
            | Statement::Restore(_)
            | Statement::ShowBackups(_) => true,
            Statement::CopyFrom(copy) => copy.is_validation(),
            _ => false,
        };
        !gives_rows && self.returning().is_none()
    }

    /// Whether it has changed something once it gives its rows, so that it was done even if nobody reads them.
    pub fn is_done_before_its_rows(&self) -> bool {
        matches!(self, Statement::Backup(_) | Statement::Restore(_)) || self.returning().is_some()
    }

    /// What RETURNING names, if it was written.
    pub fn returning(&self) -> Option<&[ast::SelectItem]> {
        match self {
            Statement::Insert(insert) => insert.returning.as_deref(),
            Statement::Modify(modify) => modify.returning.as_deref(),
            Statement::Merge(merge) => merge.returning.as_deref(),
            _ => None,
        }
    }
}

impl Statement {
    /// Whether it is content with what is there already: `IF NOT EXISTS`.
    pub fn is_content_with_existing(&self) -> bool {
        match self {
            Statement::CreateTable(create) => create.if_not_exists,
            Statement::CreateTableAs(create) => create.if_not_exists,
            Statement::CreateExternal(create) => create.if_not_exists,
            Statement::CreateSchema(create) => create.if_not_exists,
            Statement::CreateSequence(create) => create.if_not_exists,
            Statement::CreateSecret(create) => create.if_not_exists,
            _ => false,
        }
    }

    /// Whether it is no part of a transaction: what it does cannot be rolled back.
    pub fn is_outside_transactions(&self) -> bool {
        matches!(
            self,
            Statement::Vacuum(_)
                | Statement::ExpandTable { .. }
                | Statement::Backup(_)
                | Statement::Restore(_)
                | Statement::AlterSystem(_)
                | Statement::CreateRestorePoint(_)
                | Statement::DropRestorePoint { .. }
        )
    }

    /// What it is, as the tags of PostgreSQL name it.
    pub fn name(&self) -> &'static str {
        match self {
            Statement::Query(_) | Statement::Retrieve(_) => "SELECT",
            Statement::Insert(_) | Statement::Ingest(_) => "INSERT",
            Statement::Modify(modify) if modify.assignments.is_some() => "UPDATE",
            Statement::Modify(_) => "DELETE",
            Statement::Merge(_) => "MERGE",
            Statement::CreateTable(_) => "CREATE TABLE",
            Statement::CreateTableAs(_) => "CREATE TABLE AS",
            Statement::CreateExternal(_) => "CREATE EXTERNAL TABLE",
            Statement::CreateView(_) => "CREATE VIEW",
            Statement::CreateSchema(_) => "CREATE SCHEMA",
            Statement::CreateSequence(_) => "CREATE SEQUENCE",
            Statement::DropTable(_) => "DROP TABLE",
            Statement::DropExternal(_) => "DROP EXTERNAL TABLE",
            Statement::DropView(_) => "DROP VIEW",
            Statement::DropSchema(_) => "DROP SCHEMA",
            Statement::DropSequence(_) => "DROP SEQUENCE",
            Statement::Truncate(_) => "TRUNCATE TABLE",
            Statement::AlterTable(_) | Statement::ExpandTable { .. } => "ALTER TABLE",
            Statement::AlterSystem(_) => "ALTER SYSTEM",
            Statement::CreateRestorePoint(_) => "CREATE RESTORE POINT",
            Statement::DropRestorePoint { .. } => "DROP RESTORE POINT",
            Statement::AlterSequence(_) => "ALTER SEQUENCE",
            Statement::CreateSecret(_) => "CREATE SECRET",
            Statement::DropSecret { .. } => "DROP SECRET",
            Statement::CreateTablespace(_) => "CREATE TABLESPACE",
            Statement::DropTablespace { .. } => "DROP TABLESPACE",
            Statement::CreateRole(_) => "CREATE ROLE",
            Statement::AlterRole(_) | Statement::RenameRole { .. } => "ALTER ROLE",
            Statement::DropRole { .. } => "DROP ROLE",
            Statement::Membership(change) if change.grants => "GRANT ROLE",
            Statement::Membership(_) => "REVOKE ROLE",
            Statement::Privileges(change) if change.grants => "GRANT",
            Statement::Privileges(_) => "REVOKE",
            Statement::OwnerTo { object, .. } => object.alter_tag(),
            Statement::CopyFrom(_) | Statement::CopyTo(_) => "COPY",
            Statement::Explain(_) => "EXPLAIN",
            Statement::Show(_) => "SHOW",
            Statement::Set(_) => "SET",
            Statement::Reset(_) => "RESET",
            Statement::Analyze(_) => "ANALYZE",
            Statement::Vacuum(_) => "VACUUM",
            Statement::Transaction(_) => "a transaction statement",
            Statement::LockTable(_) => "LOCK TABLE",
            Statement::Backup(_) => "BACKUP",
            Statement::Restore(_) => "RESTORE",
            Statement::ShowBackups(_) => "SHOW BACKUPS",
        }
    }
}

/// What begins, ends or divides a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionStatement {
    Begin {
        modes: TransactionModes,
        /// `BEGIN` or `START TRANSACTION`, as it was written.
        tag: &'static str,
    },
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

/// `ALTER SYSTEM {SET name {TO | =} value | RESET name}`: a setting of the cluster, for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterSystem {
    /// Lower case.
    pub name: String,
    /// None is the default.
    pub value: Option<String>,
}

#[derive(Clone, Debug)]
pub struct LockTable {
    pub tables: Vec<RelationName>,
    pub(crate) mode: LockMode,
    pub nowait: bool,
}

/// BACKUP.
#[derive(Clone, Debug, PartialEq)]
pub struct Backup {
    /// The URL of the place.
    pub place: String,
    /// What stands after AS OF, see [`Version`](super::Version); None is the newest snapshot.
    pub as_of: Option<ast::Expr>,
}

/// RESTORE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The URL of the place.
    pub place: String,
    /// None is the newest backup.
    pub backup: Option<String>,
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
    /// What ON CONFLICT and RETURNING call the table, if not by its name.
    pub alias: Option<String>,
    /// Empty: all columns, in the table's order.
    pub columns: Vec<Name>,
    pub overriding: Option<Overriding>,
    pub source: InsertSource,
    pub on_conflict: Option<OnConflict>,
    pub returning: Option<Vec<ast::SelectItem>>,
}

/// `OVERRIDING {SYSTEM | USER} VALUE`: whose value an identity column takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overriding {
    /// The statement's, also for a column that is GENERATED ALWAYS.
    System,
    /// The sequence's: what the statement gives is not read.
    User,
}

/// `ON CONFLICT [target] DO …`.
#[derive(Clone, Debug)]
pub struct OnConflict {
    pub target: ConflictTarget,
    pub action: ConflictAction,
}

/// Which key's conflicts are meant.
#[derive(Clone, Debug)]
pub enum ConflictTarget {
    /// Any key's: none was written. Never with an update.
    Any,
    /// The key of these columns, in any order.
    Columns(Vec<Name>),
    Constraint(Name),
}

/// What becomes of a row whose key is there already.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one a statement")]
pub enum ConflictAction {
    /// It is left out.
    Nothing,
    /// The row that is there changes, if it fulfils `selection`.
    Update { assignments: Vec<(Name, InsertValue)>, selection: Option<ast::Expr> },
}

/// UPDATE, or DELETE without assignments.
#[derive(Clone, Debug)]
pub struct Modify {
    /// Queries that the rest of the statement names.
    pub with: Option<ast::With>,
    pub table: RelationName,
    /// What the rest of the statement calls the table, if not by its name.
    pub alias: Option<String>,
    /// None: the rows are deleted.
    pub assignments: Option<Vec<(Name, InsertValue)>>,
    /// What stands after FROM or USING.
    pub from: Vec<ast::TableWithJoins>,
    pub selection: Option<ast::Expr>,
    pub returning: Option<Vec<ast::SelectItem>>,
}

/// MERGE.
#[derive(Clone, Debug)]
pub struct Merge {
    /// Queries that the rest of the statement names.
    pub with: Option<ast::With>,
    pub table: RelationName,
    /// What the rest of the statement calls the table, if not by its name.
    pub alias: Option<String>,
    /// What stands after USING: one factor, without joins.
    pub source: ast::TableWithJoins,
    pub on: ast::Expr,
    /// At least one. The first that applies to a row is done; none that could never be reached.
    pub clauses: Vec<MergeClause>,
    pub returning: Option<Vec<ast::SelectItem>>,
}

/// `WHEN … [AND condition] THEN action`.
#[derive(Clone, Debug)]
pub struct MergeClause {
    pub when: MergeWhen,
    pub condition: Option<ast::Expr>,
    /// An insert for [`MergeWhen::NotMatched`], an update or a delete for the others, nothing for all.
    pub action: MergeAction,
}

/// The rows that a clause of a MERGE is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeWhen {
    /// Of both sides.
    Matched,
    /// Of the source only: NOT MATCHED, NOT MATCHED BY TARGET.
    NotMatched,
    /// Of the table only.
    NotMatchedBySource,
}

#[derive(Clone, Debug)]
pub enum MergeAction {
    Nothing,
    Delete,
    Update(Vec<(Name, InsertValue)>),
    Insert {
        /// Empty: all columns, in the table's order.
        columns: Vec<Name>,
        overriding: Option<Overriding>,
        /// None: DEFAULT VALUES.
        values: Option<Vec<InsertValue>>,
    },
}

#[derive(Clone, Debug)]
pub enum InsertSource {
    /// `VALUES (…), (…)` and nothing else; every row has the same number of values.
    Values(Vec<Vec<InsertValue>>),
    /// An `ast::Statement::Query`.
    Query(Box<ast::Statement>),
    DefaultValues,
    /// What a client sends along: in no text.
    Sent(SentRows),
}

/// Rows that a client sends for a table that may have to be made for them.
#[derive(Clone, Debug)]
pub struct Ingest {
    pub table: RelationName,
    pub if_absent: IfAbsent,
    pub if_exists: IfExists,
    pub overriding: Option<Overriding>,
    pub(crate) rows: SentRows,
}

/// What becomes of an [`Ingest`] whose table is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfAbsent {
    Create,
    Fail,
}

/// What becomes of an [`Ingest`] whose table is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfExists {
    Append,
    Fail,
    /// It is dropped, and made anew for the rows.
    Replace,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every value is an expression")]
pub enum InsertValue {
    /// The keyword DEFAULT.
    Default,
    Expr(ast::Expr),
}

impl InsertValue {
    /// What was written, if it is no DEFAULT.
    pub fn expr(&self) -> Option<&ast::Expr> {
        match self {
            InsertValue::Expr(expr) => Some(expr),
            InsertValue::Default => None,
        }
    }
}

/// `CREATE TABLE t (…)`.
#[derive(Clone, Debug)]
pub struct CreateTable {
    pub table: RelationName,
    pub if_not_exists: bool,
    pub columns: Vec<ColumnSpec>,
    /// `(LIKE other)`: takes the other table's columns; `columns` is empty then.
    pub like: Option<Like>,
    /// PRIMARY KEY, at most one, and UNIQUE, of columns or of the table.
    pub keys: Vec<KeySpec>,
    /// CHECK, of columns or of the table.
    pub checks: Vec<CheckSpec>,
    /// True if a FOREIGN KEY or REFERENCES was written.
    pub foreign_key: bool,
    pub distribution: Option<DistributionClause>,
    pub compression: Option<Compression>,
    pub layout: LayoutOptions,
    /// None: the one of `default_tablespace`.
    pub tablespace: Option<Name>,
}

/// `sort_key` and `bloom_filter_columns` of a table's options; what is None was not written, what is empty was given as nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayoutOptions {
    pub sort_key: Option<Vec<SortSpec>>,
    pub bloom_filter_columns: Option<Vec<Name>>,
}

impl LayoutOptions {
    pub fn is_empty(&self) -> bool {
        self.sort_key.is_none() && self.bloom_filter_columns.is_none()
    }
}

/// One column of `sort_key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortSpec {
    pub column: Name,
    pub descending: bool,
}

/// `LIKE other [INCLUDING …]`.
#[derive(Clone, Debug)]
pub struct Like {
    pub table: RelationName,
    pub including: Including,
}

/// What LIKE copies besides names, types and NOT NULL, which it always does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Including {
    /// CHECK.
    pub constraints: bool,
    pub defaults: bool,
    /// PRIMARY KEY and UNIQUE.
    pub indexes: bool,
    pub identity: bool,
    /// Sort key and Bloom filters.
    pub storage: bool,
}

/// PRIMARY KEY or UNIQUE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// After CONSTRAINT.
    pub name: Option<Name>,
    pub columns: Vec<Name>,
    pub primary: bool,
}

/// CHECK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckSpec {
    /// After CONSTRAINT.
    pub name: Option<Name>,
    /// As SQL text, without CHECK's parentheses; it has no subqueries, parameters, window functions or nextval.
    pub expression: String,
    /// The column whose definition it stands in.
    pub column: Option<Name>,
    /// 1-based character position in the statement's text.
    pub position: usize,
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
    pub layout: LayoutOptions,
    /// As [`CreateTable::tablespace`].
    pub tablespace: Option<Name>,
    /// An `ast::Statement::Query`.
    pub query: Box<ast::Statement>,
    /// False for `WITH NO DATA`.
    pub with_data: bool,
}

#[derive(Clone, Debug)]
pub struct ColumnSpec {
    pub name: Name,
    pub sql_type: SqlType,
    /// False also for an identity or serial column; what a primary key forbids, the key says.
    pub nullable: bool,
    /// DEFAULT's expression as SQL text: of constants, and of nextval with a sequence's name, `nextval('s')` or
    /// `nextval('s'::regclass)`. None with an identity.
    pub default: Option<String>,
    pub identity: Option<IdentitySpec>,
}

/// `GENERATED {ALWAYS | BY DEFAULT} AS IDENTITY [(options)]`, or a type such as serial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentitySpec {
    pub always: bool,
    /// serial, bigserial, smallserial: a sequence and a default, not an identity.
    pub serial: bool,
    pub options: SequenceOptions,
}

/// What is None was not written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SequenceOptions {
    /// smallint, integer or bigint.
    pub data_type: Option<SqlType>,
    /// Not 0.
    pub increment: Option<i64>,
    /// `Some(None)`: NO MINVALUE.
    pub min: Option<Option<i64>>,
    /// `Some(None)`: NO MAXVALUE.
    pub max: Option<Option<i64>>,
    pub start: Option<i64>,
    /// Of ALTER only. `Some(None)`: RESTART without a value.
    pub restart: Option<Option<i64>>,
    /// At least 1.
    pub cache: Option<i64>,
    pub cycle: Option<bool>,
    /// `Some(None)`: OWNED BY NONE.
    pub owned_by: Option<Option<(RelationName, Name)>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DistributionClause {
    By(Vec<Name>),
    Randomly,
    Replicated,
}

#[derive(Clone, Debug)]
pub struct CreateExternal {
    pub table: RelationName,
    pub if_not_exists: bool,
    /// None without LIKE.
    pub like: Option<RelationName>,
    /// Empty with LIKE.
    pub columns: Vec<ColumnSpec>,
    /// Places and format, as COPY FROM would have them.
    pub copy: CopyFrom,
    pub writable: bool,
    /// Of a writable one.
    pub distribution: Option<DistributionClause>,
    /// PARTITION BY of a writable one.
    pub partition_by: Vec<Name>,
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
pub struct CreateSequence {
    pub sequence: RelationName,
    pub if_not_exists: bool,
    pub options: SequenceOptions,
}

/// `CREATE SECRET`. Shown without its options' values.
#[derive(Clone, Debug)]
pub struct CreateSecret {
    pub name: Name,
    pub if_not_exists: bool,
    pub or_replace: bool,
    pub kind: SecretType,
    /// The beginning of the URLs that it is for: `s3://bucket/prefix` without a slash at its end, or `s3://`.
    pub scope: String,
    pub access: SourceAccess,
}

/// A role as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleSpec {
    Named(Name),
    CurrentUser,
    SessionUser,
    /// Of GRANT and REVOKE only: everybody.
    Public,
}

/// A password as it was written, or its verifier. It is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(***)")
    }
}

/// What is None was not written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleOptions {
    pub superuser: Option<bool>,
    pub createdb: Option<bool>,
    pub createrole: Option<bool>,
    pub inherit: Option<bool>,
    pub login: Option<bool>,
    /// `Some(None)`: -1, without a limit.
    pub connection_limit: Option<Option<u32>>,
    /// `Some(None)`: PASSWORD NULL.
    pub password: Option<Option<Password>>,
    pub valid_until: Option<String>,
}

#[derive(Clone, Debug)]
pub struct CreateRole {
    pub role: Name,
    pub options: RoleOptions,
    /// IN ROLE: of which it becomes a member.
    pub in_roles: Vec<Name>,
    /// ROLE: which become its members,
    pub members: Vec<Name>,
    /// ADMIN: and may make others members.
    pub admins: Vec<Name>,
}

#[derive(Clone, Debug)]
pub struct AlterRole {
    pub role: RoleSpec,
    pub options: RoleOptions,
}

/// `GRANT role TO member`, or `REVOKE role FROM member`.
#[derive(Clone, Debug)]
pub struct MembershipChange {
    pub grants: bool,
    pub roles: Vec<Name>,
    pub members: Vec<RoleSpec>,
    /// WITH ADMIN OPTION, or ADMIN OPTION FOR.
    pub admin: bool,
}

/// What privileges are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantObject {
    Table(RelationName),
    View(RelationName),
    Sequence(RelationName),
    Schema(Name),
    Database(Name),
    AllTables(Name),
    AllSequences(Name),
}

impl GrantObject {
    fn alter_tag(&self) -> &'static str {
        match self {
            GrantObject::Table(_) | GrantObject::AllTables(_) => "ALTER TABLE",
            GrantObject::View(_) => "ALTER VIEW",
            GrantObject::Sequence(_) | GrantObject::AllSequences(_) => "ALTER SEQUENCE",
            GrantObject::Schema(_) => "ALTER SCHEMA",
            GrantObject::Database(_) => "ALTER DATABASE",
        }
    }
}

/// `GRANT privileges ON objects TO roles`, or `REVOKE … FROM roles`.
#[derive(Clone, Debug)]
pub struct PrivilegeChange {
    pub grants: bool,
    /// In upper case; empty: ALL.
    pub privileges: Vec<Name>,
    pub objects: Vec<GrantObject>,
    pub roles: Vec<RoleSpec>,
    /// WITH GRANT OPTION, or GRANT OPTION FOR.
    pub option: bool,
}

#[derive(Clone, Debug)]
pub struct CreateTablespace {
    pub name: Name,
    /// `s3://bucket/prefix`, without a slash at its end.
    pub location: String,
    pub secret: Option<Name>,
}

#[derive(Clone, Debug)]
pub struct AlterSequence {
    pub sequence: RelationName,
    pub if_exists: bool,
    pub options: SequenceOptions,
}

#[derive(Clone, Debug)]
pub struct Drop<N> {
    pub names: Vec<N>,
    pub if_exists: bool,
    pub cascade: bool,
}

#[derive(Clone, Debug)]
pub struct Truncate {
    pub tables: Vec<RelationName>,
    /// RESTART IDENTITY: the sequences that the tables own begin anew.
    pub restart_identity: bool,
}

#[derive(Clone, Debug)]
pub struct AlterTable {
    pub table: RelationName,
    pub if_exists: bool,
    pub action: AlterAction,
}

#[expect(clippy::large_enum_variant, reason = "one a statement")]
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
        checks: Vec<CheckSpec>,
    },
    #[cfg_attr(not(test), expect(dead_code, reason = "refused when it is executed"))]
    DropColumn {
        column: Name,
        if_exists: bool,
        cascade: bool,
    },
    AddKey(KeySpec),
    AddCheck(CheckSpec),
    /// Accepted, not kept, as in Greenplum.
    AddForeignKey,
    DropConstraint {
        name: Name,
        if_exists: bool,
        #[cfg_attr(not(test), expect(dead_code, reason = "nothing depends on a constraint"))]
        cascade: bool,
    },
    RenameConstraint {
        from: Name,
        to: Name,
    },
    SetNotNull(Name),
    DropNotNull(Name),
    /// `default` as [`ColumnSpec`] has it.
    SetDefault {
        column: Name,
        default: String,
    },
    DropDefault(Name),
    /// `SET WITH (sort_key=…, bloom_filter_columns=…)`: of files that are written from now on.
    SetLayout(LayoutOptions),
    /// `SET DISTRIBUTED …` or `SET WITH (REORGANIZE=true)`; None keeps the policy and only rewrites the rows.
    SetDistributed {
        distribution: Option<DistributionClause>,
        /// `REORGANIZE`: true rewrites even when the policy stays the same; false never moves rows.
        reorganize: Option<bool>,
        /// As of [`AlterAction::SetLayout`].
        layout: LayoutOptions,
    },
}

#[derive(Clone, Debug)]
pub struct CopyFrom {
    pub table: RelationName,
    /// Empty: all columns, in the table's order.
    pub columns: Vec<Name>,
    /// Files, globs, directories and URLs; at least one.
    pub sources: Vec<String>,
    /// PATTERN: a regular expression that the files' names must match.
    pub pattern: Option<String>,
    /// SECRET: whose options reach the sources; None: the one whose scope they are in, or the environment.
    pub secret: Option<Name>,
    pub format: CopyFormat,
    /// Neither FORMAT nor an option that belongs to one was written, and the sources' own names say nothing: what the names of
    /// the files say counts then, and `format` if these say nothing.
    pub format_by_files: bool,
    /// None: by each file's name.
    pub codec: Option<Codec>,
    /// [`OnBadRow::Report`]: VALIDATE.
    pub on_bad_row: OnBadRow,
    /// FORCE: files that were loaded before are loaded again.
    pub force: bool,
}

impl CopyFrom {
    /// Whether nothing is loaded, and the bad rows are its result.
    pub fn is_validation(&self) -> bool {
        self.on_bad_row == OnBadRow::Report
    }
}

#[derive(Clone, Debug)]
pub struct CopyTo {
    pub source: CopySource,
    /// A directory or a URL's prefix; with `single_file` the file.
    pub path: String,
    /// As [`CopyFrom::secret`].
    pub secret: Option<Name>,
    pub format: CopyFormat,
    /// None: by the name of a single file; of Parquet the writer's default; else none.
    pub codec: Option<Codec>,
    /// MAX_FILE_SIZE, in bytes: a part that has as many is followed by another one.
    pub max_file_bytes: Option<u64>,
    /// PARTITION BY: columns of the result; empty: no directories.
    pub partition_by: Vec<Name>,
    pub single_file: bool,
    /// Whether the parts are listed in a file beside them.
    pub manifest: bool,
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
    /// Whether the estimates are shown.
    pub costs: bool,
    /// A query, an INSERT, UPDATE, DELETE or MERGE, or a CREATE TABLE AS.
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
