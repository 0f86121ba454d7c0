//! Files that a statement reads as relations.

use async_trait::async_trait;
use damson_cluster::{Codec, CopyFile, CopyFormat, OnBadRow, SourceAccess, TableId};
use damson_motion::{FileScanExec, FileScanSpec};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::{ExecutionPlan, Statistics};
use parking_lot::RwLock;
use std::fmt;
use std::sync::Arc;

/// Bytes of a row in a file, for each column, where nothing else is known.
const COLUMN_BYTES: u64 = 8;

/// How many times as many rows a compressed file has, or a Parquet file, as one of text.
const COMPRESSION: u64 = 3;

/// One relation's files, before segments have their shares.
#[derive(Clone, Debug)]
pub(crate) struct FileRelation {
    pub files: Vec<CopyFile>,
    pub format: CopyFormat,
    /// None: by each file's name.
    pub codec: Option<Codec>,
    pub access: SourceAccess,
}

/// The file relations of one statement, views and all, by leaf.
#[derive(Default)]
pub(crate) struct StatementFiles {
    /// A leaf is a position plus one: COPY's own leaf is 0.
    relations: RwLock<Vec<Arc<FileRelation>>>,
}

impl StatementFiles {
    /// The relation's leaf.
    pub(crate) fn add(&self, relation: FileRelation) -> u32 {
        let mut relations = self.relations.write();
        relations.push(Arc::new(relation));
        relations.len() as u32
    }

    pub(crate) fn relation(&self, leaf: u32) -> Option<Arc<FileRelation>> {
        let position = (leaf as usize).checked_sub(1)?;
        self.relations.read().get(position).cloned()
    }
}

impl fmt::Debug for StatementFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatementFiles").field("relations", &self.relations.read().len()).finish()
    }
}

/// Files as DataFusion's binder and planner see them. Its scan is a leaf that segments resolve; filters stay above it, and segments push
/// them down.
#[derive(Debug)]
pub(crate) struct FileTable {
    /// Its projection is of all columns.
    whole: FileScanSpec,
    rows: usize,
}

/// What a file relation is to be scanned as.
pub(crate) struct FileColumns {
    /// For EXPLAIN.
    pub name: String,
    /// Columns, those that the files hold in the files' order.
    pub schema: SchemaRef,
    /// Positions of the others, which the files' directories give.
    pub partition_columns: Vec<usize>,
    pub max_chars: Vec<Option<usize>>,
    pub on_bad_row: OnBadRow,
    /// As in [`FileScanSpec`].
    pub error_log: Option<TableId>,
}

impl FileTable {
    /// The relation of `leaf`.
    pub(crate) fn new(leaf: u32, relation: &FileRelation, columns: FileColumns) -> Self {
        let FileColumns { name, schema, partition_columns, max_chars, on_bad_row, error_log } = columns;
        let whole = FileScanSpec {
            leaf,
            name,
            files: relation.files.len(),
            format: relation.format.clone(),
            projection: (0..schema.fields().len()).collect(),
            schema,
            partition_columns,
            max_chars,
            on_bad_row,
            error_log,
            access: relation.access.clone(),
        };
        FileTable { rows: estimated_rows(relation, &whole.schema), whole }
    }
}

/// By the files' bytes.
fn estimated_rows(relation: &FileRelation, schema: &SchemaRef) -> usize {
    let is_dense = |file: &CopyFile| {
        let codec = relation.codec.unwrap_or_else(|| Codec::by_name(&file.url));
        matches!(relation.format, CopyFormat::Parquet(_)) || codec != Codec::None
    };
    let weighed = |file: &CopyFile| if is_dense(file) { file.bytes.saturating_mul(COMPRESSION) } else { file.bytes };
    let bytes = relation.files.iter().map(weighed).fold(0, u64::saturating_add);
    let row = COLUMN_BYTES * (schema.fields().len() as u64).max(1);
    usize::try_from(bytes / row).unwrap_or(usize::MAX).max(1)
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.whole.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Unsupported; filters.len()])
    }

    /// Rows alone, and inexact.
    fn statistics(&self) -> Option<Statistics> {
        let width = |data_type: &DataType| data_type.primitive_width().unwrap_or(COLUMN_BYTES as usize);
        let row: usize = self.whole.schema.fields().iter().map(|field| width(field.data_type())).sum();
        let bytes = Precision::Inexact(self.rows.saturating_mul(row));
        let unknown = Statistics::new_unknown(&self.whole.schema);
        Some(Statistics { num_rows: Precision::Inexact(self.rows), total_byte_size: bytes, ..unknown })
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projection = projection.unwrap_or(&self.whole.projection).clone();
        let statistics = self.statistics().map(|whole| whole.project(Some(&projection)));
        let spec = FileScanSpec { projection, ..self.whole.clone() };
        Ok(Arc::new(FileScanExec::try_new(spec, statistics)?))
    }
}
