//! The files of `tests/data/csv`: as a whole, and cut at every byte, they are what the index says.

use super::progress::CopyProgress;
use super::read::{CopyRead, copy_read};
use super::split::split_by;
use crate::StorageError;
use crate::source::list_sources;
use damson_cluster::{ContentId, CopyFile, CopyFormat, CopyUnit, CsvOptions, OnBadRow, SourceAccess, TextOptions};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::collect;
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files that are longer are not cut at every byte: nothing is in them that shorter ones have not.
const CUT_EVERYWHERE_BYTES_MAX: u64 = 1 << 10;

#[derive(Deserialize)]
struct Index {
    files: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    file: String,
    format: String,
    options: HashMap<String, serde_json::Value>,
    columns: Vec<(String, String, bool)>,
    /// None: it has no such option.
    postgres: Option<Answer>,
    /// Where it is another than PostgreSQL's.
    ours: Option<Answer>,
}

/// Rows as texts, or an SQLSTATE.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Answer {
    Rows(Vec<Vec<Option<String>>>),
    Error { error: String },
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/csv").canonicalize().unwrap()
}

fn index() -> Vec<Entry> {
    let index: Index = serde_json::from_slice(&fs::read(corpus().join("index.json")).unwrap()).unwrap();
    assert!(index.files.len() >= 150, "{} files", index.files.len());
    index.files
}

impl Entry {
    fn wanted(&self) -> &Answer {
        self.ours.as_ref().or(self.postgres.as_ref()).unwrap()
    }

    fn format(&self) -> CopyFormat {
        let text = |name: &str| self.options.get(name).map(|value| value.as_str().unwrap().to_owned());
        let byte = |name: &str| text(name).map(|text| <[u8; 1]>::try_from(text.as_bytes()).unwrap()[0]);
        let header = self.options.get("header").is_some_and(|value| value.as_bool().unwrap());
        match self.format.as_str() {
            "csv" => {
                let default = CsvOptions::default();
                let quote = byte("quote").unwrap_or(default.quote);
                CopyFormat::Csv(CsvOptions {
                    header,
                    delimiter: byte("delimiter").unwrap_or(default.delimiter),
                    quote,
                    escape: byte("escape").unwrap_or(quote),
                    null: text("null").unwrap_or(default.null),
                    ..CsvOptions::default()
                })
            }
            "text" => {
                let default = TextOptions::default();
                let escape = match text("escape").as_deref() {
                    None => default.escape,
                    Some("OFF") => None,
                    Some(_) => byte("escape"),
                };
                CopyFormat::Text(TextOptions {
                    header,
                    delimiter: byte("delimiter").unwrap_or(default.delimiter),
                    escape,
                    null: text("null").unwrap_or(default.null),
                    ..TextOptions::default()
                })
            }
            other => panic!("{other}"),
        }
    }

