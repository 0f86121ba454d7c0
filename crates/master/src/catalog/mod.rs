//! The durable catalog: what tables, views, sequences, tablespaces, secrets and files there are, and the commit. [`Catalog`] is the only way in.

mod apply;
mod commit;
mod copied;
mod counters;
mod definitions;
mod durable;
mod error;
mod external;
mod files;
mod history;
mod lease;
mod location;
mod maps;
mod past;
mod pins;
mod postgres;
mod restore;
mod rows;
mod secrets;
mod sequences;
mod sqlite;
mod state;
mod statistics;
mod step;
mod store;
mod tablespaces;
#[cfg(test)]
mod testing;
mod workspace;

pub use commit::Commit;
pub use copied::{CopiedFile, OwnCopied};
pub use definitions::{CreateTableOutcome, NewTable};
pub use durable::Catalog;
pub use error::CatalogError;
pub use external::ExternalDef;
pub use files::FileKey;
pub use history::{AsOf, History};
pub use lease::{Lease, LeaseHolder, Waiting};
pub use location::CatalogLocation;
pub use secrets::SecretDef;
pub use sequences::{SequenceDef, SequenceOwner};
pub use state::{CatalogState, Relation, TableEntry, ViewDef};
pub use statistics::ColumnStatistics;
pub use store::Durability;
pub use tablespaces::TablespaceDef;
pub use workspace::{Mark, Workspace};
