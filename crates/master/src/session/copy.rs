//! COPY.

use super::bind::Bound;
use super::column_names::plain;
use super::constraints::unique_keys;
use super::insert::default_value;
use super::write::{Changed, collect};
use super::{Outcome, Session, ast};
use crate::catalog::CatalogState;
use crate::copy_split::{SplitError, split};
use crate::ddl::resolve_columns;
use crate::engine::{Taking, write_out_constants};
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion, task_ended};
use crate::planner::{Output, PlanContext, SliceTable, WriteTarget, distribute_and_slice};
use crate::sql::{CopyFrom, CopySource, CopyTo};
use crate::transaction::Transaction;
use damson_cluster::{ColumnDef, OnDuplicate, TableDef};
use damson_motion::{CopyReadExec, CopyReadSpec, CopyWriteSpec};
use datafusion::arrow::datatypes::Schema;
use datafusion::common::DFSchema;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A COPY has one leaf.
const LEAF: u32 = 0;

impl Session {
    /// The master splits the files, each segment reads its share and sends the rows to their owners.
    pub(super) async fn copy_from(
        self: &Arc<Self>,
        copy: &CopyFrom,
        transaction: &mut Transaction,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let entry = self.lock_to_add(transaction, &copy.table, &cancel).await?;
        let catalog = transaction.state();
        let def = Arc::clone(&entry.def);
        let targets = resolve_columns(&def, &copy.columns)?;
        let segments = catalog.current_map().segment_count();
        let (path, format) = (copy.path.clone(), copy.format.clone());
        let units = tokio::task::spawn_blocking(move || split(&path, &format, segments)).await.map_err(task_ended)?;
        let units = units.map_err(of_split)?;
        let bound = self.bind_nothing(catalog)?;
        let rows = rows_of_files(&bound, &def, &targets, copy)?;
        let keys = unique_keys(&def, |_| true, |_| OnDuplicate::Fail);
        let unique = !keys.is_empty();
        let target = self.checked(bound.names.state(), &def, keys).await?;
        let table = self.slice(&bound, rows, WriteTarget::Table(target))?;
        let units = HashMap::from([(LEAF, units)]);
        let Changed { rows, commit, .. } =
            self.write_table(&bound, &table, units, &def, unique, cancel.clone()).await?;
        self.add(transaction, &bound, commit, &cancel).await?;
        Ok(Outcome::changed(format!("COPY {rows}"), rows))
    }

    /// Each segment writes its own part files.
    pub(super) async fn copy_to(
        self: &Arc<Self>,
        copy: &CopyTo,
        catalog: Arc<CatalogState>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let query = match &copy.source {
            CopySource::Query(query) => query.as_ref().clone(),
            CopySource::Table { table, columns } => {
                resolve_columns(&self.table(&catalog, table)?.def, columns)?;
                ast::select(table, columns)?
            }
        };
        let bound = self.run_init_plans(self.bind(catalog, &query, "").await?, &cancel).await?;
        check_names(bound.plan.schema().as_arrow())?;
        let target = WriteTarget::Files(CopyWriteSpec { dir: copy.path.clone(), format: copy.format.clone() });
        let table = self.plan(&bound, Output::Write(target)).await?;
        let running = self.dispatch(&bound, &table, HashMap::new(), true, cancel).await?;
        let (reports, _, outcome) = collect::<Vec<String>>(&bound, running).await;
        outcome?;
        let rows = reports.iter().map(|(rows, _)| rows).sum();
        Ok(Outcome::changed(format!("COPY {rows}"), rows))
    }

    pub(super) fn slice(
        &self,
        bound: &Bound,
        rows: Arc<dyn ExecutionPlan>,
        target: WriteTarget,
    ) -> SqlResult<SliceTable> {
        let map = Arc::clone(bound.names.state().current_map());
        let context = PlanContext { state: &bound.state, tables: &bound.names, map: &map };
        distribute_and_slice(&context, rows, Output::Write(target)).map_err(of_datafusion)
    }
}

/// The files' columns under their names in the table; columns that COPY does not name get their defaults.
fn rows_of_files(
    bound: &Bound,
    def: &TableDef,
    targets: &[usize],
    copy: &CopyFrom,
) -> SqlResult<Arc<dyn ExecutionPlan>> {
    let table_schema = def.arrow_schema();
    let fields = targets.iter().map(|&t| Arc::new(table_schema.field(t).clone()));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let read = CopyReadExec::new(CopyReadSpec { leaf: LEAF, format: copy.format.clone(), schema });
    let mut taking = Taking::new(&bound.names);
    let mut as_it_is = targets.iter().copied().eq(0..def.columns.len());
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

/// # Errors
/// 42701: a file has no two columns of one name.
fn check_names(schema: &Schema) -> SqlResult<()> {
    let names = plain(&Arc::new(schema.clone()));
    let mut seen = HashSet::new();
    match names.fields().iter().find(|field| !seen.insert(field.name())) {
        None => Ok(()),
        Some(twice) => {
            let message = format!("column \"{}\" specified more than once", twice.name());
            Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message).with_hint("Give one of them a name with AS."))
        }
    }
}

fn of_split(error: SplitError) -> SqlError {
    SqlError::new(SqlState::known(error.sqlstate()), error.to_string())
}
