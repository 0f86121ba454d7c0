//! System tables: the catalog's state as rows. Text columns are `Utf8View`.

mod backup;
mod cells;
mod check;
mod copy_history;
mod copy_progress;
mod distribution;
mod external_tables;
mod files;
pub(crate) mod functions;
mod has_privilege;
mod history;
mod information_schema;
mod information_schema_more;
mod interconnect;
mod locks;
pub(crate) mod oids;
mod pg_attribute;
mod pg_catalog;
pub(crate) mod pg_class;
pub(crate) mod pg_constraint;
mod pg_empty;
mod pg_roles;
mod pg_settings;
mod pg_stat_activity;
pub(crate) mod pg_type;
pub(crate) mod pg_types;
mod relations;
mod running;
mod segments;
mod sequences;
mod table;
mod table_options;
mod tablespaces;

pub use interconnect::InterconnectNode;
#[cfg(test)]
use table::system_tables;
pub use table::{SystemContext, SystemTable, system_table};

/// Where system tables are found without a schema.
pub const PG_CATALOG: &str = "pg_catalog";
/// The SQL standard's.
pub const INFORMATION_SCHEMA: &str = "information_schema";
/// The bootstrap superuser, until it is renamed: the owner of what is the system's.
pub(crate) const OWNER: &str = "damson";

#[cfg(test)]
mod tests;
