//! COPY FROM.

use crate::ddl::resolve_columns;
use crate::dispatch::Shares;
use crate::engine::{Taking, write_out_constants};
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion};
use crate::planner::{Output, WriteTarget};
use crate::session::backup::until;
use crate::session::bind::Bound;
use crate::session::constraints::unique_keys;
use crate::session::copy_history::{ToLoad, copied, skipped_notice};
use crate::session::insert::default_value;
use crate::session::write::{Changed, Reports};
use crate::session::{Outcome, Session};
use crate::sql::{CopyFrom, format_of_name};
use crate::system::pg_constraint::quoted;
use crate::transaction::Transaction;
use damson_cluster::{
    Codec, ColumnDef, CopyFile, CopyFormat, OnBadRow, OnDuplicate, SegmentSet, SourceAccess, TableDef,
};
use damson_motion::{CopyReadExec, CopyReadSpec};
use datafusion::common::DFSchema;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use std::collections::HashMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A COPY has one leaf.
pub(super) const LEAF: u32 = 0;

impl Session {
    /// A segment lists and splits the files, each segment reads its share and sends the rows to their owners. The files are recorded as
    /// loaded in the commit of the rows.
    ///
    /// # Cancellation
    /// In every phase; what was written is removed.
    pub(in crate::session) async fn copy_from(
        self: &Arc<Self>,
        copy: &CopyFrom,
        transaction: &mut Transaction,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let entry = self.lock_to_add(transaction, &copy.table, &cancel).await?;
        let catalog = transaction.state();
        let def = Arc::clone(&entry.def);
        let targets = resolve_columns(&def, &copy.columns)?;
        let access = self.access(&catalog, copy.secret.as_ref(), &copy.sources).await?;
        let watch = self.master.copies.begin(self.id, "COPY FROM", (&def.schema, &def.name));
        let (files, format) = self.find_files(copy, &access, &cancel).await?;
        watch.enter("locking files");
        watch.expect(&files);
        let ToLoad { files, skipped } = self.lock_to_load(transaction, &def, files, copy.force, &cancel).await?;
        let mut notices: Vec<String> = skipped_notice(skipped).into_iter().collect();
        if files.is_empty() {
            return Ok(Outcome::Command { tag: "COPY 0".into(), rows: 0, notices });
        }
        let read = read_spec(&def, &targets, &files, format, copy.on_bad_row)?;
        let _admitted = self.admit(&catalog, &cancel).await?;
        let map = Arc::clone(catalog.current_map());
        watch.enter("cutting files");
        watch.expect(&files);
        let units = self.cut_files(&files, &read.format, copy.codec, map.owning_segments(), &access, &cancel).await?;
        watch.share(&units);
        let bound = Bound { access, ..self.bind_nothing(catalog)? };
        let rows = rows_of_files(&bound, &def, &targets, read)?;
        let keys = unique_keys(&def, |_| true, |_| OnDuplicate::Fail);
        let unique = !keys.is_empty();
        let target = self.checked(bound.names.state(), &def, keys).await?;
        let table = self.slice(&bound, rows, Output::Write(WriteTarget::Table(target)))?;
        let units = HashMap::from([(LEAF, units)]);
        watch.enter("loading files");
        let running = self.dispatch(&bound, &table, units, true, cancel.clone()).await?;
        watch.runs(&running);
        let by_segment = Arc::clone(&running.copied);
        let changed = self.changed(&bound, running, &def, Reports::Files, unique).await;
        let Changed { rows, commit, .. } = changed.map_err(|error| open_quote_hint(error, copy.on_bad_row))?;
        let rejected: u64 = by_segment.lock().values().map(|counts| counts.rejected).sum();
        notices.extend(rejected_notice(rejected));
        if rejected > 0 && matches!(copy.on_bad_row, OnBadRow::Reject { log: true, .. }) {
            notices.push(logged_notice(&def));
        }
        self.add(transaction, &bound, commit, &cancel).await?;
        transaction.record_copied(copied(def.id, &files, rows), copy.force)?;
        Ok(Outcome::Command { tag: format!("COPY {rows}"), rows, notices })
    }

    /// The files that the statement names, and what they hold.
    ///
    /// # Errors
    /// As [`list_sources`](crate::dispatch::FileService::list_sources); 22023 for files of several formats; 57014.
    pub(super) async fn find_files(
        &self,
        copy: &CopyFrom,
        access: &SourceAccess,
        cancel: &CancellationToken,
    ) -> SqlResult<(Vec<CopyFile>, CopyFormat)> {
        let listed = self.master.files.list_sources(&copy.sources, copy.pattern.as_deref(), access);
        let files = until(cancel, listed).await?;
        let format = format_of(copy, &files)?;
        Ok((files, format))
    }

