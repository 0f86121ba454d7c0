//! Files that stand in a FROM: what they mean, their columns, and the segments' shares of them.
//!
//! Such a relation is found by the binder under a name that no table has; what it is called in the statement is an alias.

use super::Session;
use super::backup::until;
use super::bind::{Bound, external};
use super::copy::{format_of, is_partition};
use super::privileges::check_files;
use crate::catalog::{ExternalDef, ViewDef};
use crate::ddl::error_log_of;
use crate::dispatch::{FileService, Shares};
use crate::engine::{FileColumns, FileRelation, FileTable, StatementNames};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::planner::SliceTable;
use crate::sql::{FilesInFrom, Name, files_in_from};
use crate::sql::{walk, walk_mut};
use damson_cluster::{Codec, ColumnDef, CopyFile, CopyFormat, CsvOptions, OnBadRow, SourceAccess};
use damson_motion::{FileScanExec, InferredSchema};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::ExecutionPlan;
use sqlparser::ast::{self, Ident, ObjectName, TableAlias, TableFactor, Visitor, VisitorMut};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The schema of file relations.
const FILES: &str = "files:";

/// What segments read of files, by leaf.
pub(super) type LeafUnits = HashMap<u32, Shares>;

impl Session {
    /// Makes the files that a query names known to the binder, under the names that it puts in their place.
    ///
    /// # Errors
    /// Those of COPY's places and options; 42804 for files that do not agree about their columns.
    pub(super) async fn name_files(
        &self,
        names: &StatementNames,
        query: &mut ast::Statement,
    ) -> Result<(), DataFusionError> {
        let mut calls = Calls(vec![]);
        if let ControlFlow::Break(error) = walk(query, &mut calls) {
            return Err(external(error));
        }
        if calls.0.is_empty() {
            return Ok(());
        }
        let mut relations = VecDeque::with_capacity(calls.0.len());
        for call in calls.0 {
            let alias = call.alias.clone();
            relations.push_back((self.file_relation(names, call).await.map_err(external)?, alias));
        }
        let _: ControlFlow<()> = walk_mut(query, &mut WriteNames { relations });
        Ok(())
    }

