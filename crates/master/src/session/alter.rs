//! ALTER TABLE: most actions change the catalog alone; SET DISTRIBUTED, and ADD COLUMN with a default, rewrite the rows.

use super::bind::Bound;
use super::insert::default_value;
use super::write::table_target;
use super::{Outcome, Session};
use crate::catalog::{CatalogState, Commit, FileKey};
use crate::ddl::{self, Rewrite, find_table};
use crate::engine::DamsonTable;
use crate::error::{SqlResult, of_datafusion};
use crate::sql::{AlterAction, AlterTable, Statement};
use damson_cluster::{ColumnDef, TableDef};
use datafusion::catalog::TableProvider;
use datafusion::common::DFSchema;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::projection::ProjectionExec;
use std::collections::HashMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Session {
    pub(super) async fn alter_table(
        self: &Arc<Self>,
        alter: &AlterTable,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let rewrites = matches!(alter.action, AlterAction::SetDistributed { .. } | AlterAction::AddColumn { .. });
        let table = find_table(&self.master.catalog.current(), &alter.table, &self.search_schema());
        // An UPDATE meanwhile would be lost, or this statement's work. A table that is not there is said below.
        let _lock = match table {
            Ok(entry) if rewrites => Some(self.master.locks.lock(entry.def.id, &cancel).await?),
            _ => None,
        };
        match &alter.action {
            AlterAction::SetDistributed { .. } => self.set_distributed(alter, cancel).await,
            AlterAction::AddColumn { .. } => self.add_column(alter, cancel).await,
            _ => self.define(Statement::AlterTable(alter.clone())).await,
        }
    }

    /// A column without a default is a change of the catalog alone: files that lack it give NULL.
    async fn add_column(self: &Arc<Self>, alter: &AlterTable, cancel: CancellationToken) -> SqlResult<Outcome> {
        let catalog = self.master.catalog.current();
        match ddl::add_column_with_default(&catalog, alter, &self.search_schema())? {
            Some(rewrite) => self.rewrite(&catalog, rewrite, cancel).await,
            None => self.define(Statement::AlterTable(alter.clone())).await,
        }
    }

    async fn set_distributed(self: &Arc<Self>, alter: &AlterTable, cancel: CancellationToken) -> SqlResult<Outcome> {
        let catalog = self.master.catalog.current();
        match ddl::set_distributed(&catalog, alter, &self.search_schema())? {
            Ok(rewrite) => self.rewrite(&catalog, rewrite, cancel).await,
            Err(done) => Ok(done.into()),
        }
    }

    /// Writes all rows anew; the new definition and files take the old ones' place in one commit. A column that the old
    /// definition lacks gets its default.
    async fn rewrite(
        self: &Arc<Self>,
        catalog: &Arc<CatalogState>,
        rewrite: Rewrite,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let Rewrite { entry, def } = rewrite;
        let base = catalog.snapshot;
        let bound = self.bind_nothing(Arc::clone(catalog))?;
        let old = DamsonTable::new(Arc::clone(&entry), false, catalog.current_map().segment_count());
        let rows = old.scan(&bound.state, None, &[], None).await.map_err(of_datafusion)?;
        let rows = with_defaults(&bound, rows, &def)?;
        let table = self.slice(&bound, rows, table_target(&def))?;
        let written = self.write_table(&bound, &table, HashMap::new(), &def, cancel).await?;
        let drops = entry.files.iter().map(|file| (def.id, FileKey::of(file))).collect();
        let commit = Commit { drops, replace_definition: Some(def), ..Commit::of_adds(base, written.files) };
        self.commit(commit).await?;
        Ok(Outcome::command("ALTER TABLE"))
    }
}

/// The rows with the defaults of the columns that they lack, which are the table's last.
fn with_defaults(bound: &Bound, rows: Arc<dyn ExecutionPlan>, def: &TableDef) -> SqlResult<Arc<dyn ExecutionPlan>> {
    let given = rows.schema().fields().len();
    if given == def.columns.len() {
        return Ok(rows);
    }
    let column = |(position, column): (usize, &ColumnDef)| {
        let value: Arc<dyn PhysicalExpr> = if position < given {
            Arc::new(Column::new(rows.schema().field(position).name(), position))
        } else {
            let value = default_value(&bound.state, column)?;
            bound.state.create_physical_expr(value, &DFSchema::empty()).map_err(of_datafusion)?
        };
        Ok((value, column.name.clone()))
    };
    let columns = def.columns.iter().enumerate().map(column).collect::<SqlResult<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(columns, rows).map_err(of_datafusion)?))
}
