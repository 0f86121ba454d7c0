//! The list of system tables.

use super::cells::{Column, Row, batch_of, schema_of};
use super::{
    InterconnectNode, backup, check, copy_history, copy_progress, distribution, external_tables, files, history,
    information_schema, information_schema_more, interconnect, locks, pg_attribute, pg_catalog, pg_class,
    pg_constraint, pg_empty, pg_roles, pg_settings, pg_stat_activity, pg_type, running, segments, sequences,
    table_options, tablespaces,
};
use crate::backup::TransferRow;
use crate::catalog::{CatalogState, CopiedFile, History, RoleId};
use crate::copies::CopyRow;
use crate::dispatch::Finding;
use crate::locks::LockRow;
use crate::session::ActivityRow;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use damson_cluster::{SegmentDef, SequenceId, SequencePosition};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What system tables are made of: one statement's snapshot, and what the master knows of its segments now.
#[derive(Clone, Debug)]
pub struct SystemContext {
    pub state: Arc<CatalogState>,
    /// The master and the segments, `up` as of now.
    pub segments: Vec<SegmentDef>,
    /// Segments that have registered, and that the cluster does not have.
    pub waiting: Vec<SegmentDef>,
    /// Columns of views, by (schema, name), as far as they were planned: a view that is missing shows no columns.
    pub view_schemas: BTreeMap<(String, String), SchemaRef>,
    /// Slices that run now; asked for only by statements that name `gp_running_slices`.
    pub running: Vec<damson_motion::RunningSlice>,
    /// Every node's interconnect; asked for only by statements that name one of its tables.
    pub interconnect: Vec<InterconnectNode>,
    /// What is wrong with files; looked for only by statements that name `gp_check`.
    pub(crate) findings: Vec<Finding>,
    /// What is kept of the past, as of now.
    pub history: Arc<History>,
    /// Where sequences are now; asked for only by statements that name `pg_sequences`.
    pub positions: BTreeMap<SequenceId, SequencePosition>,
    /// Locks of tables, as of now.
    pub(crate) locks: Vec<LockRow>,
    /// Backups and restores, as of now.
    pub(crate) transfers: Vec<TransferRow>,
    /// COPYs, as of now; what segments have read only for statements that name `gp_stat_progress_copy`.
    pub(crate) copies: Vec<CopyRow>,
    /// Which files were loaded; read only by statements that name `gp_copy_history`.
    pub(crate) copied: Vec<CopiedFile>,
    /// Names, values and descriptions of the session's settings.
    pub settings: Vec<(String, String, String)>,
    /// Names of functions and their `prokind`, by name; listed only for statements that name a table of them.
    pub functions: Vec<(String, &'static str)>,
    /// Whose statement it is.
    pub role: RoleId,
    /// Clients' sessions; asked for only by statements that name `pg_stat_activity`.
    pub(crate) sessions: Vec<ActivityRow>,
}

/// A table whose rows are made of a [`SystemContext`].
pub struct SystemTable {
    pub schema_name: &'static str,
    pub name: &'static str,
    pub(super) columns: &'static [Column],
    pub(super) rows: fn(&SystemContext) -> Vec<Row>,
}

impl std::fmt::Debug for SystemTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SystemTable({}.{})", self.schema_name, self.name)
    }
}

impl SystemTable {
    pub fn schema(&self) -> SchemaRef {
        schema_of(self.columns)
    }

    /// All of its rows, as one batch.
    pub fn rows(&self, context: &SystemContext) -> RecordBatch {
        batch_of(self.columns, &(self.rows)(context))
    }

    /// True if it shows what runs: that needs [`SystemContext::running`].
    pub fn needs_running(&self) -> bool {
        [running::RUNNING_SLICES.name, copy_progress::PROGRESS.name].contains(&self.name)
    }

    /// True if it shows what is wrong with files: that needs [`SystemContext::findings`].
    pub fn needs_check(&self) -> bool {
        self.name == check::CHECK.name
    }

    /// True if it shows which files were loaded: that needs [`SystemContext::copied`].
    pub fn needs_copied(&self) -> bool {
        self.name == copy_history::HISTORY.name
    }

    /// True if it shows counters of the interconnect: that needs [`SystemContext::interconnect`].
    pub fn needs_interconnect(&self) -> bool {
        [interconnect::STATS.name, interconnect::NODES.name].contains(&self.name)
    }

    /// True if it shows where sequences are: that needs [`SystemContext::positions`].
    pub fn needs_positions(&self) -> bool {
        self.name == sequences::POSTGRES.name
    }

    /// True if it shows clients' sessions: that needs [`SystemContext::sessions`].
    pub fn needs_sessions(&self) -> bool {
        self.name == pg_stat_activity::STAT_ACTIVITY.name
    }

    /// True if it shows functions: that needs [`SystemContext::functions`].
    pub fn needs_functions(&self) -> bool {
        [pg_type::PROC.name, information_schema_more::ROUTINES.name].contains(&self.name)
    }

