//! ALTER TABLE: most actions change the catalog alone; SET DISTRIBUTED rewrites the rows.

use super::bind::Bound;
use super::write::table_target;
use super::{Outcome, Session};
use crate::catalog::{Commit, FileKey};
use crate::ddl::{self, Redistribution};
use crate::engine::{DamsonTable, statement_state};
use crate::error::{SqlResult, of_datafusion};
use crate::sql::{AlterAction, AlterTable, Statement};
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::LogicalPlanBuilder;
use std::collections::HashMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Session {
    pub(super) async fn alter_table(
        self: &Arc<Self>,
        alter: &AlterTable,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        match &alter.action {
            AlterAction::SetDistributed { .. } => self.set_distributed(alter, cancel).await,
            _ => self.define(Statement::AlterTable(alter.clone())).await,
        }
    }

    /// Rewrites all rows by the new policy; the new definition and files take the old ones' place in one commit.
    async fn set_distributed(self: &Arc<Self>, alter: &AlterTable, cancel: CancellationToken) -> SqlResult<Outcome> {
        let catalog = self.master.catalog.current();
        let Redistribution { entry, def } = match ddl::set_distributed(&catalog, alter, &self.search_schema())? {
            Ok(redistribution) => redistribution,
            Err(done) => return Ok(done.into()),
        };
        let base = catalog.snapshot;
        let names = self.names(Arc::clone(&catalog), false);
        let state = statement_state(&self.master.base, &names);
        let plan = LogicalPlanBuilder::empty(false).build().map_err(of_datafusion)?;
        let bound = Bound { state, names, plan };
        let old = DamsonTable::new(Arc::clone(&entry), false, catalog.current_map().segment_count());
        let rows = old.scan(&bound.state, None, &[], None).await.map_err(of_datafusion)?;
        let table = self.slice(&bound, rows, table_target(&def))?;
        let written = self.write_table(&bound, &table, HashMap::new(), &def, cancel).await?;
        let drops = entry.files.iter().map(|file| (def.id, FileKey::of(file))).collect();
        self.commit(Commit { base, adds: written.files, drops, replace_definition: Some(def) }).await?;
        Ok(Outcome::command("ALTER TABLE"))
    }
}
