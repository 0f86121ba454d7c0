//! BACKUP, and the list of a place's backups.

use super::as_of::as_of_expr;
use super::{Outcome, Session};
use crate::backup::{Made, Manifest, PlaceCalls, back_up};
use crate::error::{SqlError, SqlResult, of_datafusion};
use damson_cluster::Copied;
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use sqlparser::ast;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What BACKUP and RESTORE tell: one row.
pub(super) fn done_schema() -> SchemaRef {
    let numbers = ["snapshot", "tables", "files", "files_copied", "bytes", "bytes_copied"];
    let numbers = numbers.map(|name| Field::new(name, DataType::Int64, false));
    Arc::new(Schema::new([vec![Field::new("backup", DataType::Utf8, false)], numbers.to_vec()].concat()))
}

/// The backups of a place, a row each.
pub(super) fn list_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let number = |name: &str| Field::new(name, DataType::Int64, false);
    let numbers = ["snapshot", "segments", "tables", "files", "bytes", "rows"].map(number);
    Arc::new(Schema::new([vec![text("backup"), text("taken_at")], numbers.to_vec(), vec![text("build")]].concat()))
}

impl Session {
    /// Backs up a snapshot, the newest or one of the past, while others go on.
    pub(super) async fn backup(
        self: &Arc<Self>,
        url: &str,
        as_of: Option<&ast::Expr>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let state = match as_of {
            None => self.master.catalog.current(),
            Some(expr) => {
                let bound = self.bind_nothing(self.master.catalog.current())?;
                self.state_at(as_of_expr(&bound.state, expr)?).await?
            }
        };
        let transfer = self.master.transfers.begin(self.id, "BACKUP", url);
        let place = self.place(url);
        let Made { manifest, copied } = until(&cancel, back_up(&place, &state, &self.master.build, &transfer)).await?;
        tracing::info!(
            session_id = self.id.0,
            backup = manifest.id,
            place = url,
            files = copied.new_files,
            "backed up"
        );
        done(&manifest, copied)
    }

    pub(super) async fn show_backups(&self, url: &str, cancel: CancellationToken) -> SqlResult<Outcome> {
        let place = self.place(url);
        let manifests = until(&cancel, async {
            let mut manifests = vec![];
            for id in place.list().await? {
                manifests.push(place.manifest(Some(&id)).await?);
            }
            Ok(manifests)
        });
        let manifests = manifests.await?;
        let text = |of: fn(&Manifest) -> String| Arc::new(StringArray::from_iter_values(manifests.iter().map(of)));
        let number = |of: fn(&Manifest) -> u64| {
            Arc::new(Int64Array::from_iter_values(manifests.iter().map(|manifest| of(manifest).cast_signed())))
        };
        let columns: Vec<ArrayRef> = vec![
            text(|manifest| manifest.id.clone()),
            text(|manifest| manifest.taken_at.clone()),
            number(|manifest| manifest.snapshot.0),
            number(|manifest| manifest.segments as u64),
            number(|manifest| manifest.tables.len() as u64),
            number(|manifest| manifest.totals.files),
            number(|manifest| manifest.totals.bytes),
            number(|manifest| manifest.totals.rows),
            text(|manifest| manifest.build.clone()),
        ];
        rows(list_schema(), columns)
    }

    pub(super) fn place<'a>(&'a self, url: &'a str) -> PlaceCalls<'a> {
        PlaceCalls { files: &self.master.files, url }
    }
}

/// Work that ends when it is not wanted any more.
pub(super) async fn until<T>(cancel: &CancellationToken, work: impl Future<Output = SqlResult<T>>) -> SqlResult<T> {
    tokio::select! {
        done = work => done,
        () = cancel.cancelled() => Err(SqlError::canceled()),
    }
}

pub(super) fn done(manifest: &Manifest, copied: Copied) -> SqlResult<Outcome> {
    let numbers = [
        manifest.snapshot.0,
        manifest.tables.len() as u64,
        copied.files,
        copied.new_files,
        copied.bytes,
        copied.new_bytes,
    ];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec![manifest.id.clone()]))];
    columns.extend(numbers.map(|number| Arc::new(Int64Array::from(vec![number.cast_signed()])) as ArrayRef));
    rows(done_schema(), columns)
}

fn rows(schema: SchemaRef, columns: Vec<ArrayRef>) -> SqlResult<Outcome> {
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|error| of_datafusion(error.into()))?;
    let rows = RecordBatchStreamAdapter::new(Arc::clone(&schema), stream::iter([Ok(batch)]));
    Ok(Outcome::Rows { schema, stream: Box::pin(rows) })
}
