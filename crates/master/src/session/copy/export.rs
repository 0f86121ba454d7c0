//! The end of a COPY TO: its files stay on all segments, or on none.

use crate::error::{SqlError, SqlResult, SqlState, internal};
use crate::master::Master;
use crate::planner::SliceTable;
use crate::sql::sql_type_name;
use damson_cluster::{Codec, ContentId, CopiedPart, CopyFormat, CopyTarget};
use damson_motion::{CopyPlace, CopyWriteExec};
use datafusion::arrow::datatypes::Schema;
use datafusion::physical_plan::ExecutionPlan;
use futures::future;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bytes of a manifest, which is one message to a segment.
const MANIFEST_BYTES_MAX: usize = 48 << 20;

/// The version of what a manifest says.
const MANIFEST_FORMAT: u32 = 1;

/// A COPY TO that runs. Dropped before its end, as when its client goes, it is taken back in the background.
pub(super) struct Export {
    master: Arc<Master>,
    place: CopyPlace,
    /// Who writes.
    segments: Vec<ContentId>,
    /// Who writes the manifest at the end, if there is to be one.
    manifest_writer: Option<ContentId>,
    has_ended: bool,
}

impl Export {
    /// Of a plan that is to be dispatched.
    pub(super) fn begin(
        master: &Arc<Master>,
        place: CopyPlace,
        table: &SliceTable,
        manifest_writer: Option<ContentId>,
    ) -> Self {
        let writes = table.slices.iter().filter(|slice| writes_files(&slice.plan));
        let segments: BTreeSet<ContentId> = writes.flat_map(|slice| slice.gang.contents()).collect();
        let segments = segments.into_iter().collect();
        Export { master: Arc::clone(master), place, segments, manifest_writer, has_ended: false }
    }

    /// Who writes parts.
    pub(super) fn segments(&self) -> &[ContentId] {
        &self.segments
    }

    /// Ends it: `done` is what all segments have written, or why not. With a manifest it is written now, last of all.
    ///
    /// # Errors
    /// The failure; nothing is left then as far as the segments can be reached.
    pub(super) async fn end<T>(mut self, done: SqlResult<T>, manifest: Option<Manifest<'_>>) -> SqlResult<T> {
        let writer = self.manifest_writer.filter(|_| done.is_ok() && manifest.is_some());
        if let Some(writer) = writer.filter(|writer| !self.segments.contains(writer)) {
            self.segments.insert(0, writer);
        }
        let done = match (done, writer, manifest) {
            (Ok(done), Some(writer), Some(manifest)) => self.write(writer, manifest).await.map(|()| done),
            (done, ..) => done,
        };
        match done {
            Ok(done) => {
                self.has_ended = true;
                self.master.files.keep_copy(&self.segments, self.stem()).await;
                Ok(done)
            }
            Err(error) => {
                // The guard is for the statement's, not for its end's.
                let taken = take_back(&self.master, &self.segments, self.stem(), writer).await;
                self.has_ended = true;
                Err(if taken { error } else { error.with_hint("The manifest may be there: then all files are.") })
            }
        }
    }

    async fn write(&self, writer: ContentId, manifest: Manifest<'_>) -> SqlResult<()> {
        let text = manifest.text(&self.place.target)?;
        self.master.files.write_copy_manifest(writer, self.place.clone(), text).await
    }

    fn stem(&self) -> &str {
        &self.place.target.stem
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let (master, segments, stem) = (Arc::clone(&self.master), self.segments.clone(), self.stem().to_owned());
        let manifest_writer = self.manifest_writer;
        self.master.in_background(async move {
            take_back(&master, &segments, &stem, manifest_writer).await;
        });
    }
}

/// Removes all files, then the directories that were made for them. `manifest_writer`: who may have written a manifest, which is removed first of all;
/// where it cannot be, everything stays, so that it tells the truth, and this is false.
async fn take_back(
    master: &Arc<Master>,
    segments: &[ContentId],
    stem: &str,
    manifest_writer: Option<ContentId>,
) -> bool {
    let files = &master.files;
    let (first, others): (Vec<ContentId>, Vec<ContentId>) =
        segments.iter().copied().partition(|&content| manifest_writer == Some(content));
    for content in first {
        if let Err(error) = files.take_back_copy(content, stem).await {
            tracing::warn!(%content, stem, %error, "could not remove a manifest of a COPY TO that failed");
            files.keep_copy(&others, stem).await;
            return false;
        }
    }
    let taken = others.iter().map(|&content| files.take_back_copy(content, stem));
    for (content, taken) in others.iter().zip(future::join_all(taken).await) {
        if let Err(error) = taken {
            tracing::warn!(%content, stem, %error, "files of a COPY TO that failed may be left");
        }
    }
    files.remove_copy_directories(segments, stem).await;
    true
}

