//! The QD (query dispatcher): client protocols, sessions, catalog, planner, dispatch.

mod admission;
pub mod auth;
mod backup;
mod blocks;
mod catalog;
pub mod client_tls;
mod compaction;
mod copies;
mod ddl;
mod dispatch;
mod engine;
mod error;
mod explain;
pub mod flight_sql;
mod idle;
mod locks;
mod master;
mod planner;
pub mod postgres;
mod secrets;
mod session;
mod session_limits;
mod sessions;
mod shared;
mod sql;
mod system;
mod transaction;

pub use catalog::{CatalogError, CatalogLocation, Lease, LeaseHolder, RoleId, Waiting};
pub use engine::base_state;
pub use error::{SqlError, SqlState};
pub use master::{AdminPassword, CatalogSource, Master, MasterConfig};
pub use secrets::SECRET_KEY_FILE;
pub use session::{Expanded, Outcome, Prepared, Session, duration_of_text};
pub use session_limits::SessionLimits;
pub use sql::{bytes_of_size, shown_statement};