    /// The share of files of each of `segments`.
    ///
    /// # Errors
    /// As [`split_sources`](crate::dispatch::FileService::split_sources); 57014.
    pub(super) async fn cut_files(
        &self,
        files: &[CopyFile],
        format: &CopyFormat,
        codec: Option<Codec>,
        segments: &SegmentSet,
        access: &SourceAccess,
        cancel: &CancellationToken,
    ) -> SqlResult<Shares> {
        until(cancel, self.master.files.split_sources(files, format, codec, segments, access)).await
    }
}

/// The notice about rows that were passed over, in Greenplum's words.
fn rejected_notice(rejected: u64) -> Option<String> {
    let found = format!("found {rejected} data formatting errors ({rejected} or more input rows)");
    (rejected > 0).then(|| format!("{found}, rejected related input data"))
}

const OPEN_QUOTE_HINT: &str =
    "The quote takes the rest of the file: that is no bad row to pass over. VALIDATE shows where it begins.";

/// A quote that is never closed is no bad row, and so ends the statement whatever the limit is.
fn open_quote_hint(error: SqlError, on_bad_row: OnBadRow) -> SqlError {
    match on_bad_row {
        OnBadRow::Reject { .. } if error.message.starts_with("unterminated CSV quoted field") => {
            error.with_hint(OPEN_QUOTE_HINT)
        }
        _ => error,
    }
}

/// Where LOG ERRORS has kept them.
fn logged_notice(def: &TableDef) -> String {
    let table = format!("{}.{}", quoted(&def.schema), quoted(&def.name)).replace('\'', "''");
    format!("the error log has them: SELECT * FROM gp_read_error_log('{table}') ORDER BY cmdtime")
}

/// What the statement says of the format, or, if it says nothing, the files' names.
///
/// # Errors
/// 22023 for files of several formats.
pub(in crate::session) fn format_of(copy: &CopyFrom, files: &[CopyFile]) -> SqlResult<CopyFormat> {
    if !copy.format_by_files {
        return Ok(copy.format.clone());
    }
    let mut formats = files.iter().map(|file| format_of_name(&file.url));
    let first = formats.next().flatten();
    if let Some(at) = formats.position(|format| format != first) {
        let error = SqlError::new(SqlState::INVALID_PARAMETER, "the files' names say different formats");
        // The first one is not among those that were looked at.
        let detail = format!("Two of them are {} and {}.", files[0].url, files[at + 1].url);
        return Err(error.with_detail(detail).with_hint("Say which it is with FORMAT, or which files with PATTERN."));
    }
    Ok(first.unwrap_or_else(|| copy.format.clone()))
}

/// What segments are to know of the files: the targets in their order, but those that directories give come last.
///
/// # Errors
/// 22023 for files of which only some have a column in their directories, and where no column is left for the files.
pub(super) fn read_spec(
    def: &TableDef,
    targets: &[usize],
    files: &[CopyFile],
    format: CopyFormat,
    on_bad_row: OnBadRow,
) -> SqlResult<CopyReadSpec> {
    let mut in_files = vec![];
    let mut in_directories = vec![];
    for &target in targets {
        match is_partition(&def.columns[target].name, files)? {
            true => in_directories.push(target),
            false => in_files.push(target),
        }
    }
    if in_files.is_empty() {
        let message = "the files' directories give all columns: none is left for the files";
        return Err(SqlError::new(SqlState::INVALID_PARAMETER, message));
    }
    let partition_columns = in_directories.len();
    let columns: Vec<usize> = in_files.into_iter().chain(in_directories).collect();
    let schema = def.arrow_schema().project(&columns).map_err(|error| of_datafusion(error.into()))?;
    let max_chars = columns.iter().map(|&column| damson_functions::max_chars(&def.columns[column].sql_type)).collect();
    let (schema, table) = (Arc::new(schema), def.id);
    Ok(CopyReadSpec { leaf: LEAF, format, schema, partition_columns, max_chars, on_bad_row, table })
}

/// Whether the directories of all files have the column.
pub(in crate::session) fn is_partition(column: &str, files: &[CopyFile]) -> SqlResult<bool> {
    let has = |file: &&CopyFile| file.partition.iter().any(|(name, _)| name == column);
    match files.iter().filter(has).count() {
        0 => Ok(false),
        all if all == files.len() => Ok(true),
        some => {
            let message = format!("column \"{column}\" is in the directories of some files only");
            let error = SqlError::new(SqlState::INVALID_PARAMETER, message);
            let without = files.iter().find(|file| !has(file)).map_or("", |file| file.url.as_str());
            let detail = format!("{some} of {} files have it; {without} has not.", files.len());
            Err(error.with_detail(detail).with_hint("Load them by a COPY each."))
        }
    }
}

