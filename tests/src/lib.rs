//! The harness of the tests of the whole system, from outside: targets that run SQL (plain DataFusion, an embedded
//! cluster, real processes), one way to print values, the sqllogictest runner, an S3 server that fails, a web server, a load of
//! clients for what kills processes, TPC-H's validation answers, and the
//! generator of random queries.

mod answer;
pub mod clocks;
mod damson_target;
mod datafusion_target;
mod ddl;
pub mod detached;
pub mod dml;
pub mod fault_proxy;
pub mod history;
pub mod load;
pub mod postgres;
pub mod processes;
pub mod random;
pub mod s3_server;
pub mod slt;
mod target;
pub mod tpch;
pub mod web_server;

pub use answer::{Answer, ValueClass, render, render_exact};
pub use damson_target::{Damson, TestCluster};
pub use datafusion_target::PlainDataFusion;
pub use ddl::for_datafusion;
pub use target::{Target, TargetError};
