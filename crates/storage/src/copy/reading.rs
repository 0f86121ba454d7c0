//! The units of one segment's share, one after the other.

use super::bad_rows::{BadRows, cut_value};
use super::blocks::Blocks;
use super::column::{ColumnRule, FileColumns, Wrong};
use super::csv::{CsvReader, Dialect};
use super::json::{JsonReader, Names};
use super::parquet::ParquetReader;
use super::progress::CopyProgress;
use super::pruning::GivenValues;
use crate::StorageError;
use crate::scan::Pruner;
use damson_cluster::{ContentId, CopyFile, CopyUnit, Encoding, SourceAccess, bad_row_batch};
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
use datafusion::physical_plan::metrics::BaselineMetrics;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

/// What the files hold.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// CSV, or PostgreSQL's text; the name, for EXPLAIN.
    Lines(&'static str, Arc<Dialect>),
    Json(Arc<Names>),
    Parquet,
}

impl Form {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Form::Lines(name, _) => name,
            Form::Json(_) => "json",
            Form::Parquet => "parquet",
        }
    }
}

/// A stream's state. Made by [`super::read::CopyReadExec`].
pub(super) struct Reading {
    pub content: ContentId,
    pub form: Form,
    pub schema: SchemaRef,
    pub columns: Arc<FileColumns>,
    pub max_chars: Vec<Option<usize>>,
    pub units: VecDeque<CopyUnit>,
    pub access: SourceAccess,
    pub progress: Arc<CopyProgress>,
    pub pruner: Option<Pruner>,
    pub bad: BadRows,
    pub memory: Arc<dyn MemoryPool>,
    pub metrics: BaselineMetrics,
    pub current: Option<Current>,
}

/// The unit that is being read.
pub(super) struct Current {
    reader: Reader,
    /// By column: the value of the file's directories; None is the file's own.
    given: Vec<Option<ScalarValue>>,
}

impl Reading {
    /// The next rows, or those of the report; None at the end.
    pub(super) async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let next = self.advance().await;
        match &next {
            Ok(Some(batch)) => self.metrics.record_output(batch.num_rows()),
            Ok(None) => self.metrics.done(),
            Err(_) => self.bad.close().await,
        }
        next
    }

    async fn advance(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(Current { reader, given }) = &mut self.current else {
                let Some(unit) = self.units.pop_front() else {
                    self.bad.finish().await?;
                    return Ok(None);
                };
                match self.open(unit).await? {
                    Some(opened) => self.current = Some(opened),
                    None => self.progress.unit_done(),
                }
                continue;
            };
            match reader.next_batch(&mut self.bad).await? {
                None => {
                    self.current = None;
                    self.progress.unit_done();
                }
                Some(_) if self.bad.reports() => {
                    let rows = self.bad.take_report();
                    if !rows.is_empty() {
                        return Ok(Some(bad_row_batch(&rows, self.content)));
                    }
                }
                Some(batch) if batch.num_rows() == 0 => {}
                Some(batch) => return Ok(Some(put_together(&self.schema, &batch, given)?)),
            }
        }
    }

    /// None for a unit that the filters above exclude.
    async fn open(&mut self, unit: CopyUnit) -> Result<Option<Current>> {
        let given = self.given(unit.file())?;
        if let Some(pruner) = &mut self.pruner
            && pruner.is_proof(&GivenValues { schema: &self.schema, given: &given })
        {
            return Ok(None);
        }
        let columns = Arc::clone(&self.columns);
        let reader = match (&self.form, unit) {
            (Form::Parquet, CopyUnit::RowGroups { file, row_groups }) => {
                let progress = Arc::clone(&self.progress);
                let pruning = self.pruner.as_mut().map(|pruner| (pruner, &self.schema));
                let reader = ParquetReader::open(&file, row_groups, columns, &self.access, progress, pruning).await?;
                Reader::Parquet(Box::new(reader))
            }
            (Form::Lines(_, dialect), CopyUnit::Records { file, codec, newline, start, end }) => {
                let (encoding, range) = (&dialect.encoding, (start, end));
                let blocks = Blocks::open(&file, codec, encoding, range, &self.access, &self.progress).await?;
                let reservation = MemoryConsumer::new("CopyRead").register(&self.memory);
                let compute = self.metrics.elapsed_compute().clone();
                let dialect = Arc::clone(dialect);
                let reader = CsvReader::new(dialect, columns, blocks, newline, range, reservation, compute);
                Reader::Csv(Box::new(reader))
            }
            (Form::Json(names), CopyUnit::Records { file, codec, start, end, .. }) => {
                let (encoding, range) = (&Encoding::Utf8, (start, end));
                let blocks = Blocks::open(&file, codec, encoding, range, &self.access, &self.progress).await?;
                let reservation = MemoryConsumer::new("CopyRead").register(&self.memory);
                let compute = self.metrics.elapsed_compute().clone();
                let names = Arc::clone(names);
                Reader::Json(Box::new(JsonReader::new(columns, names, blocks, range, reservation, compute)))
            }
            (form, unit) => {
                let message = format!("the plan reads {}, and the file is cut for another format", form.name());
                return Err(StorageError::File { path: unit.file().url.clone(), message, sqlstate: "XX000" }.into());
            }
        };
        Ok(Some(Current { reader, given }))
    }

    /// The values of a file's directories, by column.
    ///
    /// # Errors
    /// As of a value in the file.
    fn given(&self, file: &CopyFile) -> Result<Vec<Option<ScalarValue>>, StorageError> {
        let value = |(field, &max_chars): (&FieldRef, &Option<usize>)| {
            let rule = ColumnRule { field, max_chars };
            match self.columns.schema.column_with_name(rule.field.name()) {
                Some(_) => Ok(None),
                None => given(file, rule).map(Some),
            }
        };
        self.schema.fields().iter().zip(&self.max_chars).map(value).collect()
    }
}