    /// True if it shows columns of views: those need [`SystemContext::view_schemas`].
    pub fn needs_view_schemas(&self) -> bool {
        let of_columns = [pg_class::CLASS.name, pg_attribute::ATTRIBUTE.name];
        self.schema_name == super::INFORMATION_SCHEMA && self.name == "columns" || of_columns.contains(&self.name)
    }
}

static TABLES: &[SystemTable] = &[
    segments::SEGMENT_CONFIGURATION,
    segments::WAITING_SEGMENTS,
    distribution::BUCKET_MAP,
    running::RUNNING_SLICES,
    interconnect::STATS,
    interconnect::NODES,
    locks::LOCKS,
    history::RESTORE_POINTS,
    backup::PROGRESS,
    copy_history::HISTORY,
    copy_progress::PROGRESS,
    check::CHECK,
    distribution::DISTRIBUTION_POLICY,
    table_options::TABLE_OPTIONS,
    external_tables::EXTERNAL_TABLES,
    tablespaces::TABLESPACES,
    tablespaces::SECRETS,
    files::FILES,
    files::SEGMENT_ROWS,
    files::SKEW,
    pg_catalog::TABLES,
    pg_catalog::VIEWS,
    sequences::POSTGRES,
    information_schema::SCHEMATA,
    information_schema::TABLES,
    information_schema::COLUMNS,
    information_schema::VIEWS,
    information_schema::TABLE_CONSTRAINTS,
    information_schema::CHECK_CONSTRAINTS,
    information_schema::KEY_COLUMN_USAGE,
    sequences::STANDARD,
    information_schema_more::REFERENTIAL_CONSTRAINTS,
    information_schema_more::CONSTRAINT_COLUMN_USAGE,
    information_schema_more::TABLE_PRIVILEGES,
    information_schema_more::ROUTINES,
    pg_class::CLASS,
    pg_class::NAMESPACE,
    pg_class::AM,
    pg_class::STAT_USER_TABLES,
    pg_stat_activity::STAT_ACTIVITY,
    pg_class::SEQUENCE,
    pg_class::DATABASE,
    pg_roles::ROLES,
    pg_roles::USER,
    pg_attribute::ATTRIBUTE,
    pg_attribute::ATTRDEF,
    pg_type::TYPE,
    pg_type::PROC,
    pg_type::LANGUAGE,
    pg_type::COLLATION,
    pg_constraint::CONSTRAINT,
    pg_constraint::INDEX,
    pg_constraint::DEPEND,
    pg_settings::SETTINGS,
    pg_empty::ENUM,
    pg_empty::RANGE,
    pg_empty::TRIGGER,
    pg_empty::REWRITE,
    pg_empty::RULES,
    pg_empty::POLICY,
    pg_empty::POLICIES,
    pg_empty::EXTENSION,
    pg_empty::AVAILABLE_EXTENSIONS,
    pg_empty::FOREIGN_TABLE,
    pg_empty::FOREIGN_SERVER,
    pg_empty::FOREIGN_DATA_WRAPPER,
    pg_empty::USER_MAPPINGS,
    pg_empty::PUBLICATION,
    pg_empty::PUBLICATION_REL,
    pg_empty::PUBLICATION_TABLES,
    pg_empty::SUBSCRIPTION,
    pg_empty::STATISTIC_EXT,
    pg_empty::MATVIEWS,
    pg_roles::AUTH_MEMBERS,
    pg_empty::GROUP,
    pg_empty::PARTITIONED_TABLE,
    pg_empty::EVENT_TRIGGER,
    pg_empty::CAST,
    pg_empty::OPERATOR,
    pg_empty::OPCLASS,
    pg_empty::AGGREGATE,
    pg_empty::CONVERSION,
    pg_empty::DEFAULT_ACL,
    pg_empty::DB_ROLE_SETTING,
    pg_empty::SHDEPEND,
    pg_empty::SECLABELS,
    pg_empty::PREPARED_XACTS,
    pg_empty::PREPARED_STATEMENTS,
    pg_empty::CURSORS,
    pg_empty::STAT_REPLICATION,
    pg_empty::INHERITS,
    pg_empty::DESCRIPTION,
    pg_empty::SHARED_DESCRIPTION,
    pg_empty::STATS,
    pg_empty::OPFAMILY,
    pg_empty::AMOP,
    pg_empty::AMPROC,
    pg_empty::LARGEOBJECT_METADATA,
    pg_empty::TS_CONFIG,
    pg_empty::TS_CONFIG_MAP,
    pg_empty::TS_DICT,
    pg_empty::TS_PARSER,
    pg_empty::TS_TEMPLATE,
];

pub fn system_tables() -> &'static [SystemTable] {
    TABLES
}

/// The system table of that name. `pg_catalog` is searched from every schema but its sister, so that its names need no
/// prefix: a caller that resolved `gp_files` to `public.gp_files`, and found no such table, finds it here.
pub fn system_table(schema: &str, name: &str) -> Option<&'static SystemTable> {
    let searched = if schema == super::INFORMATION_SCHEMA { schema } else { super::PG_CATALOG };
    TABLES.iter().find(|table| table.schema_name == searched && table.name == name)
}
