//! BACKUP: the segments copy a snapshot's files, then its description is written.

use super::calls::PlaceCalls;
use super::manifest::{BackupTable, Manifest, NewPart, Totals, parts_of};
use super::progress::Transfer;
use crate::catalog::{CatalogState, FileList, TableEntry};
use crate::error::{SqlError, SqlResult, SqlState, internal};
use chrono::{SecondsFormat, Utc};
use damson_cluster::{BackupFile, BucketMap, ContentId, Copied, Distribution, FileEntry, MapVersion, failpoint};
use futures::future::try_join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A backup that was made.
#[derive(Debug)]
pub(crate) struct Made {
    pub manifest: Manifest,
    pub copied: Copied,
}

/// Backs up a snapshot, which is held meanwhile, so that its files stay. Until its manifest is there, which comes last, there is no
/// backup; what was copied serves the next one.
///
/// # Errors
/// 0A000 for tables in tablespaces; those of [`PlaceCalls`].
pub(crate) async fn back_up(
    place: &PlaceCalls<'_>,
    state: &Arc<CatalogState>,
    build: &str,
    transfer: &Transfer,
) -> SqlResult<Made> {
    refuse_tablespaces(state)?;
    let marker = place.claim(&state.settings.cluster_id).await?;
    let mut manifest = describe(state, build)?;
    manifest.sequences = place.sequences(state).await?;
    transfer.expect(manifest.totals.files, manifest.totals.bytes);
    transfer.enter("copying files");
    let mut by_content = files_by_content(state);
    // Also who has nothing to copy looks whether it is the place that all see; but not who was given up, and may be gone.
    for content in state.current_map().owning_segments().iter() {
        by_content.entry(content).or_default();
    }
    let copies = by_content.into_iter().map(|(content, files)| place.back_up(content, &marker, files, transfer));
    let mut copied = Copied::default();
    try_join_all(copies).await?.into_iter().for_each(|of_content| copied += of_content);
    failpoint("backup.before_manifest");
    transfer.enter("writing the manifest");
    for (table, entry) in manifest.tables.iter_mut().zip(state.tables()) {
        let files = files_of(entry);
        for part in parts_of(&manifest.id, &entry.def, &files) {
            let NewPart { part, text } = part?;
            place.write(&part.name, text).await?;
            table.parts.push(part);
        }
    }
    place.write(&Manifest::name(&manifest.id)?, manifest.text()?).await?;
    Ok(Made { manifest, copied })
}

/// The segments copy what is on their own disks.
fn refuse_tablespaces(state: &CatalogState) -> SqlResult<()> {
    let Some((entry, id)) = state.tables().find_map(|entry| Some((entry, entry.def.tablespace?))) else {
        return Ok(());
    };
    let tablespace = state.tablespace_by_id(id).map_or_else(|| id.to_string(), |def| def.name.clone());
    let message =
        format!("cannot back up table {}: tables in tablespaces are not in backups yet", entry.def.qualified_name());
    Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
        .with_detail(format!("It is in tablespace \"{tablespace}\"."))
        .with_hint("Move it to pg_default with CREATE TABLE ... TABLESPACE pg_default AS."))
}

/// Everything but the lists of files, sequences, tablespaces and secrets.
fn describe(state: &CatalogState, build: &str) -> SqlResult<Manifest> {
    let taken_at = Utc::now();
    let tables: Vec<BackupTable> = state.tables().map(|entry| table_of(entry)).collect();
    let mut totals = Totals::default();
    for table in &tables {
        totals.files += table.totals.files;
        totals.bytes += table.totals.bytes;
        totals.rows += table.totals.rows;
    }
    let versions: BTreeSet<MapVersion> = tables.iter().map(|table| table.def.map_version).collect();
    let map = |version| {
        let map = state.bucket_map(version).map(|map| BucketMap::clone(map));
        map.ok_or_else(|| internal(format!("no bucket map {version}")))
    };
    let maps = versions.into_iter().map(map).collect::<SqlResult<Vec<BucketMap>>>()?;
    Ok(Manifest {
        id: Manifest::new_id(taken_at, state.snapshot),
        cluster_id: state.settings.cluster_id.clone(),
        build: build.into(),
        snapshot: state.snapshot,
        taken_at: taken_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        segments: state.current_map().segment_count(),
        maps,
        schemas: state.schemas().map(str::to_owned).collect(),
        tables,
        views: state.views().map(|view| (**view).clone()).collect(),
        sequences: vec![],
        totals,
    })
}

fn table_of(entry: &TableEntry) -> BackupTable {
    let mut totals = Totals::default();
    files_of(entry).iter().for_each(|file| totals.add(file));
    BackupTable { def: (*entry.def).clone(), totals, parts: vec![] }
}

/// The files that a backup has of a table: all, and of a replicated one those of one segment, another for each table.
fn files_of(entry: &TableEntry) -> Vec<Arc<FileEntry>> {
    if entry.def.distribution != Distribution::Replicated {
        return entry.files.iter().cloned().collect();
    }
    let copies: Vec<&FileList> = entry.files.contents().map(|(_, files)| files).collect();
    match copies.len() {
        0 => vec![],
        count => copies[entry.def.id.0 as usize % count].iter().cloned().collect(),
    }
}

fn files_by_content(state: &CatalogState) -> BTreeMap<ContentId, Vec<BackupFile>> {
    let mut by_content: BTreeMap<ContentId, Vec<BackupFile>> = BTreeMap::new();
    for entry in state.tables() {
        for file in files_of(entry) {
            let files = by_content.entry(file.content).or_default();
            let of = |path: &str, bytes, checksum| BackupFile { table: file.table, path: path.into(), bytes, checksum };
            files.push(of(&file.path, file.bytes, file.checksum));
            files.extend(file.deletes.as_ref().map(|vector| of(&vector.path, vector.bytes, vector.checksum)));
        }
    }
    by_content
}