    fn schema(&self) -> SchemaRef {
        let data_type = |name: &str| match name {
            "text" => DataType::Utf8View,
            "int" => DataType::Int32,
            "bool" => DataType::Boolean,
            "date" => DataType::Date32,
            other => panic!("{other}"),
        };
        let field = |(name, kind, nullable): &(String, String, bool)| Field::new(name, data_type(kind), *nullable);
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    async fn list(&self) -> Vec<CopyFile> {
        let path = corpus().join(&self.file).to_str().unwrap().to_owned();
        list_sources(&[path], None, &SourceAccess::default()).await.unwrap()
    }

    async fn read(&self, units: Vec<CopyUnit>, on_bad_row: OnBadRow) -> Result<Vec<RecordBatch>, DataFusionError> {
        let schema = self.schema();
        let read = CopyRead {
            content: ContentId(0),
            format: self.format(),
            max_chars: vec![None; schema.fields().len()],
            schema,
            partition_columns: vec![],
            progress: CopyProgress::new(&units),
            units,
            on_bad_row,
            access: SourceAccess::default(),
            error_log: None,
        };
        collect(copy_read(read).unwrap(), Arc::new(TaskContext::default())).await
    }

    async fn answer(&self, units: Vec<CopyUnit>) -> Answer {
        match self.read(units, OnBadRow::Fail).await {
            Ok(batches) => Answer::Rows(batches.iter().flat_map(texts).collect()),
            Err(error) => {
                let error = StorageError::find(&error).unwrap_or_else(|| panic!("{}: {error}", self.file));
                Answer::Error { error: error.sqlstate().into() }
            }
        }
    }

    /// Every bad row but for its time: file, line, offset, column, SQLSTATE, message, text.
    async fn bad_rows(&self, units: Vec<CopyUnit>) -> Result<Vec<Vec<Option<String>>>, String> {
        let batches = match self.read(units, OnBadRow::Report).await {
            Ok(batches) => batches,
            // Of a header.
            Err(error) => return Err(error.to_string()),
        };
        let time = |batch: &RecordBatch| {
            let schema = batch.schema();
            let others = (0..schema.fields().len())
                .filter(|&column| !matches!(schema.field(column).data_type(), DataType::Timestamp(..)));
            batch.project(&others.collect::<Vec<_>>()).unwrap()
        };
        Ok(batches.iter().map(time).flat_map(|batch| texts(&batch)).collect())
    }

    /// In the file's order.
    async fn cut(&self, segments: usize) -> Vec<CopyUnit> {
        let (files, access) = (self.list().await, SourceAccess::default());
        let shares = split_by(files, &self.format(), None, segments, &access, 1).await.unwrap();
        let mut units: Vec<CopyUnit> = shares.into_iter().flatten().collect();
        units.sort_by_key(start);
        units
    }
}

fn start(unit: &CopyUnit) -> u64 {
    match unit {
        CopyUnit::Records { start, .. } => *start,
        CopyUnit::RowGroups { .. } => unreachable!("text"),
    }
}

fn texts(batch: &RecordBatch) -> Vec<Vec<Option<String>>> {
    let as_text = |column: &ArrayRef| cast(column, &DataType::Utf8).unwrap();
    let columns: Vec<ArrayRef> = batch.columns().iter().map(as_text).collect();
    let value = |column: &ArrayRef, row| column.is_valid(row).then(|| column.as_string::<i32>().value(row).to_owned());
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| value(column, row)).collect()).collect()
}

/// Not all of what is long.
fn shown(what: &impl fmt::Debug) -> String {
    format!("{what:?}").chars().take(400).collect()
}

#[tokio::test]
async fn each_file_is_what_the_index_says() {
    let mut wrong = vec![];
    for entry in index() {
        let (got, wanted) = (entry.answer(entry.cut(1).await).await, entry.wanted());
        if got != *wanted {
            wrong.push(format!("{}: {}\n    wanted {}", entry.file, shown(&got), shown(wanted)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_file_is_the_same_wherever_it_is_cut() {
    let mut wrong = vec![];
    for entry in index() {
        let whole = entry.cut(1).await;
        let bytes = whole.first().map_or(0, |unit| unit.file().bytes);
        let (answer, bad_rows) = (entry.answer(whole.clone()).await, entry.bad_rows(whole).await);
        let everywhere = if bytes <= CUT_EVERYWHERE_BYTES_MAX { bytes as usize + 1 } else { 100 };
        for segments in [2, 3, 5, 7, everywhere] {
            let units = entry.cut(segments).await;
            let got = entry.answer(units.clone()).await;
            // It was cut indeed.
            if let Answer::Rows(rows) = &got
                && segments as u64 > bytes
            {
                assert!(units.len() >= rows.len(), "{}: {units:?}", entry.file);
            }
            if got != answer {
                wrong.push(format!("{} in {segments}: {}\n    as a whole {}", entry.file, shown(&got), shown(&answer)));
            }
            let got = entry.bad_rows(units).await;
            if got != bad_rows {
                let (got, bad_rows) = (shown(&got), shown(&bad_rows));
                wrong.push(format!("{} in {segments}: bad rows {got}\n    as a whole {bad_rows}", entry.file));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn files_of_several_blocks_are_cut_anywhere() {
    // Lines go on in the next block.
    let line = |newline: &str| format!("\"{}\",b{newline}", "x,\n\"\"".repeat(300_000));
    for newline in ["\n", "\r\n", "\r"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        fs::write(&path, line(newline).repeat(8)).unwrap();
        let entry = Entry {
            file: path.to_str().unwrap().into(),
            format: "csv".into(),
            options: HashMap::new(),
            columns: vec![("a".into(), "text".into(), true), ("b".into(), "text".into(), true)],
            postgres: None,
            ours: None,
        };
        for segments in [1, 3, 7] {
            let units = entry.cut(segments).await;
            let Answer::Rows(rows) = entry.answer(units).await else { panic!("an error") };
            assert_eq!(rows.len(), 8);
            assert!(rows.iter().all(|row| row[0] == rows[0][0] && row[1].as_deref() == Some("b")));
        }
    }
}
