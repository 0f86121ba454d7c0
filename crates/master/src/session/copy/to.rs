//! COPY TO.

use super::export::{Export, Manifest};
use crate::backup::shown_url;
use crate::catalog::CatalogState;
use crate::copies::CopyWatch;
use crate::ddl::resolve_columns;
use crate::error::{SqlError, SqlResult, SqlState};
use crate::planner::{Output, SliceTable, WriteTarget};
use crate::session::backup::until;
use crate::session::bind::Bound;
use crate::session::column_names::plain;
use crate::session::write::collect;
use crate::session::{Outcome, Session, ast};
use crate::sql::{CopySource, CopyTo, Name};
use damson_cluster::{CopiedPart, CopyTarget};
use damson_motion::{CopyPlace, CopyWriteSpec};
use datafusion::arrow::datatypes::Schema;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

impl Session {
    /// Each segment writes its own part files, or one of them the single file. With a manifest, that is written when all are there.
    ///
    /// # Cancellation
    /// Until the manifest, or the end, is written; the files are removed.
    pub(in crate::session) async fn copy_to(
        self: &Arc<Self>,
        copy: &CopyTo,
        catalog: Arc<CatalogState>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let access = self.access(&catalog, copy.secret.as_ref(), std::slice::from_ref(&copy.path)).await?;
        let search_schema = self.search_schema();
        let names = match &copy.source {
            CopySource::Query(_) => ("", ""),
            CopySource::Table { table, .. } => (table.schema_or(&search_schema), table.name.as_str()),
        };
        let watch = self.master.copies.begin(self.id, "COPY TO", names);
        watch.enter("planning");
        let query = match &copy.source {
            CopySource::Query(query) => query.as_ref().clone(),
            CopySource::Table { table, columns } => {
                resolve_columns(&self.table(&catalog, table)?.def, columns)?;
                ast::select(table, columns)?
            }
        };
        let bound = self.bind(catalog, &query, "").await?;
        let _admitted = self.admit(bound.names.state(), &cancel).await?;
        let bound = self.run_init_plans(bound, &cancel).await?;
        let schema = plain(&Arc::new(bound.plan.schema().as_arrow().clone()));
        let place = CopyPlace { target: target(copy, &schema)?, access };
        let bound = Bound { access: place.access.clone(), ..bound };
        let manifest_writer = copy.manifest.then(|| self.master.files.any_segment());
        if let Some(writer) = manifest_writer {
            until(&cancel, self.master.files.check_copy_manifest(writer, &place)).await?;
        }
        let target = WriteTarget::Files { spec: CopyWriteSpec { target: place.target.clone() }, key: vec![] };
        let table = self.plan(&bound, Output::Write(target)).await?;
        let export = Export::begin(&self.master, place, &table, manifest_writer);
        watch.writes(export.segments());
        let (rows, parts) = match self.write_files(&bound, &table, &watch, &cancel).await {
            Ok((rows, parts)) => (Ok(rows), parts),
            Err(error) => (Err(error), vec![]),
        };
        if copy.manifest && rows.is_ok() {
            watch.enter("writing the manifest");
        }
        let manifest = copy.manifest.then_some(Manifest { schema: &schema, parts: &parts });
        let rows = export.end(rows, manifest).await?;
        Ok(Outcome::changed(format!("COPY {rows}"), rows))
    }

    /// Rows and parts, in the order of their URLs.
    pub(super) async fn write_files(
        &self,
        bound: &Bound,
        table: &SliceTable,
        watch: &CopyWatch,
        cancel: &CancellationToken,
    ) -> SqlResult<(u64, Vec<CopiedPart>)> {
        watch.enter("writing files");
        let running = self.dispatch(bound, table, HashMap::new(), true, cancel.clone()).await?;
        watch.runs(&running);
        let (reports, _, outcome) = collect::<Vec<CopiedPart>>(bound, running).await;
        outcome?;
        if cancel.is_cancelled() {
            return Err(SqlError::canceled());
        }
        let rows = reports.iter().map(|(rows, _)| rows).sum();
        let mut parts: Vec<CopiedPart> = reports.into_iter().flat_map(|(_, parts)| parts).collect();
        parts.sort_by(|a, b| (&a.url, a.segment).cmp(&(&b.url, b.segment)));
        Ok((rows, parts))
    }
}

