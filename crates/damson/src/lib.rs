//! Damson in one crate: the embedding API ([`LocalCluster`]), TPC-H, and what the binary's subcommands do.

mod admin_password;
mod build_id;
pub mod certificate;
mod certificate_loading;
mod cluster;
mod config_file;
mod contents;
mod copy_dirs;
pub mod demo;
mod directory_lock;
pub mod expand;
mod interconnect_options;
mod limits;
mod listen;
pub mod logging;
mod master_calls;
pub mod master_process;
mod pages;
mod progress;
mod resources;
mod runtimes;
pub mod segment_process;
pub mod shell;
mod stop;
pub mod tpch;
pub mod tpch_command;

pub use build_id::build_id;
pub use certificate_loading::{NextStep, NodeCertificateError};
pub use cluster::{ClusterError, LocalCluster, LocalClusterConfig};
pub use config_file::ConfigError;
pub use directory_lock::DirectoryLockError;
pub use listen::ListenError;
pub use pages::use_small_pages;
pub use progress::Progress;
pub use runtimes::{Runtimes, cores};