    /// The leaf of files, which are looked at.
    async fn file_relation(&self, names: &StatementNames, call: FilesInFrom) -> SqlResult<u32> {
        let FilesInFrom { copy, says_header, .. } = call;
        check_files(names.reader())?;
        if matches!(copy.on_bad_row, OnBadRow::Reject { log: true, .. }) {
            let message = "LOG ERRORS is not supported where files are queried";
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        let access = self.access(names.state(), copy.secret.as_ref(), &copy.sources).await;
        // A position would be one in COPY's text.
        let access = access.map_err(|error| SqlError { position: None, ..error })?;
        let service = &self.master.files;
        let files = service.list_sources(&copy.sources, copy.pattern.as_deref(), &access).await?;
        let mut format = format_of(&copy, &files)?;
        if let CopyFormat::Csv(options) = &mut format
            && !says_header
        {
            // `.tbl` files never have one.
            options.header = !files.iter().all(|file| file.url.contains(".tbl"));
            options.header = options.header && has_header(service, &files, options, copy.codec, &access).await;
        }
        let takes_header = !says_header && matches!(&format, CopyFormat::Csv(options) if options.header);
        let inferred = service.infer_schema(&files, &format, copy.codec, &access).await;
        let InferredSchema { schema, partition_columns } =
            inferred.map_err(|error| match takes_header && error.state == SqlState::DATATYPE_MISMATCH {
                true => error.with_hint("Files without a header: read_files('place', header => false)."),
                false => error,
            })?;
        let relation = FileRelation { files, format, codec: copy.codec, access };
        let columns = schema.fields().len();
        let columns = FileColumns {
            name: copy.sources.join(", "),
            max_chars: vec![None; columns],
            schema,
            partition_columns: (columns - partition_columns..columns).collect(),
            on_bad_row: copy.on_bad_row,
            error_log: None,
        };
        let leaf = names.files().add(relation.clone());
        names.prepare(FILES, &leaf.to_string(), Arc::new(FileTable::new(leaf, &relation, columns)));
        Ok(leaf)
    }

    /// An external table, whose files are looked for.
    ///
    /// # Errors
    /// 42809 for a writable one; those of COPY's places.
    pub(super) async fn external_table(
        &self,
        names: &StatementNames,
        view: &ViewDef,
        external: &ExternalDef,
    ) -> SqlResult<Arc<dyn TableProvider>> {
        if external.writable {
            let message = "it is not possible to read from a WRITABLE external table";
            let error = SqlError::new(SqlState::WRONG_OBJECT_TYPE, message);
            let hint = format!("Make a readable external table of the same place to read what \"{}\" got.", view.name);
            return Err(error.with_hint(hint));
        }
        let secret = external.secret.clone().map(|text| Name { text, position: 1 });
        let access = self.access(names.state(), secret.as_ref(), &external.locations).await;
        // A position would be one in the text of CREATE.
        let access = access.map_err(|error| SqlError { position: None, ..error })?;
        let listed = self.master.files.list_sources(&external.locations, external.pattern.as_deref(), &access);
        let files = listed.await?;
        let mut partition_columns = vec![];
        for (position, column) in external.columns.iter().enumerate() {
            if is_partition(&column.name, &files)? {
                partition_columns.push(position);
            }
        }
        if partition_columns.len() == external.columns.len() {
            let message = "the files' directories give all columns: none is left for the files";
            return Err(SqlError::new(SqlState::INVALID_PARAMETER, message));
        }
        let error_log = match external.on_bad_row {
            OnBadRow::Reject { log: true, .. } => Some(error_log_of(names.state(), view)?),
            _ => None,
        };
        let field = |column: &ColumnDef| Field::new(&column.name, column.data_type.clone(), true);
        let columns = FileColumns {
            name: view.name.clone(),
            schema: Arc::new(Schema::new(external.columns.iter().map(field).collect::<Vec<_>>())),
            partition_columns,
            max_chars: external.columns.iter().map(|column| damson_functions::max_chars(&column.sql_type)).collect(),
            on_bad_row: external.on_bad_row,
            error_log,
        };
        let (format, codec) = (external.format.clone(), external.codec);
        let relation = FileRelation { files, format, codec, access };
        let leaf = names.files().add(relation.clone());
        Ok(Arc::new(FileTable::new(leaf, &relation, columns)))
    }

    /// Each segment's share of the files that a plan reads.
    ///
    /// # Errors
    /// 55000 for a file that has changed since it was listed, and those of places and formats.
    pub(super) async fn split_files(
        &self,
        bound: &Bound,
        table: &SliceTable,
        cancel: &CancellationToken,
    ) -> SqlResult<LeafUnits> {
        let mut leaves = BTreeSet::new();
        table.slices.iter().for_each(|slice| leaves_of(&slice.plan, &mut leaves));
        let map = bound.names.newest_map();
        let mut units = LeafUnits::new();
        for leaf in leaves {
            let unknown = || crate::error::internal(format!("no files belong to leaf {leaf}"));
            let relation = bound.names.files().relation(leaf).ok_or_else(unknown)?;
            let FileRelation { files, format, codec, access } = &*relation;
            let split = self.master.files.split_sources(files, format, *codec, map.owning_segments(), access);
            units.insert(leaf, until(cancel, split).await?);
        }
        Ok(units)
    }
}

/// Whether CSV files of which the query says nothing begin with a header: not if the first one's first line is of the types of the lines below it. As in DuckDB,
/// text alone does not tell, and then there is one.
async fn has_header(
    service: &FileService,
    files: &[CopyFile],
    options: &CsvOptions,
    codec: Option<Codec>,
    access: &SourceAccess,
) -> bool {
    let Some(first) = files.iter().find(|file| file.bytes > 0).map(std::slice::from_ref) else { return true };
    let format = |header| CopyFormat::Csv(CsvOptions { header, ..options.clone() });
    // What is wrong with the file is told when all of them are looked at.
    let Ok(below) = service.infer_schema(first, &format(true), codec, access).await else { return true };
    let Ok(all) = service.infer_schema(first, &format(false), codec, access).await else { return true };
    let is_text =
        |field: &FieldRef| matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let of_file = |inferred: &InferredSchema| inferred.schema.fields().len() - inferred.partition_columns;
    let columns = below.schema.fields().iter().zip(all.schema.fields()).take(of_file(&below));
    let mut typed = columns.filter(|(below, _)| !is_text(below)).peekable();
    of_file(&below) != of_file(&all) || typed.peek().is_none() || typed.any(|(_, all)| is_text(all))
}

fn leaves_of(plan: &Arc<dyn ExecutionPlan>, leaves: &mut BTreeSet<u32>) {
    leaves.extend(plan.downcast_ref::<FileScanExec>().map(|scan| scan.spec().leaf));
    plan.children().into_iter().for_each(|child| leaves_of(child, leaves));
}

/// The files that a query names, in the order in which they are visited.
struct Calls(Vec<FilesInFrom>);

impl Visitor for Calls {
    type Break = SqlError;

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<SqlError> {
        match files_in_from(factor) {
            Some(Ok(call)) => self.0.push(call),
            Some(Err(error)) => return ControlFlow::Break(error),
            None => {}
        }
        ControlFlow::Continue(())
    }
}

/// Puts names in the place of files, in the same order.
struct WriteNames {
    /// Leaf and alias.
    relations: VecDeque<(u32, String)>,
}

impl VisitorMut for WriteNames {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if files_in_from(factor).is_none() {
            return ControlFlow::Continue(());
        }
        if let TableFactor::Table { name, alias, args, .. } = factor
            && let Some((leaf, own)) = self.relations.pop_front()
        {
            *args = None;
            *name = ObjectName::from(vec![Ident::with_quote('"', FILES), Ident::with_quote('"', leaf.to_string())]);
            if alias.is_none() {
                let own = Ident::with_quote('"', own);
                *alias = Some(TableAlias { explicit: true, name: own, columns: vec![], at: None });
            }
        }
        ControlFlow::Continue(())
    }
}
