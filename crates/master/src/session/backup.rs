//! BACKUP, and the list of a place's backups.

use super::as_of::as_of_expr;
use super::{Outcome, Session};
use crate::backup::{Made, Manifest, PlaceCalls, back_up, shown_url};
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion};
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

/// The backups of a place, a row each. Of one whose manifest cannot be read there are only its name and the problem.
pub(super) fn list_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, name != "backup");
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let numbers = ["snapshot", "segments", "tables", "files", "bytes", "rows"].map(number);
    let fields = [vec![text("backup"), text("taken_at")], numbers.to_vec(), vec![text("build"), text("problem")]];
    Arc::new(Schema::new(fields.concat()))
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
            place = shown_url(url),
            files = copied.new_files,
            "backed up"
        );
        done(&manifest, copied)
    }

    pub(super) async fn show_backups(&self, url: &str, cancel: CancellationToken) -> SqlResult<Outcome> {
        let place = self.place(url);
        let listed = until(&cancel, async {
            let mut listed: Vec<(String, Result<Manifest, String>)> = vec![];
            for id in place.list().await? {
                let manifest = match place.read_manifest(&id).await {
                    Ok(manifest) => Ok(manifest),
                    // It is the node that asks which is not there.
                    Err(error) if has_no_answer(&error) => return Err(error),
                    Err(error) => Err(error.message),
                };
                listed.push((id, manifest));
            }
            Ok(listed)
        });
        let listed = listed.await?;
        let manifests = || listed.iter().map(|(_, manifest)| manifest.as_ref());
        let text = |of: fn(&Manifest) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter(manifests().map(|manifest| manifest.ok().map(of))))
        };
        let number = |of: fn(&Manifest) -> u64| -> ArrayRef {
            let value = |manifest: &Manifest| of(manifest).cast_signed();
            Arc::new(Int64Array::from_iter(manifests().map(|manifest| manifest.ok().map(value))))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(listed.iter().map(|(id, _)| id))),
            text(|manifest| manifest.taken_at.clone()),
            number(|manifest| manifest.snapshot.0),
            number(|manifest| manifest.segments as u64),
            number(|manifest| manifest.tables.len() as u64),
            number(|manifest| manifest.totals.files),
            number(|manifest| manifest.totals.bytes),
            number(|manifest| manifest.totals.rows),
            text(|manifest| manifest.build.clone()),
            Arc::new(StringArray::from_iter(manifests().map(Result::err))),
        ];
        rows(list_schema(), columns)
    }

    pub(super) fn place<'a>(&'a self, url: &'a str) -> PlaceCalls<'a> {
        PlaceCalls { files: &self.master.files, url, scribe: self.master.files.any_segment() }
    }
}

/// Whether an error is of the segment that was asked, and says nothing of what it was asked for.
fn has_no_answer(error: &SqlError) -> bool {
    let states = [SqlState::CONNECTION_FAILURE, SqlState::CANNOT_CONNECT_NOW, SqlState::QUERY_CANCELED];
    error.lost.is_some() || states.contains(&error.state)
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
