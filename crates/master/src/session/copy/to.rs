//! COPY TO.

use super::refuse;
use crate::catalog::CatalogState;
use crate::ddl::resolve_columns;
use crate::error::{SqlError, SqlResult, SqlState};
use crate::planner::{Output, WriteTarget};
use crate::session::column_names::plain;
use crate::session::write::collect;
use crate::session::{Outcome, Session, ast};
use crate::sql::{CopySource, CopyTo};
use damson_cluster::Codec;
use damson_motion::CopyWriteSpec;
use datafusion::arrow::datatypes::Schema;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Session {
    /// Each segment writes its own part files.
    pub(in crate::session) async fn copy_to(
        self: &Arc<Self>,
        copy: &CopyTo,
        catalog: Arc<CatalogState>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        check_to(copy)?;
        let query = match &copy.source {
            CopySource::Query(query) => query.as_ref().clone(),
            CopySource::Table { table, columns } => {
                resolve_columns(&self.table(&catalog, table)?.def, columns)?;
                ast::select(table, columns)?
            }
        };
        let bound = self.run_init_plans(self.bind(catalog, &query, "").await?, &cancel).await?;
        check_names(bound.plan.schema().as_arrow())?;
        let target = WriteTarget::Files(CopyWriteSpec { dir: copy.path.clone(), format: copy.format.clone() });
        let table = self.plan(&bound, Output::Write(target)).await?;
        let running = self.dispatch(&bound, &table, HashMap::new(), true, cancel).await?;
        let (reports, _, outcome) = collect::<Vec<String>>(&bound, running).await;
        outcome?;
        let rows = reports.iter().map(|(rows, _)| rows).sum();
        Ok(Outcome::changed(format!("COPY {rows}"), rows))
    }
}

/// # Errors
/// 0A000 for what COPY TO cannot do yet.
fn check_to(copy: &CopyTo) -> SqlResult<()> {
    let is_remote = copy.path.contains("://") && !copy.path.starts_with("file://");
    refuse(&[
        ("SECRET", copy.secret.is_some()),
        ("COMPRESSION", copy.codec.is_some_and(|codec| codec != Codec::None)),
        ("MAX_FILE_SIZE", copy.max_file_bytes.is_some()),
        ("PARTITION BY", !copy.partition_by.is_empty()),
        ("SINGLE_FILE", copy.single_file),
        ("MANIFEST", copy.manifest),
        ("TO a bucket", is_remote),
    ])
}

/// # Errors
/// 42701: a file has no two columns of one name.
fn check_names(schema: &Schema) -> SqlResult<()> {
    let names = plain(&Arc::new(schema.clone()));
    let mut seen = HashSet::new();
    match names.fields().iter().find(|field| !seen.insert(field.name())) {
        None => Ok(()),
        Some(twice) => {
            let message = format!("column \"{}\" specified more than once", twice.name());
            Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message).with_hint("Give one of them a name with AS."))
        }
    }
}
