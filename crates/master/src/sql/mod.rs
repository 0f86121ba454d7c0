//! Stop 1½ of a query's walk: text → [`Statement`], with PostgreSQL's errors and positions.

mod alter;
mod as_of;
mod assign;
mod backup;
mod bucket_url;
mod column;
mod constraint;
mod copy;
mod create;
mod cursor;
mod dialect;
mod distributed;
mod drop;
mod explain;
mod expression;
mod external;
mod files;
mod guard;
mod insert;
mod limits;
mod merge;
mod modify;
mod names;
mod nextval;
mod parse;
mod portals;
mod query;
mod retrieve;
mod returning;
mod role;
mod secret;
mod sequence;
mod set_returning;
mod settings;
mod signs;
mod size;
mod split;
mod statement;
mod table_options;
mod table_query;
mod tablespace;
mod text;
mod transaction;
mod types;
mod unsupported;
mod values_row;
mod walk;
mod wide_numbers;
mod with;

pub use as_of::Version;
pub use copy::{ClientCopy, ClientFormat, ClientRows, client_copy, format_of_name};
pub use expression::{parse_expression, values_query};
pub use files::{FilesInFrom, files_in_from};
pub(crate) use limits::TARGETS_MAX;
pub(crate) use names::NAME_BYTES_MAX;
pub use names::{DATABASE, DEFAULT_SCHEMA, DEFAULT_TABLESPACE, fold, relation_name};
pub use nextval::{
    NEXTVAL, call_arguments, calls_sequence, name_in_quotes, nextval_of, not_a_name, qualify_sequences,
    relation_in_text, sequence_function, sequences_of,
};
pub use parse::parse;
pub use portals::{PortalStatement, portal_statement};
pub use query::{check_query, check_targets};
pub use retrieve::Retrieve;
pub use secret::shown_statement;
pub use set_returning::{SERIES, UNNEST, is_set, refuse_sets, returns_set, set_not_allowed};
pub use size::bytes as bytes_of_size;
pub use split::split;
pub use statement::{
    AlterAction, AlterRole, AlterSequence, AlterSystem, AlterTable, Backup, CheckSpec, ColumnSpec, ConflictAction,
    ConflictTarget, CopyFrom, CopySource, CopyTo, CreateExternal, CreateRole, CreateSchema, CreateSecret,
    CreateSequence, CreateTable, CreateTableAs, CreateTablespace, CreateView, DistributionClause, Drop, Explain,
    ExplainFormat, GrantObject, IdentitySpec, IfAbsent, IfExists, Including, Ingest, Insert, InsertSource, InsertValue,
    Isolation, KeySpec, LayoutOptions, LockTable, MembershipChange, Merge, MergeAction, MergeClause, MergeWhen, Modify,
    Name, OnConflict, Overriding, PrivilegeChange, RelationName, Restore, RoleOptions, RoleSpec, SequenceOptions,
    SetSetting, ShowTarget, SortSpec, Statement, TransactionModes, TransactionStatement, Truncate,
};
pub use types::{sql_type_name, stored_type_of};
pub use values_row::ValuesRow;
pub(crate) use walk::{walk, walk_mut};
