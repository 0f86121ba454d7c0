//! The durable catalog: what tables, views and files there are, and the commit. [`Catalog`] is the only way in.

mod durable;
mod error;
mod files;
mod pins;
mod sqlite;
mod state;
mod statistics;
mod store;

pub use durable::{Catalog, Commit, CreateTableOutcome, NewTable};
pub use error::CatalogError;
pub use files::FileKey;
pub use state::{CatalogState, Relation, TableEntry, ViewDef};
pub use statistics::ColumnStatistics;
