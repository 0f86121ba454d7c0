//! Single-process DataFusion on Parquet files.

use crate::options::Options;
use damson::tpch::{TABLES, Table};
use datafusion::arrow::array::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use std::sync::Arc;

/// DataFusion with its own defaults, but as many partitions as it is given cores, decimal literals (with doubles,
/// `0.06 + 0.01` is not `0.07` and Q6 is wrong), and Damson's memory limit where there is one.
pub struct Reference {
    context: SessionContext,
}

impl Reference {
    /// # Errors
    /// A table's files that cannot be read.
    pub async fn open(options: &Options) -> Result<Self> {
        let mut config = SessionConfig::new().with_target_partitions(options.cores());
        config.options_mut().sql_parser.parse_float_as_decimal = true;
        let mut runtime = RuntimeEnvBuilder::new();
        if let Some(bytes) = options.memory {
            runtime = runtime.with_memory_pool(Arc::new(FairSpillPool::new(bytes as usize)));
        }
        let context = SessionContext::new_with_config_rt(config, runtime.build_arc()?);
        for table in TABLES.map(Table::name) {
            // The slash says that it is a directory.
            let directory = format!("{}/", options.parquet_dir().join(table).display());
            context.register_parquet(table, &directory, ParquetReadOptions::default()).await?;
        }
        Ok(Reference { context })
    }

    /// # Errors
    /// Whatever the query meets.
    pub async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        self.context.sql(sql).await?.collect().await
    }
}
