//! COPY FROM with VALIDATE: which rows of the files cannot be read.

use super::from::{LEAF, read_spec};
use crate::catalog::CatalogState;
use crate::ddl::resolve_columns;
use crate::error::{SqlResult, internal, of_datafusion};
use crate::planner::Output;
use crate::session::bind::Bound;
use crate::session::{Outcome, Session};
use crate::sql::CopyFrom;
use damson_cluster::bad_row_schema;
use damson_motion::{CopyReadExec, CopyReadSpec};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use std::collections::HashMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Bad rows that are shown, the first ones of all files: each segment and the master sort as many in memory, 50 MiB at most.
const BAD_ROWS_SHOWN_MAX: usize = 10_000;

/// What is shown of a bad row. Not the time and the segment, so that a result does not depend on the cluster.
const COLUMNS: [&str; 7] = ["filename", "linenum", "bytenum", "colname", "sqlstate", "errmsg", "rawdata"];

/// What they are sorted by.
const ORDER: [&str; 3] = ["filename", "linenum", "colname"];

/// The columns of the result.
pub(in crate::session) fn validation_schema() -> SchemaRef {
    let all = bad_row_schema();
    let fields = COLUMNS.iter().filter_map(|name| all.column_with_name(name)).map(|(_, field)| field.clone());
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl Session {
    /// Reads all of the files as COPY FROM would, loaded before or not, and shows the rows that it would not take. Nothing is locked,
    /// written or recorded.
    ///
    /// # Cancellation
    /// In every phase.
    pub(in crate::session) async fn validate_copy(
        self: &Arc<Self>,
        copy: &CopyFrom,
        catalog: Arc<CatalogState>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let def = Arc::clone(&self.table(&catalog, &copy.table)?.def);
        let targets = resolve_columns(&def, &copy.columns)?;
        let watch = self.master.copies.begin(self.id, "COPY FROM", (&def.schema, &def.name));
        let access = self.access(&catalog, copy.secret.as_ref(), &copy.sources).await?;
        let (files, format) = self.find_files(copy, &access, &cancel).await?;
        watch.expect(&files);
        let read = read_spec(&def, &targets, &files, format, copy.on_bad_row)?;
        let admitted = self.admit(&catalog, &cancel).await?;
        watch.enter("cutting files");
        let map = Arc::clone(catalog.current_map());
        let units = self.cut_files(&files, &read.format, copy.codec, map.owning_segments(), &access, &cancel).await?;
        watch.share(&units);
        watch.enter("validating files");
        let bound = Bound { access, ..self.bind_nothing(catalog)? };
        let table = self.slice(&bound, bad_rows(read).map_err(of_datafusion)?, Output::Rows)?;
        let units = HashMap::from([(LEAF, units)]);
        let running = self.dispatch(&bound, &table, units, false, cancel).await?;
        watch.runs(&running);
        let schema = validation_schema();
        if running.stream.schema().fields().len() != schema.fields().len() {
            return Err(internal("a validation has other columns than were told"));
        }
        // It is shown until the rows have ended.
        let rows = admitted.over(running.stream).inspect(move |_| _ = &watch);
        let stream = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), rows));
        Ok(Outcome::Rows { schema, stream })
    }
}

/// The first bad rows of all files.
fn bad_rows(read: CopyReadSpec) -> Result<Arc<dyn ExecutionPlan>> {
    let read: Arc<dyn ExecutionPlan> = Arc::new(CopyReadExec::new(read));
    let given = read.schema();
    let by = |name: &str| Ok(PhysicalSortExpr::new(col(name, &given)?, SortOptions::new(false, false)));
    let order = ORDER.iter().map(|name| by(name)).collect::<Result<Vec<_>>>()?;
    let order = LexOrdering::new(order).expect("there is a key");
    let first = Arc::new(SortExec::new(order, read).with_fetch(Some(BAD_ROWS_SHOWN_MAX)));
    let shown = COLUMNS.iter().map(|name| Ok((col(name, &given)?, (*name).to_owned()))).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(shown, first)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::{CopyFormat, CsvOptions, OnBadRow, TableId};

    #[test]
    fn the_plan_gives_what_was_told() {
        assert_eq!(validation_schema().fields().len(), COLUMNS.len());
        let read = CopyReadSpec {
            leaf: LEAF,
            format: CopyFormat::Csv(CsvOptions::default()),
            schema: Arc::new(Schema::empty()),
            partition_columns: 0,
            max_chars: vec![],
            on_bad_row: OnBadRow::Report,
            table: TableId(1),
        };
        assert_eq!(bad_rows(read).unwrap().schema().fields(), validation_schema().fields());
    }
}
