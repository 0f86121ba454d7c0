//! ALTER TABLE: most actions change the catalog alone; SET DISTRIBUTED, and ADD COLUMN with a default, rewrite the rows.

use super::bind::Bound;
use super::constraints::Constraint;
use super::insert::default_value;
use super::{Outcome, Session};
use crate::catalog::{CatalogState, Commit, FileKey};
use crate::ddl::{self, Rewrite, find_table};
use crate::engine::{DamsonTable, Taking, write_out_constants};
use crate::error::{SqlResult, SqlState, of_datafusion};
use crate::locks::LockMode;
use crate::planner::{Output, TableTarget, WriteTarget};
use crate::sql::{AlterAction, AlterTable, Statement};
use crate::transaction::Transaction;
use damson_cluster::{CheckDef, ColumnDef, TableDef};
use datafusion::catalog::TableProvider;
use datafusion::common::DFSchema;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::projection::ProjectionExec;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Session {
    pub(super) async fn alter_table(
        self: &Arc<Self>,
        alter: &AlterTable,
        transaction: &mut Transaction,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        // A table that is not there is said, or skipped, below.
        if find_table(&transaction.state(), &alter.table, &self.search_schema()).is_ok() {
            match self.lock(transaction, &alter.table, LockMode::AccessExclusive, &cancel).await {
                // Dropped while it waited.
                Err(error) if error.state == SqlState::UNDEFINED_TABLE => {}
                locked => _ = locked?,
            }
        }
        let schema = self.search_schema();
        let ids = ddl::ids_needed(&transaction.state(), &Statement::AlterTable(alter.clone()), &schema);
        self.give_ids(transaction, ids).await?;
        let with_sequence = ddl::add_column_sequence(transaction.workspace(), alter, &schema)?;
        let alter = with_sequence.as_ref().unwrap_or(alter);
        let catalog = transaction.state();
        let rewrite = match &alter.action {
            AlterAction::SetDistributed { .. } => match ddl::set_distributed(&catalog, alter, &schema)? {
                Ok(rewrite) => Some(rewrite),
                Err(done) => return Ok(done.into()),
            },
            // Without a default it is a change of the catalog alone: files that lack the column give NULL.
            AlterAction::AddColumn { .. } => ddl::add_column_with_default(&catalog, alter, &schema)?,
            _ => None,
        };
        match rewrite {
            Some(rewrite) => self.rewrite(rewrite, transaction, cancel).await,
            None => {
                self.validate_added(alter, &catalog, &cancel).await?;
                self.define(&Statement::AlterTable(alter.clone()), transaction, &cancel).await
            }
        }
    }

    /// Whether the rows that are there keep what is added.
    async fn validate_added(
        self: &Arc<Self>,
        alter: &AlterTable,
        catalog: &Arc<CatalogState>,
        cancel: &CancellationToken,
    ) -> SqlResult<()> {
        // What is not there is said, or skipped, where the statement is executed.
        let Ok(entry) = find_table(catalog, &alter.table, &self.search_schema()) else { return Ok(()) };
        let added = match &alter.action {
            AlterAction::AddKey(_) | AlterAction::AddCheck(_) | AlterAction::SetNotNull(_) => {
                ddl::altered(&entry.def, &alter.action)?.def
            }
            _ => return Ok(()),
        };
        let is_new_check = |check: &&CheckDef| !entry.def.checks.contains(check);
        if let Some(check) = added.checks.iter().find(is_new_check) {
            // One that cannot be evaluated is told as such.
            self.checks(catalog, &added).await?;
            self.validate(catalog, &alter.table, &Constraint::Check(check), cancel).await?;
        }
        for (old, new) in
            entry.def.columns.iter().zip(&added.columns).filter(|(old, new)| old.nullable && !new.nullable)
        {
            debug_assert_eq!(old.name, new.name);
            self.validate(catalog, &alter.table, &Constraint::NotNull(&new.name), cancel).await?;
        }
        if let Some(key) = added.keys.iter().find(|key| !entry.def.keys.contains(key)) {
            self.validate(catalog, &alter.table, &Constraint::Key(key), cancel).await?;
        }
        Ok(())
    }

    /// Writes all rows anew; the new definition and files take the old ones' place at once. A column that the old definition lacks
    /// gets its default.
    async fn rewrite(
        self: &Arc<Self>,
        rewrite: Rewrite,
        transaction: &mut Transaction,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        // Checks that came with a column are of all rows.
        let target = self.checked(&transaction.state(), &rewrite.def, vec![]).await?;
        self.write_anew(rewrite, target, transaction, cancel).await?;
        Ok(Outcome::command("ALTER TABLE"))
    }

    /// Reads all rows of a table where they are, and writes them where its new definition says.
    pub(super) async fn write_anew(
        self: &Arc<Self>,
        rewrite: Rewrite,
        target: TableTarget,
        transaction: &mut Transaction,
        cancel: CancellationToken,
    ) -> SqlResult<()> {
        let Rewrite { entry, def } = rewrite;
        let catalog = transaction.state();
        let _admitted = self.admit(&catalog, &cancel).await?;
        let bound = self.bind_nothing(Arc::clone(&catalog))?;
        let old = DamsonTable::new(Arc::clone(&entry), false, catalog.current_map().owning_segments().len());
        let rows = old.scan(&*bound.state, None, &[], None).await.map_err(of_datafusion)?;
        let rows = with_defaults(&bound, rows, &def)?;
        let table = self.slice(&bound, rows, Output::Write(WriteTarget::Table(target)))?;
        let written = self.write_table(&bound, &table, &def, false, cancel.clone()).await?;
        let drops = entry.files.iter().map(|file| (def.id, FileKey::of(file))).collect();
        let commit = Commit { drops, replace_definition: Some(def), ..written.commit };
        self.add(transaction, &bound, commit, &cancel).await
    }
}

/// The rows with the defaults of the columns that they lack, which are the table's last.
fn with_defaults(bound: &Bound, rows: Arc<dyn ExecutionPlan>, def: &TableDef) -> SqlResult<Arc<dyn ExecutionPlan>> {
    let given = rows.schema().fields().len();
    if given == def.columns.len() {
        return Ok(rows);
    }
    let mut taking = Taking::new(&bound.names);
    let new = def.columns[given..].iter();
    let defaults = new.map(|column| {
        let default = write_out_constants(&bound.state, default_value(&bound.state, column)?);
        default.and_then(|default| taking.take(default)).map_err(of_datafusion)
    });
    let defaults = defaults.collect::<SqlResult<Vec<_>>>()?;
    let rows = taking.over(&bound.state, rows).map_err(of_datafusion)?;
    let schema = DFSchema::try_from(rows.schema()).map_err(of_datafusion)?;
    let column = |(position, column): (usize, &ColumnDef)| {
        let value: Arc<dyn PhysicalExpr> = if position < given {
            Arc::new(Column::new(rows.schema().field(position).name(), position))
        } else {
            let value = defaults[position - given].clone();
            bound.state.create_physical_expr(value, &schema).map_err(of_datafusion)?
        };
        Ok((value, column.name.clone()))
    };
    let columns = def.columns.iter().enumerate().map(column).collect::<SqlResult<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(columns, rows).map_err(of_datafusion)?))
}
