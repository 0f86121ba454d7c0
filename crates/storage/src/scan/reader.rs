//! The reader of one table file, under DataFusion's Parquet scan.

use crate::footers::{FileIdentity, Footers};
use bytes::Bytes;
use datafusion::common::internal_err;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::error::Result;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::ops::Range;
use std::sync::Arc;

/// Makes the readers of a segment's files. Reads from the segment's own store, whatever object store the scan's URL names:
/// the paths in a plan are relative to the data directory.
#[derive(Debug)]
pub(crate) struct TableFileReaders {
    pub store: Arc<dyn ObjectStore>,
    pub footers: Arc<Footers>,
}

impl ParquetFileReaderFactory for TableFileReaders {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let Some(identity) = file.extension::<FileIdentity>() else {
            return internal_err!("a table scan's file has no identity: {}", file.path());
        };
        Ok(Box::new(TableFileReader {
            identity: identity.clone(),
            location: file.path().clone(),
            store: Arc::clone(&self.store),
            footers: Arc::clone(&self.footers),
            bytes_scanned: MetricBuilder::new(metrics).counter("bytes_scanned", partition),
        }))
    }
}

struct TableFileReader {
    identity: FileIdentity,
    location: Path,
    store: Arc<dyn ObjectStore>,
    footers: Arc<Footers>,
    bytes_scanned: Count,
}

impl TableFileReader {
    fn error(&self, error: object_store::Error) -> ParquetError {
        ParquetError::External(Box::new(self.identity.store_error(error)))
    }
}

impl AsyncFileReader for TableFileReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.bytes_scanned.add((range.end - range.start) as usize);
        async move { self.store.get_range(&self.location, range).await.map_err(|error| self.error(error)) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.bytes_scanned.add(ranges.iter().map(|range| (range.end - range.start) as usize).sum());
        async move { self.store.get_ranges(&self.location, &ranges).await.map_err(|error| self.error(error)) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move { self.footers.get(&self.identity).await.map_err(|error| ParquetError::External(Box::new(error))) }
            .boxed()
    }
}