fn writes_files(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<CopyWriteExec>().is_some() || plan.children().into_iter().any(writes_files)
}

/// What a manifest is made of.
pub(super) struct Manifest<'a> {
    /// Of all columns, under the names that files have.
    pub schema: &'a Schema,
    pub parts: &'a [CopiedPart],
}

#[derive(Serialize)]
struct Text<'a> {
    manifest_version: u32,
    /// Part of every file's name.
    statement: &'a str,
    format: &'static str,
    compression: &'static str,
    columns: Vec<Column<'a>>,
    /// Columns whose values are in directories' names, outermost first, and not in the files.
    partition_by: Vec<&'a str>,
    rows: u64,
    bytes: u64,
    files: &'a [CopiedPart],
}

#[derive(Serialize)]
struct Column<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    sql_type: String,
}

impl Manifest<'_> {
    /// # Errors
    /// 54000 for one that is too long.
    fn text(&self, target: &CopyTarget) -> SqlResult<String> {
        let types = self.schema.fields().iter().map(|field| sql_type_name(field.data_type()));
        let columns = target.columns.iter().zip(types).map(|(name, sql_type)| Column { name, sql_type });
        let text = Text {
            manifest_version: MANIFEST_FORMAT,
            statement: &target.stem,
            format: match target.format {
                CopyFormat::Csv(_) => "csv",
                CopyFormat::Text(_) => "text",
                CopyFormat::Json(_) => "json",
                CopyFormat::Parquet(_) => "parquet",
            },
            compression: match (target.codec, &target.format) {
                (Some(Codec::Gzip), _) => "gzip",
                (Some(Codec::Zstd), _) => "zstd",
                (Some(Codec::Snappy), _) | (None, CopyFormat::Parquet(_)) => "snappy",
                (Some(Codec::Lz4), _) => "lz4",
                (Some(Codec::None) | None, _) => "none",
            },
            columns: columns.collect(),
            partition_by: target.partition_by.iter().map(|&position| target.columns[position].as_str()).collect(),
            rows: self.parts.iter().map(|part| part.rows).sum(),
            bytes: self.parts.iter().map(|part| part.bytes).sum(),
            files: self.parts,
        };
        let text = serde_json::to_string(&text).map_err(internal)?;
        if text.len() > MANIFEST_BYTES_MAX {
            let message = format!("the manifest of {} files would be too long", self.parts.len());
            let error = SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message);
            return Err(error.with_hint("Write fewer files, with a larger MAX_FILE_SIZE, or no manifest."));
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::ParquetOptions;
    use datafusion::arrow::datatypes::{DataType, Field};

    #[test]
    fn a_manifest_says_what_there_is() {
        let schema =
            Schema::new(vec![Field::new("k\0 1", DataType::Int64, true), Field::new("d", DataType::Utf8View, true)]);
        let part = |url: &str, rows, bytes| CopiedPart { url: url.into(), segment: ContentId(1), rows, bytes };
        let target = CopyTarget {
            place: "/d".into(),
            further_places: vec![],
            stem: "s".into(),
            columns: vec!["k".into(), "d".into()],
            format: CopyFormat::Parquet(ParquetOptions {}),
            codec: None,
            max_file_bytes: None,
            partition_by: vec![1],
            single: false,
            leaves_out_empty: false,
        };
        let parts = [part("/d/d=x/a", 2, 10), part("/d/d=y/b", 3, 20)];
        let text = Manifest { schema: &schema, parts: &parts }.text(&target).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["rows"], &value["bytes"]), (&5.into(), &30.into()));
        assert_eq!(value["compression"], "snappy");
        assert_eq!(value["columns"][0], serde_json::json!({"name": "k", "type": "bigint"}));
        assert_eq!(value["partition_by"], serde_json::json!(["d"]));
        assert_eq!(value["files"][1], serde_json::json!({"url": "/d/d=y/b", "segment": 1, "rows": 3, "bytes": 20}));
    }
}