/// The files' columns under their names in the table; columns that COPY does not name get their defaults.
fn rows_of_files(
    bound: &Bound,
    def: &TableDef,
    targets: &[usize],
    read: CopyReadSpec,
) -> SqlResult<Arc<dyn ExecutionPlan>> {
    let in_order = read.schema.fields().iter().map(|field| field.name()).eq(def.columns.iter().map(|c| &c.name));
    let read = CopyReadExec::new(read);
    let mut taking = Taking::new(&bound.names);
    let mut as_it_is = in_order;
    let mut column = |(position, column): (usize, &ColumnDef)| match targets.contains(&position) {
        true => {
            let value = Expr::Column(datafusion::common::Column::new_unqualified(&column.name));
            let assigned = damson_functions::assign_text(value.clone(), &column.sql_type);
            as_it_is &= assigned == value;
            Ok(assigned)
        }
        false => {
            let default = write_out_constants(&bound.state, default_value(&bound.state, column)?);
            default.and_then(|default| taking.take(default)).map_err(of_datafusion)
        }
    };
    let columns = def.columns.iter().enumerate().map(&mut column).collect::<SqlResult<Vec<_>>>()?;
    if as_it_is {
        return Ok(Arc::new(read));
    }
    let read = taking.over(&bound.state, Arc::new(read)).map_err(of_datafusion)?;
    let given = DFSchema::try_from(read.schema()).map_err(of_datafusion)?;
    let physical = |(value, column): (Expr, &ColumnDef)| {
        let value = bound.state.create_physical_expr(value, &given)?;
        Ok((value, column.name.clone()))
    };
    let columns = columns.into_iter().zip(&def.columns).map(physical).collect::<Result<Vec<_>, DataFusionError>>();
    let projected = columns.and_then(|columns| ProjectionExec::try_new(columns, read));
    Ok(Arc::new(projected.map_err(of_datafusion)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Statement, parse};

    fn copy(sql: &str) -> CopyFrom {
        match parse(sql).unwrap() {
            Statement::CopyFrom(copy) => copy,
            other => panic!("{sql}: {other:?}"),
        }
    }

    fn files(urls: &[(&str, &[&str])]) -> Vec<CopyFile> {
        let file = |(url, directories): &(&str, &[&str])| CopyFile {
            url: (*url).into(),
            bytes: 1,
            etag: None,
            modified_us: None,
            partition: directories.iter().map(|name| ((*name).to_owned(), Some("x".to_owned()))).collect(),
        };
        urls.iter().map(file).collect()
    }

    #[test]
    fn files_tell_the_format_where_nothing_else_does() {
        let of = |sql: &str, urls: &[&str]| {
            let urls: Vec<(&str, &[&str])> = urls.iter().map(|url| (*url, &[] as &[&str])).collect();
            format_of(&copy(sql), &files(&urls))
        };
        let parquet = of("copy t from '/d'", &["/d/a.parquet", "/d/b.pq"]).unwrap();
        assert!(matches!(parquet, CopyFormat::Parquet(_)));
        assert!(matches!(of("copy t from '/d'", &["/d/a", "/d/b"]).unwrap(), CopyFormat::Csv(_)));
        assert!(matches!(of("copy t from '/d' csv", &["/d/a.parquet"]).unwrap(), CopyFormat::Csv(_)));
        let error = of("copy t from '/d'", &["/d/a.csv", "/d/b.csv", "/d/_c.tsv"]).unwrap_err();
        assert_eq!(error.state, SqlState::INVALID_PARAMETER);
        assert_eq!(error.detail.as_deref(), Some("Two of them are /d/a.csv and /d/_c.tsv."));
    }

    #[test]
    fn directories_are_all_alike() {
        let all = files(&[("/f/d=x/1", &["d", "other"]), ("/f/d=y/2", &["d"])]);
        assert!(is_partition("d", &all).unwrap() && !is_partition("e", &all).unwrap());
        let error = is_partition("other", &all).unwrap_err();
        assert_eq!(error.state, SqlState::INVALID_PARAMETER);
        assert_eq!(error.detail.as_deref(), Some("1 of 2 files have it; /f/d=y/2 has not."));
    }

    #[test]
    fn an_open_quote_is_no_bad_row() {
        let reject = copy("copy t from 'a.csv' csv segment reject limit 5").on_bad_row;
        let hint =
            |message: &str, on_bad_row| open_quote_hint(SqlError::new(SqlState::BAD_COPY, message), on_bad_row).hint;
        assert!(
            hint("unterminated CSV quoted field (file a.csv, line 3)", reject)
                .is_some_and(|hint| hint.contains("VALIDATE"))
        );
        assert!(hint("unterminated CSV quoted field (file a.csv, line 3)", OnBadRow::Fail).is_none());
        assert!(hint("extra data after last expected column", reject).is_none());
    }

    #[test]
    fn the_notice_is_greenplums() {
        assert_eq!(rejected_notice(0), None);
        let notice = "found 3 data formatting errors (3 or more input rows), rejected related input data";
        assert_eq!(rejected_notice(3).as_deref(), Some(notice));
    }
}
