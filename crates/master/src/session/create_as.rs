//! CREATE TABLE AS.

use super::backup::until;
use super::column_names::plain;
use super::write::{keys, table_target};
use super::{Outcome, Session};
use crate::catalog::{CatalogState, CreateTableOutcome, NewTable};
use crate::ddl::{TableAs, define_table_as};
use crate::error::{SqlError, SqlResult, task_ended};
use crate::planner::Output;
use crate::session::bind::Bound;
use crate::sql::CreateTableAs;
use crate::transaction::Transaction;
use damson_cluster::{FileEntry, TableDef, TableId};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Session {
    /// The table appears together with its rows, or not at all.
    pub(super) async fn create_table_as(
        self: &Arc<Self>,
        create: &CreateTableAs,
        transaction: &mut Transaction,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let tablespace = self.in_tablespace(&transaction.state(), create.tablespace.as_ref())?;
        let bound = until(&cancel, self.bind(transaction.state(), &create.query, "")).await?;
        let _admitted = self.admit(bound.names.state(), &cancel).await?;
        let bound = self.run_init_plans(bound, &cancel).await?;
        let schema = self.schema_of(&bound)?;
        let state = bound.names.state();
        let (new, notices) = match define_table_as(state, create, &schema, &self.search_schema())? {
            TableAs::Exists(done) => return Ok(done.into()),
            TableAs::New { table, notices } => (NewTable { tablespace, ..*table }, notices),
        };
        let (rows, files, id) = if create.with_data {
            let id = self.reserve_table_id().await?;
            let def = Arc::new(definition(bound.names.state(), &new, id));
            bound.names.add_new_table(Arc::clone(&def));
            let bound = with_types(bound, &def)?;
            let table = self.plan(&bound, Output::Write(table_target(&def))).await?;
            let written = self.write_table(&bound, &table, &def, false, cancel.clone()).await?;
            (written.rows, written.commit.adds, Some((def.id, def.map_version)))
        } else {
            (0, vec![], None)
        };
        let new = NewTable { id: id.map(|i| i.0), map_version: id.map(|i| i.1), ..new };
        self.create(transaction, new, files, create.if_not_exists, &cancel).await?;
        let tag = if create.with_data { format!("SELECT {rows}") } else { "CREATE TABLE AS".into() };
        Ok(Outcome::Command { tag, rows, notices })
    }

    /// Columns of a query with their final types.
    pub(super) fn schema_of(&self, bound: &Bound) -> SqlResult<SchemaRef> {
        let state = &bound.state;
        let analyzed = state.analyzer().execute_and_check(bound.plan.clone(), state.config_options(), |_, _| {});
        let analyzed = analyzed.map_err(crate::error::of_datafusion)?;
        Ok(plain(&Arc::new(analyzed.schema().as_arrow().clone())))
    }

    /// An id for a table that is created later; off the async runtime because it waits for the disk.
    pub(super) async fn reserve_table_id(&self) -> SqlResult<TableId> {
        let catalog = Arc::clone(&self.master.catalog);
        let reserved = tokio::task::spawn_blocking(move || catalog.reserve_table_id()).await.map_err(task_ended)?;
        Ok(reserved?)
    }

    /// Reserves ids for what the transaction's next statement makes; off the async runtime because it waits for the disk.
    pub(super) async fn give_ids(&self, transaction: &mut Transaction, count: usize) -> SqlResult<()> {
        if count == 0 {
            return Ok(());
        }
        let catalog = Arc::clone(&self.master.catalog);
        let reserve = move || (0..count).map(|_| catalog.reserve_table_id()).collect::<Result<Vec<_>, _>>();
        let ids = tokio::task::spawn_blocking(reserve).await.map_err(task_ended)??;
        transaction.workspace().give_ids(ids);
        Ok(())
    }

    /// Makes the table with its files; if the catalog refuses, they are removed.
    pub(super) async fn create(
        &self,
        transaction: &mut Transaction,
        new: NewTable,
        files: Vec<FileEntry>,
        if_not_exists: bool,
        cancel: &CancellationToken,
    ) -> SqlResult<()> {
        let keys = keys(&files);
        let created = if cancel.is_cancelled() {
            Err(SqlError::canceled())
        } else {
            transaction.workspace().create_table(new, files, if_not_exists).map_err(SqlError::from)
        };
        match created {
            Ok(CreateTableOutcome::Created(def)) => {
                tracing::debug!(table = %def.qualified_name(), files = keys.len(), "table created with its rows");
                Ok(())
            }
            Ok(CreateTableOutcome::Exists) => {
                self.discard(&keys).await;
                Ok(())
            }
            Err(error) => {
                self.discard(&keys).await;
                Err(error)
            }
        }
    }
}

/// The table as it will be, for the planner and the writers.
pub(super) fn definition(state: &CatalogState, new: &NewTable, id: TableId) -> TableDef {
    TableDef {
        id,
        schema: new.schema.clone(),
        name: new.name.clone(),
        columns: new.columns.clone(),
        distribution: new.distribution.clone(),
        map_version: state.current_map().version,
        keys: new.keys.clone(),
        checks: new.checks.clone(),
        compression: new.compression,
        layout: new.layout.clone(),
        tablespace: new.tablespace,
    }
}

/// Casts the query's columns to the table's types, such as a sum's numeric to 64 bits where it has at most 18 digits.
pub(super) fn with_types(bound: Bound, def: &TableDef) -> SqlResult<Bound> {
    let columns = bound.plan.schema().columns();
    let typed = columns
        .into_iter()
        .zip(&def.columns)
        .map(|(column, target)| cast(Expr::Column(column), target.data_type.clone()).alias(&target.name));
    let plan = LogicalPlanBuilder::from(bound.plan.clone()).project(typed.collect::<Vec<_>>());
    let plan = plan.and_then(LogicalPlanBuilder::build).map_err(crate::error::of_datafusion)?;
    Ok(Bound { plan, ..bound })
}