/// # Errors
/// 42602 for a relative path; 22023 for a place with credentials in its name; 42701, 42703 and 0A000 for columns.
fn target(copy: &CopyTo, schema: &Schema) -> SqlResult<CopyTarget> {
    refuse_relative(&copy.path)?;
    refuse_credentials(&copy.path)?;
    check_names(schema)?;
    let partition_by = partition_columns(schema, &copy.partition_by)?;
    Ok(CopyTarget {
        place: copy.path.clone(),
        further_places: vec![],
        stem: new_stem(),
        columns: schema.fields().iter().map(|field| field.name().clone()).collect(),
        format: copy.format.clone(),
        codec: copy.codec,
        max_file_bytes: copy.max_file_bytes,
        partition_by,
        single: copy.single_file,
        leaves_out_empty: false,
    })
}

/// A statement's part of its files' names.
pub(super) fn new_stem() -> String {
    Uuid::now_v7().simple().to_string()
}

/// # Errors
/// 42602 for a relative path: each segment would have its own.
fn refuse_relative(place: &str) -> SqlResult<()> {
    if place.starts_with('/') || place.contains("://") {
        return Ok(());
    }
    let error = SqlError::new(SqlState::INVALID_NAME, "relative path not allowed for COPY to file");
    Err(error.with_hint(
        "A path is one of the segments' hosts, and begins with /. psql's \\copy writes files of the client's host.",
    ))
}

/// # Errors
/// 22023 for a place with credentials in its name: plans and errors show it.
pub(super) fn refuse_credentials(place: &str) -> SqlResult<()> {
    if shown_url(place) == place || !place.contains("://") {
        return Ok(());
    }
    let message = format!("{} says more than where it is", shown_url(place));
    let hint = "Credentials come from a secret, or the environment of the nodes.";
    Err(SqlError::new(SqlState::INVALID_PARAMETER, message).with_hint(hint))
}

/// # Errors
/// 42701: a file has no two columns of one name.
fn check_names(schema: &Schema) -> SqlResult<()> {
    let mut seen = HashSet::new();
    match schema.fields().iter().find(|field| !seen.insert(field.name())) {
        None => Ok(()),
        Some(twice) => {
            let message = format!("column \"{}\" specified more than once", twice.name());
            Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message).with_hint("Give one of them a name with AS."))
        }
    }
}

/// Positions of PARTITION BY's columns.
///
/// # Errors
/// 42703 for one that is not there; 22023 where none is left for the files.
fn partition_columns(schema: &Schema, names: &[Name]) -> SqlResult<Vec<usize>> {
    let position = |name: &Name| {
        let absent = || {
            let message = format!("column \"{}\" does not exist", name.text);
            SqlError::new(SqlState::UNDEFINED_COLUMN, message).at(name.position)
        };
        schema.fields().iter().position(|field| *field.name() == name.text).ok_or_else(absent)
    };
    let positions = names.iter().map(position).collect::<SqlResult<Vec<_>>>()?;
    match names.last() {
        Some(last) if positions.len() == schema.fields().len() => {
            let message = "PARTITION BY takes all columns: none is left for the files";
            Err(SqlError::new(SqlState::INVALID_PARAMETER, message).at(last.position))
        }
        _ => Ok(positions),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Statement, parse};
    use datafusion::arrow::datatypes::{DataType, Field};

    fn target_of(sql: &str) -> SqlResult<CopyTarget> {
        let field = |name: &str| Field::new(name, DataType::Int64, true);
        let schema = Schema::new(["a", "b", "c"].map(field).to_vec());
        match parse(sql).unwrap() {
            Statement::CopyTo(copy) => target(&copy, &schema),
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn a_target_has_positions_and_no_credentials() {
        let made = target_of("copy t to 's3://b/p' (format csv, partition_by (c, a), max_file_size '1MB')").unwrap();
        assert_eq!((made.partition_by.as_slice(), made.max_file_bytes), (&[2, 0][..], Some(1 << 20)));
        assert_ne!(made.stem, target_of("copy t to 's3://b/p'").unwrap().stem);
        for (sql, state) in [
            ("copy t to '/d' (partition_by (a, x))", SqlState::UNDEFINED_COLUMN),
            ("copy t to '/d' (partition_by (a, b, c))", SqlState::INVALID_PARAMETER),
            ("copy t to 'd'", SqlState::INVALID_NAME),
            ("copy t to './d/x.csv' (single_file)", SqlState::INVALID_NAME),
            ("copy t to 's3://key:hush@b/p'", SqlState::INVALID_PARAMETER),
            ("copy t to 'az://c/p?sig=hush'", SqlState::INVALID_PARAMETER),
        ] {
            let error = target_of(sql).unwrap_err();
            assert_eq!(error.state, state, "{sql}");
            assert!(!format!("{error:?}").contains("hush"), "{sql}: {error:?}");
        }
    }
}
