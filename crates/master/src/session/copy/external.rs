//! INSERT into a writable external table: its rows become files, as those of COPY TO.

use super::export::Export;
use super::to::{new_stem, refuse_credentials};
use crate::catalog::{CatalogState, ExternalDef, ViewDef};
use crate::error::{SqlError, SqlResult, SqlState, internal};
use crate::planner::{Output, WriteTarget};
use crate::session::bind::Bound;
use crate::session::change::BoundChange;
use crate::session::query::with_parameters;
use crate::session::{Outcome, Session};
use crate::sql::{Insert, InsertSource, Name};
use damson_cluster::{Compression, CopyTarget, Distribution, TableDef, TableId, TableLayout};
use damson_motion::{CopyPlace, CopyWriteSpec};
use datafusion::scalar::ScalarValue;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// No table has it.
const NO_TABLE: TableId = TableId(u64::MAX);

impl Session {
    /// Each segment writes its rows to new files at its place.
    ///
    /// # Cancellation
    /// Until all files are written; they are removed.
    pub(in crate::session) async fn insert_external(
        self: &Arc<Self>,
        insert: &Insert,
        table: &ViewDef,
        parameters: Vec<ScalarValue>,
        catalog: Arc<CatalogState>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let watch = self.master.copies.begin(self.id, "INSERT", (&table.schema, &table.name));
        watch.enter("planning");
        let BoundChange { bound, target, tag, .. } = self.bind_external_insert(insert, table, catalog).await?;
        let admitted = self.admit(bound.names.state(), &cancel).await?;
        if let InsertSource::Sent(rows) = &insert.source {
            rows.tell_waiting(admitted.place_use());
        }
        let WriteTarget::Files { spec, .. } = &target else { return Err(internal("rows are not for files")) };
        let place = CopyPlace { target: spec.target.clone(), access: bound.access.clone() };
        let bound = self.run_init_plans(with_parameters(bound, parameters)?, &cancel).await?;
        let slices = self.plan(&bound, Output::Write(target)).await?;
        let export = Export::begin(&self.master, place, &slices, None);
        watch.writes(export.segments());
        let written = self.write_files(&bound, &slices, &watch, &cancel).await;
        let rows = export.end(written.map(|(rows, _)| rows), None).await?;
        Ok(Outcome::changed(format!("{tag} {rows}"), rows))
    }

    /// The rows to write, with the table's columns and types in its order.
    ///
    /// # Errors
    /// 0A000 for RETURNING and ON CONFLICT; those of INSERT, and of secrets.
    pub(in crate::session) async fn bind_external_insert(
        &self,
        insert: &Insert,
        table: &ViewDef,
        catalog: Arc<CatalogState>,
    ) -> SqlResult<BoundChange> {
        let external = table.external.as_deref().ok_or_else(|| internal("it is no external table"))?;
        let refused = [("RETURNING", insert.returning.is_some()), ("ON CONFLICT", insert.on_conflict.is_some())];
        if let Some((clause, _)) = refused.into_iter().find(|(_, is_written)| *is_written) {
            let message = format!("{clause} of INSERT into an external table is not supported");
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        external.locations.iter().try_for_each(|place| refuse_credentials(place))?;
        let secret = external.secret.clone().map(|text| Name { text, position: 1 });
        let access = self.access(&catalog, secret.as_ref(), &external.locations).await;
        // A position would be one in the text of CREATE.
        let access = access.map_err(|error| SqlError { position: None, ..error })?;
        let def = Arc::new(external_as_table(table, &catalog)?);
        let bound = Bound { access, ..self.bind_rows(insert, &def, catalog).await? };
        let spec = CopyWriteSpec { target: target(external)? };
        let target = WriteTarget::Files { spec, key: external.distribution_key.clone() };
        Ok(BoundChange { def, bound, target, tag: "INSERT 0", returning: None })
    }
}

/// What rows are assigned to. It has no files.
///
/// # Errors
/// Internal: it is no external table.
pub(in crate::session) fn external_as_table(table: &ViewDef, catalog: &CatalogState) -> SqlResult<TableDef> {
    let external = table.external.as_deref().ok_or_else(|| internal("it is no external table"))?;
    Ok(TableDef {
        id: NO_TABLE,
        schema: table.schema.clone(),
        name: table.name.clone(),
        columns: external.columns.clone(),
        distribution: Distribution::Randomly,
        map_version: catalog.current_map().version,
        keys: vec![],
        checks: vec![],
        compression: Compression::None,
        layout: TableLayout::default(),
        tablespace: None,
    })
}

/// # Errors
/// Internal, for a table without a place.
fn target(external: &ExternalDef) -> SqlResult<CopyTarget> {
    let (place, further_places) =
        external.locations.split_first().ok_or_else(|| internal("an external table has no place"))?;
    Ok(CopyTarget {
        place: place.clone(),
        further_places: further_places.to_vec(),
        stem: new_stem(),
        columns: external.columns.iter().map(|column| column.name.clone()).collect(),
        format: external.format.clone(),
        codec: external.codec,
        max_file_bytes: None,
        partition_by: external.partition_by.clone(),
        single: false,
        leaves_out_empty: true,
    })
}