/// The value that a file's directories give a column.
fn given(file: &CopyFile, rule: ColumnRule<'_>) -> Result<ScalarValue, StorageError> {
    let name = rule.field.name();
    let wrong = |message: String, sqlstate| StorageError::Column {
        path: file.url.clone(),
        column: name.clone(),
        message,
        sqlstate,
    };
    let found = file.partition.iter().find(|(column, _)| column == name);
    let text = found.and_then(|(_, value)| value.as_deref());
    let column = rule.parse([text.map(Cow::Borrowed)].into_iter()).map_err(|error| {
        let Wrong { message, sqlstate, has_value, .. } = error;
        match text.filter(|_| has_value) {
            Some(text) => wrong(format!("{message}: \"{}\"", cut_value(text.to_owned())), sqlstate),
            None => wrong(message, sqlstate),
        }
    })?;
    ScalarValue::try_from_array(&column, 0).map_err(|error| wrong(error.to_string(), "XX000"))
}

/// The file's columns, and those of its directories in their places.
fn put_together(schema: &SchemaRef, batch: &RecordBatch, given: &[Option<ScalarValue>]) -> Result<RecordBatch> {
    let mut in_file = batch.columns().iter();
    let column = |given: &Option<ScalarValue>| match given {
        Some(value) => value.to_array_of_size(batch.num_rows()),
        None => Ok(Arc::clone(in_file.next().expect("each column is in the file or given"))),
    };
    let columns = given.iter().map(column).collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

enum Reader {
    Csv(Box<CsvReader>),
    Json(Box<JsonReader>),
    Parquet(Box<ParquetReader>),
}

impl Reader {
    async fn next_batch(&mut self, bad: &mut BadRows) -> Result<Option<RecordBatch>> {
        match self {
            Reader::Csv(reader) => reader.next_batch(bad).await,
            Reader::Json(reader) => reader.next_batch(bad).await,
            Reader::Parquet(reader) => reader.next_batch(bad).await,
        }
    }
}
